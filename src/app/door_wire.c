/* SPDX-License-Identifier: MIT */
#include "app/door_wire.h"

#include "app/write_all.h"
#include "base/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Before each text. */
enum { TEXT_NONE = 'n', TEXT_HERE = 't' };

void wire_begin(struct channel_message *m, enum wire_type type, int32_t status, uint32_t arg,
                uint32_t flag)
{
    struct wire_head head = {
        .magic = WIRE_MAGIC,
        .version = WIRE_VERSION,
        .type = (uint16_t)type,
        .status = status,
        .arg = arg,
        .flag = flag,
    };
    memcpy(m->bytes, &head, sizeof(head));
    m->byte_count = sizeof(head);
    m->fd_count = 0;
}

void wire_number(struct channel_message *m, uint32_t number)
{
    memcpy(m->bytes + offsetof(struct wire_head, number), &number, sizeof(number));
}

bool wire_put(struct channel_message *m, const char *text)
{
    size_t n = text ? strlen(text) + 1 : 0;
    if (n + 1 > CHANNEL_BYTES_MAX - m->byte_count)
        return false;
    m->bytes[m->byte_count++] = text ? TEXT_HERE : TEXT_NONE;
    if (text)
        memcpy(m->bytes + m->byte_count, text, n);
    m->byte_count += (uint32_t)n;
    return true;
}

bool wire_head(const struct channel_message *m, struct wire_head *ret_head)
{
    if (m->byte_count < sizeof(*ret_head))
        return false;
    memcpy(ret_head, m->bytes, sizeof(*ret_head));
    return ret_head->magic == WIRE_MAGIC && ret_head->version == WIRE_VERSION;
}

bool wire_text(const struct channel_message *m, size_t *at, const char **ret_text)
{
    size_t from = *at ? *at : sizeof(struct wire_head);
    if (from >= m->byte_count)
        return false;
    uint8_t kind = m->bytes[from++];
    if (kind == TEXT_NONE) {
        *ret_text = NULL;
        *at = from;
        return true;
    }
    const uint8_t *end = memchr(m->bytes + from, '\0', m->byte_count - from);
    if (kind != TEXT_HERE || !end)
        return false;
    *ret_text = (const char *)m->bytes + from;
    *at = (size_t)(end - m->bytes) + 1;
    return true;
}

int wire_file(const char *name, struct span text)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (write_all(fd, text) == 0 && lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

char *wire_file_read(int fd, size_t *ret_len)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0 ||
        st.st_size > CONFIG_FILE_BYTES_MAX)
        return NULL;
    size_t n = (size_t)st.st_size, got = 0;
    char *text = malloc(n + 1);
    while (text && got < n) {
        ssize_t r = pread(fd, text + got, n - got, (off_t)got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        got += (size_t)r;
    }
    if (text && got < n) {
        free(text);
        return NULL;
    }
    if (text) {
        text[n] = '\0';
        *ret_len = n;
    }
    return text;
}

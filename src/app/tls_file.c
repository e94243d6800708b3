/* SPDX-License-Identifier: MIT */
#include "app/tls_file.h"

#include "account/reason.h"
#include "base/limits.h"
#include "codec/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int cannot(char why[TLS_FILE_WHY_MAX], const char *cause)
{
    (void)snprintf(why, TLS_FILE_WHY_MAX, "%s", cause);
    return -(int)REASON_system_error;
}

/* FNV-1a, by whole numbers. */
uint64_t tls_file_stamp_add(uint64_t sum, uint64_t stamp)
{
    return ((sum ? sum : UINT64_C(0xcbf29ce484222325)) ^ stamp) * UINT64_C(0x100000001b3);
}

/* Renewals write to the file or put another in its place. */
static uint64_t stamp_of(const struct stat *st)
{
    const uint64_t parts[] = {(uint64_t)st->st_dev,          (uint64_t)st->st_ino,
                              (uint64_t)st->st_size,         (uint64_t)st->st_mtim.tv_sec,
                              (uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec,
                              (uint64_t)st->st_ctim.tv_nsec};
    uint64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        sum = tls_file_stamp_add(sum, parts[i] * UINT64_C(0x9e3779b97f4a7c15));
    return sum ? sum : 1;
}

uint64_t tls_file_stamp(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? stamp_of(&st) : 0;
}

static int read_all(int fd, struct tls_file *f, char why[TLS_FILE_WHY_MAX])
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return cannot(why, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return cannot(why, "it is no regular file");
    if (st.st_size > TLS_FILE_BYTES_MAX)
        return cannot(why, "it is larger than 4 MiB");
    *f = (struct tls_file){.bytes = malloc((size_t)st.st_size + 1), .stamp = stamp_of(&st)};
    if (!f->bytes)
        return cannot(why, "there is no memory for it");
    while (f->n < (size_t)st.st_size) {
        ssize_t n = read(fd, f->bytes + f->n, (size_t)st.st_size - f->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cannot(why, strerror(errno));
        if (n == 0)
            break; /* it is being written: its stamp will say so */
        f->n += (size_t)n;
    }
    f->bytes[f->n] = '\0';
    return 0;
}

int tls_file_read(const char *path, struct tls_file *ret_file, char ret_why[TLS_FILE_WHY_MAX])
{
    /* What is no regular file must not be waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return cannot(ret_why, strerror(errno));
    struct tls_file f = {0};
    int r = read_all(fd, &f, ret_why);
    (void)close(fd);
    if (r < 0)
        tls_file_wipe(&f);
    else
        *ret_file = f;
    return r;
}

void tls_file_wipe(struct tls_file *f)
{
    if (f->bytes)
        explicit_bzero(f->bytes, f->n);
    free(f->bytes);
    *f = (struct tls_file){0};
}

const char *const *tls_system_files(void)
{
    static const char *other[2];
    other[0] = getenv("SSL_CERT_FILE");
    return other[0] && *other[0] ? other : tls_system_ca_files;
}

static bool each_of_listener(const struct listener_tls_conf *tls, tls_file_fn *fn, void *user)
{
    bool ok = !tls->client_ca || fn(user, tls->client_ca);
    for (size_t i = 0; ok && i < tls->certificate_count; i++) {
        const struct certificate_conf *c = &tls->certificates[i];
        ok = fn(user, c->cert) && (!c->key || fn(user, c->key)) && (!c->ocsp || fn(user, c->ocsp));
    }
    return ok;
}

static bool each_of_pool(const struct pool_tls_conf *tls, tls_file_fn *fn, void *user)
{
    bool ok = (!tls->ca || fn(user, tls->ca)) && (!tls->cert || fn(user, tls->cert)) &&
              (!tls->key || fn(user, tls->key));
    bool system = tls->verify && !tls->ca;
    for (const char *const *path = tls_system_files(); ok && system && *path; path++)
        ok = fn(user, *path);
    return ok;
}

bool tls_files_each(const struct snapshot *s, tls_file_fn *fn, void *user)
{
    bool ok = true;
    for (size_t i = 0; ok && i < s->listener_count; i++) {
        if (s->listeners[i].tls.enabled)
            ok = each_of_listener(&s->listeners[i].tls, fn, user);
    }
    for (size_t i = 0; ok && i < s->pool_count; i++) {
        if (s->pools[i].tls.enabled)
            ok = each_of_pool(&s->pools[i].tls, fn, user);
    }
    return ok;
}

/* SPDX-License-Identifier: MIT */
/* Landlock. The constants of newer kernels are spelt out: headers of the oldest system we build on
 * do not know them all. */
#include "app/sandbox_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel grew it: older ones take the first `size` bytes. */
struct ruleset {
    uint64_t files;
    uint64_t net;   /* from version 4 */
    uint64_t scope; /* from version 6 */
};

#define NET_BIND_TCP (1ull << 0)
#define SCOPE_SIGNAL (1ull << 1)

/* How many rights to files each version knows: they are numbered from bit 0. */
static const uint8_t file_rights[] = {0, 13, 14, 15, 15, 16};

/* What a resolver reads, when it starts and when these change; and what we read about ourselves. */
static const char *const readable[] = {
    "/etc/resolv.conf", "/etc/hosts",           "/etc/nsswitch.conf", "/etc/host.conf",
    "/etc/services",    "/run/systemd/resolve", "/etc/localtime",     "/proc/self",
};

static int restrict_self(int ruleset)
{
    return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? 0 : -errno;
}

/* A path that is not there is none that can be read. */
static void allow(int ruleset, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0) {
        uint64_t for_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                             LANDLOCK_ACCESS_FS_READ_FILE;
        struct landlock_path_beneath_attr rule = {
            .parent_fd = fd,
            .allowed_access = S_ISDIR(st.st_mode) ? rights : rights & for_files,
        };
        (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }
    (void)close(fd);
}

/* To connect to a socket one needs to write to it, where a kernel asks for that at all. */
static void allow_backends(int ruleset, const struct snapshot *s)
{
    for (size_t i = 0; i < s->pool_count; i++) {
        const struct pool_conf *p = &s->pools[i];
        for (size_t k = 0; k < p->backend_count; k++) {
            if (p->backends[k].address.kind == ADDRESS_UNIX)
                allow(ruleset, p->backends[k].address.text,
                      LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
        }
    }
}

int sandbox_shut_files(const struct snapshot *s)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return 0;
    size_t known = MIN((size_t)version, ARRAY_LEN(file_rights) - 1);
    struct ruleset r = {
        .files = (1ull << file_rights[known]) - 1,
        .net = version >= 4 ? NET_BIND_TCP : 0,
        .scope = version >= 6 ? SCOPE_SIGNAL : 0,
    };
    size_t size = version >= 6 ? sizeof(r) : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
    if (ruleset < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_LEN(readable); i++)
        allow(ruleset, readable[i], LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
    if (s)
        allow_backends(ruleset, s);
    int result = restrict_self(ruleset);
    (void)close(ruleset);
    return result < 0 ? result : (int)version;
}

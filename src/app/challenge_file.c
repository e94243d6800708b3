/* SPDX-License-Identifier: MIT */
#include "app/challenge_file.h"

#include "route/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_in(int folder, const char *token)
{
    struct stat st;
    int fd = openat(folder, token, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    (void)close(fd);
    return -EACCES;
}

int challenge_file_open(const char *folder, const char *token)
{
    if (!rules_is_token(span_cstr(token)))
        return -EINVAL;
    int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return -errno;
    int fd = open_in(at, token);
    (void)close(at);
    return fd;
}

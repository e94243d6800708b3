/* SPDX-License-Identifier: MIT */
#include "app/challenge_file.h"

#include "base/limits.h"
#include "route/rules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

/* 0 or an errno. */
static int write_names(DIR *folder, FILE *out)
{
    for (size_t seen = 0;; seen++) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry)
            return errno;
        if (seen == CHALLENGE_FILES_MAX + 2) /* with "." and ".." */
            return E2BIG;
        if (rules_is_token(span_cstr(entry->d_name)))
            (void)fprintf(out, "%s\n", entry->d_name);
    }
}

int challenge_file_list(const char *folder, char **ret_names, size_t *ret_len)
{
    char *names = NULL;
    size_t len = 0;
    DIR *at = opendir(folder);
    if (!at)
        return -errno;
    FILE *out = open_memstream(&names, &len);
    int err = out ? write_names(at, out) : ENOMEM;
    if (out && fclose(out) != 0 && !err)
        err = ENOMEM;
    (void)closedir(at);
    if (err) {
        free(names);
        return -err;
    }
    *ret_names = names;
    *ret_len = len;
    return 0;
}

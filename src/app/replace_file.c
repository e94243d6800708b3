/* SPDX-License-Identifier: MIT */
#include "app/replace_file.h"

#include "account/reason.h"
#include "app/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".XXXXXX"

/* What the new file takes over from the old one: its owner only as far as we may give it. */
static int take_over(int fd, const struct stat *old)
{
    struct stat own;
    if (fstat(fd, &own) != 0)
        return errno;
    bool same = own.st_uid == old->st_uid && own.st_gid == old->st_gid;
    if (!same && fchown(fd, old->st_uid, old->st_gid) != 0)
        return errno;
    return fchmod(fd, old->st_mode & 07777) == 0 ? 0 : errno;
}

static int fill(int fd, const struct stat *old, struct span text)
{
    int err = write_all(fd, text);
    if (!err)
        err = take_over(fd, old);
    if (!err && fsync(fd) != 0)
        err = errno;
    if (close(fd) != 0 && !err)
        err = errno;
    return err;
}

/* The rename itself has to be on the disk. A folder that cannot be synced is no failure. */
static void sync_folder(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return;
    slash[1] = '\0';
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    (void)close(fd);
}

static int replace(char *real, struct span text)
{
    struct stat old;
    if (stat(real, &old) != 0)
        return errno;
    if (!S_ISREG(old.st_mode))
        return EINVAL;
    char beside[PATH_MAX + sizeof(SUFFIX)];
    (void)snprintf(beside, sizeof(beside), "%s" SUFFIX, real);
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return errno;
    int err = fill(fd, &old, text);
    if (!err && rename(beside, real) != 0)
        err = errno;
    if (err)
        (void)unlink(beside);
    else
        sync_folder(real);
    return err;
}

int replace_file(const char *path, struct span text, char *ret_why, size_t why_size)
{
    char real[PATH_MAX];
    int err = realpath(path, real) ? replace(real, text) : errno;
    if (!err)
        return 0;
    (void)snprintf(ret_why, why_size, "cannot write %s: %s", path, strerror(err));
    return -(int)REASON_system_error;
}

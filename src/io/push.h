/* SPDX-License-Identifier: MIT */
#pragma once

/* How the engines hand slices to the kernel; for files of io/ alone. */

#include "base/compiler.h"
#include "io/backlog.h"
#include "io/kernel.h"

#include <sys/uio.h>

/* Bytes it took, 0 when it has no room, or -errno; count is 1 to BACKLOG_SLICES_MAX. With MSG_MORE
 * the last of them wait there for what comes next. */
static inline ssize_t push_slices(int fd, const struct slice *slices, size_t count, int more)
{
    ssize_t n;
    if (LIKELY(count == 1)) {
        do {
            n = kernel_send(fd, slices->p, slices->n, more);
        } while (UNLIKELY(n == -EINTR));
    } else {
        struct iovec iov[BACKLOG_SLICES_MAX];
        for (size_t i = 0; i < count; i++)
            iov[i] = (struct iovec){(void *)(uintptr_t)slices[i].p, slices[i].n};
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
        do {
            n = kernel_sendmsg(fd, &message, more);
        } while (UNLIKELY(n == -EINTR));
    }
    return UNLIKELY(n == -EAGAIN) ? 0 : n;
}

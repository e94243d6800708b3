/* SPDX-License-Identifier: MIT */
#include "app/write_all.h"

#include <errno.h>
#include <unistd.h>

int write_all(int fd, struct span text)
{
    while (!span_empty(text)) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        text = span_from(text, (size_t)n);
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "io/channel.h"

#include "base/clock.h"
#include "io/loop_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int channel_pair(int ret_ends[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_ends) == 0
               ? 0
               : -errno;
}

/* False when the time is over. */
static bool wait_for(int fd, short events, uint64_t until_ms)
{
    for (;;) {
        uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
        struct pollfd p = {.fd = fd, .events = events};
        if (now_ms >= until_ms)
            return false;
        int n = poll(&p, 1, (int)(until_ms - now_ms));
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
};

enum channel_result channel_send(int fd, const struct channel_message *m, unsigned wait_ms)
{
    CHECK(m->byte_count > 0 && m->byte_count <= CHANNEL_BYTES_MAX);
    CHECK(m->fd_count <= CHANNEL_FDS_MAX);
    uint64_t until_ms = clock_mono_ns() / NS_PER_MS + wait_ms;
    union control control = {};
    uint8_t bytes[CHANNEL_BYTES_MAX]; /* an iovec wants what it only reads to be writable */
    memcpy(bytes, m->bytes, m->byte_count);
    struct iovec part = {.iov_base = bytes, .iov_len = m->byte_count};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};
    if (m->fd_count > 0) {
        h.msg_control = control.bytes;
        h.msg_controllen = CMSG_SPACE(m->fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(m->fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), m->fds, m->fd_count * sizeof(int));
    }
    while (sendmsg(fd, &h, MSG_NOSIGNAL) < 0) {
        if (errno == EPIPE || errno == ECONNRESET)
            return CHANNEL_ENDED;
        if (errno != EAGAIN && errno != EINTR)
            return CHANNEL_FAILED;
        if (errno == EAGAIN && !wait_for(fd, POLLOUT, until_ms))
            return CHANNEL_NOTHING;
    }
    return CHANNEL_OK;
}

static void take_fds(struct msghdr *h, struct channel_message *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        CHECK(m->fd_count + n <= CHANNEL_FDS_MAX); /* the room given allows no more */
        memcpy(m->fds + m->fd_count, CMSG_DATA(c), n * sizeof(int));
        m->fd_count += (uint32_t)n;
    }
}

enum channel_result channel_receive(int fd, struct channel_message *ret_message, unsigned wait_ms)
{
    uint64_t until_ms = clock_mono_ns() / NS_PER_MS + wait_ms;
    struct channel_message *m = ret_message;
    union control control;
    struct iovec part = {.iov_base = m->bytes, .iov_len = sizeof(m->bytes)};
    struct msghdr h = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;
    m->byte_count = m->fd_count = 0;
    do {
        h.msg_control = control.bytes;
        h.msg_controllen = sizeof(control.bytes);
        n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == ECONNRESET)
            return CHANNEL_ENDED;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return CHANNEL_FAILED;
        if (n < 0 && errno == EAGAIN && !wait_for(fd, POLLIN, until_ms))
            return CHANNEL_NOTHING;
    } while (n < 0);
    if (n == 0)
        return CHANNEL_ENDED;
    take_fds(&h, m);
    m->byte_count = (uint32_t)n;
    if (!(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return CHANNEL_OK;
    channel_close_fds(m, 0);
    return CHANNEL_FAILED;
}

void channel_close_fds(struct channel_message *m, uint32_t from)
{
    for (uint32_t i = from; i < m->fd_count; i++)
        (void)close(m->fds[i]);
    m->fd_count = MIN(m->fd_count, from);
}

/* ---- as an event of a loop ---- */

struct channel_watch {
    struct loop_watch watch;
    struct loop *loop;
    channel_watch_fn *fn;
    void *user;
    bool in_callback;
    bool closed; /* in the callback: freed after it */
};

static void readable(struct loop_watch *w, uint32_t fired)
{
    (void)fired;
    struct channel_watch *c = container_of(w, struct channel_watch, watch);
    c->in_callback = true;
    c->fn(c->user);
    c->in_callback = false;
    if (c->closed)
        free(c);
}

int channel_watch_open(struct loop *loop, int fd, channel_watch_fn *fn, void *user,
                       struct channel_watch **ret_watch)
{
    struct channel_watch *c = calloc(1, sizeof(*c));
    if (!c)
        return -(int)REASON_overload;
    c->loop = loop;
    c->fn = fn;
    c->user = user;
    loop_watch_init(&c->watch, fd, readable, c);
    int r = loop_watch_set(loop, &c->watch, LOOP_WATCH_IN);
    if (r < 0) {
        free(c);
        return r;
    }
    *ret_watch = c;
    return 0;
}

void channel_watch_close(struct channel_watch **watch)
{
    struct channel_watch *c = *watch;
    if (!c)
        return;
    *watch = NULL;
    loop_watch_end(c->loop, &c->watch);
    c->closed = true;
    if (!c->in_callback)
        free(c);
}

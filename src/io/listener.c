/* SPDX-License-Identifier: MIT */
/*
 * Opening listening sockets. Whatever fails ends in one sentence a person can act on.
 */
#include "io/listener.h"

#include "account/reason.h"
#include "base/check.h"
#include "io/listener_priv.h"
#include "io/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A client that connects and says nothing is shown to us after this long all the same. */
#define DEFER_ACCEPT_S 3

struct listener {
    struct address address;
    char path[SOCKET_PATH_BYTES];
    dev_t path_dev; /* of the socket file we made: one that took its place is not ours to remove */
    ino_t path_ino;
    bool shared; /* one descriptor serves all shards */
    uint32_t fd_count;
    struct shard {
        int fd;
        _Atomic uint32_t loops; /* that accept from it */
    } shards[];
};

/* ":80": every address of the machine, IPv4 and IPv6. */
static bool is_any_v6(const struct address *a)
{
    return a->kind == ADDRESS_V6 && address_is_any(a);
}

/* ---- sentences ---- */

static const char *advice(int err, const struct address *a)
{
    switch (err) {
    case EEXIST: return "a file that is no socket is in the way; remove it or choose another path";
    case EADDRINUSE: return "another program uses it; stop that program or choose another port";
    case EACCES:
        return a->kind == ADDRESS_UNIX
                   ? "permission denied; the folder must be writable for this user"
                   : "permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE";
    case EADDRNOTAVAIL: return "this machine has no such address";
    case EAFNOSUPPORT: return "this machine does not speak IPv6";
    case ENOENT: return "the folder of the socket does not exist";
    case EMFILE:
    case ENFILE: return "out of file descriptors; raise the limit (ulimit -n)";
    default: return strerror(err);
    }
}

static int explain(int err, const struct address *a, char ret_why[LISTENER_WHY_MAX])
{
    char text[ADDRESS_TEXT_MAX];
    address_format(a, text);
    if (is_any_v6(a))
        (void)snprintf(text, sizeof text, ":%u", (unsigned)a->port); /* as people write it */
    (void)snprintf(ret_why, LISTENER_WHY_MAX, "cannot listen on %.130s: %s", text, advice(err, a));
    return err == EMFILE || err == ENFILE ? -(int)REASON_out_of_files : -(int)REASON_system_error;
}

/* ---- TCP ---- */

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : errno;
}

/* A bound socket, or -errno. */
static int bind_tcp(const struct address *a, bool reuse_port)
{
    int fd = socket_new(socket_family(a));
    if (fd < 0)
        return -errno;
    int err = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!err && reuse_port)
        err = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!err && a->kind == ADDRESS_V6)
        err = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    struct sockaddr_storage sa;
    socklen_t len = socket_sockaddr(a, &sa);
    if (!err && bind(fd, (const struct sockaddr *)&sa, len) != 0)
        err = errno;
    if (!err)
        return fd;
    (void)close(fd);
    return -err;
}

/* Whether the address can be ours alone: with SO_REUSEPORT a second program of the same user would
 * be let in without a word. 0 or an errno. */
static int probe_tcp(const struct address *a)
{
    int fd = bind_tcp(a, false);
    if (fd < 0)
        return -fd;
    int err = listen(fd, 1) == 0 ? 0 : errno;
    (void)close(fd);
    return err;
}

static int open_shard(struct listener *l, const struct listener_options *options)
{
    int fd = bind_tcp(&l->address, true);
    if (fd < 0)
        return -fd;
    if (options->defer_accept)
        (void)set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DEFER_ACCEPT_S);
    int backlog = options->backlog && options->backlog < INT_MAX ? (int)options->backlog : INT_MAX;
    if (listen(fd, backlog) != 0) {
        int err = errno;
        (void)close(fd);
        return err;
    }
    l->shards[l->fd_count++].fd = fd;
    if (l->address.port == 0) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
            return errno;
        struct address bound;
        socket_address(&sa, len, NULL, &bound);
        l->address.port = bound.port;
    }
    return 0;
}

static int open_tcp(struct listener *l, const struct listener_options *options)
{
    int err = probe_tcp(&l->address);
    if (is_any_v6(&l->address) && (err == EAFNOSUPPORT || err == EADDRNOTAVAIL)) {
        l->address.kind = ADDRESS_V4; /* a machine without IPv6: every address is 0.0.0.0 */
        err = probe_tcp(&l->address);
    }
    for (uint32_t i = 0; !err && i < options->shards; i++)
        err = open_shard(l, options);
    return err;
}

/* ---- unix ---- */

/* Removes a socket file that nobody answers at. 0 or an errno. */
static int remove_stale(const struct address *a)
{
    struct stat st;
    if (lstat(a->text, &st) != 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISSOCK(st.st_mode))
        return EEXIST;
    int fd = socket_new(AF_UNIX);
    if (fd < 0)
        return errno;
    struct sockaddr_storage sa;
    socklen_t len = socket_sockaddr(a, &sa);
    int err = connect(fd, (const struct sockaddr *)&sa, len) == 0 ? 0 : errno;
    (void)close(fd);
    if (err == ENOENT)
        return 0;
    if (err != ECONNREFUSED)
        return EADDRINUSE; /* it answers, or its queue is full: alive */
    return unlink(a->text) == 0 || errno == ENOENT ? 0 : errno;
}

static int open_unix(struct listener *l, const struct listener_options *options)
{
    int err = remove_stale(&l->address);
    if (err)
        return err;
    int fd = socket_new(AF_UNIX);
    if (fd < 0)
        return errno;
    l->shards[l->fd_count++].fd = fd;
    /* Before there is a file: at no moment may anybody else open it. */
    if (options->mode && fchmod(fd, options->mode) != 0)
        return errno;
    struct sockaddr_storage sa;
    socklen_t len = socket_sockaddr(&l->address, &sa);
    if (bind(fd, (const struct sockaddr *)&sa, len) != 0)
        return errno;
    struct stat st;
    if (stat(l->path, &st) != 0)
        return errno;
    l->path_dev = st.st_dev;
    l->path_ino = st.st_ino;
    int backlog = options->backlog && options->backlog < INT_MAX ? (int)options->backlog : INT_MAX;
    return listen(fd, backlog) == 0 ? 0 : errno;
}

static void remove_own_file(const struct listener *l)
{
    struct stat st;
    if (l->path_ino == 0 || lstat(l->path, &st) != 0)
        return;
    if (st.st_dev == l->path_dev && st.st_ino == l->path_ino)
        (void)unlink(l->path);
}

/* ---- the listener ---- */

/* 0 or an errno. */
static int make(const struct listener_options *options, struct listener **ret_listener)
{
    CHECK(options->shards >= 1);
    struct listener *l = calloc(1, sizeof *l + options->shards * sizeof l->shards[0]);
    if (!l)
        return ENOMEM;
    l->address = options->address;
    l->shared = l->address.kind == ADDRESS_UNIX;
    if (l->shared) {
        if (!span_to_cstr(span_cstr(l->address.text), l->path, sizeof l->path - 1)) {
            free(l);
            return ENAMETOOLONG;
        }
        l->address.text = l->path;
    }
    *ret_listener = l;
    return 0;
}

int listener_open(const struct listener_options *options, struct listener **ret_listener,
                  char ret_why[LISTENER_WHY_MAX])
{
    struct listener *l;
    int err = make(options, &l);
    if (err)
        return explain(err, &options->address, ret_why);
    err = l->shared ? open_unix(l, options) : open_tcp(l, options);
    if (err) {
        listener_close(&l);
        return explain(err, &options->address, ret_why);
    }
    *ret_listener = l;
    return 0;
}

struct listener *listener_imagine(const struct listener_options *options)
{
    struct listener *l = NULL;
    if (make(options, &l) != 0)
        return NULL;
    l->shared = true;
    return l;
}

/* 0 or an errno. */
static int adopt_fd(struct listener *l, int fd)
{
    int listening = 0;
    socklen_t len = sizeof listening;
    l->shards[l->fd_count++].fd = fd;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0)
        return errno;
    if (!listening)
        return EINVAL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return errno;
    return 0;
}

static void learn_port(struct listener *l)
{
    if (l->address.kind != ADDRESS_UNIX && l->fd_count > 0)
        l->address.port = socket_name(l->shards[0].fd, SOCKET_LOCAL, NULL).port;
}

int listener_adopt(const struct listener_options *options, const int *fds, uint32_t count,
                   bool own_file, struct listener **ret_listener, char ret_why[LISTENER_WHY_MAX])
{
    struct listener *l = NULL;
    int err = count >= 1 ? make(options, &l) : EINVAL;
    uint32_t taken = 0;
    while (!err && taken < MIN(count, options->shards))
        err = adopt_fd(l, fds[taken++]);
    for (uint32_t i = taken; i < count; i++)
        (void)close(fds[i]);
    if (err) {
        listener_close(&l);
        return explain(err, &options->address, ret_why);
    }
    l->shared = l->fd_count < options->shards || l->address.kind == ADDRESS_UNIX;
    learn_port(l);
    struct stat st;
    if (own_file && l->path[0] && stat(l->path, &st) == 0) {
        l->path_dev = st.st_dev;
        l->path_ino = st.st_ino;
    }
    *ret_listener = l;
    return 0;
}

bool listener_fd_is_at(int fd, const struct address *a)
{
    char path[SOCKET_PATH_BYTES];
    int listening = 0;
    socklen_t len = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || !listening)
        return false;
    struct address bound = socket_name(fd, SOCKET_LOCAL, path);
    return address_equal(&bound, a);
}

uint32_t listener_fds(const struct listener *l, int *ret_fds, uint32_t max)
{
    for (uint32_t i = 0; i < l->fd_count && i < max; i++)
        ret_fds[i] = l->shards[i].fd;
    return l->fd_count;
}

const struct address *listener_address(const struct listener *l)
{
    return &l->address;
}

void listener_defer_accept(struct listener *l, bool on)
{
    for (uint32_t i = 0; i < l->fd_count && l->address.kind != ADDRESS_UNIX; i++)
        (void)set_option(l->shards[i].fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, on ? DEFER_ACCEPT_S : 0);
}

void listener_close(struct listener **listener)
{
    struct listener *l = *listener;
    if (!l)
        return;
    *listener = NULL;
    remove_own_file(l);
    for (uint32_t i = 0; i < l->fd_count; i++)
        (void)close(l->shards[i].fd);
    free(l);
}

int listener_fd(const struct listener *l, uint32_t shard)
{
    if (listener_is_shared(l))
        return l->shards[0].fd;
    CHECK(shard < l->fd_count);
    return l->shards[shard].fd;
}

bool listener_is_shared(const struct listener *l)
{
    return l->shared;
}

bool listener_enter(struct listener *l, uint32_t shard)
{
    if (listener_is_shared(l))
        return false;
    CHECK(shard < l->fd_count);
    return atomic_fetch_add(&l->shards[shard].loops, 1) == 0;
}

void listener_leave(struct listener *l, uint32_t shard)
{
    if (!listener_is_shared(l))
        atomic_fetch_sub(&l->shards[shard].loops, 1);
}

uint32_t listener_waiting(const struct listener *l, uint32_t shard)
{
    return listener_is_shared(l) ? 0 : socket_waiting(listener_fd(l, shard));
}

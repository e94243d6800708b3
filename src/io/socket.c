/* SPDX-License-Identifier: MIT */
#include "io/socket.h"

#include "base/check.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static_assert(SOCKET_PATH_BYTES > sizeof(((struct sockaddr_un *)0)->sun_path), "room for a NUL");

socklen_t socket_sockaddr(const struct address *a, struct sockaddr_storage *ret_sa)
{
    memset(ret_sa, 0, sizeof *ret_sa);
    if (a->kind == ADDRESS_V4) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret_sa;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip, 4);
        return sizeof *in;
    }
    if (a->kind == ADDRESS_V6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_sa;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        in6->sin6_scope_id = a->scope;
        memcpy(&in6->sin6_addr, a->ip, 16);
        return sizeof *in6;
    }
    CHECK(a->kind == ADDRESS_UNIX);
    struct sockaddr_un *un = (struct sockaddr_un *)ret_sa;
    size_t len = strlen(a->text);
    CHECK(len < sizeof un->sun_path);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, a->text, len + 1);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

static void unix_address(const struct sockaddr_un *un, socklen_t len,
                         char path_buf[SOCKET_PATH_BYTES], struct address *ret_address)
{
    *ret_address = (struct address){.kind = ADDRESS_UNIX, .text = ""};
    size_t head = offsetof(struct sockaddr_un, sun_path);
    if (!path_buf || len <= head || len > sizeof *un)
        return;
    size_t n = strnlen(un->sun_path, len - head);
    memcpy(path_buf, un->sun_path, n);
    path_buf[n] = 0;
    ret_address->text = path_buf;
}

void socket_address(const struct sockaddr_storage *sa, socklen_t len,
                    char path_buf[SOCKET_PATH_BYTES], struct address *ret_address)
{
    if (len < sizeof sa->ss_family) {
        *ret_address = (struct address){0};
        return;
    }
    struct address a = {0};
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        a.kind = ADDRESS_V4;
        a.port = ntohs(in->sin_port);
        memcpy(a.ip, &in->sin_addr, 4);
    } else if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        a.kind = mapped ? ADDRESS_V4 : ADDRESS_V6;
        a.port = ntohs(in6->sin6_port);
        a.scope = mapped ? 0 : in6->sin6_scope_id;
        memcpy(a.ip, in6->sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
    } else if (sa->ss_family == AF_UNIX) {
        unix_address((const struct sockaddr_un *)sa, len, path_buf, ret_address);
        return;
    }
    *ret_address = a;
}

struct address socket_name(int fd, enum socket_end end, char path_buf[SOCKET_PATH_BYTES])
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct address a = {0};
    int err = end == SOCKET_PEER ? getpeername(fd, (struct sockaddr *)&sa, &len)
                                 : getsockname(fd, (struct sockaddr *)&sa, &len);
    if (err == 0)
        socket_address(&sa, len, path_buf, &a);
    return a;
}

int socket_family(const struct address *a)
{
    if (a->kind == ADDRESS_UNIX)
        return AF_UNIX;
    return a->kind == ADDRESS_V4 ? AF_INET : AF_INET6;
}

int socket_new(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd >= 0 && family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

uint32_t socket_waiting(int listening_fd)
{
    struct tcp_info info;
    socklen_t len = offsetof(struct tcp_info, tcpi_unacked) + sizeof info.tcpi_unacked;
    /* A listening socket has its queue's length here. Unix sockets know nothing of the kind. */
    int rc = getsockopt(listening_fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    return rc == 0 ? info.tcpi_unacked : UINT32_MAX;
}

int socket_accept(int listening_fd, struct address *ret_peer)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    int fd = accept4(listening_fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (UNLIKELY(fd < 0))
        return -errno;
    socket_address(&sa, len, NULL, ret_peer);
    return fd;
}

bool socket_accept_may_go_on(int err)
{
    switch (err) {
    case EINTR:
    case ECONNABORTED: /* it went away before we took it */
    case EPROTO:
    case EPERM: /* a firewall's rule */
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP: return true;
    default: return false;
    }
}

void socket_reset_on_close(int fd)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

int socket_error(int fd)
{
    int err = 0;
    socklen_t len = sizeof err;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 ? err : errno;
}

enum reason socket_connect_reason(int err)
{
    switch (err) {
    case ECONNREFUSED:
    case ENOENT: /* no such unix socket */ return REASON_connect_refused;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case ETIMEDOUT: return REASON_connect_unreachable;
    case EMFILE:
    case ENFILE: return REASON_out_of_files;
    default: return REASON_connect_failed;
    }
}

enum reason socket_stream_reason(int err)
{
    switch (err) {
    case ENOMEM:
    case ENOBUFS: return REASON_overload;
    default: return REASON_backend_reset; /* ECONNRESET, EPIPE, ETIMEDOUT, what routers say */
    }
}

bool socket_has_left(int fd)
{
    uint8_t state = TCP_ESTABLISHED; /* tcp_info's first member */
    socklen_t n = sizeof(state);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &n) != 0 || n != sizeof(state))
        return false;
    return state == TCP_CLOSE_WAIT || state == TCP_CLOSE || state == TCP_LAST_ACK ||
           state == TCP_CLOSING;
}

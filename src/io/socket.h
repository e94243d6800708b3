/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between addresses and the kernel's sockets; for files of io/ alone. Any thread.
 */

#include "account/reason.h"
#include "base/address.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* CHECKs that the address is one a socket can have (not a name). */
socklen_t socket_sockaddr(const struct address *a, struct sockaddr_storage *ret_sa);

/* IPv4-mapped IPv6 becomes IPv4. A unix path is copied into path_buf (may be NULL: path is ""). */
#define SOCKET_PATH_BYTES 109
void socket_address(const struct sockaddr_storage *sa, socklen_t len,
                    char path_buf[SOCKET_PATH_BYTES], struct address *ret_address);

/* Who is at the end of a socket: ours (getsockname) or the other. ADDRESS_NONE if it cannot say. */
enum socket_end { SOCKET_LOCAL, SOCKET_PEER };
struct address socket_name(int fd, enum socket_end end, char path_buf[SOCKET_PATH_BYTES]);

/* An address without its text, as a stream keeps it. */
struct socket_ip {
    uint8_t ip[16];
    uint32_t scope;
    uint16_t port;
    enum address_kind kind : 8;
};

static inline struct socket_ip socket_ip_of(const struct address *a)
{
    struct socket_ip s = {.scope = a->scope, .port = a->port, .kind = a->kind};
    memcpy(s.ip, a->ip, sizeof s.ip);
    return s;
}

static inline struct address socket_ip_address(const struct socket_ip *s)
{
    struct address a = {.scope = s->scope, .port = s->port, .kind = s->kind};
    memcpy(a.ip, s->ip, sizeof a.ip);
    return a;
}

int socket_family(const struct address *a);

/* Non-blocking, closed on exec; TCP without delay. A descriptor, or -1 with errno. */
NODISCARD int socket_new(int family);

/* Connections that wait to be accepted; UINT32_MAX for a socket that cannot count them. */
uint32_t socket_waiting(int listening_fd);

/* A connection that waits at a listening socket, made non-blocking, and who it is of; or -errno. */
NODISCARD int socket_accept(int listening_fd, struct address *ret_peer);

/* Whether -socket_accept() was an error of that one connection, or of its network: others may be
 * had. */
bool socket_accept_may_go_on(int err);

void socket_reset_on_close(int fd);

/* The socket's pending error, taken from it; 0 if none. */
NODISCARD int socket_error(int fd);

/* What connect() says, in our words. */
enum reason socket_connect_reason(int err);

/* What a send or receive says, in our words. */
enum reason socket_stream_reason(int err);

/* Whether the peer has ended or broken its direction, read or not. False where that is not known.
 */
bool socket_has_left(int fd);

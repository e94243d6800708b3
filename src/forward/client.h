/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Client connections: what accept/ opens and the drain closes, whatever protocol they speak.
 *
 * A client lives in its worker's slab from client_h1_open or client_tcp_open to the moment its
 * stream is closed; it is on the forwarder's list all that time. Thread rule: its worker's thread.
 */

#include "base/list.h"
#include "forward/side.h"
#include "io/loop.h"

#include <stddef.h>

/* How long we listen to a client after our last answer, so that it arrives (RFC 9112 9.6). */
#define CLIENT_LINGER_MS 2000

struct arrival;
struct forwarder;
struct front;
struct client;

struct exchange;
typedef void client_exchange_fn(void *user, const struct exchange *x);

struct client_kind {
    const char *name;
    /* No more exchanges after the present one; a quiet connection closes soon. */
    void (*drain)(struct client *c);
    /* Ends everything at once. */
    void (*close_now)(struct client *c);
    /* Shows what is under way; NULL: at most what `side` has. */
    void (*each)(const struct client *c, client_exchange_fn *fn, void *user);
};

/* The head of every client object. */
struct client {
    struct list link;
    const struct client_kind *kind;
    struct forwarder *f;
    struct front *front;
    struct stream *stream;
    struct arrival *arrival; /* one block of malloc, freed with it; NULL: plain and direct */
    struct side side;
};

/* Who it is: of its connection, or as a PROXY header says. */
struct address client_peer(const struct client *c);

/* side_ops.local of clients whose side is that of the struct. */
struct address client_side_local(struct side *s);

/* Takes over an accepted stream; closes it when there is no room. */
void client_h1_open(struct forwarder *f, struct front *front, struct stream *s);
void client_tcp_open(struct forwarder *f, struct front *front, struct stream *s);

/*
 * A connection goes on in another protocol: what `from` was becomes a client of this kind. Stream,
 * arrival, front, its place among the clients and in the listener's limit go over to it. `first` is
 * what has arrived of the new protocol, or empty; it is taken as if it came now.
 *
 * True: of `from` nothing is left but its memory, which the caller frees; the new client may have
 * ended already. False: there was no room and nothing has changed.
 */
NODISCARD bool client_h1_take(struct client *from, struct slice first);
NODISCARD bool client_tcp_take(struct client *from, struct slice first);
NODISCARD bool client_h2_take(struct client *from, struct slice first);

/* Answers 503 with `why` as far as it goes and closes (HTTP); or closes (TCP). */
void client_h1_refuse(struct forwarder *f, struct front *front, struct stream *s, enum reason why);

static inline void client_drain(struct client *c)
{
    c->kind->drain(c);
}

static inline void client_close_now(struct client *c)
{
    c->kind->close_now(c);
}

/* Shows each exchange that is under way on this connection. */
static inline void client_each_exchange(const struct client *c, client_exchange_fn *fn, void *user)
{
    if (c->kind->each)
        c->kind->each(c, fn, user);
    else if (c->side.x)
        fn(user, c->side.x);
}

/* Of the slabs of HTTP/2 clients and of their requests. */
size_t client_h2_object_bytes(void);
size_t client_h2_request_bytes(void);

/* Slab object size that fits every kind; of kinds that live elsewhere it fits those of
 * CLIENT_BYTES_SURE. */
#define CLIENT_BYTES_SURE 192
size_t client_object_bytes(void);

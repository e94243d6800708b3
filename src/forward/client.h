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

struct arrival;
struct forwarder;
struct front;
struct client;

struct client_kind {
    const char *name;
    /* No more exchanges after the present one; a quiet connection closes soon. */
    void (*drain)(struct client *c);
    /* Ends everything at once. */
    void (*close_now)(struct client *c);
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

/* Takes over an accepted stream; closes it when there is no room. */
void client_h1_open(struct forwarder *f, struct front *front, struct stream *s);
void client_tcp_open(struct forwarder *f, struct front *front, struct stream *s);

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

/* Slab object size that fits every kind. */
size_t client_object_bytes(void);

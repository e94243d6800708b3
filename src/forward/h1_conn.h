/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One HTTP/1 connection, seen from either end: the part that the client side and the backend side
 * share. It turns delivered bytes into events of the codec and keeps what cannot be used yet.
 *
 *   stream ─data─▶ h1_conn_input ─▶ h1_reader_next ─▶ ops->head | body | end | bad
 *
 * Bytes are kept in one of two cases only, never in both:
 *   partial   an incomplete head or trailer section: copied together so that it is contiguous
 *   held      input that arrived while `paused` (the exchange has no room, or the next pipelined
 *             request must wait its turn): a reference to the buffer it came in
 * While paused nothing is read from the stream, so there is at most one receive to hold.
 *
 * Event functions run inside h1_conn_input. They may pause the connection, end it or hand it on.
 * Its memory must outlive the outermost h1_conn_input: an owner that ends it there only marks it
 * (`doomed`), returns false, and frees it when h1_conn_input has returned.
 */

#include "codec/h1.h"
#include "io/loop.h"

#include <stdbool.h>

struct forwarder;
struct h1_conn;

struct h1_conn_ops {
    enum h1_role role;
    const struct h1_limits *(*limits)(struct h1_conn *c);
    /* A complete head; raw is its bytes as they came, valid until `drained` returns, or empty when
     * they came in pieces. */
    bool (*head)(struct h1_conn *c, struct head *h, struct slice raw);
    bool (*body)(struct h1_conn *c, struct slice piece);
    bool (*end)(struct h1_conn *c, struct span trailers);
    /* The bytes are not acceptable HTTP. */
    bool (*bad)(struct h1_conn *c, enum reason why);
    /* The delivery is over, all input used or held: the moment to flush, and the only event from
     * which the connection may change hands. */
    bool (*drained)(struct h1_conn *c);
};

/* What a connection needs while a message is on its way in, from the first byte to h1_conn_next. */
struct h1_message {
    struct h1_reader reader;
    struct h1_limits limits; /* the reader's: those of a listener may change meanwhile */
    uint32_t kept_room;      /* of a partial: bytes its buffer can take */
    struct slice kept;       /* partial or held input */
    struct head *head;       /* from f->heads while one is being received, else NULL */
    uint32_t input_left;     /* during an event: bytes of this delivery behind it */
};

struct h1_conn {
    const struct h1_conn_ops *ops;
    struct forwarder *f;
    struct stream *stream;
    struct h1_message *message; /* from f->messages; NULL while idle */
    bool awaited;               /* a message is owed to us: it is kept though nothing has come */
    bool partial;               /* kept is an incomplete head or trailer section */
    bool paused;                /* by h1_conn_pause */
    bool deaf;                  /* input is dropped: the connection is only being closed politely */
    bool doomed;                /* ended inside h1_conn_input; the owner frees it afterwards */
    bool assembled; /* during an event: its bytes lie in a copy that goes with the event */
    bool running;   /* inside h1_conn_input */
};

void h1_conn_init(struct h1_conn *c, struct forwarder *f, const struct h1_conn_ops *ops);

/* Gives back what is kept. The stream is the owner's business. */
void h1_conn_fini(struct h1_conn *c);

/* A message is expected now: its reader is ready to be told what it answers. False without room. */
NODISCARD bool h1_conn_await(struct h1_conn *c);

/* The message is complete and done with (or none has begun): another may come or not. Follow with
 * h1_conn_resume where reading may be paused. */
void h1_conn_next(struct h1_conn *c);

/* Bytes arrived. False when the connection ended on the way: free it if it is `doomed`. */
bool h1_conn_input(struct h1_conn *c, struct slice in);

/* Stops events and reading. */
void h1_conn_pause(struct h1_conn *c);

/* Goes on: first with what is held (events run now, unless called from inside an event, where the
 * running loop goes on by itself), then by reading. False as h1_conn_input. */
bool h1_conn_resume(struct h1_conn *c);

/* The exchange takes more, or no more for now. True when it is to be freed if it is `doomed`. */
static inline bool h1_conn_credit(struct h1_conn *c, bool on)
{
    bool outermost = on && !c->running;
    if (on)
        h1_conn_resume(c);
    else
        h1_conn_pause(c);
    return outermost;
}

/* From now on input is dropped. */
void h1_conn_deafen(struct h1_conn *c);

/* The peer has ended: as h1_reader_eof. */
NODISCARD int h1_conn_eof(struct h1_conn *c);

/* The bytes that are left of a body of known length and still with the peer; 0 when there is
 * anything else to it. */
uint64_t h1_conn_rest(const struct h1_conn *c);

/* n of them went another way. True when these were the last: h1_conn_end follows. */
bool h1_conn_skip(struct h1_conn *c, uint64_t n);

/* Runs the events that need no bytes. False as h1_conn_input. */
bool h1_conn_end(struct h1_conn *c);

/* Whether the message is complete. */
static inline bool h1_conn_done(const struct h1_conn *c)
{
    return c->message && c->message->reader.state == H1_STATE_DONE;
}

/* During an event: bytes of the delivery behind it. */
static inline uint32_t h1_conn_input_left(const struct h1_conn *c)
{
    return c->message ? c->message->input_left : 0;
}

/* Whether bytes of a message not yet begun or not yet complete are waiting here. */
static inline bool h1_conn_has_input(const struct h1_conn *c)
{
    return c->message && c->message->kept.n > 0;
}

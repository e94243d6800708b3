/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One HTTP/2 connection (RFC 9113), seen from either end: the part that the client side and the
 * backend side share. nghttp2 knows the protocol; here are its bytes in and out, flow control end
 * to end, and the defences.
 *
 *   stream ─data─▶ h2_conn_input ─▶ nghttp2 ─▶ ops->begin, field, block, body, end
 *                                       │            then, when the delivery is used up: ops->input
 *                                       │            closed, writable: from h2_conn's own turn
 *                                       ▼
 *   stream ◀─ one send at the end of the turn ◀─ frames, gathered ◀─ h2_stream_head, body, end,
 * flush
 *
 * A stream (struct h2_stream) is embedded in its owner's object. It is alive from h2_stream_open (a
 * request of ours) or ops->begin (one of the peer's) until both sides are done with it: the
 * connection says so with ops->closed, the owner with h2_stream_leave, in either order. Its memory
 * may go when both have been said; `h2_stream_is_closed` tells what the connection has said.
 *
 * Sending. What is given to a stream is packed into frames by h2_stream_flush (a head at once,
 * where it can be) and gathered in the connection; one stream_send at the end of the loop's turn
 * takes them all along. Large pieces of a body go by reference, small ones are copied. Flow control
 * and a send under way leave them with the stream, which then holds references of its own: flush
 * says false, and ops->writable follows when all of it has been packed. Given bytes need to live
 * until flush returns.
 *
 * Receiving. Bytes of a body are handed on as they come, and the window of the stream opens again
 * as they are (h2_stream_read is the credit). While the owner does not read they are held here, at
 * most the stream's window of them (H2_STREAM_WINDOW). The window of the connection opens as they
 * come, so no other stream of it waits. What clients make a worker hold this way has two bounds:
 * from H2_HELD_EARLY on a connection's window opens for what was taken only, and it holds no more
 * than H2_CONNECTION_WINDOW; at H2_HELD_MAX, or without a buffer, the stream that needs more is
 * reset (overload) and the connection goes on.
 *
 * Events never come from inside h2_stream_* and h2_conn_* calls, but for h2_conn_input,
 * h2_conn_sent, h2_conn_tick and the connection's own moment at the end of a turn. Where the
 * connection ends, ops->failed is the last event; before it every stream gets ops->closed. Client:
 * responses that had come whole are handed on first, whatever the peer did then, but for an end by
 * h2_conn_fail.
 *
 * Thread rule: its worker's thread.
 */

#include "account/reason.h"
#include "base/list.h"
#include "codec/h2_fields.h"
#include "io/loop.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

struct h2_conn;
struct h2_stream;

/* ---- what a worker needs ---- */

/* nghttp2's callbacks, options and memory: one for all connections of a worker. */
struct h2_library;

/* NULL without memory. Everything made from it must be gone before h2_library_free, which leaves
 * NULL and accepts it. */
struct h2_library *h2_library_new(struct loop *loop);
void h2_library_free(struct h2_library **l);

/* Where a head is turned into fields, on its way to h2_stream_head, _open or _end: they take what
 * they need of it before they return, and nothing else runs meanwhile. */
struct h2_room {
    struct h2_fields fields;
    uint8_t scratch[H2_FIELDS_SCRATCH];
};
struct h2_room *h2_library_room(struct h2_library *l);

/* ---- a stream ---- */

enum h2_block {
    H2_BLOCK_HEAD,    /* a request, or a final or interim response */
    H2_BLOCK_TRAILER, /* what follows a body; it always ends the message */
};

/* Pieces of a body that a stream can be given between two flushes. */
#define H2_PIECES_MAX 8

struct h2_stream {
    /* set by h2_stream_open, or by the connection before ops->block_begin */
    struct h2_conn *conn;
    int32_t id; /* 0: not open yet, or not any more */

    /* private: what the two ends have said, and what is left to do */
    bool left;   /* by the owner */
    bool closed; /* by the connection, and the owner was told */
    bool closing;
    bool reset_given; /* the owner broke it off */
    bool peer_reset;
    bool reading;     /* the owner's credit */
    bool head_seen;   /* the peer's head, not an interim one, is complete */
    bool interim;     /* the block under way is of an interim response */
    bool input_ended; /* END_STREAM came … */
    bool end_told;    /* … and the owner was told */
    bool input_due;   /* ops->input is */
    bool data_begun;  /* nghttp2 asks us for DATA … */
    bool data_asleep; /* … when it is told that there is some */
    bool output_ended;
    bool end_out;   /* END_STREAM is packed */
    bool reset_due; /* RST_STREAM(NO_ERROR) when it is: the rest of the request is not wanted */
    bool blocked;   /* flush said false */
    uint8_t why;    /* enum reason, where we know better than the code */
    uint8_t piece_at, piece_count, pieces_kept;
    uint32_t close_code;
    uint32_t output_bytes; /* in pieces */
    uint64_t moved_ms;     /* when output last moved or began to wait */
    struct list link;      /* all streams of the connection */
    struct list work;      /* those for whom events are due */
    struct h2_held *held;  /* input that waits for credit */
    struct buf *trailers;  /* to be sent */
    struct slice pieces[H2_PIECES_MAX];
};

struct h2_conn_ops {
    /* Server: the peer begins a request. The stream for it (zeroed but for what the owner adds; the
     * connection sets it up), or NULL to refuse it (REFUSED_STREAM). */
    struct h2_stream *(*begin)(struct h2_conn *c);

    /* A header block begins that ops->block will end, field by field; it may be the first thing of
     * an interim response, a final one, or trailers. Blocks of a connection never overlap. */
    void (*block_begin)(struct h2_stream *s, enum h2_block block);

    /* The next field, decoded and past nghttp2's own checks. 0, or a negative reason to end the
     * whole connection: a block that goes on and on must be read to its end, or not at all. */
    int (*field)(struct h2_stream *s, struct span name, struct span value);

    /* The block is complete; `end`: and so is the message. Trailers come when they come, also while
     * the owner does not read: their time is ops->end. */
    void (*block)(struct h2_stream *s, enum h2_block block, bool end);

    /* The next piece of the body, only while the owner reads. */
    void (*body)(struct h2_stream *s, struct slice piece);

    /* The message is complete and all of it was handed on; once for each message. Only while the
     * owner reads. */
    void (*end)(struct h2_stream *s);

    /* Input was given to this stream, and that was all for now: the moment to flush. */
    void (*input)(struct h2_stream *s);

    /* All that was given has been packed, after a flush that said false. */
    void (*writable)(struct h2_stream *s);

    /* The connection has forgotten the stream. `why` is ok when both messages were complete, else
     * what broke it off; `code` is that of RST_STREAM, from either end. */
    void (*closed)(struct h2_stream *s, enum reason why, uint32_t code);

    /* The peer will take no request beyond `last` (those have been closed with stream_refused).
     * Client role. */
    void (*goaway)(struct h2_conn *c, uint32_t code);

    /* The peer's settings have come, or have changed. Client role; may be NULL. */
    void (*settings)(struct h2_conn *c);

    /* The connection cannot go on, or has come to a clean end (REASON_ok): no stream is left. The
     * owner closes the stream below and calls h2_conn_fini, now or later; h2_conn_polite tells how.
     */
    void (*failed)(struct h2_conn *c, enum reason why);
};

/* ---- the connection ---- */

struct h2_conn {
    /* set at creation */
    const struct h2_conn_ops *ops;
    struct h2_library *library;
    struct loop *loop;
    struct stream *stream;
    bool server;

    /* private */
    nghttp2_session *session;
    struct h2_output *output; /* frames gathered for the next send; NULL when there are none */
    struct slice input;       /* while receiving: the delivery */
    struct deferred turn_end;
    struct list streams;
    struct list work;
    uint32_t stream_count;
    uint32_t end_code;   /* of the GOAWAY to send */
    uint8_t why;         /* enum reason, of the end */
    uint8_t session_why; /* … as nghttp2 saw it */
    bool receiving;      /* inside nghttp2_session_mem_recv */
    bool packing;        /* inside nghttp2_session_mem_send */
    bool working;        /* events are being told */
    bool sending;        /* a send is under way */
    bool draining;       /* GOAWAY with the largest id was submitted … */
    bool last_goaway;    /* … and the one with the last id */
    bool goaway_due;     /* ops->goaway is */
    bool settings_due;   /* ops->settings is */
    bool over;           /* nothing more goes on; the end is told when no event is under way */
    bool told;           /* ops->failed was called */
    bool outlived;       /* the peer is gone; what it had said to the end is still handed on */
    bool by_owner;       /* the end is the owner's will: nothing is handed on */
    bool polite;
    bool spoke;                 /* a whole frame of the peer has come */
    bool block_open;            /* a header block has begun and not ended */
    bool block_wanted;          /* … for a stream that takes it */
    struct h2_stream *block_of; /* … of this stream, or NULL: ask nghttp2 */
    struct h2_stream *head_due; /* its head is being packed */

    /* private: what the guard knows */
    uint32_t frame_left;       /* of the frame that comes in: payload bytes */
    uint8_t frame_have;        /* … or of its head */
    uint8_t frame_head[9 + 4]; /* of PRIORITY also what the stream depends on */
    uint8_t gone_at;
    int32_t late_id;      /* a stream that its client spoke on behind its reset */
    int32_t last_id;      /* the largest that HEADERS of the peer had */
    int32_t gone[16];     /* streams closed lately … */
    uint8_t gone_how[16]; /* … and how: of the guard's kinds */
    uint64_t block_since_ms, resets_since_ms, control_since_ms, send_since_ms, unsent;
    uint64_t unwanted_since_ms;
    uint32_t resets, control, control_credit, empty;
    int32_t unwanted; /* header blocks that nobody took; less than none: it may have more */
    uint32_t goaway_code;
};

struct h2_conn_options {
    bool server;
    uint32_t streams_max; /* requests at a time: of the peer's (server), of ours (client) */
};

/* Begins the conversation on a stream that stands (or is still connecting: client), of which the
 * owner keeps the callbacks and passes on what they say. 0, or -REASON_overload. */
NODISCARD int h2_conn_init(struct h2_conn *c, struct h2_library *library, struct loop *loop,
                           struct stream *stream, const struct h2_conn_ops *ops,
                           const struct h2_conn_options *options);

/* Frees what is left of it. Every stream must have been left by its owner. */
void h2_conn_fini(struct h2_conn *c);

/* Bytes arrived. False when the connection has ended (ops->failed was called). */
bool h2_conn_input(struct h2_conn *c, struct slice in);

/* The send under way is complete. */
bool h2_conn_sent(struct h2_conn *c);

/* The peer has ended its direction, or the stream has failed. Streams under way are closed with
 * `why`. Client: but for those whose response is complete and waits to be read; the end comes when
 * it has been, and until then nothing is sent and the connection has no room. */
void h2_conn_eof(struct h2_conn *c, enum reason why);

/* Ends it now: all streams are closed with `why`, then ops->failed(why). A GOAWAY with `code` goes
 * out if nothing is half sent, and with H2_NO_GOAWAY none. True: from inside an event; the end
 * follows when that has returned. */
#define H2_NO_GOAWAY UINT32_MAX
bool h2_conn_fail(struct h2_conn *c, enum reason why, uint32_t code);

/* No more requests: GOAWAY with the largest id first, then, when the peer has heard it, with
 * the real one; when the last stream has gone ops->failed(REASON_ok). */
void h2_conn_drain(struct h2_conn *c);

/* The same without waiting for a sign that the peer has heard the first: it has been quiet. */
void h2_conn_drain_now(struct h2_conn *c);

/* Looks at what takes too long, as often as the owner likes: streams whose peer opens no window for
 * `stall_ms` (h2_stalled), a send that does not move (client_too_slow or backend_too_slow), a
 * header block that does not end within `block_ms` (request_timeout). False as h2_conn_input. */
bool h2_conn_tick(struct h2_conn *c, uint64_t stall_ms, uint64_t block_ms);

/* Whether the peer has said anything in HTTP/2 yet. */
static inline bool h2_conn_has_spoken(const struct h2_conn *c)
{
    return c->spoke;
}

/* Whether a header block has begun and not ended. */
static inline bool h2_conn_in_block(const struct h2_conn *c)
{
    return c->block_open;
}

/* After ops->failed: whether what was sent is to be read, so linger, or the stream may just close.
 */
static inline bool h2_conn_polite(const struct h2_conn *c)
{
    return c->polite;
}

/* Client: how many more requests the peer takes at a time; 0 also when it takes no more at all. */
uint32_t h2_conn_room(const struct h2_conn *c);

/* Client: how many requests the peer takes at a time, as its settings say. */
uint32_t h2_conn_streams_max(const struct h2_conn *c);

/* Client: whether the peer's settings allow extended CONNECT (RFC 8441). */
bool h2_conn_takes_websocket(const struct h2_conn *c);

/* Whether a head given now is packed at once, so that its fields need not be copied ("borrow" of
 * codec/h2_fields.h). */
bool h2_conn_packs_now(const struct h2_conn *c);

/* ---- calls on a stream ---- */

/* Client: a new request. nv as for h2_stream_head. 0 or a negative reason (overload,
 * stream_refused: the connection takes no more). */
NODISCARD int h2_stream_open(struct h2_conn *c, struct h2_stream *s, const nghttp2_nv *nv,
                             size_t count, bool end);

/* Server: a response head, interim ones too; `end`: and there is no body. If `nv` is not marked for
 * copying, h2_conn_packs_now must have been true. 0 or a negative reason. */
NODISCARD int h2_stream_head(struct h2_stream *s, const nghttp2_nv *nv, size_t count, bool interim,
                             bool end);

/* The next piece of the body. False: there is no room for another, flush first. */
bool h2_stream_body(struct h2_stream *s, struct slice piece);

/* Whether another piece has room. */
static inline bool h2_stream_has_room(const struct h2_stream *s)
{
    return s->piece_count < H2_PIECES_MAX - 1;
}

/* The message is complete; trailers or none (they are copied). 0 or -REASON_overload. */
NODISCARD int h2_stream_end(struct h2_stream *s, const nghttp2_nv *trailers, size_t count);

/* Packs what was given, as far as it goes. True: all of it. False: ops->writable or ops->closed
 * follows. */
bool h2_stream_flush(struct h2_stream *s);

/* Credit: whether ops->body and ops->end may come. On at first. */
void h2_stream_read(struct h2_stream *s, bool on);

/* Asks for ops->input, from the connection's own turn. */
void h2_stream_recall(struct h2_stream *s);

/* Breaks the stream off with RST_STREAM; ops->closed follows unless the owner leaves. */
void h2_stream_reset(struct h2_stream *s, uint32_t code);

/* The owner is done: no event of this stream follows but ops->closed, unless that was before. What
 * is left of the peer's message is dropped, and what was given and not packed yet is still sent. */
void h2_stream_leave(struct h2_stream *s);

/* Whether ops->closed has been called. */
static inline bool h2_stream_is_closed(const struct h2_stream *s)
{
    return s->closed;
}

/* Whether anything was given that is not packed. */
bool h2_stream_has_output(const struct h2_stream *s);

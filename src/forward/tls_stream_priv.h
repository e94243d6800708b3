/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between the files of the TLS layer: tls_worker.c (what streams share, whose turn it is),
 * tls_stream_out.c (towards the stream below) and tls_stream.c (everything else).
 */

#include "base/check.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/slab.h"
#include "forward/tls_out.h"
#include "forward/tls_stream.h"
#include "io/layer.h"
#include "io/timer.h"

enum tls_stream_bit {
    TS_WANT_READ = 1u << 0, /* credit */
    TS_CONNECTED = 1u << 1, /* told */
    TS_SENDING = 1u << 2,   /* SEND_PENDING was said to the user */
    TS_BELOW_SENDS = 1u << 3,
    TS_BELOW_READS = 1u << 4,
    TS_SHUTDOWN = 1u << 5, /* asked for */
    TS_SHUT = 1u << 6,     /* … and done below */
    TS_EOF_DUE = 1u << 7,
    TS_EOF = 1u << 8, /* told */
    TS_FAIL_DUE = 1u << 9,
    TS_FAILED = 1u << 10, /* told */
    TS_CLOSED = 1u << 11, /* by the user, while something of it runs */
    TS_QUEUED = 1u << 12, /* its link is on the queue of handshakes */
    TS_USED = 1u << 13,   /* since the last look of the idle timer */
    TS_FEEDING = 1u << 14,
    TS_MORE = 1u << 15,       /* the session has plaintext left: as good as held input */
    TS_BELOW_DOWN = 1u << 16, /* it has failed; that is told once nothing is held */
};

/* Slices that wait: sealed, or, before the handshake is done, as the user gave them. */
struct parked {
    uint32_t count;
    struct slice slices[SEND_SLICES_MAX];
};

struct tls_stream {
    struct layered layered; /* first: what the user holds */
    struct tls_worker *w;
    struct tls_session session;
    uint32_t bits;
    uint16_t running; /* calls of ours on the stack that use it afterwards */
    uint16_t why;     /* FAIL_DUE: the reason */
    struct list link; /* w->ready or one of w->queues */
    struct list warm; /* w->warm: OpenSSL may hold buffers */
    struct slice held;
    struct parked *sealed; /* for the stream below */
    struct parked *early;  /* to be sealed when the handshake is done */
};

struct tls_worker {
    struct loop *loop;
    struct slab streams;
    struct slab parked;
    struct buf *plain; /* what the next delivery is decrypted to */
    struct tls_out out;
    struct deferred later;
    struct list ready; /* streams with something to do from the turn */
    /* Streams whose next step must wait for a turn with steps left: clients, and backends, which
     * must not wait for as many clients as please to come. They take turns. */
    struct list queues[2];
    bool backends_next;
    struct list warm;
    struct timer idle;
    uint64_t turn; /* that `steps` is of */
    uint32_t steps;
    uint32_t waiting; /* streams in the queues */
    uint32_t streams_open;
};

static inline bool has(const struct tls_stream *s, uint32_t bits)
{
    return (s->bits & bits) != 0;
}

static inline void set(struct tls_stream *s, uint32_t bits)
{
    s->bits |= bits;
}

static inline void clear(struct tls_stream *s, uint32_t bits)
{
    s->bits &= ~bits;
}

static inline struct tls_stream *tls_stream_of(struct stream *s)
{
    CHECK_OBJ(s, STREAM_LAYER_MAGIC);
    return container_of(s, struct tls_stream, layered.stream);
}

/* ---- tls_worker.c ---- */

/* It used, or is about to use, OpenSSL's buffers. */
void tls_note_use(struct tls_stream *s);

/* Room for a delivery; as with the loop's own receives, whoever keeps a part takes a reference.
 * NULL when there is no buffer. */
struct buf *tls_plain_room(struct tls_worker *w);

/* Whether this turn may take another costly step; those that wait come before others. */
bool tls_take_step(struct tls_worker *w, bool from_queue);

/* Its next step, over what is held, waits for a turn that may take it. */
void tls_enqueue(struct tls_stream *s);

/* Has the turn's end look at it: tls_stream_serve. */
void tls_make_ready(struct tls_stream *s);

/* ---- tls_stream.c, from the turn ---- */

void tls_stream_serve(struct tls_stream *s);

/* It waits for its first step, and its client has left: it fails. */
void tls_stream_left(struct tls_stream *s);

/* A step over `in`, which has been taken for it. */
void tls_stream_step(struct tls_stream *s, struct slice in);

/* ---- tls_stream.c ---- */

/* A failure, to be told from the turn. */
void tls_fail_later(struct tls_stream *s, enum reason why);

/* Turns reading below on or off, as it should be now. */
void tls_read_below(struct tls_stream *s);

void tls_release(struct tls_stream *s);

static inline void tls_enter(struct tls_stream *s)
{
    s->running++;
}

/* It may be gone then. */
static inline void tls_leave(struct tls_stream *s)
{
    if (--s->running == 0 && UNLIKELY(has(s, TS_CLOSED)))
        tls_release(s);
}

/* ---- tls_stream_out.c ---- */

void tls_parked_free(struct tls_worker *w, struct parked **parked);

/* Adds what is in `out` to what waits. */
void tls_park(struct tls_stream *s);

/* Sends what waits, unless the stream below is at it. True when nothing is left to go. */
bool tls_flush(struct tls_stream *s);

/* The same of what is in `out`, behind what waits. */
bool tls_emit(struct tls_stream *s);

/* Encrypts; the ciphertext is in `out`. False: the stream is failing. */
bool tls_seal(struct tls_stream *s, const struct slice *slices, size_t count);

/* close_notify and the FIN behind it, as soon as all that was sent before has gone. */
void tls_end_output(struct tls_stream *s);

enum send_result tls_layer_send(struct stream *stream, const struct slice *slices, size_t count);
void tls_layer_last(struct stream *stream);
void tls_layer_shutdown(struct stream *stream);
void tls_below_sent(struct stream *below);

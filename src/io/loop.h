/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The loop: the contract between everything that moves bytes and the kernel.
 *
 * It is completion-shaped: you ask, and later you are told. epoll, io_uring and the simulator are
 * three files behind this one header, and nothing of theirs (descriptor, clock, errno) shows here.
 *
 *      you                          loop                              you
 *      stream_connect  ──────────▶  …                 ──────────▶  ops->connected | ops->failed
 *      stream_read(true) ────────▶  bytes arrive      ──────────▶  ops->data … ops->eof
 *      stream_send(slices) ──────▶  SEND_DONE, or SEND_PENDING ─▶  ops->sent | ops->failed
 *      stream_close  ────────────▶  (nothing more is ever called for this stream)
 *
 * Rules that every engine keeps
 *  1. No callback runs inside a call of yours: whatever you ask is answered from the loop's turn.
 *     stream_send may say at once that all is sent; then `sent` is not called for it.
 *  2. Received bytes are delivered in a buffer the loop owns, valid until `data` returns, unless
 * you keep a reference (slice_keep). An idle stream holds no buffer.
 *  3. One send is in flight per stream. Sending while SEND_PENDING is a bug (CHECK).
 *  4. Back-pressure is credit: after stream_read(s, false) no `data` and no `eof` comes until
 *     stream_read(s, true); bytes wait in the kernel. A reset may be reported even then, unless
 *     bytes that came before it still wait. Within a turn the order is: connected, sent, data, eof,
 *     failed; a failure found while reading is on comes after the last byte, and no eof with it.
 *  5. `failed` and stream_close end a stream: after `failed` you must still call stream_close,
 *     nothing else is allowed. After stream_close no callback of it runs; memory outlives the last
 *     completion, so a stream may be closed inside any callback, its own included.
 *  6. Work per turn and stream is capped, so one hot connection cannot starve the rest.
 *  7. Time stands still within a turn: loop_now is read once per turn.
 *
 * Thread rule: a loop and everything made from it belong to the thread that runs it. The only calls
 * for other threads are loop_post and loop_stop.
 */

#include "account/reason.h"
#include "base/address.h"
#include "base/compiler.h"
#include "base/list.h"
#include "io/buf.h"
#include "io/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct stream;
struct listener; /* io/listener.h */

/* ---- the loop itself ---- */

enum loop_engine { LOOP_ENGINE_AUTO, LOOP_ENGINE_EPOLL, LOOP_ENGINE_URING };

struct loop_options {
    enum loop_engine engine;
    uint32_t streams_max; /* limit of open streams; 0 = what the file limit allows */
    uint32_t pipes_max;   /* limit of pipes for bulks, two descriptors each; 0 = PIPES_MAX */
};

/* A new loop, or a negative reason (out_of_files, overload; system_error also for an engine that
 * this build or this kernel does not have). */
NODISCARD int loop_new(const struct loop_options *options, struct loop **ret_loop);

/* From now on `make` answers loop_new, whatever engine is asked for: a simulator's loops. NULL ends
 * it. While no other thread makes loops. */
typedef int loop_make_fn(void *user, const struct loop_options *options, struct loop **ret_loop);
void loop_provide(loop_make_fn *make, void *user);

/* Whether this kernel has an engine and lets us use it: 0, or a negative reason and in *ret_why
 * what is in the way, in plain words. */
NODISCARD int loop_engine_try(enum loop_engine engine, const char **ret_why);

/* "epoll" or "uring". */
const char *loop_engine_name(const struct loop *loop);

/* Frees the loop; every stream, timer and acceptor must be closed before. Leaves NULL. */
void loop_free(struct loop **loop);

/* Runs turns until loop_stop. */
void loop_run(struct loop *loop);

/* Makes loop_run return at the end of the turn. Any thread. */
void loop_stop(struct loop *loop);

/* Monotonic time of this turn in nanoseconds. */
uint64_t loop_now(const struct loop *loop);

/* What a loop counted since it began; its own thread reads it. */
struct loop_stats {
    uint64_t turns;
    uint64_t accepted;
    uint64_t accepts_starved; /* times an acceptor had to wait for descriptors or streams */
    uint64_t connects;
    uint64_t receives_starved; /* turns cut short because every buffer was held */
    uint64_t bulks;            /* begun */
    uint64_t bulk_bytes;       /* moved by them */
    uint64_t pipes_starved;    /* times a bulk found no pipe */
    uint32_t streams_open;
    uint32_t streams_peak;
};
const struct loop_stats *loop_stats(const struct loop *loop);

/* Wall-clock time of this turn in milliseconds since 1970, for logs. */
uint64_t loop_wall_ms(struct loop *loop);

/* Arms, moves or disarms timers of io/timer.h; milliseconds from now. Pushing an armed timer's
 * deadline back costs one store. */
void loop_timer_set(struct loop *loop, struct timer *t, uint64_t delay_ms);
void loop_timer_stop(struct loop *loop, struct timer *t);

/* ---- messages between threads ---- */

struct message;
typedef void message_fn(struct loop *loop, struct message *m);

/* Embed it in what you send. Owned by the loop from loop_post until `fn` is entered. */
struct message {
    struct message *next;
    message_fn *fn;
};

/* Runs m->fn(loop, m) on the loop's thread, in order of posting per sender. Any thread. Messages
 * still waiting when the loop is freed are dropped without a call. */
void loop_post(struct loop *loop, struct message *m);

/* ---- the end of a turn ---- */

/* Something to be done once, when all that this turn brings has been served: it is how what many
 * callers gather leaves in one send. Zeroed at first; its memory must outlive the waiting. */
struct deferred {
    struct deferred *next;
    void (*fn)(struct deferred *d);
    bool waits;
};

/* Runs d->fn(d) at the end of this turn, after streams, timers and messages, in the order of
 * asking; no effect while it waits already. What is deferred meanwhile, itself too, runs at the end
 * of the next turn, before which the loop does not sleep. */
void loop_defer(struct loop *loop, struct deferred *d);

/* It will not run. */
void loop_defer_cancel(struct loop *loop, struct deferred *d);

/* ---- streams ---- */

struct stream_ops {
    void (*connected)(struct stream *s);               /* only after stream_connect */
    void (*data)(struct stream *s, struct slice in);   /* in.n > 0 */
    void (*eof)(struct stream *s);                     /* the peer will send no more; once */
    void (*sent)(struct stream *s);                    /* the pending send is complete */
    void (*failed)(struct stream *s, enum reason why); /* connect_*, or backend_reset for a reset */
    void (*moved)(struct stream *s, uint64_t n, bool over); /* only after stream_bulk */
};

/* The head of every stream: an engine's own, or a layer on top of another stream (io/layer.h). */
struct stream {
#define STREAM_MAGIC       0x57e4a001u
#define STREAM_LAYER_MAGIC 0x57e4a002u
/* Of engine_bits: reading is on. Cleared when the stream fails or is closed. */
#define STREAM_READING 1u
    uint32_t magic;
    uint32_t engine_bits; /* the engine's own, but for STREAM_READING; 0 of a layer */
    const struct stream_ops *ops;
    void *user;
    struct loop *loop;
};

/*
 * Starts a connection. Answers with `connected` or with `failed(connect_refused,
 * connect_unreachable, connect_failed, out_of_files)`. There is no time limit here: arm a timer and
 * close. Sending before `connected` is allowed: the bytes go out as soon as the connection stands
 * (then both `connected` and `sent` are called, in that order). Returns NULL when streams_max is
 * reached or no descriptor is left, not even in pipes that nobody holds (nothing is called then).
 * Reading is off until asked for.
 */
struct stream *stream_connect(struct loop *loop, const struct address *to,
                              const struct stream_ops *ops, void *user);

/* Changes who is called; used when a connection changes hands (idle pool, upgrade). */
static inline void stream_set_ops(struct stream *s, const struct stream_ops *ops, void *user)
{
    s->ops = ops;
    s->user = user;
}

/* Credit: whether `data` and `eof` may come. Cheap to toggle: costs no system call by itself. */
static inline void stream_read(struct stream *s, bool want);

enum send_result { SEND_DONE, SEND_PENDING };

#define SEND_SLICES_MAX 64

/*
 * Sends all the slices in order (count 1..SEND_SLICES_MAX, none empty). The loop takes references
 * of its own for what it cannot send at once; bytes without a buffer must stay unchanged until
 * `sent`, `failed` or stream_close. SEND_PENDING also stands for a failure found now: `failed`
 * follows from the turn.
 */
enum send_result stream_send(struct stream *s, const struct slice *slices, size_t count);

/*
 * Says that the end is near: what is sent from now on is followed at once by more of it, or by
 * stream_shutdown or stream_close. The last bytes may then wait for that and travel in one packet
 * with the end, which saves a short answer every second packet. Should the end be late after all,
 * they leave when a retransmission would be due (200 ms, or twice the round trip). It cannot be
 * taken back. Costs no system call.
 */
void stream_last(struct stream *s);

/* Half-close: no more will be sent (FIN after a pending send). Reading goes on. */
void stream_shutdown(struct stream *s);

enum stream_close_how {
    /* What was accepted for sending is still delivered by the kernel, provided that nothing is left
     * unread: TCP answers unread bytes with a reset, which can overtake what was sent. Who closes
     * on a peer that still sends therefore shuts down first and reads on until eof or a deadline.
     */
    STREAM_CLOSE_NORMAL,
    /* The peer sees a reset: a truncated message cannot be taken for whole. (A unix socket knows no
     * reset: there the peer sees the end.) */
    STREAM_CLOSE_RESET,
};

/* Ends the stream and leaves NULL; accepts NULL in *s. A pending send is dropped. */
void stream_close(struct stream **s, enum stream_close_how how);

/* The other end's address, and the one on our side. A path in it is valid until the next call of
 * either on this loop. A system call but for the IP address of an accepted stream's peer. */
struct address stream_peer(struct stream *s);
struct address stream_local(struct stream *s);

/* Bytes that were given to stream_send and that the peer has not acknowledged yet. It shrinks while
 * the peer reads, however slowly. Costs a system call: for timeouts. */
uint64_t stream_unsent(struct stream *s);

/* Whether bytes, an end or an error of the peer are known to wait. Costs nothing and is exact for
 * all that the kernel told at the beginning of this turn. */
bool stream_has_input(struct stream *s);

/* Whether the peer has ended (or broken) its direction: what was delivered last may be the last.
 * Costs no system call. */
bool stream_is_ending(struct stream *s);

/* The same of a stream that is not read, about whose end nobody may have been told. Costs a system
 * call. */
bool stream_has_left(struct stream *s);

/* ---- bulk: forwarding without user space ---- */

#define BULK_UNTIL_EOF UINT64_MAX

/*
 * Moves the next `bytes` bytes (or all until the end) that src receives straight to dst, inside the
 * kernel, through a pooled pipe: splice(2). Worth its price for bodies far larger than a small
 * message only. The process must ignore SIGPIPE: splice(2) has no way to say so itself.
 *
 * False: it cannot be done here (the engine cannot, no pipe is to be had, dst has a send pending or
 * is shut down, either is not connected or has ended): nothing has changed, go on with `data` and
 * stream_send. True: reading of src is on; until it is over src gives no `data`, and dst counts as
 * sending (no stream_send, no stream_shutdown on it). A stream may be src of one bulk and dst of
 * another, as in a relay.
 *
 *   src->ops->moved(src, n, over)
 *                             dst's socket took n more bytes; at most a few times a turn. With
 *                             `over` it is over: the sum has reached `bytes`, or the kernel could
 *                             not go on, or what came was too little to be worth it (n may be 0
 *                             then). Nothing is on its way, dst may send again, and what src has
 *                             left comes as `data`
 *   src->ops->eof(src)        src ended before that: it is over, and all that came has been moved
 *   src->ops->failed(src)     the same with a failure; as ever it comes after the last byte, unless
 *                             dst has failed too
 *   dst->ops->failed(dst)     it is over; bytes between the two are lost. Reading of src is off
 *
 * stream_read(src, false) stops taking from src; what is on its way still goes out. Closing either
 * stream ends it too: the other one is then idle, src with its reading off. stream_unsent(dst)
 * includes what is on its way.
 */
NODISCARD bool stream_bulk(struct stream *src, struct stream *dst, uint64_t bytes);

/* Says that a bulk from src is likely to follow what it receives next: the next receive brings at
 * most BULK_FIRST_BYTES, so that the rest is left for it. Costs no system call. */
#define BULK_FIRST_BYTES 4096
void stream_bulk_likely(struct stream *src);

/* Says that the next send to dst is followed at once by stream_bulk to it, so that both may travel
 * together. What was sent leaves without delay even if that is refused or has nothing to move.
 * Costs no system call. */
void stream_bulk_follows(struct stream *dst);

/* ---- accepting ---- */

struct acceptor;

/* A new stream arrived. Give it ops and turn reading on, or close it. */
typedef void accepted_fn(struct acceptor *a, struct stream *s);

/* Embed it or allocate it; must live until acceptor_stop. */
struct acceptor {
    accepted_fn *accepted;
    void *user;
    struct loop *loop;
    struct listener *listener;
    uint32_t shard;
    bool paused;  /* by acceptor_pause */
    bool starved; /* out of descriptors: tried again by a timer, never spinning */
    struct timer retry;
    struct list link;
    void *engine; /* the engine's own */
};

/* Starts accepting on this loop's shard of a listener (io/listener.h). 0 or a negative reason. */
NODISCARD int acceptor_start(struct loop *loop, struct acceptor *a, struct listener *listener,
                             uint32_t shard, accepted_fn *accepted, void *user);

/* Connections wait in the kernel's queue while paused. */
void acceptor_pause(struct acceptor *a, bool paused);

/* Stops accepting; the listener itself stays open until listener_close. */
void acceptor_stop(struct acceptor *a);

/* ---- inline bodies ---- */

void stream_read_change(struct stream *s, bool want);

static inline void stream_read(struct stream *s, bool want)
{
    if (!want || !(s->engine_bits & STREAM_READING))
        stream_read_change(s, want);
}

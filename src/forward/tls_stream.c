/* SPDX-License-Identifier: MIT */
/*
 * The TLS layer. What comes from below goes through feed(), what the user sends through
 * layer_send(); both leave ciphertext in the worker's `out`, which is sent below at once or, where
 * the stream below has a send under way or more is about to follow, joins what waits (`parked`).
 *
 *      below ──data──▶ feed ──▶ session ──▶ ops->data            (held: input that must wait)
 *      below ◀─ flush ◀─ parked ◀─ out ◀─ session ◀── layer_send (parked: output that must wait)
 *
 * What must stay true: reading below is on only while there is nothing held and nothing parked but
 * what the user sent; so a peer makes us hold one receive at most, and no answers pile up for one
 * who does not read. The user is called from the turn alone: from a callback of the stream below,
 * or from the worker's `later`. The stream's memory outlives the outermost of these (`running`).
 */
#include "forward/tls_stream.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/slab.h"
#include "forward/tls_out.h"
#include "io/layer.h"
#include "io/timer.h"

#include <stdlib.h>
#include <string.h>

/* Steps with public-key operations that one turn takes: 0.1 to 2 ms each. */
#define STEPS_PER_TURN 2

/* OpenSSL's buffers of a stream that was quiet for one to two of these are given back. */
#define IDLE_MS 250

/* A handshake's output, about: our chain and the rest. */
#define FLIGHT_BYTES 8192

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

/* So many slices may be parked before we stop reading what makes us answer. */
#define PARKED_CALM 16

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
    struct list link; /* w->ready or w->queue */
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
    struct list queue; /* streams whose next step must wait for a turn with steps left */
    struct list warm;
    struct timer idle;
    uint64_t turn; /* that `steps` is of */
    uint32_t steps;
    struct tls_counts counts;
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

/* ---- the worker ---- */

static void run_later(struct deferred *d);

/* Every stream that has used OpenSSL's buffers lately is on the list; one look finds it used, the
 * next one not. */
static void release_idle(struct timer *t)
{
    struct tls_worker *w = container_of(t, struct tls_worker, idle);
    struct tls_stream *s;
    list_each_safe(s, &w->warm, warm) {
        if (!has(s, TS_USED)) {
            tls_session_idle(&s->session);
            list_del(&s->warm);
        }
        clear(s, TS_USED);
    }
    if (!list_empty(&w->warm))
        loop_timer_set(w->loop, t, IDLE_MS);
}

static void note_use(struct tls_stream *s)
{
    set(s, TS_USED);
    if (LIKELY(list_linked(&s->warm)))
        return;
    list_add_tail(&s->w->warm, &s->warm);
    if (!timer_armed(&s->w->idle))
        loop_timer_set(s->w->loop, &s->w->idle, IDLE_MS);
}

int tls_worker_new(struct loop *loop, struct tls_worker **ret_worker)
{
    struct tls_worker *w = calloc(1, sizeof *w);
    if (!w)
        return -(int)REASON_overload;
    w->loop = loop;
    w->later.fn = run_later;
    slab_init(&w->streams, sizeof(struct tls_stream), 64, 0);
    slab_init(&w->parked, sizeof(struct parked), 8, 0);
    list_init(&w->ready);
    list_init(&w->queue);
    list_init(&w->warm);
    timer_init(&w->idle, release_idle);
    tls_out_init(&w->out, loop);
    *ret_worker = w;
    return 0;
}

void tls_worker_free(struct tls_worker **worker)
{
    struct tls_worker *w = *worker;
    if (!w)
        return;
    *worker = NULL;
    CHECK(w->counts.streams == 0);
    loop_defer_cancel(w->loop, &w->later);
    loop_timer_stop(w->loop, &w->idle);
    tls_out_fini(&w->out);
    buf_put(&w->plain);
    slab_fini(&w->parked);
    slab_fini(&w->streams);
    free(w);
}

struct tls_counts tls_worker_counts(const struct tls_worker *worker)
{
    return worker->counts;
}

/* Room for a delivery; as with the loop's own receives, whoever keeps a part takes a reference. */
static struct buf *plain_room(struct tls_worker *w)
{
    struct buf *b = w->plain;
    if (LIKELY(b && b->refs == 1))
        return b;
    buf_put(&w->plain);
    static const size_t sizes[] = {256 * 1024, 16 * 1024, 2 * 1024};
    for (size_t i = 0; !w->plain && i < ARRAY_LEN(sizes); i++)
        w->plain = buf_get(w->loop, sizes[i]);
    return w->plain;
}

/* Whether this turn may take a costly step of s; if not it waits its turn. */
static bool take_step(struct tls_worker *w, bool from_queue)
{
    uint64_t turn = loop_stats(w->loop)->turns;
    if (w->turn != turn) {
        w->turn = turn;
        w->steps = STEPS_PER_TURN;
    }
    if (w->steps == 0 || (!from_queue && !list_empty(&w->queue)))
        return false;
    w->steps--;
    return true;
}

/* ---- ends ---- */

static void parked_free(struct tls_worker *w, struct parked **parked)
{
    struct parked *p = *parked;
    if (!p)
        return;
    *parked = NULL;
    for (uint32_t i = 0; i < p->count; i++)
        slice_put(&p->slices[i]);
    slab_put(&w->parked, p);
}

static void release(struct tls_stream *s)
{
    struct tls_worker *w = s->w;
    list_del(&s->link);
    list_del(&s->warm);
    slice_put(&s->held);
    parked_free(w, &s->sealed);
    parked_free(w, &s->early);
    if (has(s, TS_QUEUED))
        w->counts.waiting--;
    if (s->session.magic)
        tls_session_fini(&s->session);
    w->counts.streams--;
    s->layered.stream.magic = 0;
    slab_put(&w->streams, s);
}

static inline void enter(struct tls_stream *s)
{
    s->running++;
}

static inline void leave(struct tls_stream *s)
{
    if (--s->running == 0 && UNLIKELY(has(s, TS_CLOSED)))
        release(s);
}

/* Has run_later look at it. */
static void make_ready(struct tls_stream *s)
{
    if (!list_linked(&s->link))
        list_add_tail(&s->w->ready, &s->link);
    loop_defer(s->w->loop, &s->w->later);
}

static void read_below(struct tls_stream *s)
{
    const uint32_t never = TS_FAIL_DUE | TS_FAILED | TS_EOF_DUE | TS_EOF | TS_MORE | TS_BELOW_DOWN;
    bool answered = !s->sealed || (has(s, TS_SENDING) && s->sealed->count < PARKED_CALM);
    bool wanted =
        !has(s, never) && s->held.n == 0 && answered && (!s->session.done || has(s, TS_WANT_READ));
    if (wanted == has(s, TS_BELOW_READS) || has(s, TS_BELOW_DOWN))
        return;
    s->bits ^= TS_BELOW_READS;
    stream_read(s->layered.below, wanted);
}

/* To be told from the turn. */
static void fail_later(struct tls_stream *s, enum reason why)
{
    if (has(s, TS_FAIL_DUE | TS_FAILED))
        return;
    s->why = (uint16_t)why;
    set(s, TS_FAIL_DUE);
    if (has(s, TS_QUEUED)) {
        clear(s, TS_QUEUED);
        s->w->counts.waiting--;
        list_del(&s->link);
    }
    slice_put(&s->held);
    clear(s, TS_MORE);
    read_below(s);
    s->w->counts.failed += !s->session.done;
    make_ready(s);
}

/* Only from the turn. */
static void tell_failed(struct tls_stream *s)
{
    clear(s, TS_FAIL_DUE | TS_WANT_READ | TS_SENDING);
    set(s, TS_FAILED);
    list_del(&s->link);
    s->layered.stream.ops->failed(&s->layered.stream, (enum reason)s->why);
}

/* ---- output ---- */

static struct parked *parked_new(struct tls_worker *w)
{
    struct parked *p = slab_get(&w->parked);
    if (p)
        p->count = 0;
    return p;
}

/* Adds what is in `out` to what waits: small slices as copies, so that no large buffer waits with
 * them. */
static void park(struct tls_stream *s)
{
    struct tls_worker *w = s->w;
    struct tls_out *out = &w->out;
    if (!s->sealed)
        s->sealed = parked_new(w);
    struct parked *p = s->sealed;
    bool fits = p && p->count + out->count <= SEND_SLICES_MAX;
    for (uint32_t i = 0; fits && i < out->count; i++) {
        struct slice kept = slice_keep(w->loop, out->slices[i]);
        fits = kept.n > 0;
        if (fits)
            p->slices[p->count++] = kept;
    }
    tls_out_clear(out);
    if (p && p->count == 0)
        parked_free(w, &s->sealed);
    if (!fits)
        fail_later(s, REASON_overload);
}

/* Sends what waits, unless the stream below is at it. True when nothing is left to go. */
static bool flush(struct tls_stream *s)
{
    if (has(s, TS_BELOW_SENDS | TS_BELOW_DOWN))
        return false;
    struct parked *p = s->sealed;
    if (!p)
        return true;
    enum send_result r = stream_send(s->layered.below, p->slices, p->count);
    parked_free(s->w, &s->sealed);
    if (r == SEND_PENDING)
        set(s, TS_BELOW_SENDS);
    return r == SEND_DONE;
}

/* The same of what is in `out`, behind what waits. */
static bool emit(struct tls_stream *s)
{
    struct tls_out *out = &s->w->out;
    if (UNLIKELY(s->sealed || has(s, TS_BELOW_SENDS | TS_BELOW_DOWN))) {
        if (out->count > 0)
            park(s);
        return flush(s);
    }
    if (out->count == 0)
        return true;
    enum send_result r = stream_send(s->layered.below, out->slices, out->count);
    tls_out_clear(out);
    if (r == SEND_PENDING)
        set(s, TS_BELOW_SENDS);
    return r == SEND_DONE;
}

/* Encrypts; the ciphertext is in `out`. False: the stream is failing. */
static bool seal(struct tls_stream *s, const struct slice *slices, size_t count)
{
    struct span pieces[SEND_SLICES_MAX];
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        pieces[i] = slice_span(slices[i]);
        bytes += pieces[i].n;
    }
    note_use(s);
    struct tls_sink *sink = tls_out_begin(&s->w->out, tls_output_bytes_max(bytes));
    int r = tls_session_output(&s->session, pieces, count, sink);
    tls_out_end(&s->w->out);
    if (UNLIKELY(r < 0)) {
        tls_out_clear(&s->w->out); /* a part of a message is no use */
        fail_later(s, (enum reason) - r);
    }
    return r == 0;
}

/* Before the handshake is done: what has a buffer is kept, the rest stays where it is. */
static void keep_early(struct tls_stream *s, const struct slice *slices, size_t count)
{
    struct parked *p = s->early = parked_new(s->w);
    bool ok = p != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        struct slice kept = slices[i].buf ? slice_keep(s->w->loop, slices[i]) : slices[i];
        ok = kept.n > 0;
        if (ok)
            p->slices[p->count++] = kept;
    }
    if (!ok)
        fail_later(s, REASON_overload);
}

static enum send_result layer_send(struct stream *stream, const struct slice *slices, size_t count)
{
    struct tls_stream *s = tls_stream_of(stream);
    CHECK(!has(s, TS_SENDING | TS_SHUTDOWN | TS_FAILED | TS_CLOSED));
    if (UNLIKELY(has(s, TS_BELOW_DOWN)))
        fail_later(s, (enum reason)s->why);
    if (UNLIKELY(has(s, TS_FAIL_DUE))) {
        set(s, TS_SENDING);
        return SEND_PENDING;
    }
    if (UNLIKELY(!s->session.done)) {
        set(s, TS_SENDING);
        keep_early(s, slices, count);
        return SEND_PENDING;
    }
    if (LIKELY(seal(s, slices, count) && emit(s) && !has(s, TS_FAIL_DUE)))
        return SEND_DONE;
    set(s, TS_SENDING);
    return SEND_PENDING;
}

/* close_notify and the FIN behind it, as soon as all that was sent before has gone. */
static void end_output(struct tls_stream *s)
{
    if (!s->session.done || s->early)
        return;
    if (!s->session.ended) {
        struct tls_sink *sink = tls_out_begin(&s->w->out, 64);
        int r = tls_session_end(&s->session, sink);
        tls_out_end(&s->w->out);
        if (r < 0)
            tls_out_clear(&s->w->out);
        stream_last(s->layered.below);
        (void)emit(s);
    }
    if (s->sealed || has(s, TS_SHUT | TS_FAIL_DUE | TS_FAILED))
        return;
    set(s, TS_SHUT);
    stream_shutdown(s->layered.below); /* after a send that is under way */
}

static void layer_last(struct stream *stream)
{
    struct tls_stream *s = tls_stream_of(stream);
    if (s->session.done && !s->early)
        stream_last(s->layered.below);
}

static void layer_shutdown(struct stream *stream)
{
    struct tls_stream *s = tls_stream_of(stream);
    if (has(s, TS_SHUTDOWN | TS_FAILED))
        return;
    set(s, TS_SHUTDOWN);
    end_output(s);
}

static void below_sent(struct stream *below)
{
    struct tls_stream *s = below->user;
    enter(s);
    clear(s, TS_BELOW_SENDS);
    if (flush(s)) {
        if (has(s, TS_SHUTDOWN))
            end_output(s);
        read_below(s);
        if (has(s, TS_SENDING) && !s->early && !has(s, TS_FAIL_DUE)) {
            clear(s, TS_SENDING);
            s->layered.stream.ops->sent(&s->layered.stream);
        }
    }
    leave(s);
}

/* ---- input ---- */

/* Keeps input for later; nothing more is read meanwhile. Without input it is the session that has
 * something left. */
static void hold(struct tls_stream *s, struct slice in)
{
    CHECK(s->held.n == 0);
    if (in.n > 0)
        s->held = slice_keep(s->w->loop, in);
    if (s->held.n == 0 && in.n > 0)
        fail_later(s, REASON_overload);
    else if (in.n == 0)
        set(s, TS_MORE);
    read_below(s);
}

/* The handshake is done: what the user asked for meanwhile can be done now. */
static void become_connected(struct tls_stream *s)
{
    struct tls_worker *w = s->w;
    struct tls_facts facts;
    tls_session_facts(&s->session, &facts);
    w->counts.handshakes++;
    w->counts.resumed += facts.resumed;
    set(s, TS_CONNECTED);
    read_below(s);
    s->layered.stream.ops->connected(&s->layered.stream);
    if (has(s, TS_CLOSED | TS_FAIL_DUE))
        return;
    if (s->early) {
        bool sealed = seal(s, s->early->slices, s->early->count);
        parked_free(w, &s->early);
        if (sealed && emit(s)) {
            clear(s, TS_SENDING);
            s->layered.stream.ops->sent(&s->layered.stream);
        }
    }
    if (!has(s, TS_CLOSED) && has(s, TS_SHUTDOWN))
        end_output(s);
}

/* After the last byte: the end, or a failure. */
static void tell_end(struct tls_stream *s)
{
    if (has(s, TS_EOF_DUE) && has(s, TS_WANT_READ) && !has(s, TS_CLOSED)) {
        clear(s, TS_EOF_DUE);
        set(s, TS_EOF);
        s->layered.stream.ops->eof(&s->layered.stream);
    }
    if (has(s, TS_FAIL_DUE) && !has(s, TS_CLOSED))
        tell_failed(s);
}

/* One run of the session over the input. False when it is used up or must wait. */
static bool feed_once(struct tls_stream *s, struct span *in)
{
    struct tls_worker *w = s->w;
    struct buf *room = plain_room(w);
    size_t n = 0;
    if (UNLIKELY(!room)) {
        fail_later(s, REASON_overload);
        return false;
    }
    note_use(s);
    struct tls_sink *sink = tls_out_begin(&w->out, s->session.done ? 64 : FLIGHT_BYTES);
    int r = tls_session_input(&s->session, in, room->data, room->size, &n, sink);
    tls_out_end(&w->out);
    if (UNLIKELY(w->out.count > 0))
        park(s); /* perhaps the user's answer joins it */
    if (n > 0)
        s->layered.stream.ops->data(&s->layered.stream,
                                    (struct slice){room->data, (uint32_t)n, room});
    if (LIKELY(r == TLS_NEED_MORE) || has(s, TS_CLOSED))
        return false;
    if (r == TLS_HANDSHAKE_DONE) {
        become_connected(s);
    } else if (r == TLS_CLOSED) {
        set(s, TS_EOF_DUE);
        read_below(s);
    } else if (r < 0) {
        fail_later(s, (enum reason) - r);
    }
    return r == TLS_HANDSHAKE_DONE || r == TLS_ROOM_FULL;
}

static void feed(struct tls_stream *s, struct slice in)
{
    struct span left = slice_span(in);
    enter(s);
    set(s, TS_FEEDING);
    while (feed_once(s, &left) && !has(s, TS_CLOSED | TS_FAIL_DUE)) {
        if (!has(s, TS_WANT_READ)) {
            hold(s, (struct slice){left.p, (uint32_t)left.n, in.buf});
            break;
        }
    }
    clear(s, TS_FEEDING);
    if (!has(s, TS_CLOSED)) {
        if (UNLIKELY(s->sealed != NULL) && flush(s) && has(s, TS_SHUTDOWN))
            end_output(s);
        if (UNLIKELY(has(s, TS_BELOW_DOWN)) && s->held.n == 0 && !has(s, TS_MORE))
            fail_later(s, (enum reason)s->why);
        read_below(s);
        if (UNLIKELY(has(s, TS_EOF_DUE | TS_FAIL_DUE)))
            tell_end(s);
    }
    leave(s);
}

/* The same of what was held. */
static void feed_held(struct tls_stream *s)
{
    struct slice in = s->held;
    s->held = (struct slice){0};
    clear(s, TS_MORE);
    feed(s, in);
    slice_put(&in);
}

/* A step has been taken for it. One that showed to be a part of a ClientHello costs nothing. */
static void feed_step(struct tls_stream *s, struct slice in)
{
    struct tls_worker *w = s->w;
    enter(s);
    feed(s, in);
    if (!has(s, TS_CLOSED | TS_FAILED) && !s->session.is_client && !s->session.hello)
        w->steps++;
    leave(s);
}

static void enqueue(struct tls_stream *s)
{
    struct tls_worker *w = s->w;
    set(s, TS_QUEUED);
    w->counts.waiting++;
    w->counts.waited++;
    list_add_tail(&w->queue, &s->link);
    loop_defer(w->loop, &w->later);
}

static void below_data(struct stream *below, struct slice in)
{
    struct tls_stream *s = below->user;
    if (LIKELY(s->session.done) || !tls_session_is_costly(&s->session)) {
        feed(s, in);
    } else if (take_step(s->w, false)) {
        feed_step(s, in);
    } else {
        hold(s, in);
        if (!has(s, TS_FAIL_DUE))
            enqueue(s);
    }
}

static void below_eof(struct stream *below)
{
    struct tls_stream *s = below->user;
    enum reason why = s->session.is_client ? REASON_backend_tls_truncated : REASON_tls_truncated;
    if (!s->session.done && s->session.is_client)
        why = REASON_backend_tls_failed;
    else if (!s->session.done)
        why = s->session.hello ? REASON_tls_handshake_failed : REASON_client_closed;
    if (has(s, TS_EOF_DUE | TS_EOF))
        return;
    enter(s);
    fail_later(s, why);
    tell_end(s);
    leave(s);
}

static void below_failed(struct stream *below, enum reason why)
{
    struct tls_stream *s = below->user;
    enter(s);
    set(s, TS_BELOW_DOWN);
    clear(s, TS_BELOW_READS);
    if (has(s, TS_FAIL_DUE)) {
        tell_end(s);
    } else if (s->session.done && (s->held.n > 0 || has(s, TS_MORE))) {
        s->why = (uint16_t)why; /* what came before it still waits */
    } else {
        fail_later(s, why);
        tell_end(s);
    }
    leave(s);
}

static void below_connected(struct stream *below)
{
    (void)below; /* our first flight waits there to be sent */
}

static const struct stream_ops below_ops = {
    .connected = below_connected,
    .data = below_data,
    .eof = below_eof,
    .sent = below_sent,
    .failed = below_failed,
};

/* ---- from the turn ---- */

static void serve(struct tls_stream *s)
{
    enter(s);
    if (s->session.done && has(s, TS_WANT_READ) && (s->held.n > 0 || has(s, TS_MORE)))
        feed_held(s);
    else
        tell_end(s);
    leave(s);
}

static void run_later(struct deferred *d)
{
    struct tls_worker *w = container_of(d, struct tls_worker, later);
    struct list now = LIST_INIT(now);
    list_splice_tail(&now, &w->ready);
    for (struct list *link; (link = list_pop(&now));)
        serve(list_entry(link, struct tls_stream, link));
    for (struct list *link; (link = list_first(&w->queue)) && take_step(w, true);) {
        struct tls_stream *s = list_entry(link, struct tls_stream, link);
        list_del(link);
        struct slice in = s->held;
        s->held = (struct slice){0};
        clear(s, TS_QUEUED);
        w->counts.waiting--;
        feed_step(s, in);
        slice_put(&in);
    }
    if (!list_empty(&w->queue))
        loop_defer(w->loop, &w->later);
}

/* ---- the user's calls ---- */

static void layer_read(struct stream *stream, bool want)
{
    struct tls_stream *s = tls_stream_of(stream);
    CHECK(!has(s, TS_CLOSED));
    if (!want)
        clear(s, TS_WANT_READ);
    else if (!has(s, TS_FAILED))
        set(s, TS_WANT_READ);
    if (has(s, TS_FEEDING) || !s->session.done)
        return; /* whoever runs it looks at this afterwards */
    if (want && (s->held.n > 0 || has(s, TS_MORE | TS_EOF_DUE)))
        make_ready(s);
    read_below(s);
}

/* What is left to be said, as far as the stream below takes it now. */
static void say_goodbye(struct tls_stream *s)
{
    struct tls_sink *sink = tls_out_begin(&s->w->out, 64);
    int r = tls_session_end(&s->session, sink);
    tls_out_end(&s->w->out);
    if (r == 0 && !has(s, TS_BELOW_SENDS)) {
        stream_last(s->layered.below);
        (void)emit(s);
    }
    tls_out_clear(&s->w->out);
}

/* Its memory goes as soon as nothing of it runs. */
static void end(struct tls_stream *s)
{
    set(s, TS_CLOSED);
    s->layered.stream.ops = NULL;
    if (s->running == 0)
        release(s);
}

static void layer_close(struct stream *stream, enum stream_close_how how)
{
    struct tls_stream *s = tls_stream_of(stream);
    CHECK(!has(s, TS_CLOSED));
    if (how == STREAM_CLOSE_NORMAL && s->session.done &&
        !has(s, TS_FAIL_DUE | TS_FAILED | TS_BELOW_DOWN | TS_SHUT))
        say_goodbye(s);
    stream_close(&s->layered.below, how);
    end(s);
}

static const struct stream_layer tls_layer = {
    .name = "tls",
    .read = layer_read,
    .send = layer_send,
    .last = layer_last,
    .shutdown = layer_shutdown,
    .close = layer_close,
};

/* ---- making one ---- */

static struct tls_stream *new_stream(struct tls_worker *w, struct stream *below,
                                     const struct stream_ops *ops, void *user)
{
    struct tls_stream *s = slab_get(&w->streams);
    if (!s)
        return NULL;
    *s = (struct tls_stream){.w = w};
    layered_init(&s->layered, &tls_layer, below, ops, user);
    list_init(&s->link);
    list_init(&s->warm);
    w->counts.streams++;
    return s;
}

static struct stream *give_up(struct tls_stream *s, struct stream *below)
{
    if (s)
        release(s);
    stream_close(&below, STREAM_CLOSE_NORMAL);
    return NULL;
}

struct stream *tls_stream_accept(struct tls_worker *w, struct tls_server *server,
                                 struct stream *below, struct slice early,
                                 const struct stream_ops *ops, void *user)
{
    struct tls_stream *s = new_stream(w, below, ops, user);
    if (!s || tls_session_init_server(&s->session, server) < 0)
        return give_up(s, below);
    stream_set_ops(below, &below_ops, s);
    if (early.n > 0) {
        stream_read(below, false);
        hold(s, early);
        if (!has(s, TS_FAIL_DUE))
            enqueue(s);
    }
    /* Whatever it was before: from here on it is what read_below says. */
    set(s, TS_BELOW_READS);
    stream_read(below, true);
    read_below(s);
    return &s->layered.stream;
}

struct stream *tls_stream_connect(struct tls_worker *w, struct tls_client *client, struct span name,
                                  struct tls_resumption *resumption, struct stream *below,
                                  struct slice prefix, const struct stream_ops *ops, void *user)
{
    struct tls_stream *s = new_stream(w, below, ops, user);
    if (!s || tls_session_init_client(&s->session, client, name, resumption) < 0)
        return give_up(s, below);
    struct tls_sink *sink = tls_out_begin(&w->out, FLIGHT_BYTES);
    struct slice first[2] = {prefix};
    size_t count = prefix.n > 0;
    int r = tls_session_start(&s->session, sink);
    tls_out_end(&w->out);
    if (r < 0 || w->out.count != 1) {
        tls_out_clear(&w->out);
        return give_up(s, below);
    }
    stream_set_ops(below, &below_ops, s);
    first[count++] = w->out.slices[0];
    note_use(s);
    if (stream_send(below, first, count) == SEND_PENDING)
        set(s, TS_BELOW_SENDS);
    tls_out_clear(&w->out);
    set(s, TS_BELOW_READS);
    stream_read(below, true);
    return &s->layered.stream;
}

const struct tls_session *tls_stream_session(struct stream *s)
{
    const struct layered *l = layered_of(s);
    return l && l->layer == &tls_layer ? &tls_stream_of(s)->session : NULL;
}

struct stream *tls_stream_give_back(struct stream **stream)
{
    struct tls_stream *s = tls_stream_of(*stream);
    CHECK(has(s, TS_FAILED) && s->why == REASON_not_tls);
    CHECK(!has(s, TS_BELOW_DOWN));
    struct stream *below = s->layered.below;
    *stream = NULL;
    s->layered.below = NULL;
    stream_set_ops(below, NULL, NULL);
    end(s);
    return below;
}

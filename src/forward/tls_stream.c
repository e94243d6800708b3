/* SPDX-License-Identifier: MIT */
/*
 * The TLS layer. What comes from below goes through feed(), what the user sends through
 * tls_layer_send(); both leave ciphertext in the worker's `out`, which is sent below at once or,
 * where the stream below has a send under way or more is about to follow, joins what waits
 * (`parked`).
 *
 *      below ──data──▶ feed ──▶ session ──▶ ops->data            (held: input that must wait)
 *      below ◀─ flush ◀─ parked ◀─ out ◀─ session ◀── layer_send (parked: output that must wait)
 *
 * What must stay true: reading below is on only while there is nothing held and nothing parked but
 * what the user sent; so a peer makes us hold one receive at most, and no answers pile up for one
 * who does not read. The user is called from the turn alone: from a callback of the stream below,
 * or from the worker's `later`. The stream's memory outlives the outermost of these (`running`).
 */
#include "forward/tls_stream_priv.h"

/* A handshake's output, about: our chain and the rest. */
#define FLIGHT_BYTES 8192

/* So many slices may be parked before we stop reading what makes us answer. */
#define PARKED_CALM 16

/* ---- ends ---- */

void tls_release(struct tls_stream *s)
{
    struct tls_worker *w = s->w;
    list_del(&s->link);
    list_del(&s->warm);
    slice_put(&s->held);
    tls_parked_free(w, &s->sealed);
    tls_parked_free(w, &s->early);
    if (has(s, TS_QUEUED))
        w->waiting--;
    if (s->session.magic)
        tls_session_fini(&s->session);
    w->streams_open--;
    s->layered.stream.magic = 0;
    slab_put(&w->streams, s);
}

void tls_read_below(struct tls_stream *s)
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
void tls_fail_later(struct tls_stream *s, enum reason why)
{
    if (has(s, TS_FAIL_DUE | TS_FAILED))
        return;
    s->why = (uint16_t)why;
    set(s, TS_FAIL_DUE);
    if (has(s, TS_QUEUED)) {
        clear(s, TS_QUEUED);
        s->w->waiting--;
        list_del(&s->link);
    }
    slice_put(&s->held);
    clear(s, TS_MORE);
    tls_read_below(s);
    tls_make_ready(s);
}

/* Only from the turn. */
static void tell_failed(struct tls_stream *s)
{
    clear(s, TS_FAIL_DUE | TS_WANT_READ | TS_SENDING);
    set(s, TS_FAILED);
    list_del(&s->link);
    s->layered.stream.ops->failed(&s->layered.stream, (enum reason)s->why);
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
        tls_fail_later(s, REASON_overload);
    else if (in.n == 0)
        set(s, TS_MORE);
    tls_read_below(s);
}

/* The handshake is done: what the user asked for meanwhile can be done now. */
static void become_connected(struct tls_stream *s)
{
    struct tls_worker *w = s->w;
    set(s, TS_CONNECTED);
    tls_read_below(s);
    s->layered.stream.ops->connected(&s->layered.stream);
    if (has(s, TS_CLOSED | TS_FAIL_DUE))
        return;
    if (s->early) {
        bool sealed = tls_seal(s, s->early->slices, s->early->count);
        tls_parked_free(w, &s->early);
        if (sealed && tls_emit(s)) {
            clear(s, TS_SENDING);
            s->layered.stream.ops->sent(&s->layered.stream);
        }
    }
    if (!has(s, TS_CLOSED) && has(s, TS_SHUTDOWN))
        tls_end_output(s);
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
    struct buf *room = tls_plain_room(w);
    size_t n = 0;
    if (UNLIKELY(!room)) {
        tls_fail_later(s, REASON_overload);
        return false;
    }
    tls_note_use(s);
    struct tls_sink *sink = tls_out_begin(&w->out, s->session.done ? 64 : FLIGHT_BYTES);
    int r = tls_session_input(&s->session, in, room->data, room->size, &n, sink);
    tls_out_end(&w->out);
    if (UNLIKELY(w->out.count > 0))
        tls_park(s); /* perhaps the user's answer joins it */
    if (n > 0)
        s->layered.stream.ops->data(&s->layered.stream,
                                    (struct slice){room->data, (uint32_t)n, room});
    if (LIKELY(r == TLS_NEED_MORE) || has(s, TS_CLOSED))
        return false;
    if (r == TLS_HANDSHAKE_DONE) {
        become_connected(s);
    } else if (r == TLS_CLOSED) {
        set(s, TS_EOF_DUE);
        tls_read_below(s);
    } else if (r < 0) {
        tls_fail_later(s, (enum reason) - r);
    }
    return r == TLS_HANDSHAKE_DONE || r == TLS_ROOM_FULL;
}

static void feed(struct tls_stream *s, struct slice in)
{
    struct span left = slice_span(in);
    tls_enter(s);
    set(s, TS_FEEDING);
    while (feed_once(s, &left) && !has(s, TS_CLOSED | TS_FAIL_DUE)) {
        if (!has(s, TS_WANT_READ)) {
            hold(s, (struct slice){left.p, (uint32_t)left.n, in.buf});
            break;
        }
    }
    clear(s, TS_FEEDING);
    if (!has(s, TS_CLOSED)) {
        if (UNLIKELY(s->sealed != NULL) && tls_flush(s) && has(s, TS_SHUTDOWN))
            tls_end_output(s);
        if (UNLIKELY(has(s, TS_BELOW_DOWN)) && s->held.n == 0 && !has(s, TS_MORE))
            tls_fail_later(s, (enum reason)s->why);
        tls_read_below(s);
        if (UNLIKELY(has(s, TS_EOF_DUE | TS_FAIL_DUE)))
            tell_end(s);
    }
    tls_leave(s);
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
void tls_stream_step(struct tls_stream *s, struct slice in)
{
    struct tls_worker *w = s->w;
    tls_enter(s);
    feed(s, in);
    if (!has(s, TS_CLOSED | TS_FAILED) && !s->session.is_client && !s->session.hello)
        w->steps++;
    tls_leave(s);
}

static void below_data(struct stream *below, struct slice in)
{
    struct tls_stream *s = below->user;
    if (LIKELY(s->session.done) || !tls_session_is_costly(&s->session)) {
        feed(s, in);
    } else if (tls_take_step(s->w, false)) {
        tls_stream_step(s, in);
    } else {
        hold(s, in);
        if (!has(s, TS_FAIL_DUE))
            tls_enqueue(s);
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
    tls_enter(s);
    tls_fail_later(s, why);
    tell_end(s);
    tls_leave(s);
}

static void below_failed(struct stream *below, enum reason why)
{
    struct tls_stream *s = below->user;
    tls_enter(s);
    set(s, TS_BELOW_DOWN);
    clear(s, TS_BELOW_READS);
    if (has(s, TS_FAIL_DUE)) {
        tell_end(s);
    } else if (s->session.done && (s->held.n > 0 || has(s, TS_MORE))) {
        s->why = (uint16_t)why; /* what came before it still waits */
    } else {
        tls_fail_later(s, why);
        tell_end(s);
    }
    tls_leave(s);
}

static void below_connected(struct stream *below)
{
    struct tls_stream *s = below->user;
    s->layered.below = below; /* a layer there may have given way to what it stood on */
}

static const struct stream_ops below_ops = {
    .connected = below_connected,
    .data = below_data,
    .eof = below_eof,
    .sent = tls_below_sent,
    .failed = below_failed,
};

/* ---- from the turn ---- */

void tls_stream_serve(struct tls_stream *s)
{
    tls_enter(s);
    if (s->session.done && has(s, TS_WANT_READ) && (s->held.n > 0 || has(s, TS_MORE)))
        feed_held(s);
    else
        tell_end(s);
    tls_leave(s);
}

void tls_stream_left(struct tls_stream *s)
{
    tls_enter(s);
    tls_fail_later(s, REASON_client_closed);
    tell_end(s);
    tls_leave(s);
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
        tls_make_ready(s);
    tls_read_below(s);
}

/* What is left to be said, as far as the stream below takes it now. */
static void say_goodbye(struct tls_stream *s)
{
    struct tls_sink *sink = tls_out_begin(&s->w->out, 64);
    int r = tls_session_end(&s->session, sink);
    tls_out_end(&s->w->out);
    if (r == 0 && !has(s, TS_BELOW_SENDS)) {
        stream_last(s->layered.below);
        (void)tls_emit(s);
    }
    tls_out_clear(&s->w->out);
}

/* Its memory goes as soon as nothing of it runs. */
static void end(struct tls_stream *s)
{
    set(s, TS_CLOSED);
    s->layered.stream.ops = NULL;
    if (s->running == 0)
        tls_release(s);
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
    .send = tls_layer_send,
    .last = tls_layer_last,
    .shutdown = tls_layer_shutdown,
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
    w->streams_open++;
    return s;
}

static struct stream *give_up(struct tls_stream *s, struct stream *below)
{
    if (s)
        tls_release(s);
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
            tls_enqueue(s);
    }
    /* Whatever it was before: from here on it is what read_below says. */
    set(s, TS_BELOW_READS);
    stream_read(below, true);
    tls_read_below(s);
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
    tls_note_use(s);
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

bool tls_stream_has_http2(struct stream *s)
{
    const struct tls_session *t = tls_stream_session(s);
    struct tls_facts facts = {0};
    if (t)
        tls_session_facts(t, &facts);
    return span_eq(facts.alpn, span_str("h2"));
}

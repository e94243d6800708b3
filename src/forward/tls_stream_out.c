/* SPDX-License-Identifier: MIT */
/*
 * From the user to the stream below. Ciphertext goes from `out` straight below; what must wait for
 * a send under way, or for the user's answer to share a send with, is parked.
 */
#include "forward/tls_stream_priv.h"

void tls_parked_free(struct tls_worker *w, struct parked **parked)
{
    struct parked *p = *parked;
    if (!p)
        return;
    *parked = NULL;
    for (uint32_t i = 0; i < p->count; i++)
        slice_put(&p->slices[i]);
    slab_put(&w->parked, p);
}

static struct parked *parked_new(struct tls_worker *w)
{
    struct parked *p = slab_get(&w->parked);
    if (p)
        p->count = 0;
    return p;
}

/* Adds what is in `out` to what waits: small slices as copies, so that no large buffer waits with
 * them. */
void tls_park(struct tls_stream *s)
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
        tls_parked_free(w, &s->sealed);
    if (!fits)
        tls_fail_later(s, REASON_overload);
}

/* Sends what waits, unless the stream below is at it. True when nothing is left to go. */
bool tls_flush(struct tls_stream *s)
{
    if (has(s, TS_BELOW_SENDS | TS_BELOW_DOWN))
        return false;
    struct parked *p = s->sealed;
    if (!p)
        return true;
    enum send_result r = stream_send(s->layered.below, p->slices, p->count);
    tls_parked_free(s->w, &s->sealed);
    if (r == SEND_PENDING)
        set(s, TS_BELOW_SENDS);
    return r == SEND_DONE;
}

/* The same of what is in `out`, behind what waits. */
bool tls_emit(struct tls_stream *s)
{
    struct tls_out *out = &s->w->out;
    if (UNLIKELY(s->sealed || has(s, TS_BELOW_SENDS | TS_BELOW_DOWN))) {
        if (out->count > 0)
            tls_park(s);
        return tls_flush(s);
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
bool tls_seal(struct tls_stream *s, const struct slice *slices, size_t count)
{
    struct span pieces[SEND_SLICES_MAX];
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        pieces[i] = slice_span(slices[i]);
        bytes += pieces[i].n;
    }
    tls_note_use(s);
    struct tls_sink *sink = tls_out_begin(&s->w->out, tls_output_bytes_max(bytes));
    int r = tls_session_output(&s->session, pieces, count, sink);
    tls_out_end(&s->w->out);
    if (UNLIKELY(r < 0)) {
        tls_out_clear(&s->w->out); /* a part of a message is no use */
        tls_fail_later(s, (enum reason) - r);
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
        tls_fail_later(s, REASON_overload);
}

enum send_result tls_layer_send(struct stream *stream, const struct slice *slices, size_t count)
{
    struct tls_stream *s = tls_stream_of(stream);
    CHECK(!has(s, TS_SENDING | TS_SHUTDOWN | TS_FAILED | TS_CLOSED));
    if (UNLIKELY(has(s, TS_BELOW_DOWN)))
        tls_fail_later(s, (enum reason)s->why);
    if (UNLIKELY(has(s, TS_FAIL_DUE))) {
        set(s, TS_SENDING);
        return SEND_PENDING;
    }
    if (UNLIKELY(!s->session.done)) {
        set(s, TS_SENDING);
        keep_early(s, slices, count);
        return SEND_PENDING;
    }
    if (LIKELY(tls_seal(s, slices, count) && tls_emit(s) && !has(s, TS_FAIL_DUE)))
        return SEND_DONE;
    set(s, TS_SENDING);
    return SEND_PENDING;
}

/* close_notify and the FIN behind it, as soon as all that was sent before has gone. */
void tls_end_output(struct tls_stream *s)
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
        (void)tls_emit(s);
    }
    if (s->sealed || has(s, TS_SHUT | TS_FAIL_DUE | TS_FAILED))
        return;
    set(s, TS_SHUT);
    stream_shutdown(s->layered.below); /* after a send that is under way */
}

void tls_layer_last(struct stream *stream)
{
    struct tls_stream *s = tls_stream_of(stream);
    if (s->session.done && !s->early)
        stream_last(s->layered.below);
}

void tls_layer_shutdown(struct stream *stream)
{
    struct tls_stream *s = tls_stream_of(stream);
    if (has(s, TS_SHUTDOWN | TS_FAILED))
        return;
    set(s, TS_SHUTDOWN);
    tls_end_output(s);
}

void tls_below_sent(struct stream *below)
{
    struct tls_stream *s = below->user;
    tls_enter(s);
    clear(s, TS_BELOW_SENDS);
    if (tls_flush(s)) {
        if (has(s, TS_SHUTDOWN))
            tls_end_output(s);
        tls_read_below(s);
        if (has(s, TS_SENDING) && !s->early && !has(s, TS_FAIL_DUE)) {
            clear(s, TS_SENDING);
            s->layered.stream.ops->sent(&s->layered.stream);
        }
    }
    tls_leave(s);
}

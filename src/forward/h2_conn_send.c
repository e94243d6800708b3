/* SPDX-License-Identifier: MIT */
/*
 * What goes out. nghttp2 decides which frame is next and whether windows allow it; here frames are
 * gathered in buffers of the loop, heads and small pieces copied, large pieces by reference.
 *
 * While a send is under way, and while nghttp2 receives, nothing is packed: what was given waits
 * with its stream, at most what an exchange gives between two flushes.
 */
#include "base/check.h"
#include "base/limits.h"
#include "forward/h2_conn_priv.h"

#include <string.h>

/* Room for copied frames, taken at a time. */
#define OUTPUT_ROOM 16384

/* Slices that one frame may take: its head, pieces, and the rest of a buffer between them. */
#define FRAME_SLICES (2 * H2_PIECES_MAX + 2)

static_assert(FRAME_SLICES < SEND_SLICES_MAX, "a frame fits an empty output");

/* ---- the bytes gathered ---- */

static bool output_ready(struct h2_conn *c)
{
    if (c->output)
        return true;
    struct h2_output *o = slab_get(&c->library->outputs);
    if (!o)
        return false;
    o->count = 0;
    o->bytes = o->used = 0;
    o->buf = NULL;
    c->output = o;
    return true;
}

void h2_output_drop(struct h2_conn *c)
{
    struct h2_output *o = c->output;
    if (!o)
        return;
    c->output = NULL;
    for (size_t i = 0; i < o->count; i++)
        buf_put(&o->slices[i].buf);
    buf_put(&o->buf);
    slab_put(&c->library->outputs, o);
}

/* Whether another frame may be gathered before a send. */
static bool output_has_room(const struct h2_output *o)
{
    return !o || (o->count + FRAME_SLICES <= SEND_SLICES_MAX && o->bytes < H2_OUTPUT_BYTES);
}

/* n bytes at o->buf's end have been written: they continue the last slice or are a new one. */
static void output_grown(struct h2_output *o, uint32_t n)
{
    struct slice *last = o->count > 0 ? &o->slices[o->count - 1] : NULL;
    const uint8_t *p = o->buf->data + o->used;
    o->used += n;
    o->bytes += n;
    if (last && last->buf == o->buf && last->p + last->n == p)
        last->n += n;
    else
        o->slices[o->count++] = (struct slice){p, n, buf_ref(o->buf)};
}

bool h2_output_add(struct h2_conn *c, const void *p, size_t n)
{
    if (!output_ready(c))
        return false;
    struct h2_output *o = c->output;
    const uint8_t *from = p;
    while (n > 0) {
        if (!o->buf || o->used == o->buf->size) {
            if (o->count == SEND_SLICES_MAX)
                return false;
            buf_put(&o->buf);
            o->buf = buf_get(c->loop, OUTPUT_ROOM);
            o->used = 0;
            if (!o->buf)
                return false;
        }
        uint32_t take = (uint32_t)MIN(n, (size_t)(o->buf->size - o->used));
        memcpy(o->buf->data + o->used, from, take);
        output_grown(o, take);
        from += take;
        n -= take;
    }
    return true;
}

static bool output_refer(struct h2_conn *c, struct slice s)
{
    struct h2_output *o = c->output;
    if (o->count == SEND_SLICES_MAX)
        return false;
    buf_ref(s.buf);
    o->slices[o->count++] = s;
    o->bytes += s.n;
    return true;
}

void h2_send(struct h2_conn *c)
{
    struct h2_output *o = c->output;
    if (!o || c->sending)
        return;
    if (o->count > 0) {
        c->sending = stream_send(c->stream, o->slices, o->count) == SEND_PENDING;
        c->send_since_ms = h2_now_ms(c);
    }
    h2_output_drop(c);
}

/* ---- packing ---- */

/* One frame. False when there is none now, or the connection has come to an end. */
static bool pack_one(struct h2_conn *c)
{
    const uint8_t *p;
    ssize_t n = nghttp2_session_mem_send(c->session, &p);
    if (n == 0)
        return false;
    if (n < 0 || !h2_output_add(c, p, (size_t)n)) {
        h2_conn_end(c, REASON_overload, NGHTTP2_INTERNAL_ERROR);
        return false;
    }
    return true;
}

void h2_pack(struct h2_conn *c)
{
    if (c->receiving || c->packing || c->sending || c->over || c->outlived)
        return;
    bool more = true;
    c->packing = true;
    while (!c->sending && !c->over && (more || !output_has_room(c->output))) {
        if (!output_has_room(c->output))
            h2_send(c);
        more = !c->sending && pack_one(c);
    }
    c->packing = false;
    if (c->output || c->over)
        loop_defer(c->loop, &c->turn_end);
}

bool h2_conn_packs_now(const struct h2_conn *c)
{
    return !c->receiving && !c->packing && !c->sending && !c->over && !c->outlived &&
           output_has_room(c->output);
}

void h2_pack_head(struct h2_stream *s)
{
    struct h2_conn *c = s->conn;
    loop_defer(c->loop, &c->turn_end);
    if (!h2_conn_packs_now(c))
        return;
    c->head_due = s;
    c->packing = true;
    while (c->head_due && !c->over && pack_one(c)) {
        if (!output_has_room(c->output))
            h2_send(c);
    }
    c->packing = false;
    c->head_due = NULL;
}

/* ---- pieces of a body ---- */

bool h2_stream_has_output(const struct h2_stream *s)
{
    return s->piece_count > 0 || (s->output_ended && !s->end_out);
}

static struct slice *piece(struct h2_stream *s, unsigned i)
{
    return &s->pieces[(s->piece_at + i) % H2_PIECES_MAX];
}

/* The first n bytes of what was given have been packed. */
static void pieces_used(struct h2_stream *s, uint32_t n)
{
    s->output_bytes -= n;
    while (n > 0) {
        struct slice *first = piece(s, 0);
        uint32_t take = MIN(n, first->n);
        first->p += take;
        first->n -= take;
        n -= take;
        if (first->n > 0)
            break;
        if (s->pieces_kept > 0) {
            slice_put(first);
            s->pieces_kept--;
        }
        s->piece_at = (uint8_t)((s->piece_at + 1) % H2_PIECES_MAX);
        s->piece_count--;
    }
}

void h2_stream_drop_output(struct h2_stream *s)
{
    pieces_used(s, s->output_bytes);
    buf_put(&s->trailers);
}

/* What cannot go now must outlive the call that gave it. */
static void keep_pieces(struct h2_stream *s)
{
    for (unsigned i = s->pieces_kept; i < s->piece_count; i++) {
        struct slice *at = piece(s, i);
        struct slice kept = slice_keep(s->conn->loop, *at);
        if (kept.n == 0) {
            for (unsigned k = i; k < s->piece_count; k++)
                s->output_bytes -= piece(s, k)->n;
            s->piece_count = (uint8_t)i; /* the rest is nobody's any more */
            h2_conn_end(s->conn, REASON_overload, NGHTTP2_INTERNAL_ERROR);
            return;
        }
        *at = kept;
        s->pieces_kept++;
    }
}

bool h2_stream_body(struct h2_stream *s, struct slice in)
{
    CHECK(s->piece_count < H2_PIECES_MAX && !s->output_ended);
    if (s->closing || s->closed || s->reset_given)
        return true; /* into the void: the end is about to be told */
    *piece(s, s->piece_count++) = in;
    s->output_bytes += in.n;
    return h2_stream_has_room(s);
}

/* ---- trailers ---- */

struct kept_fields {
    size_t count;
    nghttp2_nv nv[];
};

/* A copy of the fields in one buffer, which nghttp2 may borrow from. */
static struct buf *keep_fields(struct loop *loop, const nghttp2_nv *nv, size_t count)
{
    size_t bytes = sizeof(struct kept_fields) + count * sizeof(*nv);
    uint32_t at = (uint32_t)bytes;
    for (size_t i = 0; i < count; i++)
        bytes += nv[i].namelen + nv[i].valuelen;
    struct buf *b = buf_get(loop, bytes);
    if (!b)
        return NULL;
    struct kept_fields *k = (struct kept_fields *)(void *)b->data;
    k->count = count;
    for (size_t i = 0; i < count; i++) {
        uint8_t *name = b->data + at;
        uint8_t *value = name + nv[i].namelen;
        memcpy(name, nv[i].name, nv[i].namelen);
        if (nv[i].valuelen > 0)
            memcpy(value, nv[i].value, nv[i].valuelen);
        at += (uint32_t)(nv[i].namelen + nv[i].valuelen);
        k->nv[i] = (nghttp2_nv){
            .name = name,
            .value = value,
            .namelen = nv[i].namelen,
            .valuelen = nv[i].valuelen,
            .flags = (uint8_t)(nv[i].flags | NGHTTP2_NV_FLAG_NO_COPY_NAME |
                               NGHTTP2_NV_FLAG_NO_COPY_VALUE),
        };
    }
    return b;
}

static int submit_trailers(struct h2_stream *s)
{
    const struct kept_fields *k = (const struct kept_fields *)(const void *)s->trailers->data;
    return nghttp2_submit_trailer(s->conn->session, s->id, k->nv, k->count);
}

int h2_stream_end(struct h2_stream *s, const nghttp2_nv *trailers, size_t count)
{
    if (s->output_ended)
        return 0; /* the head said so */
    s->output_ended = true;
    if (count == 0 || s->closing || s->closed || s->reset_given)
        return 0;
    s->trailers = keep_fields(s->conn->loop, trailers, count);
    return s->trailers ? 0 : -(int)REASON_overload;
}

/* ---- nghttp2 asks and tells ---- */

ssize_t h2_read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                     uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)id;
    (void)buf;
    (void)user;
    struct h2_stream *s = source->ptr;
    uint32_t n = MIN(s->output_bytes, (uint32_t)length);
    if (n == 0 && !s->output_ended) {
        s->data_asleep = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!s->output_ended || n < s->output_bytes)
        return n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->trailers) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (submit_trailers(s) != 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return n;
}

int h2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
                 nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)frame;
    struct h2_conn *c = user;
    struct h2_stream *s = source->ptr;
    uint32_t left = (uint32_t)length;
    if (!output_has_room(c->output))
        return NGHTTP2_ERR_WOULDBLOCK; /* one call of nghttp2's may pack many frames of DATA */
    if (s->output_bytes < left)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* dropped while the frame waited for room */
    bool ok = h2_output_add(c, head, 9);
    while (ok && left > 0) {
        struct slice part = *piece(s, 0);
        part.n = MIN(part.n, left);
        ok = part.n <= H2_COPY_MAX || !part.buf ? h2_output_add(c, part.p, part.n)
                                                : output_refer(c, part);
        left -= part.n;
        pieces_used(s, part.n);
    }
    s->moved_ms = h2_now_ms(c);
    c->control_credit += H2_CONTROL_PER_DATA;
    if (s->blocked && !h2_stream_has_output(s))
        h2_stream_work(s);
    return ok ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void end_is_out(struct h2_stream *s)
{
    s->end_out = true;
    buf_put(&s->trailers);
    if (s->blocked)
        h2_stream_work(s);
    if (s->reset_due && !s->input_ended)
        h2_stream_reset(s, NGHTTP2_NO_ERROR);
}

int h2_on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2_conn *c = user;
    struct h2_stream *s = frame->hd.stream_id ? h2_stream_of(c, frame->hd.stream_id) : NULL;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (c->head_due == s)
            c->head_due = NULL;
        if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
            end_is_out(s);
        break;
    case NGHTTP2_DATA:
        if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
            end_is_out(s);
        break;
    case NGHTTP2_RST_STREAM:
        /* Those that the peer's mistakes make us send. */
        if (s && !s->reset_given && !s->why)
            return h2_guard_reset(c);
        break;
    case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR)
            c->session_why = (uint8_t)h2_why_of_code(c, frame->goaway.error_code);
        break;
    default: break;
    }
    return 0;
}

int h2_on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                         void *user)
{
    (void)session;
    (void)error;
    struct h2_conn *c = user;
    if (frame->hd.type == NGHTTP2_HEADERS)
        c->head_due = NULL;
    return 0;
}

/* ---- calls ---- */

int h2_stream_head(struct h2_stream *s, const nghttp2_nv *nv, size_t count, bool interim, bool end)
{
    struct h2_conn *c = s->conn;
    if (s->closing || s->closed || s->reset_given || c->over)
        return -(int)(s->why      ? (enum reason)s->why
                      : c->server ? REASON_client_cancelled
                                  : REASON_backend_stream_reset);
    bool ends = end && !interim;
    int r = nghttp2_submit_headers(c->session, ends ? NGHTTP2_FLAG_END_STREAM : 0, s->id, NULL, nv,
                                   count, NULL);
    if (r != 0)
        return -(int)REASON_overload;
    s->output_ended = s->data_begun = ends; /* then there is no DATA to ask for */
    h2_pack_head(s);
    return 0;
}

/* nghttp2 is to ask for what there is. */
static int offer(struct h2_stream *s)
{
    nghttp2_session *session = s->conn->session;
    if (s->data_begun) {
        bool wake = s->data_asleep;
        s->data_asleep = false;
        return wake ? nghttp2_session_resume_data(session, s->id) : 0;
    }
    if (s->piece_count == 0 && !s->output_ended)
        return 0;
    s->data_begun = true;
    if (s->piece_count == 0 && s->trailers)
        return submit_trailers(s);
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = h2_read_data};
    return nghttp2_submit_data(session, NGHTTP2_FLAG_END_STREAM, s->id, &provider);
}

bool h2_stream_flush(struct h2_stream *s)
{
    struct h2_conn *c = s->conn;
    if (!h2_stream_has_output(s))
        return true;
    if (s->id && !s->reset_given && !c->over) {
        if (offer(s) == 0)
            h2_pack(c);
        else
            h2_conn_end(c, REASON_overload, NGHTTP2_INTERNAL_ERROR);
    }
    if (!h2_stream_has_output(s))
        return true;
    if (!s->blocked)
        s->moved_ms = h2_now_ms(c);
    s->blocked = true;
    loop_defer(c->loop, &c->turn_end);
    keep_pieces(s);
    return false;
}

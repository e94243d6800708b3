/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One end of an HTTP/2 connection over a stream that is an array: what it sends is gathered in
 * `out`, what it is told is noted. Tests join two of them; a fuzzer feeds one with anything.
 */

#include "base/check.h"
#include "forward/h2_conn.h"
#include "io/layer.h"

#include <string.h>

#define END_STREAMS 128
#define END_OUT     (1u << 20)

struct end;

/* A stream's owner, and what it was told. */
struct end_stream {
    struct h2_stream s;
    struct end *end;
    bool used, over; /* given to the connection; told that it is closed */
    unsigned heads, trailers, ends, inputs, writables;
    unsigned fields;
    size_t body_bytes;
    uint32_t sum; /* of the body */
    enum reason why;
    uint32_t code;
    char status[8];
};

struct end {
    struct h2_conn c;
    struct h2_library *library;
    struct loop *loop;
    struct layered stream;
    struct stream ground; /* below it: nothing */
    bool pending;         /* sends are under way until end_sent */
    bool in_flight;
    bool open;
    bool failed;
    bool hold; /* streams that begin do not read */
    enum reason why;
    unsigned sends, goaways;
    /* what a request is answered with; NULL: nothing by itself */
    void (*answer)(struct end_stream *t);
    unsigned stream_count;
    size_t out_bytes, out_read;
    struct end_stream streams[END_STREAMS];
    uint8_t out[END_OUT];
};

static struct end *end_of(struct stream *s)
{
    struct layered *l = container_of(s, struct layered, stream);
    return container_of(l, struct end, stream);
}

static struct end_stream *end_stream_of(struct h2_stream *s)
{
    return container_of(s, struct end_stream, s);
}

/* ---- the stream below ---- */

static void end_layer_read(struct stream *s, bool want)
{
    (void)s;
    (void)want;
}

static enum send_result end_layer_send(struct stream *s, const struct slice *slices, size_t count)
{
    struct end *e = end_of(s);
    CHECK(!e->in_flight && count > 0 && count <= SEND_SLICES_MAX);
    e->sends++;
    for (size_t i = 0; i < count; i++) {
        CHECK(slices[i].n > 0);
        if (e->out_bytes + slices[i].n > END_OUT)
            e->out_bytes = e->out_read = 0; /* nobody wants to know */
        CHECK(slices[i].n <= END_OUT);
        memcpy(e->out + e->out_bytes, slices[i].p, slices[i].n);
        e->out_bytes += slices[i].n;
    }
    e->in_flight = e->pending;
    return e->pending ? SEND_PENDING : SEND_DONE;
}

static void end_layer_nothing(struct stream *s)
{
    (void)s;
}

static void end_layer_close(struct stream *s, enum stream_close_how how)
{
    (void)s;
    (void)how;
}

static const struct stream_layer end_layer = {
    .name = "array",
    .read = end_layer_read,
    .send = end_layer_send,
    .last = end_layer_nothing,
    .shutdown = end_layer_nothing,
    .close = end_layer_close,
};

/* ---- the owner ---- */

static struct end_stream *end_stream_new(struct end *e)
{
    if (e->stream_count == END_STREAMS)
        return NULL;
    struct end_stream *t = &e->streams[e->stream_count++];
    memset(t, 0, sizeof(*t));
    t->end = e;
    t->used = true;
    return t;
}

static struct h2_stream *end_begin(struct h2_conn *c)
{
    struct end_stream *t = end_stream_new(container_of(c, struct end, c));
    return t ? &t->s : NULL;
}

static void end_block_begin(struct h2_stream *s, enum h2_block block)
{
    (void)block;
    if (end_stream_of(s)->end->hold)
        h2_stream_read(s, false);
}

static int end_field(struct h2_stream *s, struct span name, struct span value)
{
    struct end_stream *t = end_stream_of(s);
    t->fields++;
    if (span_eq(name, span_str(":status")) && value.n < sizeof(t->status)) {
        memcpy(t->status, value.p, value.n);
        t->status[value.n] = 0;
    }
    return t->fields > 5000 ? -(int)REASON_head_too_large : 0;
}

static void end_block(struct h2_stream *s, enum h2_block block, bool last)
{
    struct end_stream *t = end_stream_of(s);
    (void)last;
    CHECK(!t->over && !t->ends);
    if (block == H2_BLOCK_HEAD)
        t->heads++;
    else
        t->trailers++;
    if (block == H2_BLOCK_HEAD && t->end->answer)
        t->end->answer(t);
}

static void end_body(struct h2_stream *s, struct slice piece)
{
    struct end_stream *t = end_stream_of(s);
    CHECK(!t->over && !t->ends && t->heads > 0);
    t->body_bytes += piece.n;
    for (uint32_t i = 0; i < piece.n; i++)
        t->sum = t->sum * 31 + piece.p[i];
}

static void end_end(struct h2_stream *s)
{
    struct end_stream *t = end_stream_of(s);
    CHECK(!t->over && !t->ends);
    t->ends++;
}

static void end_input(struct h2_stream *s)
{
    end_stream_of(s)->inputs++;
}

static void end_writable(struct h2_stream *s)
{
    CHECK(!h2_stream_has_output(s));
    end_stream_of(s)->writables++;
}

static void end_closed(struct h2_stream *s, enum reason why, uint32_t code)
{
    struct end_stream *t = end_stream_of(s);
    CHECK(!t->over);
    t->over = true;
    t->why = why;
    t->code = code;
}

static void end_goaway(struct h2_conn *c, uint32_t code)
{
    (void)code;
    container_of(c, struct end, c)->goaways++;
}

static void end_failed(struct h2_conn *c, enum reason why)
{
    struct end *e = container_of(c, struct end, c);
    CHECK(!e->failed);
    e->failed = true;
    e->why = why;
}

static const struct h2_conn_ops end_ops = {
    .begin = end_begin,
    .block_begin = end_block_begin,
    .field = end_field,
    .block = end_block,
    .body = end_body,
    .end = end_end,
    .input = end_input,
    .writable = end_writable,
    .closed = end_closed,
    .goaway = end_goaway,
    .failed = end_failed,
};

/* ---- calls ---- */

static inline struct end *end_new(struct loop *loop, struct h2_library *library, bool server,
                                  unsigned streams_max)
{
    static struct end ends[2]; /* large, and a fuzzer makes many */
    struct end *e = ends[0].open ? &ends[1] : &ends[0];
    CHECK(!e->open);
    memset(e, 0, offsetof(struct end, streams));
    struct h2_conn_options options = {server, streams_max};
    e->loop = loop;
    e->library = library;
    e->ground = (struct stream){.magic = STREAM_MAGIC, .loop = loop};
    layered_init(&e->stream, &end_layer, &e->ground, NULL, e);
    CHECK(h2_conn_init(&e->c, library, loop, &e->stream.stream, &end_ops, &options) == 0);
    e->open = true;
    return e;
}

/* The end of a turn of the loop, and of those that it asks for. */
static inline void end_turn(struct end *e)
{
    for (unsigned i = 0; i < 100 && e->c.turn_end.waits; i++) {
        loop_defer_cancel(e->loop, &e->c.turn_end);
        e->c.turn_end.fn(&e->c.turn_end);
    }
    CHECK(!e->c.turn_end.waits);
}

static inline void end_take(struct end *e, const uint8_t *p, size_t n)
{
    if (n > 0 && !e->failed)
        h2_conn_input(&e->c, (struct slice){p, (uint32_t)n, NULL});
}

static inline void end_sent(struct end *e)
{
    if (!e->in_flight)
        return;
    e->in_flight = false;
    if (!e->failed)
        h2_conn_sent(&e->c);
}

static inline void end_free(struct end **ref)
{
    struct end *e = *ref;
    *ref = NULL;
    if (!e->failed)
        h2_conn_fail(&e->c, REASON_shutting_down, NGHTTP2_NO_ERROR);
    CHECK(e->failed);
    for (unsigned i = 0; i < e->stream_count; i++) {
        struct end_stream *t = &e->streams[i];
        CHECK(t->over || t->s.conn == NULL);
        if (t->s.conn && !t->s.left)
            h2_stream_leave(&t->s);
    }
    h2_conn_fini(&e->c);
    e->open = false;
}

/* A pair of fields. */
static inline nghttp2_nv end_nv(const char *name, const char *value)
{
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name,
        .value = (uint8_t *)(uintptr_t)value,
        .namelen = strlen(name),
        .valuelen = strlen(value),
    };
}

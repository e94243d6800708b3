/* SPDX-License-Identifier: MIT */
/*
 * Input that waits for its owner to read, and the windows that hold it back.
 *
 * A stream's window opens again when its owner has taken the bytes, so a stream holds at most one.
 * The connection's opens as soon as they are here: what one stream makes wait is then no reason for
 * the others to. That is a promise of memory, streams times their windows for each connection, so
 * clients have it only while all that a worker holds of theirs is below H2_HELD_EARLY. Beyond, a
 * connection owes its peer the window of what it holds until that is taken or there is room again,
 * and holds H2_CONNECTION_WINDOW at most. H2_HELD_MAX is never passed: a stream that needs more is
 * broken off, and buffers are left for all that does not wait.
 */
#include "forward/h2_conn_priv.h"

#include "base/check.h"
#include "base/limits.h"

#include <string.h>

static_assert((H2_HELD_PARTS - 3) * 16384 >= H2_STREAM_WINDOW,
              "a window fits, with a part begun at either end and a small one");

/* ---- windows ---- */

/* nghttp2 opens windows again for what was consumed. It has nothing to say but that it is out of
 * memory, which the next call says too. */
static void open_connection(struct h2_conn *c, uint32_t n)
{
    if (n > 0 && !c->over)
        (void)nghttp2_session_consume_connection(c->session, n);
    loop_defer(c->loop, &c->turn_end);
}

static void open_stream(struct h2_stream *s, uint32_t n)
{
    if (s->id && !s->input_ended)
        (void)nghttp2_session_consume_stream(s->conn->session, s->id, n);
    loop_defer(s->conn->loop, &s->conn->turn_end);
}

void h2_consume(struct h2_stream *s, uint32_t n)
{
    if (s->id && !s->input_ended)
        (void)nghttp2_session_consume(s->conn->session, s->id, n);
    else
        (void)nghttp2_session_consume_connection(s->conn->session, n);
    loop_defer(s->conn->loop, &s->conn->turn_end);
}

/* What backends send waits for as many clients as there are streams: it is theirs that are limited,
 * and a connection to a backend has a window for all of its streams. */
static size_t *held_of(struct h2_conn *c)
{
    return &c->library->held[c->server];
}

static bool is_early(struct h2_conn *c)
{
    return !c->server || *held_of(c) <= H2_HELD_EARLY;
}

/* ---- what is held ---- */

/* Another part, with room for `n` bytes or for the most that a part may have. */
static bool grow(struct h2_conn *c, struct h2_held *h, uint32_t n)
{
    if (h->count == H2_HELD_PARTS || (c->server && *held_of(c) >= H2_HELD_MAX))
        return false;
    struct buf *b = buf_get(c->loop, h->count == 0 && n <= 2048 ? 2048 : 16384);
    if (!b)
        return false;
    h->parts[(h->first + h->count++) % H2_HELD_PARTS] = (struct slice){b->data, 0, b};
    h->room = b->size;
    *held_of(c) += b->size;
    return true;
}

static bool append(struct h2_conn *c, struct h2_held *h, const uint8_t *p, uint32_t n)
{
    while (n > 0) {
        if (h->room == 0 && !grow(c, h, n))
            return false;
        struct slice *last = &h->parts[(h->first + h->count - 1) % H2_HELD_PARTS];
        uint32_t take = MIN(n, h->room);
        memcpy(last->buf->data + (last->buf->size - h->room), p, take);
        last->n += take;
        h->room -= take;
        p += take;
        n -= take;
    }
    return true;
}

bool h2_hold(struct h2_stream *s, const uint8_t *p, uint32_t n)
{
    struct h2_conn *c = s->conn;
    if (!s->held)
        s->held = slab_get_zeroed(&c->library->helds);
    bool kept = s->held && append(c, s->held, p, n);
    if (kept && !is_early(c))
        s->held->owed += n;
    else
        open_connection(c, n);
    return kept;
}

/* The oldest part is not held any more. */
static struct slice pop(struct h2_conn *c, struct h2_held *h)
{
    struct slice part = h->parts[h->first];
    CHECK(h->count > 0 && *held_of(c) >= part.buf->size);
    *held_of(c) -= part.buf->size;
    h->parts[h->first] = (struct slice){0};
    h->first = (h->first + 1) % H2_HELD_PARTS;
    h->count--;
    return part;
}

struct slice h2_held_next(struct h2_stream *s)
{
    struct h2_conn *c = s->conn;
    struct h2_held *h = s->held;
    struct slice part = pop(c, h);
    uint32_t paid = MIN(h->owed, part.n);
    h->owed -= paid;
    if (h->count == 0) {
        s->held = NULL;
        slab_put(&c->library->helds, h);
    }
    open_stream(s, part.n);
    open_connection(c, paid);
    return part;
}

void h2_held_drop(struct h2_stream *s)
{
    struct h2_conn *c = s->conn;
    struct h2_held *h = s->held;
    if (!h)
        return;
    s->held = NULL;
    open_connection(c, h->owed);
    while (h->count > 0) {
        struct slice part = pop(c, h);
        slice_put(&part);
    }
    slab_put(&c->library->helds, h);
}

void h2_held_pay(struct h2_stream *s)
{
    struct h2_held *h = s->held;
    if (!h || h->owed == 0 || !is_early(s->conn))
        return;
    open_connection(s->conn, h->owed);
    h->owed = 0;
}

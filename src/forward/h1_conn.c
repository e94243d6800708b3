/* SPDX-License-Identifier: MIT */
/*
 * Feeding the codec. The one subtle point is a head that arrives in pieces: its beginning is copied
 * into `kept`, every new piece is appended, and once the head is complete the bytes behind it are
 * taken from the piece they came in, not from the copy. So at most one head is ever copied.
 */
#include "forward/h1_conn.h"

#include "base/check.h"
#include "forward/forwarder.h"

#include <string.h>

/* First room for an incomplete head; most are complete within this. */
#define PARTIAL_ROOM_FIRST  2048
#define PARTIAL_ROOM_SECOND (16 * 1024)
#define PARTIAL_ROOM_MAX    (2 * HTTP_HEAD_MAX)

void h1_conn_init(struct h1_conn *c, struct forwarder *f, const struct h1_conn_ops *ops)
{
    *c = (struct h1_conn){.ops = ops, .f = f};
}

/* ---- the message ---- */

static bool message_ready(struct h1_conn *c)
{
    if (LIKELY(c->message != NULL))
        return true;
    struct h1_message *m = slab_get(&c->f->messages);
    if (!m)
        return false;
    m->limits = *c->ops->limits(c);
    h1_reader_init(&m->reader, c->ops->role, &m->limits);
    m->kept = (struct slice){0};
    m->kept_room = m->input_left = 0;
    m->head = NULL;
    c->message = m;
    return true;
}

static void drop_kept(struct h1_conn *c)
{
    if (c->message) {
        slice_put(&c->message->kept);
        c->message->kept_room = 0;
    }
    c->partial = false;
}

static void drop_head(struct h1_conn *c)
{
    struct h1_message *m = c->message;
    if (m->head) {
        slab_put(&c->f->heads, container_of(m->head, struct head_room, head));
        m->head = NULL;
    }
}

static void drop_message(struct h1_conn *c)
{
    drop_head(c);
    slab_put(&c->f->messages, c->message);
    c->message = NULL;
}

/* Between messages a connection holds nothing. */
static void rest_if_idle(struct h1_conn *c)
{
    const struct h1_message *m = c->message;
    if (m && !c->awaited && !c->running && m->reader.state == H1_STATE_HEAD && m->kept.n == 0)
        drop_message(c);
}

void h1_conn_fini(struct h1_conn *c)
{
    drop_kept(c);
    if (c->message)
        drop_message(c);
}

bool h1_conn_await(struct h1_conn *c)
{
    c->awaited = message_ready(c);
    return c->awaited;
}

void h1_conn_next(struct h1_conn *c)
{
    c->awaited = false;
    if (c->message) {
        h1_reader_reset(&c->message->reader);
        rest_if_idle(c);
    }
}

int h1_conn_eof(struct h1_conn *c)
{
    return c->message ? h1_reader_eof(&c->message->reader) : H1_NEED_MORE;
}

/* ---- partial heads ---- */

/* Makes room for `more` bytes behind what is kept. */
static bool partial_grow(struct h1_conn *c, uint32_t more)
{
    struct h1_message *m = c->message;
    if (m->kept.n + more <= m->kept_room)
        return true;
    size_t need = m->kept.n + more;
    size_t room = need <= PARTIAL_ROOM_FIRST    ? PARTIAL_ROOM_FIRST
                  : need <= PARTIAL_ROOM_SECOND ? PARTIAL_ROOM_SECOND
                                                : PARTIAL_ROOM_MAX;
    CHECK(need <= room);
    struct buf *b = buf_get(c->f->loop, room);
    if (!b)
        return false;
    if (m->kept.n > 0)
        memcpy(b->data, m->kept.p, m->kept.n);
    slice_put(&m->kept);
    m->kept = (struct slice){b->data, 0, b};
    m->kept_room = (uint32_t)room;
    return true;
}

/* Appends as much of `in` as a head may still need. Returns how much, 0 when out of buffers. */
static uint32_t partial_append(struct h1_conn *c, struct slice in)
{
    struct h1_message *m = c->message;
    uint32_t used = m->kept.n;
    uint32_t take = in.n;
    if (take > PARTIAL_ROOM_MAX - used)
        take = PARTIAL_ROOM_MAX - used;
    if (!partial_grow(c, take))
        return 0;
    memcpy(m->kept.buf->data + used, in.p, take);
    m->kept.n = used + take;
    return take;
}

/* ---- events ---- */

enum step { STEP_AGAIN, STEP_DONE, STEP_DEAD };

/* A complete head; `source` is where its bytes lie. */
static bool deliver_head(struct h1_conn *c, struct slice source)
{
    struct head *h = c->message->head;
    struct forwarder *f = c->f;
    c->message->head = NULL; /* ours until the event is over, whatever happens to the connection */
    /* A head put together from pieces goes when this is over; nobody may send from it. */
    struct slice raw = {0};
    if (!c->assembled)
        raw = (struct slice){source.p, h->head_len, source.buf};
    bool alive = c->ops->head(c, h, raw);
    slab_put(&f->heads, container_of(h, struct head_room, head));
    return alive;
}

/* One event; `source` is where its bytes lie, `rest` the input behind them. */
static enum step deliver(struct h1_conn *c, int event, const struct h1_result *r,
                         struct slice source, struct slice *rest)
{
    bool alive;
    c->message->input_left = rest->n;
    switch (event) {
    case H1_HEAD: alive = deliver_head(c, source); break;
    case H1_BODY:
        alive = c->ops->body(c, (struct slice){r->body.p, (uint32_t)r->body.n, source.buf});
        break;
    case H1_END: alive = c->ops->end(c, r->trailers); break;
    default:
        CHECK(event < 0);
        rest->n = 0;
        return c->ops->bad(c, (enum reason) - event) ? STEP_DONE : STEP_DEAD;
    }
    return alive ? STEP_AGAIN : STEP_DEAD;
}

/* The codec wants a head to write into while it is in that state. */
static bool head_ready(struct h1_conn *c)
{
    struct h1_message *m = c->message;
    if (m->head || m->reader.state != H1_STATE_HEAD)
        return true;
    struct head_room *room = slab_get(&c->f->heads);
    if (!room)
        return false;
    head_init(&room->head, room->path, sizeof(room->path));
    m->head = &room->head;
    return true;
}

/* One round with an incomplete head or trailer section in front of *in. */
static enum step step_partial(struct h1_conn *c, struct slice *in)
{
    struct h1_message *m = c->message;
    uint32_t before = m->kept.n;
    uint32_t added = partial_append(c, *in);
    if (added == 0)
        return c->ops->bad(c, REASON_overload) ? STEP_DONE : STEP_DEAD;
    struct h1_result r;
    int event = h1_reader_next(&m->reader, slice_span(m->kept), m->head, &r);
    if (event == H1_NEED_MORE) {
        CHECK(r.used == 0);
        CHECK(added == in->n); /* the limits of the codec are below the room here */
        in->n = 0;
        return STEP_DONE;
    }
    struct slice copy = m->kept;
    m->kept = (struct slice){0};
    m->kept_room = 0;
    c->partial = false;
    if (event >= 0) {
        CHECK(r.used >= before && r.used <= copy.n);
        in->p += r.used - before;
        in->n -= (uint32_t)r.used - before;
    }
    c->assembled = true;
    enum step step = deliver(c, event, &r, copy, in);
    c->assembled = false;
    slice_put(&copy);
    return step;
}

/* One round with *in as it came. */
static enum step step_plain(struct h1_conn *c, struct slice *in)
{
    struct h1_result r;
    int event = h1_reader_next(&c->message->reader, slice_span(*in), c->message->head, &r);
    struct slice source = *in;
    CHECK(r.used <= in->n);
    in->p += r.used;
    in->n -= (uint32_t)r.used;
    if (event != H1_NEED_MORE)
        return deliver(c, event, &r, source, in);
    if (in->n > 0) {
        c->partial = true;
        uint32_t added = partial_append(c, *in);
        CHECK(added == 0 || added == in->n);
        if (added == 0) {
            c->partial = false;
            return c->ops->bad(c, REASON_overload) ? STEP_DONE : STEP_DEAD;
        }
        in->n = 0;
    }
    return STEP_DONE;
}

/* Whether the reader has an event that needs no bytes. */
static bool event_due(const struct h1_message *m)
{
    return m->reader.state == H1_STATE_END_DUE;
}

/* Events until the input is used up or the connection paused. False when it ended. */
static bool run_events(struct h1_conn *c, struct slice *in)
{
    enum step step = STEP_AGAIN;
    while (step == STEP_AGAIN && !c->paused && !c->deaf && (in->n > 0 || event_due(c->message))) {
        if (!head_ready(c))
            step = c->ops->bad(c, REASON_overload) ? STEP_DONE : STEP_DEAD;
        else
            step = c->partial ? step_partial(c, in) : step_plain(c, in);
    }
    return step != STEP_DEAD;
}

/* What is left of a delivery waits for its turn. */
static bool hold(struct h1_conn *c, struct slice in)
{
    if (in.n == 0 || !c->paused || c->deaf)
        return true;
    c->message->kept = slice_keep(c->f->loop, in);
    return c->message->kept.n > 0 || c->ops->bad(c, REASON_overload);
}

static bool has_more(const struct h1_conn *c)
{
    return !c->partial && (c->message->kept.n > 0 || event_due(c->message));
}

static bool run(struct h1_conn *c, struct slice in)
{
    struct slice owned = {0};
    bool alive;
    c->running = true;
    for (;;) {
        alive = run_events(c, &in) && hold(c, in);
        if (!alive)
            break;
        if (!c->partial)
            drop_head(c);
        if (!c->paused && c->stream)
            stream_read(c->stream, true);
        alive = c->ops->drained(c);
        slice_put(&owned); /* what was gathered from it is on its way now */
        /* An event may have resumed us after something was held. */
        if (!alive || c->paused || c->deaf || !has_more(c))
            break;
        owned = in = c->message->kept;
        c->message->kept = (struct slice){0};
    }
    slice_put(&owned);
    c->running = false;
    if (alive)
        rest_if_idle(c);
    return alive;
}

bool h1_conn_input(struct h1_conn *c, struct slice in)
{
    CHECK(!c->running);
    if (UNLIKELY(!message_ready(c)))
        return c->ops->bad(c, REASON_overload);
    CHECK(c->partial || c->message->kept.n == 0);
    return run(c, in);
}

uint64_t h1_conn_rest(const struct h1_conn *c)
{
    const struct h1_message *m = c->message;
    if (!m || m->reader.state != H1_STATE_BODY_LENGTH || m->kept.n > 0 || c->paused || c->deaf)
        return 0;
    return m->reader.left;
}

bool h1_conn_skip(struct h1_conn *c, uint64_t n)
{
    h1_reader_skip(&c->message->reader, n);
    return event_due(c->message);
}

bool h1_conn_end(struct h1_conn *c)
{
    return h1_conn_input(c, (struct slice){0});
}

void h1_conn_pause(struct h1_conn *c)
{
    if (!c->paused) {
        c->paused = true;
        if (c->stream)
            stream_read(c->stream, false);
    }
}

void h1_conn_deafen(struct h1_conn *c)
{
    c->deaf = true;
    drop_kept(c);
}

bool h1_conn_resume(struct h1_conn *c)
{
    if (!c->paused)
        return true;
    c->paused = false;
    if (c->running)
        return true; /* the loop above goes on */
    if (c->message && has_more(c)) {
        struct slice held = c->message->kept;
        c->message->kept = (struct slice){0};
        bool alive = run(c, held);
        slice_put(&held);
        return alive;
    }
    if (c->stream)
        stream_read(c->stream, true);
    return true;
}

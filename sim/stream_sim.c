/* SPDX-License-Identifier: MIT */
/*
 * Streams over cables. As in the engines of the kernel, calls and events only note what there is to
 * do and put the stream on the ready list; serve() does it, once a turn and stream, and is the only
 * place that calls back.
 */
#include "sim/loop_sim_priv.h"

#include <assert.h>
#include <string.h>

enum sim_stream_bit {
    SIM_WANT_READ = 1u << 0,
    SIM_CONNECTING = 1u << 1,
    SIM_CONNECT_DUE = 1u << 2, /* the other end has answered */
    SIM_SENDING = 1u << 3,     /* SEND_PENDING was said */
    SIM_SHUTDOWN = 1u << 4,    /* asked for; done once nothing is pending */
    SIM_EOF = 1u << 5,         /* delivered */
    SIM_FAIL_DUE = 1u << 6,
    SIM_FAILED = 1u << 7,
    SIM_CLOSED = 1u << 8,
};
static_assert(SIM_WANT_READ == STREAM_READING, "stream_read looks at it");

struct sim_stream {
    struct stream s;
    struct cable_end *end;
    struct list link; /* ready, ready_next or closed */
    uint64_t turn;    /* that served it last */
    enum reason why;  /* of FAIL_DUE */
    bool dialled;
    struct address to; /* of one that was dialled */
    /* what waits to be sent, each with a reference of ours if it has a buffer */
    uint32_t first, count;
    struct slice slices[SEND_SLICES_MAX];
};

static inline struct sim_stream *sim_stream_of(struct stream *s)
{
    CHECK(s->magic == STREAM_MAGIC);
    return (struct sim_stream *)s;
}

static inline struct sim_loop *loop_of(const struct sim_stream *x)
{
    return sim_loop_of(x->s.loop);
}

static inline bool has(const struct sim_stream *x, uint32_t bits)
{
    return (x->s.engine_bits & bits) != 0;
}

static inline void set(struct sim_stream *x, uint32_t bits)
{
    x->s.engine_bits |= bits;
}

static inline void clear(struct sim_stream *x, uint32_t bits)
{
    x->s.engine_bits &= ~bits;
}

static void make_ready(struct sim_stream *x)
{
    struct sim_loop *l = loop_of(x);
    if (!list_linked(&x->link)) {
        bool served = l->turning && x->turn == l->loop.stats.turns;
        list_add_tail(served ? &l->ready_next : &l->ready, &x->link);
    }
    sim_loop_wake(l);
}

static void fail(struct sim_stream *x, enum reason why)
{
    if (has(x, SIM_FAIL_DUE | SIM_FAILED | SIM_CLOSED))
        return;
    x->why = why;
    set(x, SIM_FAIL_DUE);
    make_ready(x);
}

/* ---- from the cable ---- */

static void on_opened(struct cable_end *e)
{
    struct sim_stream *x = e->user;
    set(x, SIM_CONNECT_DUE);
    make_ready(x);
}

static void on_failed(struct cable_end *e, enum reason why)
{
    fail(e->user, why);
}

static void on_input(struct cable_end *e)
{
    make_ready(e->user);
}

static void on_room(struct cable_end *e)
{
    make_ready(e->user);
}

static const struct cable_ops ops_of_wire = {.opened = on_opened,
                                             .failed = on_failed,
                                             .input = on_input,
                                             .room = on_room};

/* ---- life ---- */

void sim_streams_init(struct sim_loop *l)
{
    slab_init(&l->streams, sizeof(struct sim_stream), 8, 2 * (size_t)SIM_STREAMS_MAX);
    list_init(&l->ready);
    list_init(&l->ready_next);
    list_init(&l->closed);
}

static struct sim_stream *stream_new(struct sim_loop *l, uint32_t bits)
{
    struct loop_stats *stats = &l->loop.stats;
    if (stats->streams_open >= l->loop.streams_max)
        return NULL;
    struct sim_stream *x = slab_get(&l->streams);
    if (!x)
        return NULL;
    memset(x, 0, offsetof(struct sim_stream, slices));
    x->s = (struct stream){.magic = STREAM_MAGIC, .engine_bits = bits, .loop = &l->loop};
    list_init(&x->link);
    stats->streams_open++;
    stats->streams_peak = MAX(stats->streams_peak, stats->streams_open);
    return x;
}

struct stream *sim_stream_adopt(struct sim_loop *l, struct cable_end *e)
{
    struct sim_stream *x = world_must(stream_new(l, 0));
    x->end = e;
    e->user = x;
    e->ops = &ops_of_wire;
    if (e->dead)
        fail(x, REASON_backend_reset);
    return &x->s;
}

struct stream *sim_connect(struct loop *loop, const struct address *to,
                           const struct stream_ops *ops, void *user)
{
    struct sim_loop *l = sim_loop_of(loop);
    struct sim_stream *x = stream_new(l, SIM_CONNECTING);
    if (!x)
        return NULL;
    loop->stats.connects++;
    stream_set_ops(&x->s, ops, user);
    x->dialled = true;
    x->to = *to;
    x->end = cable_dial(l->machine->options.network, &l->machine->host, &l->machine->host.address,
                        NULL, to, &ops_of_wire, x);
    return &x->s;
}

static void drop_blocked(struct sim_stream *x)
{
    for (uint32_t i = x->first; i < x->count; i++)
        slice_put(&x->slices[i]);
    x->first = x->count = 0;
}

void sim_close(struct stream *s, enum stream_close_how how)
{
    struct sim_stream *x = sim_stream_of(s);
    struct sim_loop *l = loop_of(x);
    CHECK(!has(x, SIM_CLOSED));
    drop_blocked(x);
    cable_close(&x->end, how == STREAM_CLOSE_RESET);
    x->s.engine_bits = SIM_CLOSED;
    list_del(&x->link);
    list_add_tail(&l->closed, &x->link);
    l->loop.stats.streams_open--;
}

void sim_streams_free_closed(struct sim_loop *l)
{
    for (struct list *link; (link = list_pop(&l->closed));) {
        struct sim_stream *x = list_entry(link, struct sim_stream, link);
        x->s.magic = 0;
        slab_put(&l->streams, x);
    }
}

/* ---- sending ---- */

/* Puts what there is room for; true when nothing is left. */
static bool push(struct sim_stream *x)
{
    while (x->first < x->count) {
        struct slice *head = &x->slices[x->first];
        uint32_t n = cable_put(x->end, head->p, head->n);
        if (n < head->n) {
            head->p += n;
            head->n -= n;
            break;
        }
        slice_put(head);
        x->first++;
    }
    cable_flush(x->end);
    return x->first == x->count;
}

enum send_result sim_send(struct stream *s, const struct slice *slices, size_t count)
{
    struct sim_stream *x = sim_stream_of(s);
    CHECK(!has(x, SIM_SENDING | SIM_SHUTDOWN | SIM_CLOSED | SIM_FAILED));
    x->first = 0;
    x->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        CHECK(slices[i].n > 0);
        x->slices[i] = slices[i];
        if (slices[i].buf)
            buf_ref(slices[i].buf);
    }
    if (!has(x, SIM_CONNECTING | SIM_FAIL_DUE) && push(x))
        return SEND_DONE;
    set(x, SIM_SENDING);
    if (has(x, SIM_FAIL_DUE))
        make_ready(x);
    return SEND_PENDING;
}

static void flush(struct sim_stream *x)
{
    if (!push(x))
        return;
    clear(x, SIM_SENDING);
    if (has(x, SIM_SHUTDOWN))
        cable_shut(x->end);
    x->s.ops->sent(&x->s);
}

void sim_shutdown(struct stream *s)
{
    struct sim_stream *x = sim_stream_of(s);
    if (has(x, SIM_SHUTDOWN | SIM_FAILED))
        return;
    set(x, SIM_SHUTDOWN);
    if (!has(x, SIM_SENDING | SIM_CONNECTING))
        cable_shut(x->end);
}

/* ---- receiving ---- */

void sim_read(struct stream *s, bool want)
{
    struct sim_stream *x = sim_stream_of(s);
    CHECK(!has(x, SIM_CLOSED));
    if (!want) {
        clear(x, SIM_WANT_READ);
        return;
    }
    if (has(x, SIM_WANT_READ | SIM_FAILED))
        return;
    set(x, SIM_WANT_READ);
    if (cable_input(x->end).n > 0 || (x->end->end_arrived && !has(x, SIM_EOF)))
        make_ready(x);
}

static bool may_receive(const struct sim_stream *x)
{
    if (!has(x, SIM_WANT_READ) || has(x, SIM_EOF | SIM_CONNECTING | SIM_FAILED | SIM_CLOSED))
        return false;
    return cable_input(x->end).n > 0 || (x->end->end_arrived && !x->end->dead);
}

static void receive(struct sim_stream *x)
{
    struct sim_loop *l = loop_of(x);
    struct span in = cable_input(x->end);
    if (in.n == 0) {
        set(x, SIM_EOF);
        x->s.ops->eof(&x->s);
        return;
    }
    struct buf *b = loop_receive_buf(&l->loop);
    if (!b) {
        l->loop.stats.receives_starved++;
        return;
    }
    uint32_t n = MIN((uint32_t)in.n, b->size);
    memcpy(b->data, in.p, n);
    cable_take(x->end, n);
    x->s.ops->data(&x->s, (struct slice){b->data, n, b});
}

/* ---- one stream's turn ---- */

static void tell_connected(struct sim_stream *x)
{
    clear(x, SIM_CONNECT_DUE | SIM_CONNECTING);
    if (has(x, SIM_SHUTDOWN) && !has(x, SIM_SENDING))
        cable_shut(x->end);
    x->s.ops->connected(&x->s);
}

static void tell_failed(struct sim_stream *x)
{
    drop_blocked(x);
    clear(x, SIM_FAIL_DUE | SIM_WANT_READ | SIM_SENDING);
    set(x, SIM_FAILED);
    list_del(&x->link);
    x->s.ops->failed(&x->s, x->why);
}

/* What came before a reset is left for when it is wanted, unless who does not read now sends: of
 * that the kernel says at once that it failed. */
static bool may_fail(const struct sim_stream *x)
{
    if (!has(x, SIM_FAIL_DUE) || has(x, SIM_CLOSED))
        return false;
    if (has(x, SIM_SENDING) && !has(x, SIM_WANT_READ))
        return true;
    return has(x, SIM_EOF | SIM_CONNECTING) || cable_input(x->end).n == 0;
}

static void serve(struct sim_stream *x)
{
    x->turn = x->s.loop->stats.turns;
    if (has(x, SIM_CONNECT_DUE))
        tell_connected(x);
    if (has(x, SIM_SENDING) && !has(x, SIM_CONNECTING | SIM_FAIL_DUE))
        flush(x);
    if (may_receive(x))
        receive(x);
    if (may_receive(x))
        make_ready(x);
    if (may_fail(x))
        tell_failed(x);
}

void sim_streams_run(struct sim_loop *l)
{
    list_splice_tail(&l->ready, &l->ready_next);
    for (struct list *link; (link = list_pop(&l->ready));)
        serve(list_entry(link, struct sim_stream, link));
}

bool sim_streams_due(const struct sim_loop *l)
{
    return !list_empty(&l->ready) || !list_empty(&l->ready_next);
}

/* ---- to look at ---- */

uint64_t sim_unsent(struct stream *s)
{
    struct sim_stream *x = sim_stream_of(s);
    uint64_t n = x->end->dead ? 0 : cable_unread(x->end);
    for (uint32_t i = x->first; i < x->count; i++)
        n += x->slices[i].n;
    return n;
}

bool sim_has_input(struct stream *s)
{
    const struct sim_stream *x = sim_stream_of(s);
    return cable_input(x->end).n > 0 || sim_is_ending(s);
}

bool sim_is_ending(struct stream *s)
{
    const struct sim_stream *x = sim_stream_of(s);
    return x->end->end_arrived || x->end->dead;
}

struct address sim_peer(struct stream *s)
{
    return sim_stream_of(s)->end->peer;
}

/* Of an accepted one it is the machine's own: the simulation knows no other. */
struct address sim_local(struct stream *s)
{
    return loop_of(sim_stream_of(s))->machine->host.address;
}

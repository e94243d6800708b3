/* SPDX-License-Identifier: MIT */
/*
 * Turns and acceptors; streams are in stream_sim.c. A loop has at most one turn due that counts: an
 * earlier one replaces it, and the event of the other finds that its time is not turn_ns any more.
 *
 * loop_run goes on until it is told to stop, so each turn says so at its end; whether the product
 * said it too is seen from its having been said before.
 */
#include "sim/loop_sim_priv.h"

#include "io/listener.h"

#include <stdlib.h>

#define WALL_MS_BEGIN UINT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define NS_PER_MS     UINT64_C(1000000)
#define TIMER_MS_MAX  UINT64_C(3600000)

struct sim_acceptor {
    struct acceptor *acceptor; /* NULL once stopped */
    struct sim_loop *loop;
    struct list link;    /* of the machine's, then of gone */
    struct list waiting; /* struct arrival */
};

struct arrival {
    struct list link;
    struct cable_end *end;
};

/* ---- turns ---- */

static void on_turn_due(void *what, uint64_t at_ns);

void sim_loop_wake_at(struct sim_loop *l, uint64_t at_ns)
{
    if (at_ns >= l->turn_ns)
        return;
    l->turn_ns = at_ns;
    world_at(l->machine->world, at_ns, on_turn_due, l, at_ns);
}

void sim_loop_wake(struct sim_loop *l)
{
    if (!l->turning)
        sim_loop_wake_at(l, world_now(l->machine->world));
}

static void set_clock(struct sim_loop *l)
{
    uint64_t now = world_now(l->machine->world);
    l->loop.now_ns = LOOP_SIM_EPOCH_NS + now;
    l->loop.wall_ms = WALL_MS_BEGIN + now / NS_PER_MS;
}

static void wake_when_due(struct sim_loop *l)
{
    if (sim_streams_due(l) || l->loop.deferred || atomic_load(&l->loop.inbox) ||
        !list_empty(&l->arrivals_due)) {
        sim_loop_wake(l);
        return;
    }
    uint64_t now_ms = l->loop.now_ns / NS_PER_MS;
    uint64_t wait_ms = timer_wheel_wait_ms(&l->loop.wheel, now_ms, TIMER_MS_MAX);
    sim_loop_wake_at(l, (now_ms + wait_ms) * NS_PER_MS - LOOP_SIM_EPOCH_NS);
}

static void on_turn_due(void *what, uint64_t at_ns)
{
    struct sim_loop *l = what;
    struct machine *m = l->machine;
    if (l->turn_ns != at_ns || l->ended)
        return;
    l->turn_ns = UINT64_MAX;
    m->options.turning(m->options.user, true);
    atomic_store(&l->loop.sleeping, false);
    l->ended = atomic_load(&l->loop.stopping);
    loop_run(&l->loop);
    atomic_store(&l->loop.sleeping, true);
    if (l->ended)
        m->options.stopped(m->options.user, &l->loop);
    else
        wake_when_due(l);
    m->options.turning(m->options.user, false);
}

static void wake(struct loop *loop)
{
    sim_loop_wake(sim_loop_of(loop));
}

/* Its own sleep is never waited for: the world knows when the next turn is. */
static uint64_t patience_ms(const struct loop *loop)
{
    (void)loop;
    return 0;
}

/* ---- accepting ---- */

static void take_one(struct sim_acceptor *sa, struct arrival *x)
{
    struct acceptor *a = sa->acceptor;
    struct stream *s = sim_stream_adopt(sa->loop, x->end);
    free(x);
    sa->loop->loop.stats.accepted++;
    a->accepted(a, s);
}

static void take(struct sim_acceptor *sa)
{
    const struct loop *loop = &sa->loop->loop;
    while (sa->acceptor && !sa->acceptor->paused && !sa->acceptor->starved) {
        if (loop->stats.streams_open >= loop->streams_max && !list_empty(&sa->waiting)) {
            acceptor_starve(sa->acceptor);
            return;
        }
        struct list *link = list_pop(&sa->waiting);
        if (!link)
            return;
        take_one(sa, list_entry(link, struct arrival, link));
    }
}

static void take_arrivals(struct sim_loop *l)
{
    struct list due;
    list_init(&due);
    list_splice_tail(&due, &l->arrivals_due);
    for (struct list *link; (link = list_pop(&due));)
        take(list_entry(link, struct sim_acceptor, link));
}

static void turn(struct loop *loop, int wait_ms)
{
    (void)wait_ms;
    struct sim_loop *l = sim_loop_of(loop);
    l->turning = true;
    l->machine->turns++;
    set_clock(l);
    take_arrivals(l);
    sim_streams_run(l);
}

static void free_acceptor(struct sim_acceptor *sa)
{
    for (struct list *link; (link = list_pop(&sa->waiting));) {
        struct arrival *x = list_entry(link, struct arrival, link);
        cable_close(&x->end, true);
        free(x);
    }
    list_del(&sa->link);
    free(sa);
}

static void free_gone(struct sim_loop *l)
{
    for (struct list *link; (link = list_pop(&l->gone));)
        free_acceptor(list_entry(link, struct sim_acceptor, link));
}

static void turn_end(struct loop *loop)
{
    struct sim_loop *l = sim_loop_of(loop);
    sim_streams_free_closed(l);
    free_gone(l);
    l->turning = false;
    l->ended |= atomic_exchange(&loop->stopping, true);
}

static struct sim_acceptor *acceptor_at(struct machine *m, size_t index)
{
    return m->acceptors[index];
}

static int accept_start(struct acceptor *a)
{
    struct sim_loop *l = sim_loop_of(a->loop);
    struct machine *m = l->machine;
    struct sim_acceptor *sa = world_must(calloc(1, sizeof(*sa)));
    sa->acceptor = a;
    sa->loop = l;
    list_init(&sa->link);
    list_init(&sa->waiting);
    a->engine = sa;
    m->acceptors =
        world_must(realloc(m->acceptors, (m->acceptor_count + 1) * sizeof(m->acceptors[0])));
    m->acceptors[m->acceptor_count++] = sa;
    return 0;
}

static void look_soon(struct sim_acceptor *sa)
{
    if (!list_linked(&sa->link))
        list_add_tail(&sa->loop->arrivals_due, &sa->link);
    sim_loop_wake(sa->loop);
}

static void accept_update(struct acceptor *a)
{
    struct sim_acceptor *sa = a->engine;
    if (!a->paused && !a->starved && !list_empty(&sa->waiting))
        look_soon(sa);
}

static void accept_stop(struct acceptor *a)
{
    struct sim_acceptor *sa = a->engine;
    struct machine *m = sa->loop->machine;
    for (size_t i = 0; i < m->acceptor_count; i++) {
        if (m->acceptors[i] == sa) {
            m->acceptors[i] = m->acceptors[--m->acceptor_count];
            break;
        }
    }
    sa->acceptor = NULL;
    a->engine = NULL;
    list_del(&sa->link);
    list_add_tail(&sa->loop->gone, &sa->link);
}

/* One of those that listen there, by chance. */
static bool on_dialled(struct host *h, const struct address *to, struct cable_end *e)
{
    struct machine *m = container_of(h, struct machine, host);
    struct sim_acceptor *chosen = NULL;
    uint64_t found = 0;
    for (size_t i = 0; i < m->acceptor_count; i++) {
        struct sim_acceptor *sa = acceptor_at(m, i);
        if (address_equal(listener_address(sa->acceptor->listener), to) &&
            rng_below(&m->rng, ++found) == 0)
            chosen = sa;
    }
    if (!chosen)
        return false;
    struct arrival *x = world_must(calloc(1, sizeof(*x)));
    x->end = e;
    list_init(&x->link);
    list_add_tail(&chosen->waiting, &x->link);
    look_soon(chosen);
    return true;
}

/* ---- life ---- */

static int watch(struct loop *loop, struct loop_watch *w, uint32_t events)
{
    (void)loop;
    w->events = events;
    return 0;
}

static size_t resolve(struct loop *loop, const char *host, uint16_t port,
                      struct address *ret_addresses, size_t max)
{
    CHECK(max > 0);
    ret_addresses[0] = network_resolve(sim_loop_of(loop)->machine->options.network, host, port);
    return 1;
}

static void loop_sim_free(struct loop *loop)
{
    struct sim_loop *l = sim_loop_of(loop);
    sim_streams_free_closed(l);
    free_gone(l);
    l->ended = true;
    loop_fini(loop);
    slab_fini(&l->streams);
    list_add_tail(&l->machine->loops, &l->link); /* its last turn may still be due */
}

static const struct engine engine_sim = {
    .name = "sim",
    .free = loop_sim_free,
    .turn = turn,
    .turn_end = turn_end,
    .patience_ms = patience_ms,
    .wake = wake,
    .connect = sim_connect,
    .read = sim_read,
    .send = sim_send,
    .shutdown = sim_shutdown,
    .close = sim_close,
    .unsent = sim_unsent,
    .has_left = sim_is_ending,
    .has_input = sim_has_input,
    .is_ending = sim_is_ending,
    .peer = sim_peer,
    .local = sim_local,
    .accept_start = accept_start,
    .accept_update = accept_update,
    .accept_stop = accept_stop,
    .resolve = resolve,
    .watch = watch,
};

int loop_sim_make(void *user, const struct loop_options *options, struct loop **ret_loop)
{
    struct machine *m = user;
    struct sim_loop *l = aligned_alloc(CACHE_LINE_BYTES, sizeof(*l));
    if (!l)
        return -(int)REASON_overload;
    memset(l, 0, sizeof(*l));
    struct loop_options o = *options;
    o.streams_max = SIM_STREAMS_MAX;
    l->machine = m;
    loop_init(&l->loop, &engine_sim, &o);
    set_clock(l);
    timer_wheel_init(&l->loop.wheel, l->loop.now_ns / NS_PER_MS);
    sim_streams_init(l);
    list_init(&l->arrivals_due);
    list_init(&l->gone);
    list_init(&l->link);
    l->turn_ns = UINT64_MAX;
    atomic_store(&l->loop.sleeping, true);
    sim_loop_wake(l);
    *ret_loop = &l->loop;
    return 0;
}

int machine_new(struct world *w, const struct machine_options *o, struct machine **ret_machine)
{
    struct machine *m = calloc(1, sizeof(*m));
    if (!m)
        return -(int)REASON_overload;
    m->world = w;
    m->options = *o;
    m->rng = world_rng(w, "machine", o->index);
    m->host = (struct host){
        .address = o->address, .latency_ns = o->latency_ns, .user = m, .arrived = on_dialled};
    list_init(&m->loops);
    host_add(o->network, &m->host);
    *ret_machine = m;
    return 0;
}

void machine_free(struct machine **machine)
{
    struct machine *m = *machine;
    if (!m)
        return;
    CHECK(m->acceptor_count == 0);
    for (struct list *link; (link = list_pop(&m->loops));)
        free(list_entry(link, struct sim_loop, link));
    host_fini(&m->host);
    free(m->acceptors);
    free(m);
    *machine = NULL;
}

struct host *machine_host(struct machine *m)
{
    return &m->host;
}

uint64_t machine_turns(const struct machine *m)
{
    return m->turns;
}

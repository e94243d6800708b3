/* SPDX-License-Identifier: MIT */
#include "app/worker.h"

#include "base/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Connections that the kernel completed before a drain began are still taken during this time. */
#define LAST_CALL_MS 20

/* While draining, a keep-alive connection may stay quiet this long before it is closed; until then
 * its next request is served (and told to close). */
#define DRAIN_QUIET_MS 1000

struct order {
    struct message message;
    struct worker *worker;
};

/* By number of the inlet; grown when a larger one comes. */
struct gates {
    struct gate **at;
    uint32_t room;
};

/* Gates at the shards of another worker. The message is posted at most once at a time; what is
 * wanted is read when it arrives. */
struct relieved {
    struct message message;
    struct worker *worker;
    _Atomic bool posted, wanted;
    struct gates gates; /* open while it is relieved */
};

struct worker {
    struct worker_options options;
    struct loop *loop;
    struct forwarder forwarder;
    bool forwarder_made;
    struct inlet **inlets; /* by number, as large as gates */
    struct gates gates;
    struct relieved *relieved; /* by worker */
    bool full;                 /* no room for another client */
    bool shut;                 /* accepts no more */
    _Atomic uint64_t accepted, accepted_for_others;
    pthread_t thread;
    bool running;
    struct order drain, kill, last;
    bool drain_sent, kill_sent;
    struct timer last_call;
};

/* ---- gates ---- */

static bool gates_grow(struct gates *g, uint32_t number)
{
    if (number < g->room)
        return true;
    uint32_t room = MAX(number + 1, 2 * g->room);
    struct gate **at = realloc(g->at, room * sizeof(at[0]));
    if (!at)
        return false;
    memset(at + g->room, 0, (room - g->room) * sizeof(at[0]));
    g->at = at;
    g->room = room;
    return true;
}

static void gates_close(struct gates *g)
{
    for (uint32_t i = 0; i < g->room; i++)
        gate_close(&g->at[i]);
    free(g->at);
    *g = (struct gates){0};
}

static void gates_pause(const struct gates *g, bool paused)
{
    for (uint32_t i = 0; i < g->room; i++) {
        if (g->at[i])
            gate_pause(g->at[i], paused);
    }
}

static void close_gates(struct worker *w)
{
    w->shut = true;
    gates_close(&w->gates);
    free(w->inlets);
    w->inlets = NULL;
    for (uint32_t i = 0; w->relieved && i < w->options.count; i++)
        gates_close(&w->relieved[i].gates);
}

static bool inlets_grow(struct worker *w, uint32_t number)
{
    uint32_t before = w->gates.room;
    if (!gates_grow(&w->gates, number))
        return false;
    if (w->gates.room == before)
        return true;
    struct inlet **inlets = realloc(w->inlets, w->gates.room * sizeof(inlets[0]));
    if (!inlets) {
        w->gates.room = before;
        return false;
    }
    memset(inlets + before, 0, (w->gates.room - before) * sizeof(inlets[0]));
    w->inlets = inlets;
    return true;
}

int worker_open_gate(struct worker *w, struct inlet *inlet)
{
    uint32_t number = inlet->number;
    if (w->shut)
        return 0;
    if (!inlets_grow(w, number))
        return -(int)REASON_overload;
    CHECK(!w->gates.at[number]);
    int r = gate_open(&w->forwarder, inlet, w->options.index, &w->accepted, &w->gates.at[number]);
    if (r < 0)
        return r;
    w->inlets[number] = inlet;
    gate_pause(w->gates.at[number], w->full);
    return 0;
}

void worker_close_gate(struct worker *w, const struct inlet *inlet)
{
    uint32_t number = inlet->number;
    if (number >= w->gates.room)
        return;
    gate_close(&w->gates.at[number]);
    w->inlets[number] = NULL;
    for (uint32_t i = 0; i < w->options.count; i++) {
        if (number < w->relieved[i].gates.room)
            gate_close(&w->relieved[i].gates.at[number]);
    }
}

/* The forwarder has no room for another client, or has again. */
static void on_full(void *user, bool full)
{
    struct worker *w = user;
    w->full = full;
    gates_pause(&w->gates, full);
    for (uint32_t i = 0; i < w->options.count; i++)
        gates_pause(&w->relieved[i].gates, full);
}

/* ---- in another worker's place ---- */

/* As many as can be had: those that cannot are tried the next time. */
static void open_missing(struct worker *w, struct relieved *r)
{
    uint32_t other = (uint32_t)(r - w->relieved);
    if (w->gates.room == 0 || !gates_grow(&r->gates, w->gates.room - 1))
        return;
    for (uint32_t i = 0; i < w->gates.room; i++) {
        struct gate **at = &r->gates.at[i];
        if (*at)
            gate_look(*at);
        else if (w->inlets[i] &&
                 gate_open(&w->forwarder, w->inlets[i], other, &w->accepted_for_others, at) < 0)
            *at = NULL;
    }
    gates_pause(&r->gates, w->full);
}

static void on_relieve(struct loop *loop, struct message *m)
{
    (void)loop;
    struct relieved *r = container_of(m, struct relieved, message);
    struct worker *w = r->worker;
    atomic_store(&r->posted, false);
    if (!atomic_load(&r->wanted))
        gates_close(&r->gates);
    else if (!w->shut)
        open_missing(w, r);
}

void worker_relieve(struct worker *w, uint32_t other, bool on)
{
    struct relieved *r = &w->relieved[other];
    atomic_store(&r->wanted, on);
    if (!atomic_exchange(&r->posted, true))
        loop_post(w->loop, &r->message);
}

uint64_t worker_accepted(const struct worker *w)
{
    return atomic_load_explicit(&w->accepted, memory_order_relaxed) + worker_relieved(w);
}

uint64_t worker_relieved(const struct worker *w)
{
    return atomic_load_explicit(&w->accepted_for_others, memory_order_relaxed);
}

/* ---- the end ---- */

static void all_gone(void *user)
{
    struct worker *w = user;
    loop_stop(w->loop);
}

static void on_last_call(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, last_call);
    close_gates(w);
    w->options.shut(w->options.user, w);
    forwarder_drain(&w->forwarder, all_gone, w);
}

static void on_drain(struct loop *loop, struct message *m)
{
    struct worker *w = container_of(m, struct order, message)->worker;
    w->forwarder.draining = true;
    loop_timer_set(loop, &w->last_call, LAST_CALL_MS);
}

static void on_kill(struct loop *loop, struct message *m)
{
    struct worker *w = container_of(m, struct order, message)->worker;
    loop_timer_stop(loop, &w->last_call);
    close_gates(w);
    forwarder_close_all(&w->forwarder);
    loop_stop(loop);
}

static void on_last(struct loop *loop, struct message *m)
{
    (void)m;
    loop_stop(loop);
}

static bool make_relieved(struct worker *w)
{
    w->relieved = calloc(w->options.count, sizeof(w->relieved[0]));
    for (uint32_t i = 0; w->relieved && i < w->options.count; i++) {
        w->relieved[i].message.fn = on_relieve;
        w->relieved[i].worker = w;
    }
    return w->relieved != NULL;
}

static int make_forwarder(struct worker *w, const struct worker_options *o)
{
    struct account *account = account_new(o->access_log);
    struct recorder *recorder = account ? recorder_new() : NULL;
    if (!recorder) {
        account_free(&account);
        return -(int)REASON_overload;
    }
    struct forwarder_options options = {
        .loop = w->loop,
        .account = account,
        .recorder = recorder,
        .report = o->report,
        .report_user = o->report_user,
        .challenge = o->challenge,
        .challenge_user = o->challenge_user,
        .index = o->index,
        .clients_max = o->clients_max,
        .quiet_ms = DRAIN_QUIET_MS,
        .log_fields = o->access_log != NULL,
        .seed = o->seed,
    };
    int r = forwarder_init(&w->forwarder, &options);
    if (r < 0) {
        account_free(&account);
        recorder_free(&recorder);
    } else {
        w->forwarder_made = true;
    }
    w->forwarder.full = on_full;
    w->forwarder.full_user = w;
    return r;
}

int worker_new(const struct worker_options *o, struct worker **ret_worker)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return -(int)REASON_overload;
    w->options = *o;
    w->drain = (struct order){.message.fn = on_drain, .worker = w};
    w->kill = (struct order){.message.fn = on_kill, .worker = w};
    w->last = (struct order){.message.fn = on_last, .worker = w};
    timer_init(&w->last_call, on_last_call);
    struct loop_options loop_options = {.engine = o->engine, .pipes_max = o->pipes_max};
    int r = loop_new(&loop_options, &w->loop);
    if (r == 0)
        r = make_forwarder(w, o);
    if (r == 0 && !make_relieved(w))
        r = -(int)REASON_overload;
    if (r < 0) {
        worker_free(&w);
        return r;
    }
    *ret_worker = w;
    return 0;
}

/* A thread names itself: to name another one takes a file, and the engine may open none. */
static void name_thread(const struct worker *w)
{
    char name[16];
    struct writer text = writer_of(name, sizeof(name));
    w_str(&text, "worker-");
    w_u64_dec(&text, w->options.index);
    (void)pthread_setname_np(pthread_self(), w_cstr(&text));
}

void worker_finish(struct worker *w)
{
    forwarder_close_all(&w->forwarder);
    /* Places from a queue that were on their way to exchanges just ended are given back. */
    loop_post(w->loop, &w->last.message);
    loop_run(w->loop);
    w->options.ended(w->options.user, w);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    name_thread(w);
    loop_run(w->loop);
    worker_finish(w);
    return NULL;
}

int worker_start(struct worker *w)
{
    if (w->options.stepped)
        return 0;
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGABRT); /* worker_abort */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return -(int)REASON_system_error;
    w->running = true;
    return 0;
}

void worker_drain(struct worker *w)
{
    if (!w->drain_sent) {
        w->drain_sent = true;
        loop_post(w->loop, &w->drain.message);
    }
}

void worker_kill(struct worker *w)
{
    if (!w->kill_sent) {
        w->kill_sent = true;
        loop_post(w->loop, &w->kill.message);
    }
}

void worker_join(struct worker *w)
{
    if (w->running)
        pthread_join(w->thread, NULL);
    w->running = false;
}

void worker_free(struct worker **worker)
{
    struct worker *w = *worker;
    if (!w)
        return;
    CHECK(!w->running);
    close_gates(w);
    free(w->relieved);
    if (w->forwarder_made) {
        loop_timer_stop(w->loop, &w->last_call);
        forwarder_fini(&w->forwarder);
        account_free(&w->forwarder.account);
        recorder_free(&w->forwarder.recorder);
    }
    if (w->loop)
        loop_free(&w->loop);
    free(w);
    *worker = NULL;
}

void worker_abort(struct worker *w)
{
    if (w->running)
        (void)pthread_kill(w->thread, SIGABRT);
}

uint32_t worker_index(const struct worker *w)
{
    return w->options.index;
}

struct loop *worker_loop(struct worker *w)
{
    return w->loop;
}

struct forwarder *worker_forwarder(struct worker *w)
{
    return &w->forwarder;
}

const struct account *worker_account(const struct worker *w)
{
    return w->forwarder.account;
}

/* SPDX-License-Identifier: MIT */
#include "app/worker.h"

#include "accept/gate.h"
#include "base/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* Connections that the kernel completed before a drain began are still taken during this time. */
#define LAST_CALL_MS 20

/* While draining, a keep-alive connection may stay quiet this long before it is closed; until then
 * its next request is served (and told to close). */
#define DRAIN_QUIET_MS 1000

struct order {
    struct message message;
    struct worker *worker;
};

/* Gates at the shards of another worker. The message is posted at most once at a time; what is
 * wanted is read when it arrives. */
struct relieved {
    struct message message;
    struct worker *worker;
    _Atomic bool posted, wanted;
    struct gate **gates; /* by listener, while it is relieved; else NULL */
};

struct worker {
    struct worker_options options;
    const struct worker_listener *listeners;
    struct loop *loop;
    struct forwarder forwarder;
    bool forwarder_made;
    struct gate **gates; /* by listener */
    size_t gate_count;
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

static void close_all(struct gate **gates, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gate_close(&gates[i]);
}

static void relieve_no_more(struct worker *w, struct relieved *r)
{
    if (r->gates)
        close_all(r->gates, w->gate_count);
    free(r->gates);
    r->gates = NULL;
}

static void close_gates(struct worker *w)
{
    w->shut = true;
    close_all(w->gates, w->gate_count);
    for (uint32_t i = 0; w->relieved && i < w->options.count; i++)
        relieve_no_more(w, &w->relieved[i]);
}

static void pause_all(const struct worker *w, struct gate **gates)
{
    for (size_t i = 0; gates && i < w->gate_count; i++) {
        if (gates[i])
            gate_pause(gates[i], w->full);
    }
}

/* The forwarder has no room for another client, or has again. */
static void on_full(void *user, bool full)
{
    struct worker *w = user;
    w->full = full;
    pause_all(w, w->gates);
    for (uint32_t i = 0; i < w->options.count; i++)
        pause_all(w, w->relieved[i].gates);
}

/* ---- in another worker's place ---- */

/* As many as can be had: those that cannot are tried the next time. */
static void open_missing(struct worker *w, struct relieved *r)
{
    uint32_t other = (uint32_t)(r - w->relieved);
    for (size_t i = 0; i < w->gate_count; i++) {
        const struct worker_listener *l = &w->listeners[i];
        if (r->gates[i])
            gate_look(r->gates[i]);
        else if (gate_open(&w->forwarder, l->front, l->listener, other, &w->accepted_for_others,
                           &r->gates[i]) < 0)
            r->gates[i] = NULL;
    }
    pause_all(w, r->gates);
}

static void on_relieve(struct loop *loop, struct message *m)
{
    (void)loop;
    struct relieved *r = container_of(m, struct relieved, message);
    struct worker *w = r->worker;
    atomic_store(&r->posted, false);
    if (!atomic_load(&r->wanted)) {
        relieve_no_more(w, r);
        return;
    }
    if (!r->gates && !w->shut)
        r->gates = calloc(w->gate_count ? w->gate_count : 1, sizeof(struct gate *));
    if (r->gates)
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
    forwarder_drain(&w->forwarder, DRAIN_QUIET_MS, all_gone, w);
}

static void on_drain(struct loop *loop, struct message *m)
{
    struct worker *w = container_of(m, struct order, message)->worker;
    w->forwarder.draining = true;
    w->forwarder.drain_quiet_ms = DRAIN_QUIET_MS;
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

static int open_gates(struct worker *w, const struct worker_listener *listeners, size_t count)
{
    w->listeners = listeners;
    w->gates = calloc(count ? count : 1, sizeof(struct gate *));
    if (!w->gates || !make_relieved(w))
        return -(int)REASON_overload;
    for (size_t i = 0; i < count; i++) {
        int r = gate_open(&w->forwarder, listeners[i].front, listeners[i].listener,
                          w->options.index, &w->accepted, &w->gates[i]);
        if (r < 0)
            return r;
        w->gate_count++;
    }
    return 0;
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
        .clients_max = o->clients_max,
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

int worker_new(const struct worker_options *o, const struct worker_listener *listeners,
               size_t listener_count, struct worker **ret_worker)
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
    if (r == 0)
        r = open_gates(w, listeners, listener_count);
    if (r < 0) {
        worker_free(&w);
        return r;
    }
    *ret_worker = w;
    return 0;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    loop_run(w->loop);
    forwarder_close_all(&w->forwarder);
    /* Places from a queue that were on their way to exchanges just ended are given back. */
    loop_post(w->loop, &w->last.message);
    loop_run(w->loop);
    w->options.ended(w->options.user, w);
    return NULL;
}

int worker_start(struct worker *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int r = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return -(int)REASON_system_error;
    char name[16];
    struct writer text = writer_of(name, sizeof(name));
    w_str(&text, "worker-");
    w_u64_dec(&text, w->options.index);
    pthread_setname_np(w->thread, w_cstr(&text));
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
    free(w->gates);
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

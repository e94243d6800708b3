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

struct worker {
    struct worker_options options;
    struct loop *loop;
    struct forwarder forwarder;
    bool forwarder_made;
    struct gate **gates;
    size_t gate_count;
    pthread_t thread;
    bool running;
    struct order drain, kill, last;
    bool drain_sent, kill_sent;
    struct timer last_call;
};

static void close_gates(struct worker *w)
{
    for (size_t i = 0; i < w->gate_count; i++)
        gate_close(&w->gates[i]);
}

/* The forwarder has no room for another client, or has again. */
static void on_full(void *user, bool full)
{
    struct worker *w = user;
    for (size_t i = 0; i < w->gate_count; i++) {
        if (w->gates[i])
            gate_pause(w->gates[i], full);
    }
}

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

static int open_gates(struct worker *w, const struct worker_listener *listeners, size_t count)
{
    w->gates = calloc(count ? count : 1, sizeof(struct gate *));
    if (!w->gates)
        return -(int)REASON_overload;
    for (size_t i = 0; i < count; i++) {
        int r = gate_open(&w->forwarder, listeners[i].front, listeners[i].listener,
                          w->options.index, &w->gates[i]);
        if (r < 0)
            return r;
        w->gate_count++;
    }
    return 0;
}

static int make_forwarder(struct worker *w, const struct worker_options *o)
{
    struct account *account = account_new(o->access_log);
    if (!account)
        return -(int)REASON_overload;
    struct forwarder_options options = {
        .loop = w->loop,
        .account = account,
        .report = o->report,
        .report_user = o->report_user,
        .pools = o->pools,
        .pool_count = o->pool_count,
        .clients_max = o->clients_max,
        .log_fields = o->access_log != NULL,
        .seed = o->seed,
    };
    int r = forwarder_init(&w->forwarder, &options);
    if (r < 0)
        account_free(&account);
    else
        w->forwarder_made = true;
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
    struct loop_options loop_options = {.engine = o->engine};
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
    if (w->forwarder_made) {
        loop_timer_stop(w->loop, &w->last_call);
        forwarder_fini(&w->forwarder);
        account_free(&w->forwarder.account);
    }
    if (w->loop)
        loop_free(&w->loop);
    free(w);
    *worker = NULL;
}

struct loop *worker_loop(struct worker *w)
{
    return w->loop;
}

const struct account *worker_account(const struct worker *w)
{
    return w->forwarder.account;
}

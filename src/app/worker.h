/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A worker: one thread, one loop, one forwarder, and a gate per inlet (accept/gate.h). It owns the
 * connections it accepted for life.
 *
 *   worker_new ─▶ worker_start ─▶ (runs) ─▶ worker_drain ─▶ ended() ─▶ worker_join ─▶ worker_free
 *                                    └────── worker_kill ──────┘
 *
 * Thread rule: called on the control thread, unless said otherwise; what has to happen on the
 * worker is posted to its loop.
 */

#include "accept/gate.h"
#include "account/account.h"
#include "base/compiler.h"
#include "forward/forwarder.h"
#include "io/listener.h"
#include "io/loop.h"

struct worker;

struct worker_options {
    uint32_t index; /* also its shard of every listener */
    uint32_t count; /* of all workers */
    enum loop_engine engine;
    uint32_t clients_max;
    uint32_t pipes_max; /* as in loop_options */
    uint64_t seed;
    struct access_log *access_log; /* or NULL */
    bool stepped; /* it has no thread: whoever made it turns its loop, then calls worker_finish */
    forwarder_report_fn *report;
    void *report_user;
    forwarder_challenge_fn *challenge;
    void *challenge_user;
    /* Called on the worker's thread once it accepts no more (in a drain). */
    void (*shut)(void *user, struct worker *w);
    /* Called on the worker's thread as the last thing it does. */
    void (*ended)(void *user, struct worker *w);
    void *user;
};

/* Makes everything a worker needs, without gates and the thread not yet running. 0 or a negative
 * reason. */
NODISCARD int worker_new(const struct worker_options *o, struct worker **ret_worker);

/* Begins to accept at an inlet, unless it is draining already. 0 or a negative reason. On the
 * worker's thread, or before it runs. */
NODISCARD int worker_open_gate(struct worker *w, struct inlet *inlet);

/* Accepts no more there, in its own place or another's. On the worker's thread. */
void worker_close_gate(struct worker *w, const struct inlet *inlet);

/* 0 or a negative reason (no thread could be had). */
NODISCARD int worker_start(struct worker *w);

/* What its thread does last, for one that is stepped, once loop_stop was called on its loop. */
void worker_finish(struct worker *w);

/* Stops accepting after the connections already waiting, finishes what is under way, ends. */
void worker_drain(struct worker *w);

/* Ends every connection now. */
void worker_kill(struct worker *w);

void worker_join(struct worker *w);

/* Joined or never started. Leaves NULL; accepts NULL. */
void worker_free(struct worker **w);

/*
 * From on, w also takes connections that wait for the worker `other`, until it is told to stop;
 * said again, it looks at once whether some wait. A drain ends it. Control thread.
 */
void worker_relieve(struct worker *w, uint32_t other, bool on);

/* Connections it took, and how many of them in another worker's place. Any thread. */
uint64_t worker_accepted(const struct worker *w);
uint64_t worker_relieved(const struct worker *w);

/* Ends the process from inside w's thread, so that a backtrace shows where it hangs. */
void worker_abort(struct worker *w);

struct loop *worker_loop(struct worker *w);
uint32_t worker_index(const struct worker *w);
/* On the worker's thread. */
struct forwarder *worker_forwarder(struct worker *w);
const struct account *worker_account(const struct worker *w);

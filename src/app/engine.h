/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The engine: everything that serves, built from a snapshot and brought to others while it runs.
 * Listeners, pools, workers, and on the calling thread the control loop with the prober and the
 * signals.
 *
 *   engine_new ─▶ engine_run ─▶ (TERM, INT, QUIT) ─▶ drained ─▶ engine_free
 *
 * Signals: TERM and INT drain with the configured deadline, a second one ends at once; QUIT drains
 * without a deadline; USR1 reopens the logs; HUP loads the configuration again (app/reload.h).
 *
 * Thread rule: one engine, used by the main thread, which must have blocked all signals before any
 * thread was made.
 */

#include "admin/steer.h"
#include "app/door.h"
#include "base/compiler.h"
#include "config/snapshot.h"

#include <stdbool.h>
#include <stddef.h>

struct engine;
struct loop;
struct membership;
struct pool;
struct sessions;

#define ENGINE_WHY_MAX 1100 /* names a file, and where the configuration names it */

enum engine_failure {
    ENGINE_OK,
    ENGINE_CANNOT_BIND, /* an address or a file that the configuration names */
    ENGINE_INVALID,     /* what stands in a file that the configuration names */
    ENGINE_FAILED,      /* the machine has no more of something */
};

/* What the program ends with then (app/exit_code.h). */
int engine_failure_code(enum engine_failure failure);

/* How many workers a configuration means on this machine, unless the door says so. */
uint32_t engine_workers(const struct snapshot *s);

/* Opens logs and listeners through the door and makes the workers. On failure a plain sentence is
 * in ret_why. Takes a reference of its own to the snapshot; the door must outlive the engine. */
NODISCARD enum engine_failure engine_new(const struct snapshot *s, struct door *door,
                                         struct engine **ret_engine, char *ret_why,
                                         size_t why_size);

/*
 * The same for a simulation (sim/balancer.h): no thread, signal, log or admin server of its own,
 * and all that is left to chance comes from the seed. Loops are those of loop_provide, and who
 * provides them turns them; worker_finish is due for each worker whose loop was stopped.
 */
NODISCARD enum engine_failure engine_new_stepped(const struct snapshot *s, struct door *door,
                                                 uint64_t seed, struct engine **ret_engine,
                                                 char *ret_why, size_t why_size);

/* The addresses really bound, in the order of the configuration; NULL when index is past the end.
 */
const struct address *engine_address(const struct engine *e, size_t index);

/* The address of the admin server, or NULL. */
const struct address *engine_admin_address(const struct engine *e);

/* As TERM does, or as a second TERM: `now` ends what runs. Control thread. */
void engine_stop(struct engine *e, bool now);

/* For operations while it serves, from its control loop. The membership exists while engine_run is
 * under way. */
struct loop *engine_loop(struct engine *e);
struct membership *engine_membership(struct engine *e);
struct pool *engine_pool(struct engine *e, size_t index);

/* What the workers have counted, and themselves. */
struct account_board;
struct crew;
const struct account_board *engine_board(const struct engine *e);
struct crew *engine_crew(struct engine *e);

/* What HUP does; `done` comes from a later turn. False: out of memory. Control thread. */
NODISCARD bool engine_reload(struct engine *e, steer_done_fn *done, void *user);

/* Who lists sessions; as long as the engine. */
struct sessions *engine_sessions(struct engine *e);

/* Has health checks and workers begin; for one that is stepped. False when they cannot. */
NODISCARD bool engine_begin(struct engine *e);

/* Serves until told to stop. False when the workers could not be started. */
NODISCARD bool engine_run(struct engine *e);

/* Has the program now on disk take over; `done` is called when that has gone well or not. The
 * control thread, while it runs. */
void engine_upgrade(struct engine *e, steer_done_fn *done, void *user);

/* Leaves NULL; accepts NULL. */
void engine_free(struct engine **e);

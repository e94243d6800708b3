/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Private to the parts of the engine: what runs, seen by engine.c (the beginning and the end),
 * pools.c (pools of generations) and reload.c (from one generation to the next).
 *
 * Thread rule: the control thread.
 */

#include "app/certificates.h"
#include "app/crew.h"
#include "app/engine.h"
#include "app/fronts.h"
#include "app/generation.h"
#include "app/membership.h"
#include "app/relief.h"
#include "app/rotation.h"
#include "app/upgrade_request.h"
#include "base/ids.h"
#include "base/list.h"
#include "health/health.h"

struct access_log;
struct account_board;
struct challenges;
struct logwriter;
struct reload;
struct sessions;
struct signals;
struct steer;
struct watchdog;

struct engine {
    struct door *door;
    struct logwriter *logs;
    struct access_log *access_log; /* or NULL */
    struct loop *loop;             /* the control loop */
    struct signals *signals;
    struct generation *generation; /* the present one; its pools are those in use */
    struct list former;            /* generations before it that exchanges still use */
    struct fronts *fronts;
    struct crew *crew;
    struct certificates *certificates;
    uint32_t worker_count;
    struct ids backend_ids; /* of all pools */
    struct ids pool_ids;    /* for their counters */
    struct account_board *board;
    struct rotation *rotation;
    struct membership *membership;
    struct list retiring; /* pools that no generation names, until they are freed (pools.c) */
    bool ended;           /* no worker runs any more */
    struct health *health;
    struct relief *relief;
    struct reload *reload;
    struct sessions *sessions;
    struct challenges *challenges;
    bool
        reload_waits; /* one that HUP asked for has not begun: it will see the file as it is then */
    struct watchdog *watchdog;
    struct upgrade_request upgrade;
    struct steer *steer; /* the admin server, or NULL */
    uint64_t started_wall_ms;
    struct timer deadline;
    struct timer alive; /* tells the door */
    bool draining;
    bool patient; /* … without a deadline so far */
    uint64_t seed;
    bool stepped; /* no threads, no signals, no log: engine_new_stepped */
};

static inline const struct snapshot *engine_snapshot(const struct engine *e)
{
    return e->generation->snapshot;
}

/* No exchange uses a former generation any more: it goes. */
void engine_generation_gone(void *engine, struct generation *g);

/* Opens an access log as the snapshot says; *ret_log stays NULL where it says none. False with a
 * sentence in ret_why. */
NODISCARD bool engine_open_access_log(const struct snapshot *s, struct access_log **ret_log,
                                      char *ret_why, size_t why_size);

/* The event log goes where the snapshot says. */
NODISCARD bool engine_start_log(struct engine *e, const struct snapshot *s, char *ret_why,
                                size_t why_size);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The crew: all workers, seen from the control thread, and the grace rounds through them.
 *
 *   crew_new ─▶ crew_start ─▶ (serves) ─▶ crew_drain ─▶ ended ─▶ crew_join ─▶ crew_free
 *                                             └──── crew_kill ────┘
 *
 * Thread rule: the control thread.
 */

#include "app/grace.h"
#include "app/worker.h"
#include "base/compiler.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct crew;

struct crew_options {
    struct loop *loop; /* the control thread's */
    uint32_t count;
    struct worker_options
        worker; /* of each, but for what the crew sets: index, count, shut, ended */
    uint64_t seed;
    void (*shut)(void *user); /* no worker accepts any more (in a drain) */
    void (*worker_ended)(void *user, uint32_t index);
    void (*ended)(void *user); /* all have ended */
    void *user;
};

/* Makes the workers, not yet running. 0 or a negative reason. */
NODISCARD int crew_new(const struct crew_options *o, struct crew **ret_crew);

/* 0; or a negative reason: then those that run are being ended. */
NODISCARD int crew_start(struct crew *c);

uint32_t crew_count(const struct crew *c);
struct loop *crew_loop(const struct crew *c); /* the control thread's */
uint32_t crew_alive(const struct crew *c);
struct worker *crew_worker(const struct crew *c, uint32_t index);
struct worker *const *crew_workers(const struct crew *c);
struct graces *crew_graces(const struct crew *c);

void crew_drain(struct crew *c);
void crew_kill(struct crew *c);
void crew_join(struct crew *c);

/* Joined or never started. Ends the grace rounds under way. Leaves NULL; accepts NULL. */
void crew_free(struct crew **crew);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Grace rounds: how the control thread learns that no worker holds something any more.
 *
 *   control   grace_begin ─▶ a message to each worker ─▶ …                    ─▶ done
 *   worker    … turn … │ mailbox: visit │ … turn …   the last one posts back ──▲
 *
 * What was taken out of every worker's sight before grace_begin is held by none at `done`, unless
 * it is counted (in_flight, pins, references): a worker holds the rest no longer than one turn.
 *
 * Rounds follow each other: what is begun during one shares the next, so however many begin a
 * second, each worker is woken once a round. Nothing is allocated. `done`s are called in the order
 * of their beginning.
 *
 * Thread rule: control thread; `visit` on each worker's.
 */

#include "base/compiler.h"
#include "base/list.h"
#include "io/loop.h"

struct graces;
struct worker;

/* Embed it in what waits. It must stay in place until `done` has been entered. */
struct grace {
    struct list link;
    void (*visit)(struct grace *g, struct worker *w); /* or NULL */
    void (*done)(struct grace *g);                    /* may begin it again, or free it */
};

/* The array of workers is not copied. 0, or a negative reason. */
NODISCARD int graces_new(struct loop *control, struct worker *const *workers, uint32_t worker_count,
                         struct graces **ret_graces);

/* All workers have ended: whatever still waits is done now. Leaves NULL; accepts NULL. */
void graces_free(struct graces **graces);

void grace_begin(struct graces *graces, struct grace *g);

/* The worker's thread has ended and passes no mailbox any more. */
void graces_worker_ended(struct graces *graces, uint32_t index);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Idle upstream connections of one worker: per backend a stack, the one used last on top, so that
 * the warm socket is used first and surplus ones time out at the bottom. Bounded per backend by
 * keepalive.max_idle. Not shared between workers.
 *
 * Backends come and go: stacks are found by backend->id, and room for a stretch of ids is made when
 * the first of them keeps a connection.
 */

#include "base/list.h"
#include "pick/pool.h"

#include <stdbool.h>
#include <stdint.h>

struct idle_set;
struct upstream;

struct idle_set *idle_set_new(void);
/* All connections must be closed. Leaves NULL. */
void idle_set_free(struct idle_set **set);

/* The connection used last, or NULL. It is taken off. */
struct upstream *idle_take(struct idle_set *set, const struct backend *b);

/* Keeps u; false when the backend already has as many as allowed (then the caller closes it). */
bool idle_put(struct idle_set *set, const struct backend *b, struct upstream *u);

/* Takes off a connection that ended by itself. */
void idle_remove(struct idle_set *set, const struct backend *b, struct upstream *u);

/* Closes those of one backend; shared ones with exchanges when the last of these has left. */
void idle_close_backend(struct idle_set *set, const struct backend *b);

void idle_close_all(struct idle_set *set);

/* The worker's connections to a backend that many exchanges share (forward/upstream_h2.h), idle or
 * not: its owner's to fill and to order. */
struct idle_shared {
    struct list connections; /* struct upstream_h2 */
    uint32_t resting;        /* of these, without an exchange */
    uint32_t limit;          /* exchanges on one, as the backend said last; 0 = it has not */
};

/* Those to b; NULL without memory, but not where it was had before. */
struct idle_shared *idle_shared(struct idle_set *set, const struct backend *b);

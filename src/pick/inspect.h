/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Looking at a pick without being part of it: why a backend is passed over, what a policy goes by,
 * and a twin of a pool on which the production pick can be run and thrown away.
 *
 * Nothing here changes the pool looked at: not its cursor, not an in_flight.
 *
 * Thread rule: the control thread.
 */

#include "pick/pick.h"

/* Why a backend cannot be picked; the first that holds, in this order. */
enum pick_bar {
    PICK_BAR_NONE,
    PICK_BAR_REMOVED,    /* the operator */
    PICK_BAR_DISABLED,   /* the operator */
    PICK_BAR_DRAIN,      /* the operator */
    PICK_BAR_UNRESOLVED, /* its name has no address yet */
    PICK_BAR_DOWN,       /* the health checks */
    PICK_BAR_EJECTED,    /* passive health */
    PICK_BAR_WEIGHT,     /* its weight is 0 */
    PICK_BAR_BACKUP,     /* it is a backup, and a primary is in rotation */
    PICK_BAR_VIEW,       /* a change of a moment ago: not in the published view yet */
    PICK_BAR_FULL,       /* at the limit of connections */
};

/* Goes by the published view and the states that picks go by. The backend exists. */
enum pick_bar pick_barred(const struct pool *pool, const struct backend *b);

/* What the policy compares: least_connections in_flight / weight, p2c (in_flight + 1) / weight.
 * False where the policy compares nothing, or the weight is 0. */
bool pick_score(const struct pool *pool, const struct backend *b, double *ret_score);

/* What the next pick starts from; which of it means something depends on the policy. */
struct pick_start {
    enum balance balance;
    uint64_t turn;                  /* round_robin: the cursor */
    uint64_t key;                   /* source_hash */
    uint32_t place, length;         /* of the table: round_robin, source_hash */
    const struct backend *drawn[2]; /* p2c: the two draws; random: the first one; else NULL */
    const struct backend *at;       /* the backend in that place of the table, or NULL */
};

/* The same request and generator as are then given to pick_backend. */
void pick_start(struct pool *pool, const struct pick_request *request, struct rng rng,
                struct pick_start *ret_start);

/* A pool of the same slots, states, counts and lists, on which the next pick is what the next pick
 * of `pool` would be. NULL when out of memory; pool_free. */
struct pool *pool_twin(struct pool *pool);

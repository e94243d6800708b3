/* SPDX-License-Identifier: MIT */
/*
 * round_robin: one cursor for the whole process over a precomputed schedule, so that the order
 * holds whatever the number of workers. Who is full, tried or has just left is passed over by
 * taking the next turn of the cursor; taking its neighbour without that would give the neighbour
 * two shares.
 *
 * The cursor counts for ever and is reduced modulo the length of the view in use: a new view goes
 * on somewhere in its own round, and any stretch as long as a round is exact again. It would wrap
 * after 2^64 picks.
 */
#include "pick/schedule.h"
#include "pick/view.h"

#include <stdlib.h>

int round_robin_build(const struct pool *pool, struct view *v)
{
    uint32_t *weights = calloc(v->count, sizeof(*weights));
    if (!weights)
        return -1;
    for (uint32_t i = 0; i < v->count; i++)
        weights[i] = pool->backends[v->members[i]].weight;
    int rc = schedule_new(weights, v->count, &v->table, &v->table_length);
    free(weights);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < v->table_length; i++)
        v->table[i] = v->members[v->table[i]];
    return 0;
}

enum pick_answer pick_round_robin(struct pool *pool, const struct view *v,
                                  const struct pick_request *request, struct rng *rng UNUSED,
                                  struct backend **ret_backend)
{
    uint64_t turn = 0;
    for (uint32_t step = 0; step < PICK_STEPS_MAX; step++) {
        turn = atomic_fetch_add_explicit(&pool->cursor, 1, memory_order_relaxed);
        if (LIKELY(pick_try(pool, v->table[turn % v->table_length], request, ret_backend)))
            return PICK_OK;
    }
    return pick_scan(pool, v, request, (uint32_t)(turn % v->count), ret_backend);
}

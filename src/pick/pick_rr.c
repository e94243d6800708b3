/* SPDX-License-Identifier: MIT */
/*
 * round_robin: one cursor for the whole process over a precomputed schedule, so that the order
 * holds whatever the number of workers. Who is full, tried or has just left is passed over by
 * taking the next turn of the cursor; taking its neighbour without that would give the neighbour
 * two shares.
 *
 * The cursor counts for ever and is reduced modulo the length of the view in use, from that view's
 * base on; the base is chosen so that a new view goes on where the old one was. It would wrap after
 * 2^64 picks.
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
        weights[i] = backend_weight(&pool->backends[v->members[i]]);
    int rc = schedule_new(weights, v->count, &v->table, &v->table_length);
    free(weights);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < v->table_length; i++)
        v->table[i] = v->members[v->table[i]];
    return 0;
}

/* Whether every member has one turn in a round: then the table is the members, ascending. */
static bool is_plain(const struct view *v)
{
    return v->table_length == v->count;
}

/* The turn of the first slot from `slot` on, or the first turn of all. */
static uint32_t turn_from(const struct view *v, uint32_t slot)
{
    uint32_t low = 0, high = v->table_length;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (v->table[middle] < slot)
            low = middle + 1;
        else
            high = middle;
    }
    return low < v->table_length ? low : 0;
}

/*
 * With equal weights the new round goes on with the backend whose turn it was, or with the next one
 * there is: so whoever stays gets neither two turns nor none because of a change. With weights it
 * goes on after the same share of the round.
 */
void round_robin_continue(const struct pool *pool, const struct view *old, struct view *v)
{
    uint64_t cursor = atomic_load_explicit(&pool->cursor, memory_order_relaxed);
    v->base = cursor;
    if (v->table_length == 0 || old->table_length == 0 || old->policy != v->policy)
        return;
    uint64_t turn = (cursor - old->base) % old->table_length;
    if (is_plain(old) && is_plain(v))
        turn = turn_from(v, old->table[turn]);
    else
        turn = (turn * v->table_length + old->table_length - 1) / old->table_length;
    v->base = cursor - turn;
}

enum pick_answer pick_round_robin(struct pool *pool, const struct view *v,
                                  const struct pick_request *request, struct rng *rng UNUSED,
                                  struct backend **ret_backend)
{
    uint64_t turn = 0;
    for (uint32_t step = 0; step < PICK_STEPS_MAX; step++) {
        turn = atomic_fetch_add_explicit(&pool->cursor, 1, memory_order_relaxed);
        if (LIKELY(pick_try(pool, v->table[round_robin_place(v, turn)], request, ret_backend)))
            return PICK_OK;
    }
    return pick_scan(pool, v, request, (uint32_t)(turn % v->count), ret_backend);
}

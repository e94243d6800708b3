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

/* Turns behind the present one that a new view looks for before it goes by the share alone. */
#define SEARCH_MAX 32u

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

/* The place of `slot` that is nearest to `target`, or the length of the table. */
static uint32_t nearest(const struct view *v, uint32_t slot, uint32_t target)
{
    uint32_t n = v->table_length;
    for (uint32_t away = 0; away <= n / 2; away++) {
        uint32_t after = (target + away) % n, before = (target + n - away) % n;
        if (v->table[after] == slot)
            return after;
        if (v->table[before] == slot)
            return before;
    }
    return n;
}

/*
 * The turn of the old round that was next is sought in the new round, near the same share of it;
 * where its backend is gone, that of the turn behind it. So with equal weights, whose tables are in
 * the order of slots, whoever stays gets neither two turns nor none because of a change.
 */
void round_robin_continue(const struct pool *pool, const struct view *old, struct view *v)
{
    uint64_t cursor = atomic_load_explicit(&pool->cursor, memory_order_relaxed);
    v->base = cursor;
    if (v->table_length == 0 || old->table_length == 0 || old->policy != v->policy)
        return;
    uint32_t at = (uint32_t)((cursor - old->base) % old->table_length);
    for (uint32_t i = 0; i < MIN(old->table_length, SEARCH_MAX); i++) {
        uint32_t turn = (at + i) % old->table_length;
        uint32_t target = (uint32_t)((uint64_t)turn * v->table_length / old->table_length);
        uint32_t place = nearest(v, old->table[turn], target);
        if (place < v->table_length) {
            v->base = cursor - place;
            return;
        }
    }
    v->base = cursor - (uint64_t)at * v->table_length / old->table_length;
}

enum pick_answer pick_round_robin(struct pool *pool, const struct view *v,
                                  const struct pick_request *request, struct rng *rng UNUSED,
                                  struct backend **ret_backend)
{
    uint64_t turn = 0;
    for (uint32_t step = 0; step < PICK_STEPS_MAX; step++) {
        turn = atomic_fetch_add_explicit(&pool->cursor, 1, memory_order_relaxed);
        if (LIKELY(
                pick_try(pool, v->table[(turn - v->base) % v->table_length], request, ret_backend)))
            return PICK_OK;
    }
    return pick_scan(pool, v, request, (uint32_t)(turn % v->count), ret_backend);
}

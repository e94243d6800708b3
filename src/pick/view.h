/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Private to pick/: views, the table of policies, and what the policies share.
 *
 * A view is immutable once published. It is one allocation and holds the members in rotation and
 * what the policy precomputed over them:
 *
 *   members[0..count)   slots, ascending: the tier in use, weight > 0
 *   table               round_robin: the schedule (schedule.h); source_hash: the Maglev table
 *   alias               random, p2c: how to draw by weight (alias.h), absent for equal weights
 *
 * Thread rule: built by the control thread, read by all.
 */

#include "base/limits.h"
#include "pick/alias.h"
#include "pick/pick.h"

/* Tries by advancing or drawing again before a policy falls back to looking at every member. */
#define PICK_STEPS_MAX 16

struct view {
    const struct policy *policy;
    uint32_t count;
    uint32_t *members;
    uint64_t base; /* round_robin: the cursor at the beginning of the table */
    uint32_t *table;
    uint32_t table_length;
    struct alias *alias; /* NULL: equal weights */
};

struct policy {
    const char *name;
    /* Precomputes over v->members; 0, or negative when out of memory. NULL: nothing to do. */
    int (*build)(const struct pool *pool, struct view *v);
    enum pick_answer (*pick)(struct pool *pool, const struct view *v,
                             const struct pick_request *request, struct rng *rng,
                             struct backend **ret_backend);
};

/* The two halves of pool_new: no members and no view yet; and lists and the first view of the
 * members there are. pool_free after a failure of the second. */
struct pool *pool_new_bare(const struct snapshot *s, uint32_t index, const struct pool_conf *conf,
                           struct ids *ids);
NODISCARD bool pool_open(struct pool *pool);

/* For reconfigure.c: pool_add but for the name, which another may still have; pool_know when it has
 * not; and what of a configuration a kept backend takes over. */
struct backend *pool_add_unnamed(struct pool *pool, const struct backend_conf *conf);
void pool_know(struct backend *b);
void backend_reconfigure(struct backend *b, const struct backend_conf *conf);

/* The row of a policy. */
const struct policy *policy_of(enum balance balance);

/* Whether the backend may be picked, its limit apart: in rotation and not tried. */
static inline bool pick_eligible(const struct backend *b, const struct pick_request *request)
{
    if (!backend_in_rotation(b))
        return false;
    for (uint32_t i = 0; i < request->tried_count; i++)
        if (request->tried[i] == b->slot)
            return false;
    return true;
}

/* How in_flight moves: by plain atomics, or under the lock of least_connections. */
static inline bool pool_is_locked(const struct pool *pool)
{
    return atomic_load_explicit(&pool->locked, memory_order_relaxed);
}

bool least_take(struct backend *b);
void least_done(struct backend *b);
bool pick_take_limited(struct backend *b, uint32_t limit);

/* Counts one more exchange if the limit allows; in_flight never exceeds it, not for a moment. */
static inline bool pick_take(struct backend *b)
{
    const struct pool *pool = b->pool;
    if (UNLIKELY(pool_is_locked(pool)))
        return least_take(b);
    uint32_t limit = atomic_load_explicit(&pool->max_connections, memory_order_relaxed);
    if (limit != 0)
        return pick_take_limited(b, limit);
    atomic_fetch_add_explicit(&b->in_flight, 1, memory_order_relaxed);
    return true;
}

/* Takes the backend of a slot if it is eligible and not full. */
static inline bool pick_try(struct pool *pool, uint32_t slot, const struct pick_request *request,
                            struct backend **ret_backend)
{
    struct backend *b = &pool->backends[slot];
    if (!pick_eligible(b, request) || !pick_take(b))
        return false;
    *ret_backend = b;
    return true;
}

/* The last resort of every policy: looks at each member once, from member `start` on. */
enum pick_answer pick_scan(struct pool *pool, const struct view *v,
                           const struct pick_request *request, uint32_t start,
                           struct backend **ret_backend);

enum pick_answer pick_round_robin(struct pool *pool, const struct view *v,
                                  const struct pick_request *request, struct rng *rng,
                                  struct backend **ret_backend);
int round_robin_build(const struct pool *pool, struct view *v);
/* Makes `v` go on where `old` will be when v is published. */
void round_robin_continue(const struct pool *pool, const struct view *old, struct view *v);

enum pick_answer pick_random(struct pool *pool, const struct view *v,
                             const struct pick_request *request, struct rng *rng,
                             struct backend **ret_backend);
enum pick_answer pick_p2c(struct pool *pool, const struct view *v,
                          const struct pick_request *request, struct rng *rng,
                          struct backend **ret_backend);
int alias_build(const struct pool *pool, struct view *v);

enum pick_answer pick_hash(struct pool *pool, const struct view *v,
                           const struct pick_request *request, struct rng *rng,
                           struct backend **ret_backend);
int hash_build(const struct pool *pool, struct view *v);

enum pick_answer pick_least(struct pool *pool, const struct view *v,
                            const struct pick_request *request, struct rng *rng,
                            struct backend **ret_backend);
/* From now on in_flight of the pool moves under the lock of pool->least, which is made if need be;
 * false when out of memory. Nobody is listed. Control thread. */
NODISCARD bool least_begin(struct pool *pool);

/* Nobody is listed any more, and in_flight moves without the lock. Control thread. */
void least_end(struct pool *pool);
void least_free(struct pool *pool);

/* Room for that many slots; false when out of memory. Control thread. */
NODISCARD bool least_reserve(struct pool *pool, uint32_t slots);

/* Takes members of `v` in and all others out, and files changed weights anew. Control thread. */
void least_update(struct pool *pool, const struct view *v);

/* Lists and loads of `from`, in their order, for a pool with the same slots: its policy goes on as
 * the original would. False when out of memory. Control thread. */
NODISCARD bool least_copy(struct pool *from, struct pool *to);

/* What p2c draws: two distinct eligible members, or fewer (NULL). */
void p2c_draw(struct pool *pool, const struct view *v, const struct pick_request *request,
              struct rng *rng, struct backend *ret_two[2]);

/* Where a key of source_hash begins to look in the table. */
static inline uint32_t hash_place(const struct view *v, uint64_t key)
{
    return (uint32_t)(mix64(key) % v->table_length);
}

/* The place of a turn of round_robin in the table. */
static inline uint32_t round_robin_place(const struct view *v, uint64_t turn)
{
    return (uint32_t)((turn - v->base) % v->table_length);
}

/* A member by weight: any draw is as good as another, so the generator's whole word is used once.
 */
static inline uint32_t view_draw(const struct view *v, struct rng *rng)
{
    uint64_t word = rng_u64(rng);
    uint32_t index = alias_column(word, v->count);
    if (v->alias)
        index = alias_choose(v->alias, index, word);
    return v->members[index];
}

/* SPDX-License-Identifier: MIT */
/*
 * p2c: of two distinct members drawn by weight, the one with the lower (in_flight + 1) / weight.
 * Two draws are enough to make the longest queue doubly logarithmic (Mitzenmacher 2001), and they
 * do not herd as "the least of all" does when what is known is a little old.
 */
#include "pick/view.h"

static struct backend *draw(struct pool *pool, const struct view *v,
                            const struct pick_request *request, struct rng *rng,
                            const struct backend *other)
{
    for (uint32_t step = 0; step < PICK_STEPS_MAX; step++) {
        struct backend *b = &pool->backends[view_draw(v, rng)];
        if (LIKELY(b != other && pick_eligible(b, request)))
            return b;
    }
    return NULL;
}

/* Whether a has the lower load; at a tie a coin decides. */
static bool lighter(const struct backend *a, const struct backend *b, struct rng *rng)
{
    uint64_t load_a = atomic_load_explicit(&a->in_flight, memory_order_relaxed) + UINT64_C(1);
    uint64_t load_b = atomic_load_explicit(&b->in_flight, memory_order_relaxed) + UINT64_C(1);
    load_a *= backend_weight(b);
    load_b *= backend_weight(a);
    return load_a != load_b ? load_a < load_b : (rng_u64(rng) >> 63) != 0;
}

void p2c_draw(struct pool *pool, const struct view *v, const struct pick_request *request,
              struct rng *rng, struct backend *ret_two[2])
{
    ret_two[0] = draw(pool, v, request, rng, NULL);
    ret_two[1] = ret_two[0] && v->count > 1 ? draw(pool, v, request, rng, ret_two[0]) : NULL;
}

enum pick_answer pick_p2c(struct pool *pool, const struct view *v,
                          const struct pick_request *request, struct rng *rng,
                          struct backend **ret_backend)
{
    struct backend *two[2];
    p2c_draw(pool, v, request, rng, two);
    struct backend *first = two[0], *second = two[1];
    if (second && lighter(second, first, rng)) {
        struct backend *heavier = first;
        first = second;
        second = heavier;
    }
    if (LIKELY(first && pick_take(first))) {
        *ret_backend = first;
        return PICK_OK;
    }
    if (second && pick_take(second)) {
        *ret_backend = second;
        return PICK_OK;
    }
    return pick_scan(pool, v, request, (uint32_t)rng_below(rng, v->count), ret_backend);
}

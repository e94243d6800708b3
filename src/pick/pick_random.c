/* SPDX-License-Identifier: MIT */
/* random: a draw by weight; who cannot be picked is drawn over, and in the end looked past. */
#include "pick/view.h"

#include <stdlib.h>

int alias_build(const struct pool *pool, struct view *v)
{
    uint32_t *weights = calloc(v->count, sizeof(*weights));
    if (!weights)
        return -1;
    bool equal = true;
    for (uint32_t i = 0; i < v->count; i++) {
        weights[i] = backend_weight(&pool->backends[v->members[i]]);
        equal = equal && weights[i] == weights[0];
    }
    int rc = 0;
    if (!equal) {
        v->alias = calloc(v->count, sizeof(*v->alias));
        rc = v->alias ? alias_init(v->alias, weights, v->count) : -1;
    }
    free(weights);
    return rc;
}

enum pick_answer pick_random(struct pool *pool, const struct view *v,
                             const struct pick_request *request, struct rng *rng,
                             struct backend **ret_backend)
{
    for (uint32_t step = 0; step < PICK_STEPS_MAX; step++)
        if (LIKELY(pick_try(pool, view_draw(v, rng), request, ret_backend)))
            return PICK_OK;
    return pick_scan(pool, v, request, (uint32_t)rng_below(rng, v->count), ret_backend);
}

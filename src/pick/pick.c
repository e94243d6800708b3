/* SPDX-License-Identifier: MIT */
/* The table of policies, admission, and what all policies fall back on. */
#include "pick/pick.h"

#include "base/check.h"
#include "pick/view.h"

static_assert(PICK_TRIED_MAX > RETRY_ATTEMPTS_MAX, "every attempt can be remembered");

static const struct policy policies[] = {
    [BALANCE_ROUND_ROBIN] = {"round_robin", round_robin_build, pick_round_robin},
    [BALANCE_LEAST_CONNECTIONS] = {"least_connections", NULL, pick_least},
    [BALANCE_RANDOM] = {"random", alias_build, pick_random},
    [BALANCE_P2C] = {"p2c", alias_build, pick_p2c},
    [BALANCE_SOURCE_HASH] = {"source_hash", hash_build, pick_hash},
};

const struct policy *policy_of(enum balance balance)
{
    CHECK((size_t)balance < ARRAY_LEN(policies));
    return &policies[balance];
}

/* Compare-and-swap rather than add and take back: a refused attempt must not make another, which
 * would have fitted, see a full backend. */
bool pick_take_limited(struct backend *b, uint32_t limit)
{
    uint32_t now = atomic_load_explicit(&b->in_flight, memory_order_relaxed);
    while (now < limit)
        if (atomic_compare_exchange_weak_explicit(&b->in_flight, &now, now + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

enum pick_answer pick_scan(struct pool *pool, const struct view *v,
                           const struct pick_request *request, uint32_t start,
                           struct backend **ret_backend)
{
    enum pick_answer answer = PICK_NONE;
    for (uint32_t i = 0, at = start; i < v->count; i++) {
        struct backend *b = &pool->backends[v->members[at]];
        if (pick_eligible(b, request)) {
            if (pick_take(b)) {
                *ret_backend = b;
                return PICK_OK;
            }
            answer = PICK_QUEUE;
        }
        at = at + 1 < v->count ? at + 1 : 0;
    }
    return answer;
}

enum pick_answer pick_backend(struct pool *pool, const struct pick_request *request,
                              struct rng *rng, struct backend **ret_backend)
{
    CHECK(request->tried_count <= PICK_TRIED_MAX);
    const struct view *v = atomic_load_explicit(&pool->view, memory_order_acquire);
    if (UNLIKELY(v->count == 0))
        return PICK_NONE;
    return v->policy->pick(pool, v, request, rng, ret_backend);
}

bool pick_this(struct backend *b)
{
    return backend_in_rotation(b) && pick_take(b);
}

void pick_done(struct backend *b)
{
    if (UNLIKELY(pool_is_locked(b->pool))) {
        least_done(b);
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&b->in_flight, 1, memory_order_relaxed);
    CHECK(before > 0);
}

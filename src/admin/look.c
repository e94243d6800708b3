/* SPDX-License-Identifier: MIT */
#include "admin/look.h"

#include "forward/forwarder.h"
#include "health/health.h"

/* What the operator decided holds from his word on; what workers see follows with the view. */
static uint32_t state_of(const struct backend *b)
{
    uint32_t seen = atomic_load_explicit(&b->state, memory_order_relaxed);
    return (seen & ~BACKEND_ADMIN_BITS) | backend_admin(b);
}

/* The operator's wish stands before what health says, for it is what holds. */
static const char *word_of(uint32_t state, uint32_t in_flight)
{
    if (state & BACKEND_REMOVED)
        return "removing";
    if (state & BACKEND_DISABLED)
        return "disabled";
    if (state & BACKEND_DRAIN)
        return in_flight ? "draining" : "drained";
    if (state & BACKEND_UNRESOLVED)
        return "unresolved";
    if (state & BACKEND_DOWN)
        return "down";
    return state & BACKEND_EJECTED ? "ejected" : "up";
}

static enum reason reason_of(uint32_t state, enum reason last)
{
    if (state & BACKEND_UNRESOLVED)
        return REASON_unresolved;
    if (state & BACKEND_DOWN)
        return last;
    return state & BACKEND_EJECTED ? REASON_passive_failures : REASON_ok;
}

void look_standing(const struct steer_view *view, const struct backend *b,
                   struct standing *ret_standing)
{
    struct health_status health = {.last = REASON_ok};
    uint32_t state = state_of(b);
    if (view->health && b->health)
        health_status(view->health, b, &health);
    enum reason reason = reason_of(state, health.last);
    *ret_standing = (struct standing){
        .state = word_of(state, look_in_flight(b)),
        .admin_state = state & BACKEND_DISABLED ? "disabled"
                       : state & BACKEND_DRAIN  ? "drain"
                                                : "ready",
        .has_reason = reason != REASON_ok,
        .reason = reason,
        .since_ms = health.since_ms,
        .checked_ms = health.check.at_ms,
        .check_result = health.check.result,
        .check_detail = health.check.detail,
        .check_took_ms = (double)health.check.took_us / 1000,
    };
}

uint8_t look_mark(const struct backend *b)
{
    uint32_t state = state_of(b);
    bool drained = (state & BACKEND_DRAIN) && look_in_flight(b) == 0;
    return (uint8_t)(state << 1 | drained);
}

uint32_t look_slots(const struct pool *pool)
{
    return pool_backend_count(pool);
}

struct backend *look_backend(const struct pool *pool, uint32_t slot)
{
    struct backend *b = &pool->backends[slot];
    return backend_exists(b) ? b : NULL;
}

const struct pool_conf *look_pool_conf(const struct pool *pool)
{
    return pool_conf(pool);
}

uint32_t look_weight(const struct backend *b)
{
    return backend_weight(b);
}

uint32_t look_in_flight(const struct backend *b)
{
    return atomic_load_explicit(&b->in_flight, memory_order_relaxed);
}

uint32_t look_waiting(const struct pool *pool)
{
    return atomic_load_explicit(&pool->waiting, memory_order_relaxed);
}

uint32_t look_connections(const struct front *front)
{
    return atomic_load_explicit(&front->connections, memory_order_relaxed);
}

struct look_count look_count(const struct pool *pool)
{
    struct look_count n = {0};
    for (uint32_t i = 0; i < look_slots(pool); i++) {
        const struct backend *b = look_backend(pool, i);
        if (!b)
            continue;
        n.in_flight += look_in_flight(b);
        if (state_of(b) & BACKEND_REMOVED)
            continue;
        n.total++;
        n.up += state_of(b) == 0;
    }
    return n;
}

struct pool *look_find_pool(const struct steer_view *view, struct span name)
{
    for (size_t i = 0; i < view->pool_count; i++) {
        if (span_eq(name, span_cstr(look_pool_conf(view->pools[i])->name)))
            return view->pools[i];
    }
    return NULL;
}

struct backend *look_find_backend(struct pool *pool, struct span name)
{
    return pool_find(pool, name);
}

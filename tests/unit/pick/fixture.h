/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Pools for tests: a hand-made snapshot with one pool, and short ways to pick. The snapshot is not
 * config/'s: it is embedded here and counts nothing (fixture.c).
 */

#include "pick/pick.h"
#include "pick/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct snapshot snapshot;
    struct pool_conf pool_conf;
    struct backend_conf *backends;
    char (*names)[16];
    struct pool *pool;
};

/* A pool of n backends B1.. with these weights (NULL: all 1). */
static inline void fixture_init(struct fixture *f, enum balance balance, uint32_t n,
                                const uint32_t *weights)
{
    *f = (struct fixture){0};
    f->backends = calloc(n + 1, sizeof(*f->backends));
    f->names = calloc(n + 1, sizeof(*f->names));
    assert_true(f->backends && f->names);
    for (uint32_t i = 0; i < n; i++) {
        (void)snprintf(f->names[i], sizeof(f->names[i]), "B%u", i + 1);
        f->backends[i] = (struct backend_conf){
            .name = f->names[i],
            .address = {.kind = ADDRESS_V4, .port = 80, .ip = {127, 0, 0, 1}},
            .weight = weights ? weights[i] : 1,
        };
    }
    f->pool_conf = (struct pool_conf){
        .name = "app", .balance = balance, .backends = f->backends, .backend_count = n};
    f->snapshot.pools = &f->pool_conf;
    f->snapshot.pool_count = 1;
}

/* Change f->pool_conf and f->backends before this. */
static inline struct pool *fixture_start(struct fixture *f)
{
    f->pool = pool_new(&f->snapshot, 0, NULL);
    assert_non_null(f->pool);
    return f->pool;
}

static inline void fixture_fini(struct fixture *f)
{
    pool_free(&f->pool);
    assert_null(f->pool);
    free(f->backends);
    free(f->names);
}

static inline void fixture_rebuild(struct fixture *f)
{
    struct view *old = pool_rebuild(f->pool);
    assert_non_null(old);
    view_free(&old);
}

static inline void fixture_set(struct fixture *f, uint32_t slot, bool up)
{
    if (backend_state_change(&f->pool->backends[slot], up ? 0 : BACKEND_DOWN,
                             up ? BACKEND_DOWN : 0))
        fixture_rebuild(f);
}

static inline uint32_t in_flight(const struct fixture *f, uint32_t slot)
{
    return atomic_load_explicit(&f->pool->backends[slot].in_flight, memory_order_relaxed);
}

/* The slot picked; the pick must succeed. */
static inline uint32_t picked(struct fixture *f, struct rng *rng, uint64_t key)
{
    struct pick_request request = {.key = key};
    struct backend *b = NULL;
    assert_int_equal(pick_backend(f->pool, &request, rng, &b), PICK_OK);
    assert_non_null(b);
    return b->slot;
}

/* The same, and done with at once. */
static inline uint32_t picked_done(struct fixture *f, struct rng *rng, uint64_t key)
{
    uint32_t slot = picked(f, rng, key);
    pick_done(&f->pool->backends[slot]);
    return slot;
}

/* ---- members ---- */

static inline struct backend *fixture_add(struct fixture *f, const char *name, uint32_t weight)
{
    struct backend_conf conf = {
        .name = name,
        .address = {.kind = ADDRESS_V4, .port = 80, .ip = {127, 0, 0, 1}},
        .weight = weight,
    };
    struct backend *b = pool_add(f->pool, &conf);
    assert_non_null(b);
    return b;
}

/* Out of the view; nothing must be in flight there when it is forgotten. */
static inline void fixture_remove(struct fixture *f, struct backend *b)
{
    backend_admin_set(b, BACKEND_REMOVED);
    fixture_rebuild(f);
}

static const enum balance all_policies[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS,
                                            BALANCE_RANDOM, BALANCE_P2C, BALANCE_SOURCE_HASH};

/* SPDX-License-Identifier: MIT */
/*
 * A pool owns its backends and the published view; views own their tables. What must stay true: a
 * view is complete before it is published, and nothing but pool_rebuild publishes one.
 */
#include "pick/pool.h"

#include "base/check.h"
#include "pick/view.h"

#include <stdlib.h>
#include <string.h>

static_assert(offsetof(struct backend, address) + sizeof(((struct backend *)0)->address) <=
                  CACHE_LINE_BYTES,
              "the hot words of a backend share one cache line");
static_assert(sizeof(struct backend) % CACHE_LINE_BYTES == 0, "backends do not share lines");

static bool counts(const struct backend *b, bool backup)
{
    return b->conf->backup == backup && b->weight > 0 && backend_in_rotation(b);
}

static uint32_t collect(const struct pool *pool, bool backup, uint32_t *members)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < pool->backend_count; i++)
        if (counts(&pool->backends[i], backup))
            members[n++] = i;
    return n;
}

static struct view *view_new(const struct pool *pool)
{
    struct view *v = calloc(1, sizeof(*v));
    uint32_t *members = calloc((size_t)pool->backend_count + 1, sizeof(*members));
    if (!v || !members) {
        free(v);
        free(members);
        return NULL;
    }
    v->policy = policy_of(pool->conf->balance);
    v->members = members;
    v->count = collect(pool, false, members);
    if (v->count == 0)
        v->count = collect(pool, true, members);
    if (v->count > 0 && v->policy->build && v->policy->build(pool, v) < 0)
        view_free(&v);
    return v;
}

void view_free(struct view **view)
{
    struct view *v = *view;
    if (!v)
        return;
    free(v->members);
    free(v->table);
    free(v->alias);
    free(v);
    *view = NULL;
}

uint32_t view_active_count(const struct view *view)
{
    return view->count;
}

static void backend_init(struct backend *b, struct pool *pool, uint32_t slot)
{
    const struct backend_conf *conf = &pool->conf->backends[slot];
    b->conf = conf;
    b->pool = pool;
    b->slot = slot;
    b->weight = conf->weight;
    if (conf->address.kind == ADDRESS_NAME)
        atomic_init(&b->state, BACKEND_UNRESOLVED);
    else
        atomic_init(&b->address, &conf->address);
}

static struct backend *backends_new(struct pool *pool)
{
    size_t bytes = pool->conf->backend_count * sizeof(struct backend);
    struct backend *backends = aligned_alloc(CACHE_LINE_BYTES, MAX(bytes, sizeof(*backends)));
    if (!backends)
        return NULL;
    memset(backends, 0, bytes);
    for (uint32_t i = 0; i < pool->conf->backend_count; i++)
        backend_init(&backends[i], pool, i);
    return backends;
}

struct pool *pool_new(const struct snapshot *s, uint32_t index, uint64_t seed UNUSED)
{
    CHECK(index < s->pool_count);
    CHECK(s->pools[index].backend_count <= BACKENDS_MAX);
    struct pool *pool = aligned_alloc(CACHE_LINE_BYTES, sizeof(*pool));
    if (!pool)
        return NULL;
    memset(pool, 0, sizeof(*pool));
    pool->snapshot = snapshot_ref(s);
    pool->conf = &s->pools[index];
    pool->index = index;
    pool->backend_count = (uint32_t)pool->conf->backend_count;
    pool->backends = backends_new(pool);
    if (!pool->backends)
        goto failed;
    if (pool->conf->balance == BALANCE_LEAST_CONNECTIONS && !(pool->least = least_new(pool)))
        goto failed;
    struct view *v = view_new(pool);
    if (!v)
        goto failed;
    atomic_init(&pool->view, v);
    if (pool->least)
        least_update(pool, v);
    return pool;

failed:
    pool_free(&pool);
    return NULL;
}

void pool_free(struct pool **pool)
{
    struct pool *p = *pool;
    if (!p)
        return;
    struct view *v = atomic_load_explicit(&p->view, memory_order_relaxed);
    view_free(&v);
    least_free(&p->least);
    free(p->backends);
    snapshot_unref(&p->snapshot);
    free(p);
    *pool = NULL;
}

bool backend_state_change(struct backend *b, uint32_t set, uint32_t clear)
{
    uint32_t before = atomic_load_explicit(&b->state, memory_order_relaxed);
    uint32_t after;
    do
        after = (before & ~clear) | set;
    while (!atomic_compare_exchange_weak_explicit(&b->state, &before, after, memory_order_relaxed,
                                                  memory_order_relaxed));
    return (before == 0) != (after == 0);
}

struct view *pool_rebuild(struct pool *pool)
{
    struct view *v = view_new(pool);
    if (!v)
        return NULL;
    struct view *old = atomic_exchange_explicit(&pool->view, v, memory_order_acq_rel);
    if (pool->least)
        least_update(pool, v);
    return old;
}

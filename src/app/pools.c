/* SPDX-License-Identifier: MIT */
/*
 * pool->generations says how many generations name a pool: it is made with the first and goes after
 * the last.
 */
#include "app/pools.h"

#include "app/credentials.h"
#include "app/membership.h"
#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "forward/queue.h"

#include <stdlib.h>
#include <string.h>

/* The number of its counters may be another pool's from now on. */
static void free_pool(struct engine *e, struct pool **pool)
{
    ids_put(&e->pool_ids, (*pool)->key.number);
    pool_free(pool);
}

static struct pool *make(struct engine *e, const struct snapshot *s, uint32_t index)
{
    uint32_t number = ids_get(&e->pool_ids);
    struct pool *pool = number == IDS_NONE ? NULL : pool_new(s, index, &e->backend_ids);
    if (pool)
        pool->key = board_key(number);
    else if (number != IDS_NONE)
        ids_put(&e->pool_ids, number);
    bool limited = s->pools[index].max_connections > 0;
    if (pool &&
        ((limited && !queue_attach(pool)) || (e->health && health_add_pool(e->health, pool) < 0))) {
        queue_detach(pool);
        free_pool(e, &pool);
    }
    return pool;
}

/* The pools of a generation by name. */
static bool index_pools(const struct generation *g, struct map *names)
{
    map_init(names, 0);
    for (size_t i = 0; g && i < g->snapshot->pool_count; i++) {
        if (map_put(names, span_cstr(g->snapshot->pools[i].name), g->pools[i]) < 0)
            return false;
    }
    return true;
}

int pools_prepare(struct engine *e, struct generation *next)
{
    const struct snapshot *s = next->snapshot;
    struct map names;
    bool ok = index_pools(e->generation, &names);
    for (uint32_t i = 0; i < s->pool_count && ok; i++) {
        struct pool *pool = map_get(&names, span_cstr(s->pools[i].name));
        next->pools[i] = pool ? pool : make(e, s, i);
        if (next->pools[i])
            next->pools[i]->generations++;
        ok = next->pools[i] != NULL;
    }
    map_fini(&names);
    if (!ok)
        pools_abandon(e, next);
    return ok ? 0 : -(int)REASON_overload;
}

/* No worker has ever seen it. */
static void unmake(struct engine *e, struct pool *pool)
{
    for (uint32_t slot = 0; e->health && slot < pool_backend_count(pool); slot++)
        CHECK(health_forget(e->health, &pool->backends[slot]));
    rotation_forget(e->rotation, pool);
    queue_detach(pool);
    free_pool(e, &pool);
}

void pools_abandon(struct engine *e, struct generation *next)
{
    for (size_t i = 0; i < next->snapshot->pool_count; i++) {
        struct pool *pool = next->pools[i];
        next->pools[i] = NULL;
        if (pool && --pool->generations == 0)
            unmake(e, pool);
    }
}

/* ---- from one generation to the next ---- */

static bool is_new(const struct pool *pool)
{
    return pool->generations == 1;
}

/* Where another pool could not follow: back to the generation that stays. */
static void go_back(struct engine *e, const struct generation *next, size_t count)
{
    struct map names;
    bool ok = index_pools(next, &names);
    const struct snapshot *s = e->generation->snapshot;
    for (uint32_t i = 0; i < s->pool_count && ok; i++) {
        struct pool *pool = e->generation->pools[i];
        if (map_get(&names, span_cstr(s->pools[i].name)) && pool->index < count)
            ok = membership_reconfigure(e->membership, pool, s, i, false, NULL, NULL) == 0;
    }
    map_fini(&names);
    if (!ok)
        log_error("reload", "out of memory: some pools already have the new configuration");
}

/* ---- connections that are made otherwise from now on ---- */

/* Pools whose idle connections are not to be used again. */
struct outdated {
    struct grace grace;
    size_t count;
    struct pool *pools[];
};

static bool connects_alike(const struct pool_conf *a, const struct pool_conf *b)
{
    bool same_name = (!a->tls.sni && !b->tls.sni) ||
                     (a->tls.sni && b->tls.sni && strcmp(a->tls.sni, b->tls.sni) == 0);
    return a->protocol == b->protocol && a->proxy_protocol == b->proxy_protocol && same_name &&
           trust_conf_equal(a, b);
}

static void forget_on_worker(struct grace *g, struct worker *w)
{
    const struct outdated *o = container_of(g, struct outdated, grace);
    for (size_t i = 0; i < o->count; i++) {
        struct pool *pool = o->pools[i];
        for (uint32_t slot = 0; slot < pool_backend_count(pool); slot++)
            forwarder_forget_backend(worker_forwarder(w), &pool->backends[slot]);
    }
}

static void on_forgotten(struct grace *g)
{
    free(container_of(g, struct outdated, grace));
}

static void forget_outdated(struct engine *e, struct outdated *o)
{
    if (o->count == 0) {
        free(o);
        return;
    }
    o->grace = (struct grace){.visit = forget_on_worker, .done = on_forgotten};
    grace_begin(crew_graces(e->crew), &o->grace);
}

int pools_commit(struct engine *e, struct generation *next)
{
    const struct snapshot *s = next->snapshot;
    struct outdated *outdated =
        calloc(1, sizeof(*outdated) + s->pool_count * sizeof(outdated->pools[0]));
    if (!outdated)
        return -(int)REASON_overload;
    for (uint32_t i = 0; i < s->pool_count; i++) {
        if (is_new(next->pools[i]))
            continue;
        if (!connects_alike(pool_conf(next->pools[i]), &s->pools[i]))
            outdated->pools[outdated->count++] = next->pools[i];
        int r = membership_reconfigure(e->membership, next->pools[i], s, i, false, NULL, NULL);
        if (r < 0) {
            go_back(e, next, i);
            free(outdated);
            return r;
        }
    }
    forget_outdated(e, outdated);
    return 0;
}

void pools_leave(struct engine *e, const struct generation *before, const struct generation *now)
{
    struct map names;
    if (!index_pools(now, &names))
        log_warn("reload", "out of memory: pools that were removed are still checked");
    for (size_t i = 0; i < before->snapshot->pool_count; i++) {
        if (!map_get(&names, span_cstr(before->snapshot->pools[i].name)))
            membership_pool_leaves(e->membership, before->pools[i]);
    }
    map_fini(&names);
}

/* A pool on its way out. */
struct retiring {
    struct list link;
    struct engine *engine;
    struct pool *pool;
    uint32_t number; /* of its counters */
};

static void on_retired(void *user)
{
    struct retiring *r = user;
    if (r->engine->ended)
        return; /* given up, not freed: pools_free_retiring does */
    ids_put(&r->engine->pool_ids, r->number);
    list_del(&r->link);
    free(r);
}

static bool retire(struct engine *e, struct pool *pool)
{
    struct retiring *r = calloc(1, sizeof(*r));
    if (!r)
        return false;
    r->engine = e;
    r->pool = pool;
    r->number = pool->key.number;
    list_init(&r->link);
    list_add_tail(&e->retiring, &r->link);
    if (membership_pool_retire(e->membership, pool, on_retired, r) == 0)
        return true;
    list_del(&r->link);
    free(r);
    return false;
}

void pools_release(struct engine *e, struct generation *g)
{
    for (size_t i = 0; i < g->snapshot->pool_count; i++) {
        struct pool *pool = g->pools[i];
        if (--pool->generations > 0)
            continue;
        atomic_store_explicit(&pool->tls, NULL, memory_order_release); /* it goes with g */
        if (!retire(e, pool))
            log_warn("reload", "out of memory: pool %s is kept", pool_conf(pool)->name);
    }
}

void pools_free_retiring(struct engine *e)
{
    struct list *link;
    while ((link = list_pop(&e->retiring)) != NULL) {
        struct retiring *r = container_of(link, struct retiring, link);
        queue_detach(r->pool);
        free_pool(e, &r->pool);
        free(r);
    }
}

void pools_free(struct generation *g)
{
    for (size_t i = 0; i < g->snapshot->pool_count; i++) {
        struct pool *pool = g->pools[i];
        if (!pool || --pool->generations > 0)
            continue;
        queue_detach(pool);
        pool_free(&pool);
    }
}

/* SPDX-License-Identifier: MIT */
#include "app/rotation.h"

#include "account/reason.h"
#include "base/log.h"
#include "forward/queue.h"

#include <stdlib.h>

/* Making a view takes up to a millisecond for each thousand members, a hash table tens of them. A
 * pool rests for several times as long before its next one. */
#define REST_MEMBERS_PER_MS 500
#define REST_HASH_MEMBERS   500
#define REST_HASH_MS        10
#define REST_HASH_LARGE_MS  100
#define NO_MEMORY_MS        100
#define NS_PER_MS           UINT64_C(1000000)

struct rotation {
    struct loop *loop;
    struct graces *graces;
    struct list stale;   /* pools */
    struct list retired; /* views */
    void (*published)(void *user, struct pool *pool);
    void *published_user;
    struct timer due;
};

/* A view that was replaced. */
struct retired {
    struct grace grace;
    struct list link;
    struct rotation *rotation;
    struct pool *pool; /* NULL: has been freed meanwhile */
    struct view *view;
    bool settle;
};

static uint32_t rest_ms(const struct pool *pool)
{
    if (pool->balance != BALANCE_SOURCE_HASH)
        return pool->member_count / REST_MEMBERS_PER_MS;
    return pool->member_count > REST_HASH_MEMBERS ? REST_HASH_LARGE_MS : REST_HASH_MS;
}

/* From when on it may be published again; at the earliest in the next turn. */
static uint64_t rested_ns(const struct pool *pool)
{
    return pool->published_ns + MAX(rest_ms(pool) * NS_PER_MS, UINT64_C(1));
}

static void arm(struct rotation *r, uint64_t at_ns)
{
    uint64_t now = loop_now(r->loop);
    loop_timer_set(r->loop, &r->due, at_ns > now ? (at_ns - now) / NS_PER_MS : 0);
}

static void on_retired(struct grace *g)
{
    struct retired *old = container_of(g, struct retired, grace);
    view_free(&old->view);
    list_del(&old->link);
    if (old->pool && old->settle && pool_settle(old->pool))
        rotation_changed(old->rotation, old->pool);
    free(old);
}

void rotation_now(struct rotation *r, struct pool *pool)
{
    struct retired *old = calloc(1, sizeof(*old));
    bool settle = pool->settle_due;
    struct view *view = old ? pool_rebuild(pool) : NULL;
    pool->published_ns = loop_now(r->loop);
    list_del(&pool->stale);
    if (!view) {
        free(old);
        log_warn("pool", "out of memory: a change of the rotation waits");
        list_add_tail(&r->stale, &pool->stale);
        loop_timer_set(r->loop, &r->due, NO_MEMORY_MS);
        return;
    }
    old->rotation = r;
    old->pool = pool;
    old->view = view;
    old->settle = settle;
    old->grace.visit = NULL;
    old->grace.done = on_retired;
    list_init(&old->link);
    list_add_tail(&r->retired, &old->link);
    grace_begin(r->graces, &old->grace);
    queue_kick(pool);
    if (r->published)
        r->published(r->published_user, pool);
}

void rotation_changed(struct rotation *r, struct pool *pool)
{
    if (loop_now(r->loop) >= rested_ns(pool)) {
        rotation_now(r, pool);
        return;
    }
    if (!list_linked(&pool->stale))
        list_add_tail(&r->stale, &pool->stale);
    if (!timer_armed(&r->due) || rest_ms(pool) == 0)
        arm(r, rested_ns(pool));
}

static void on_due(struct timer *t)
{
    struct rotation *r = container_of(t, struct rotation, due);
    struct list all, *link;
    uint64_t next = UINT64_MAX;
    list_init(&all);
    list_splice_tail(&all, &r->stale);
    while ((link = list_pop(&all)) != NULL) {
        struct pool *pool = container_of(link, struct pool, stale);
        if (loop_now(r->loop) >= rested_ns(pool)) {
            rotation_now(r, pool);
            continue;
        }
        list_add_tail(&r->stale, &pool->stale);
        next = MIN(next, rested_ns(pool));
    }
    if (next != UINT64_MAX)
        arm(r, next);
}

int rotation_new(struct loop *loop, struct graces *graces, struct rotation **ret_rotation)
{
    struct rotation *r = calloc(1, sizeof(*r));
    if (!r)
        return -(int)REASON_overload;
    r->loop = loop;
    r->graces = graces;
    list_init(&r->stale);
    list_init(&r->retired);
    timer_init(&r->due, on_due);
    *ret_rotation = r;
    return 0;
}

void rotation_free(struct rotation **rotation)
{
    struct rotation *r = *rotation;
    if (!r)
        return;
    loop_timer_stop(r->loop, &r->due);
    while (list_pop(&r->stale))
        ;
    free(r);
    *rotation = NULL;
}

void rotation_on_published(struct rotation *r, void (*published)(void *user, struct pool *pool),
                           void *user)
{
    r->published = published;
    r->published_user = user;
}

void rotation_forget(struct rotation *r, struct pool *pool)
{
    struct retired *old;
    list_del(&pool->stale);
    list_each(old, &r->retired, link)
        if (old->pool == pool)
            old->pool = NULL;
}

/* SPDX-License-Identifier: MIT */
#include "app/rotation.h"

#include "account/reason.h"
#include "base/log.h"
#include "forward/queue.h"

#include <stdlib.h>

/* Hash tables take tens of milliseconds from this many backends on, other views some. */
#define HASH_LARGE    500
#define HASH_DELAY_MS 100
#define POOL_LARGE    10000
#define POOL_DELAY_MS 20
#define NO_MEMORY_MS  100

struct rotation {
    struct loop *loop;
    struct graces *graces;
    struct list stale;   /* pools */
    struct list retired; /* views */
    void (*published)(void *user, struct pool *pool);
    void *published_user;
    struct timer due, due_large;
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

static bool is_large(const struct pool *pool)
{
    return pool->member_count > (pool->balance == BALANCE_SOURCE_HASH ? HASH_LARGE : POOL_LARGE);
}

static uint32_t delay_ms(const struct pool *pool)
{
    if (!is_large(pool))
        return 0;
    return pool->balance == BALANCE_SOURCE_HASH ? HASH_DELAY_MS : POOL_DELAY_MS;
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
    list_del(&pool->stale);
    if (!view) {
        free(old);
        log_warn("pool", "out of memory: a change of the rotation waits");
        list_add_tail(&r->stale, &pool->stale);
        loop_timer_set(r->loop, &r->due_large, NO_MEMORY_MS);
        return;
    }
    pool->published_ns = loop_now(r->loop);
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
    if (!is_large(pool) && pool->published_ns != loop_now(r->loop)) {
        rotation_now(r, pool);
        return;
    }
    if (!list_linked(&pool->stale))
        list_add_tail(&r->stale, &pool->stale);
    struct timer *due = is_large(pool) ? &r->due_large : &r->due;
    if (!timer_armed(due))
        loop_timer_set(r->loop, due, delay_ms(pool));
}

/* Large pools wait for their own timer, the others come along with any. */
static void publish(struct rotation *r, bool large)
{
    struct list all;
    list_init(&all);
    list_splice_tail(&all, &r->stale);
    struct list *link;
    while ((link = list_pop(&all)) != NULL) {
        struct pool *pool = container_of(link, struct pool, stale);
        if (is_large(pool) && !large)
            list_add_tail(&r->stale, &pool->stale);
        else
            rotation_now(r, pool);
    }
}

static void on_due(struct timer *t)
{
    publish(container_of(t, struct rotation, due), false);
}

static void on_due_large(struct timer *t)
{
    publish(container_of(t, struct rotation, due_large), true);
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
    timer_init(&r->due_large, on_due_large);
    *ret_rotation = r;
    return 0;
}

void rotation_free(struct rotation **rotation)
{
    struct rotation *r = *rotation;
    if (!r)
        return;
    loop_timer_stop(r->loop, &r->due);
    loop_timer_stop(r->loop, &r->due_large);
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

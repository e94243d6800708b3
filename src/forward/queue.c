/* SPDX-License-Identifier: MIT */
/*
 * pool->waiting is read without the lock by queue_release, so the two sides must not miss each
 * other: the waiter announces itself before it looks for a place a last time (exchange.c picks
 * again after queue_wait), the releaser frees the place before it looks for waiters. Both orders
 * are sequentially consistent.
 */
#include "forward/queue.h"

#include "base/check.h"
#include "pick/pick.h"

#include <pthread.h>
#include <stdlib.h>

struct queue {
    pthread_mutex_t lock;
    struct list waiting; /* the longest waiting first */
};

bool queue_attach(struct pool *pool)
{
    if (queue_of(pool))
        return true;
    struct queue *q = calloc(1, sizeof(*q));
    if (!q)
        return false;
    pthread_mutex_init(&q->lock, NULL);
    list_init(&q->waiting);
    atomic_store_explicit(&pool->queue, q, memory_order_release);
    return true;
}

void queue_detach(struct pool *pool)
{
    struct queue *q = queue_of(pool);
    if (!q)
        return;
    CHECK(list_empty(&q->waiting));
    pthread_mutex_destroy(&q->lock);
    free(q);
    atomic_store_explicit(&pool->queue, NULL, memory_order_relaxed);
}

static void deliver(struct loop *loop, struct message *m)
{
    (void)loop;
    struct queue_entry *e = container_of(m, struct queue_entry, message);
    e->granted(e, e->backend);
}

int queue_wait(struct pool *pool, struct queue_entry *e, struct loop *loop,
               queue_granted_fn *granted)
{
    atomic_thread_fence(memory_order_acquire); /* who saw the limit sees the queue */
    struct queue *q = queue_of(pool);
    *e = (struct queue_entry){.loop = loop, .pool = pool, .granted = granted};
    list_init(&e->link);
    pthread_mutex_lock(&q->lock);
    bool full = atomic_load(&pool->waiting) >= pool_conf(pool)->queue_max;
    if (!full) {
        list_add_tail(&q->waiting, &e->link);
        atomic_fetch_add(&pool->waiting, 1);
    }
    pthread_mutex_unlock(&q->lock);
    atomic_thread_fence(memory_order_seq_cst);
    return full ? -(int)REASON_queue_full : 0;
}

bool queue_cancel(struct queue_entry *e)
{
    struct queue *q = queue_of(e->pool);
    pthread_mutex_lock(&q->lock);
    bool waiting = list_linked(&e->link);
    if (waiting) {
        list_del(&e->link);
        atomic_fetch_sub(&e->pool->waiting, 1);
    }
    pthread_mutex_unlock(&q->lock);
    return waiting;
}

/* Gives a place of b to the first in line; false when there is no place or nobody. */
static bool grant_one(struct pool *pool, struct backend *b)
{
    struct queue *q = queue_of(pool);
    pthread_mutex_lock(&q->lock);
    struct list *first = list_first(&q->waiting);
    bool granted = first && pick_this(b);
    if (granted) {
        struct queue_entry *e = container_of(first, struct queue_entry, link);
        list_del(first);
        atomic_fetch_sub(&pool->waiting, 1);
        e->backend = b;
        e->message.fn = deliver;
        /* Posted under the lock: once it is unlocked queue_cancel may let the entry go. */
        loop_post(e->loop, &e->message);
    }
    pthread_mutex_unlock(&q->lock);
    return granted;
}

void queue_release(struct pool *pool, struct backend *b)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&pool->waiting) > 0)
        grant_one(pool, b);
}

void queue_kick(struct pool *pool)
{
    if (!queue_of(pool))
        return;
    for (uint32_t i = 0; i < pool_backend_count(pool) && atomic_load(&pool->waiting) > 0; i++) {
        while (grant_one(pool, &pool->backends[i]))
            ;
    }
}

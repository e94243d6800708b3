/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The queue of a pool: exchanges that wait because every backend is at max_connections. One queue
 * per pool for the whole process (late binding: whichever backend has a free place first takes the
 * one that has waited longest), so a place freed on one worker may go to an exchange of another.
 *
 *   worker A: pick says QUEUE ─▶ queue_wait ─▶ … ─▶ message on A's loop ─▶ granted(entry, backend)
 *   worker B: pick_done ─▶ queue_release ───────────────▲
 *
 * The place travels with the message: it is counted as taken from the moment it is given. An entry
 * may be cancelled until then; after that it must wait for its message (queue_cancel says which).
 *
 * Thread rule: wait and cancel on the entry's worker; release and kick on any thread. A pool
 * without a limit never comes here, so its exchanges take no lock.
 */

#include "base/list.h"
#include "io/loop.h"
#include "pick/pool.h"

#include <stdbool.h>

struct queue_entry;

/* A place was found; b is counted for the entry. */
typedef void queue_granted_fn(struct queue_entry *e, struct backend *b);

struct queue_entry {
    struct list link;
    struct loop *loop;
    struct pool *pool;
    struct backend *backend; /* given, on its way */
    queue_granted_fn *granted;
    struct message message;
};

/* Gives the pool its queue unless it has one; false when out of memory. Control thread, before the
 * pool's limit is set. */
NODISCARD bool queue_attach(struct pool *pool);
/* Accepts a pool without one. */
void queue_detach(struct pool *pool);

/* Puts the entry at the end. 0, or -REASON_queue_full. */
NODISCARD int queue_wait(struct pool *pool, struct queue_entry *e, struct loop *loop,
                         queue_granted_fn *granted);

/* Takes the entry out. False: its grant is on the way, `granted` will be called, and the entry must
 * stay in place until then. */
NODISCARD bool queue_cancel(struct queue_entry *e);

/* After pick_done(b): hands the free place to whoever waits. Cheap when nobody does. */
void queue_release(struct pool *pool, struct backend *b);

static inline struct queue *queue_of(const struct pool *pool)
{
    return atomic_load_explicit(&pool->queue, memory_order_acquire);
}

/* After backends came into rotation, or the limit was raised: fills their places from the queue.
 * Control thread. */
void queue_kick(struct pool *pool);

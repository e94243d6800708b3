/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Pools at run time: who the backends are, how they are doing, and which are in rotation.
 *
 *   struct pool ──── shared words (cursor, least-connections state, waiting count)
 *     │  view ─────▶ struct view (immutable): the members in rotation and the tables of the policy
 *     └─ backends ─▶ struct backend[slot] : 64 hot bytes each, relaxed atomics, and cold facts
 *
 * The control thread changes states (health, ejection, drain) and then publishes a new view;
 * workers load the view pointer for each pick and never hold it beyond one call. An old view is
 * freed by whoever rebuilt, after every worker has passed a quiescent point. Slots never move and
 * are not reused while an exchange may still point at one.
 *
 * No I/O, no clock, no allocation on pick. Thread rule: stated per call.
 */

#include "account/reason.h"
#include "base/compiler.h"
#include "base/rng.h"
#include "config/snapshot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct view;
struct least;

/* Why a backend is out of rotation; a bit set, 0 = in rotation. */
enum backend_state_bits {
    BACKEND_DOWN = 1,       /* the health checks say so */
    BACKEND_EJECTED = 2,    /* passive health, until the timer of health/passive.c */
    BACKEND_UNRESOLVED = 4, /* its name has no address yet */
    BACKEND_DRAIN = 8,      /* the operator: finishes what it has */
    BACKEND_DISABLED = 16,  /* the operator: not to be used */
    BACKEND_REMOVED = 32,   /* goes when nothing runs there any more */
};

struct backend {
    /* shared, hot: one cache line */
    ALIGNED(64)
    _Atomic uint32_t in_flight; /* exchanges given to it, waiting for connect included */
    _Atomic uint32_t state;     /* enum backend_state_bits */
    _Atomic uint32_t failures;  /* passive: in the current window */
    _Atomic uint32_t window_ms; /* passive: when that window began (low bits) */
    _Atomic(const struct address *) address; /* resolved; replaced by the resolver only */

    /* set at creation */
    const struct backend_conf *conf;
    struct pool *pool;
    uint32_t slot;
    uint32_t weight;

    /* least connections, under the lock of pool->least */
    uint32_t least_prev, least_next, least_bucket;
};

struct pool {
    /* set at creation */
    const struct snapshot *snapshot; /* one reference */
    const struct pool_conf *conf;
    uint32_t index; /* of the pool in the snapshot */
    struct backend *backends;
    uint32_t backend_count;

    /* shared */
    _Atomic(struct view *) view;
    ALIGNED(64) _Atomic uint64_t cursor; /* round robin: one for the whole process */
    ALIGNED(64)
    _Atomic uint32_t waiting; /* exchanges in forward/queue for any backend of this pool */
    struct least *least;      /* least_connections only; guarded by its own lock (pick_least.c) */
    void *queue;              /* forward/queue.c */
};

/* A runtime pool for conf (index `index` of s) with all backends in rotation, but those whose name
 * has no address yet; NULL when out of memory. Main thread, before the workers start. `seed` is for
 * policies with a random start; none of the present ones has one: round_robin begins with the
 * first backend, and source_hash depends on names alone so that a restart moves no key. */
struct pool *pool_new(const struct snapshot *s, uint32_t index, uint64_t seed);
void pool_free(struct pool **pool);

/* Sets or clears state bits of a backend. Returns true when its being in rotation changed; then
 * pool_rebuild is due. Any thread. */
bool backend_state_change(struct backend *b, uint32_t set, uint32_t clear);

static inline bool backend_in_rotation(const struct backend *b)
{
    return atomic_load_explicit(&b->state, memory_order_relaxed) == 0;
}

/*
 * Builds a new view from the present states and publishes it. Returns the old view, which the
 * caller must give to view_free once no worker can be inside a pick with it; NULL when out of
 * memory: then the present view stays, which is safe (a pick looks at the states too). Control
 * thread only.
 */
NODISCARD struct view *pool_rebuild(struct pool *pool);
void view_free(struct view **view);

/* For status: how many can be picked now: in rotation, of the tier in use, weight above 0. */
uint32_t view_active_count(const struct view *view);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Pools at run time: who the backends are, how they are doing, and which are in rotation.
 *
 *   struct pool ──── shared words (cursor, least-connections state, waiting count)
 *     │  conf ─────▶ struct pool_conf of the current snapshot, exchanged by a reload
 *     │  view ─────▶ struct view (immutable): the members in rotation and the tables of the policy
 *     └─ backends ─▶ struct backend[slot] : 64 hot bytes each, relaxed atomics, and cold facts
 *
 * The control thread changes states (health, ejection, the operator), members and weights, and then
 * publishes a new view; workers load the view pointer for each pick and never hold it beyond one
 * call. An old view is freed by whoever rebuilt, after a grace round: once every worker has passed
 * a quiescent point, a place between two turns where it holds nothing it did not count.
 *
 * Slots never move. A backend that is removed keeps its slot, its name and its counters until
 * nobody can hold it any more (app/membership.c sees to that); then the slot may be had by another.
 *
 *   pool_add ─▶ (pool_rebuild) ─▶ serves ─▶ backend_admin(REMOVED) ─▶ (pool_rebuild) ─▶ grace round
 *        ─▶ in_flight and pins are 0 ─▶ grace round ─▶ still 0 ─▶ pool_forget
 *
 * No I/O, no clock, no allocation on pick. Thread rule: stated per call; "control" is the control
 * thread, or the main thread before the workers start.
 */

#include "account/board.h"
#include "account/reason.h"
#include "base/compiler.h"
#include "base/ids.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "config/snapshot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct view;
struct tls_client; /* codec/tls.h */
struct least;
struct queue;  /* forward/queue.h */
struct target; /* health/ */

/* Why a backend is out of rotation; a bit set, 0 = in rotation. */
enum backend_state_bits {
    BACKEND_DOWN = 1,       /* the health checks say so */
    BACKEND_EJECTED = 2,    /* passive health, until the timer of health/passive.c */
    BACKEND_UNRESOLVED = 4, /* its name has no address yet */
    BACKEND_DRAIN = 8,      /* the operator: finishes what it has */
    BACKEND_DISABLED = 16,  /* the operator: not to be used */
    BACKEND_REMOVED = 32,   /* goes when nothing runs there any more */
    BACKEND_FREE = 64,      /* the slot is nobody's */
};

/* What the operator decides, through backend_admin_set. */
#define BACKEND_ADMIN_BITS ((uint32_t)(BACKEND_DRAIN | BACKEND_DISABLED | BACKEND_REMOVED))

struct backend {
    /* shared, hot: one cache line */
    ALIGNED(64)
    _Atomic uint32_t in_flight; /* exchanges given to it, waiting for connect included */
    _Atomic uint16_t state;     /* enum backend_state_bits */
    _Atomic uint16_t weight;    /* written by control */
    _Atomic(const struct address *) address; /* resolved; replaced by the resolver only */

    /* set when it is added; for a worker it stays while it is in flight or pinned there, and to
     * the end of that turn */
    struct pool *pool;
    const struct backend_conf *conf; /* its own copy; only name and address are for workers */
    uint32_t slot;
    union {
        uint32_t id; /* small, its own among all backends of all pools as long as it exists */
        struct board_key key; /* of its counters; its number is the id */
    };

    /* least connections, under the lock of pool->least */
    uint32_t least_prev, least_next, least_bucket;

    struct target *health; /* health/'s, set before it is first picked */
};

/* How TLS is spoken to the backends of a pool. Immutable; made and freed by app/certificates.h. */
struct pool_tls {
    uint32_t workers;
    bool http2;                   /* it is what workers offer, and nothing else */
    struct tls_client *clients[]; /* by worker, then one of the control thread */
};

#define POOL_TLS_CONTROL UINT32_MAX /* in a worker's place: the control thread, for probes */

struct pool {
    /* set at creation */
    struct backend *backends; /* room for BACKENDS_MAX; slots in use below backend_count */
    struct ids *ids;          /* or NULL: an id is the slot */
    struct board_key key;     /* of its counters; set by the owner */

    /* exchanged by control, read by all */
    _Atomic(struct view *) view;
    _Atomic(const struct pool_conf *) conf; /* pool_conf() */
    _Atomic uint32_t max_connections;       /* conf's, at hand for picking */
    _Atomic(const struct pool_tls *) tls;   /* pool_tls(); not freed by pool_free */
    _Atomic bool locked;                    /* in_flight moves under the lock of `least` */
    _Atomic uint32_t backend_count;         /* slots ever used */
    _Atomic(struct least *) least;          /* since least_connections was first asked for */
    _Atomic(struct queue *) queue;          /* since there first was a limit */

    /* control only */
    const struct snapshot *snapshot; /* one reference */
    uint32_t index;                  /* of the pool in the snapshot */
    uint32_t member_count;           /* backends that are not removed */
    enum balance balance;            /* the policy of new views, see pool_settle */
    bool settle_due;                 /* pool_settle has something to do */
    bool admin_due;                  /* states are behind what the operator wants */
    bool kept_logged;      /* health's: that the last backend was not ejected has been said */
    struct list stale;     /* app's: waits for a new view */
    uint64_t published_ns; /* app's: the turn of the last one */
    uint32_t generations;  /* app's: of configurations that name it */
    struct ids slots;
    struct map names; /* of the members, once somebody has been looked for */
    bool names_known;

    /* shared */
    ALIGNED(64) _Atomic uint64_t cursor; /* round robin: one for the whole process */
    ALIGNED(64)
    _Atomic uint32_t waiting; /* exchanges in forward/queue for any backend of this pool */
};

/* A runtime pool for conf (index `index` of s) with all backends in rotation, but those whose name
 * has no address yet; NULL when out of memory. `ids` outlives it and is shared by all pools of a
 * process; NULL for a pool that is alone. Control. */
struct pool *pool_new(const struct snapshot *s, uint32_t index, struct ids *ids);

/* Nobody may use it any more. Leaves NULL; accepts NULL. */
void pool_free(struct pool **pool);

/* The configuration now. It is valid for a worker to the end of its turn. Any thread. */
static inline const struct pool_conf *pool_conf(const struct pool *pool)
{
    return atomic_load_explicit(&pool->conf, memory_order_acquire);
}

/* What connections of this worker (or POOL_TLS_CONTROL) to its backends are made with, while its
 * conf has tls.enabled. Valid to the end of the turn: what needs it longer takes a reference. NULL
 * only where TLS has just been switched on or off: then no connection may be made, in clear least
 * of all. On that worker. */
static inline struct tls_client *pool_tls(const struct pool *pool, uint32_t worker)
{
    const struct pool_tls *t = atomic_load_explicit(&pool->tls, memory_order_acquire);
    if (!t)
        return NULL;
    return t->clients[worker == POOL_TLS_CONTROL ? t->workers : worker];
}

/* Whether requests go to its backends over HTTP/2. A reload exchanges conf and tls one after the
 * other: what the handshake offers decides. On a worker. */
static inline bool pool_has_http2(const struct pool *pool)
{
    const struct pool_conf *conf = pool_conf(pool);
    const struct pool_tls *t =
        UNLIKELY(conf->tls.enabled) ? atomic_load_explicit(&pool->tls, memory_order_acquire) : NULL;
    return t ? t->http2 : conf->protocol == PROTOCOL_HTTP2;
}

static inline uint32_t pool_backend_count(const struct pool *pool)
{
    return atomic_load_explicit(&pool->backend_count, memory_order_relaxed);
}

/* Whether there is a backend in this slot (one being removed is). Control. */
static inline bool backend_exists(const struct backend *b)
{
    return b->conf != NULL;
}

/* ---- members: control thread; none is effective before the next pool_rebuild ---- */

/* The backend of that name that is not being removed, or NULL. */
struct backend *pool_find(struct pool *pool, struct span name);

/* One more, with a copy of *conf, counters at 0; NULL when out of memory or of slots. */
struct backend *pool_add(struct pool *pool, const struct backend_conf *conf);

/* Frees the slot: it was never in a view, or nobody can hold it any more. */
void pool_forget(struct backend *b);

/* DRAIN, DISABLED and REMOVED as the operator wants them (0 = ready); REMOVED cannot be taken back.
 * The states that workers see follow with the view: so what replaces it is there first. */
void backend_admin_set(struct backend *b, uint32_t bits);
uint32_t backend_admin(const struct backend *b);

/* 0..BACKEND_WEIGHT_MAX. */
void backend_weight_set(struct backend *b, uint32_t weight);

static inline uint32_t backend_weight(const struct backend *b)
{
    return atomic_load_explicit(&b->weight, memory_order_relaxed);
}

/* A place for who manages members (app/membership.c) to keep something of its own. */
void **backend_user(struct backend *b);

/*
 * A pin keeps a backend from being forgotten while something points at it that is not in flight
 * there (the log's line of an exchange whose client is slow). Taken in a turn in which the backend
 * was still in flight; any thread.
 */
void backend_pin(struct backend *b);
void backend_unpin(struct backend *b);

/* Nothing is in flight and nothing pinned. True for a removed backend, a grace round after its
 * removal, and true again a grace round later: then it may be forgotten. Control. */
bool backend_quiet(const struct backend *b);

/* ---- a reload: control thread ---- */

/*
 * What a reconfiguration found, and the caller's part in it. `added` is called for each new backend
 * before anything else changes, and may refuse with a negative reason: then all is undone.
 * `removed` is called for each that goes, with REMOVED already set. NULL: nothing to be done.
 */
struct pool_change_ops {
    void (*note)(void *user, const char *change, const char *name, const char *detail);
    int (*added)(void *user, struct backend *b);
    void (*unadded)(void *user, struct backend *b); /* undoes `added` */
    void (*removed)(void *user, struct backend *b);
};

/*
 * Brings the pool to the configuration `index` of s: a backend of the same name and address is kept
 * with all it has; others come and go. Everything may change but the pool's name. A pool_rebuild is
 * due afterwards, and the former snapshot must outlive a grace round. With plan_only nothing
 * changes and only `note` is called: change is "added", "removed" or "changed", name the backend's
 * or the setting's. 0, or a negative reason with nothing changed.
 */
NODISCARD int pool_reconfigure(struct pool *pool, const struct snapshot *s, uint32_t index,
                               bool plan_only, const struct pool_change_ops *ops, void *user);

/*
 * A change from or to least_connections takes two steps, as all workers must count under the same
 * rule before the lists of that policy may be trusted. True when the second step was taken: another
 * pool_rebuild is due. Call after each grace round that followed a pool_rebuild.
 */
bool pool_settle(struct pool *pool);

/* ---- states ---- */

/* Sets or clears state bits of a backend, other than the operator's. Returns true when its being in
 * rotation changed; then pool_rebuild is due. Any thread. */
bool backend_state_change(struct backend *b, uint32_t set, uint32_t clear);

static inline bool backend_in_rotation(const struct backend *b)
{
    return atomic_load_explicit(&b->state, memory_order_relaxed) == 0;
}

/* ---- views ---- */

/*
 * Builds a new view from the present members, weights and states and publishes it. Returns the old
 * view, which the caller must give to view_free after a grace round; NULL when out of memory: then
 * the present view stays, which is safe (a pick looks at the states too). Control.
 *
 * Policies stay exact over a change: round robin goes on behind the backend it was at.
 */
NODISCARD struct view *pool_rebuild(struct pool *pool);
void view_free(struct view **view);

/* For status: how many can be picked now: in rotation, of the tier in use, weight above 0. */
uint32_t view_active_count(const struct view *view);

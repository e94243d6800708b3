/* SPDX-License-Identifier: MIT */
/*
 * least_connections: the lowest in_flight / weight of the whole process, found in a time that does
 * not depend on the number of backends. It is the one policy with a lock: exactness over threads
 * needs one order of all picks. The lock is held for some tens of nanoseconds and spins before it
 * sleeps. Under it, and only under it, in_flight of this policy's backends moves.
 *
 *   class (one per distinct weight)
 *     └─ first ─▶ bucket load 2 ─▶ bucket load 3 ─▶ bucket load 7      ascending, none empty
 *                   └─ B4 ─ B1       └─ B2            └─ B5            longest waiting first
 *
 * A pick or a completion moves one backend to the neighbouring bucket, at its end: equals take
 * turns. Equals of different weight share by smooth weighted round robin over the classes, so an
 * idle pool is not emptied of its weights.
 *
 * Listed are the members of the last view. in_flight is authoritative: a backend that leaves the
 * rotation is taken out of the lists and goes on counting down; when it returns it is filed by
 * what is still under way.
 */
#include "base/check.h"
#include "base/limits.h"
#include "pick/view.h"

#include <pthread.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct bucket {
    uint32_t load;
    uint32_t count;
    uint32_t prev, next; /* buckets of the class; next also links the free list */
    uint32_t head, tail; /* slots */
};

struct class
{
    uint32_t weight;
    uint32_t first; /* bucket of the lowest load, or NONE */
    int64_t turn;   /* smooth weighted round robin among tied classes */
};

struct least {
    pthread_mutex_t lock;
    struct backend *backends;
    struct bucket *buckets; /* one per backend and one to move into: more can never be in use */
    uint32_t free_bucket;
    uint32_t class_count;
    struct class classes[BACKEND_WEIGHT_MAX];
    uint8_t class_of[BACKEND_WEIGHT_MAX + 1];
};

static_assert(BACKEND_WEIGHT_MAX <= 256, "class numbers fit 8 bits");

static struct least *least_of(const struct backend *b)
{
    return b->pool->least;
}

static struct class *class_of(struct least *l, const struct backend *b)
{
    return &l->classes[l->class_of[b->weight]];
}

static void lock(struct least *l)
{
    int rc = pthread_mutex_lock(&l->lock);
    CHECK(rc == 0);
}

static void unlock(struct least *l)
{
    int rc = pthread_mutex_unlock(&l->lock);
    CHECK(rc == 0);
}

/* ---- buckets ---- */

/* A new bucket behind `prev` (NONE: in front). */
static uint32_t bucket_new(struct least *l, struct class *c, uint32_t prev, uint32_t load)
{
    uint32_t at = l->free_bucket;
    CHECK(at != NONE);
    struct bucket *k = &l->buckets[at];
    l->free_bucket = k->next;
    uint32_t next = prev == NONE ? c->first : l->buckets[prev].next;
    *k = (struct bucket){.load = load, .prev = prev, .next = next, .head = NONE, .tail = NONE};
    if (prev == NONE)
        c->first = at;
    else
        l->buckets[prev].next = at;
    if (next != NONE)
        l->buckets[next].prev = at;
    return at;
}

static void bucket_free(struct least *l, struct class *c, uint32_t at)
{
    struct bucket *k = &l->buckets[at];
    if (k->prev == NONE)
        c->first = k->next;
    else
        l->buckets[k->prev].next = k->next;
    if (k->next != NONE)
        l->buckets[k->next].prev = k->prev;
    k->next = l->free_bucket;
    l->free_bucket = at;
}

static void bucket_add(struct least *l, uint32_t at, struct backend *b)
{
    struct bucket *k = &l->buckets[at];
    b->least_bucket = at;
    b->least_prev = k->tail;
    b->least_next = NONE;
    if (k->tail == NONE)
        k->head = b->slot;
    else
        l->backends[k->tail].least_next = b->slot;
    k->tail = b->slot;
    k->count++;
}

/* Leaves the bucket standing even if it is empty now. */
static void bucket_del(struct least *l, struct backend *b)
{
    struct bucket *k = &l->buckets[b->least_bucket];
    if (b->least_prev == NONE)
        k->head = b->least_next;
    else
        l->backends[b->least_prev].least_next = b->least_next;
    if (b->least_next == NONE)
        k->tail = b->least_prev;
    else
        l->backends[b->least_next].least_prev = b->least_prev;
    k->count--;
    b->least_bucket = NONE;
}

/* ---- backends in and between buckets ---- */

/* Files an unlisted backend; walks the loads of its class, for changes of the rotation only. */
static void enlist(struct least *l, struct backend *b)
{
    struct class *c = class_of(l, b);
    uint32_t load = atomic_load_explicit(&b->in_flight, memory_order_relaxed);
    uint32_t prev = NONE, at = c->first;
    while (at != NONE && l->buckets[at].load < load) {
        prev = at;
        at = l->buckets[at].next;
    }
    if (at == NONE || l->buckets[at].load != load)
        at = bucket_new(l, c, prev, load);
    bucket_add(l, at, b);
}

static void delist(struct least *l, struct backend *b)
{
    uint32_t at = b->least_bucket;
    bucket_del(l, b);
    if (l->buckets[at].count == 0)
        bucket_free(l, class_of(l, b), at);
}

/* To the bucket of one more or one less. */
static void move(struct least *l, struct backend *b, bool up)
{
    struct class *c = class_of(l, b);
    uint32_t from = b->least_bucket;
    uint32_t load = l->buckets[from].load;
    uint32_t neighbour = up ? l->buckets[from].next : l->buckets[from].prev;
    load = up ? load + 1 : load - 1;
    if (neighbour == NONE || l->buckets[neighbour].load != load)
        neighbour = bucket_new(l, c, up ? from : l->buckets[from].prev, load);
    bucket_del(l, b);
    bucket_add(l, neighbour, b);
    if (l->buckets[from].count == 0)
        bucket_free(l, c, from);
}

static void count_up(struct least *l, struct backend *b)
{
    uint32_t before = atomic_fetch_add_explicit(&b->in_flight, 1, memory_order_relaxed);
    if (b->least_bucket == NONE)
        return;
    CHECK(l->buckets[b->least_bucket].load == before);
    move(l, b, true);
}

static void count_down(struct least *l, struct backend *b)
{
    uint32_t before = atomic_fetch_sub_explicit(&b->in_flight, 1, memory_order_relaxed);
    CHECK(before > 0);
    if (b->least_bucket == NONE)
        return;
    CHECK(l->buckets[b->least_bucket].load == before);
    move(l, b, false);
}

/* ---- the pick ---- */

struct candidate {
    struct class *class;
    struct backend *backend;
    uint32_t load;
    uint32_t ties; /* backends in its bucket */
};

/* The least loaded eligible backend of a class; notes in *full if one was passed over only for its
 * limit. Steps over those tried and those that left since the last view. */
static bool class_least(const struct least *l, struct class *c, uint32_t limit,
                        const struct pick_request *request, struct candidate *ret, bool *full)
{
    for (uint32_t at = c->first; at != NONE; at = l->buckets[at].next) {
        const struct bucket *k = &l->buckets[at];
        for (uint32_t slot = k->head; slot != NONE; slot = l->backends[slot].least_next) {
            struct backend *b = &l->backends[slot];
            if (!pick_eligible(b, request))
                continue;
            if (limit != 0 && k->load >= limit) {
                *full = true;
                return false;
            }
            *ret = (struct candidate){c, b, k->load, k->count};
            return true;
        }
    }
    return false;
}

/* <0, 0, >0 as in_flight / weight of a is below, at or above that of b. */
static int compare(const struct candidate *a, const struct candidate *b)
{
    uint64_t left = (uint64_t)a->load * b->class->weight;
    uint64_t right = (uint64_t)b->load * a->class->weight;
    return (left > right) - (left < right);
}

/* Whose turn it is among those tied with `best` (nginx's smooth weighted round robin). */
static struct backend *take_turns(struct candidate *all, uint32_t count,
                                  const struct candidate *best)
{
    int64_t total = 0;
    struct candidate *winner = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (compare(&all[i], best) != 0)
            continue;
        int64_t share = (int64_t)all[i].class->weight * all[i].ties;
        all[i].class->turn += share;
        total += share;
        if (!winner || all[i].class->turn > winner->class->turn)
            winner = &all[i];
    }
    CHECK(winner != NULL); /* `best` is one of them */
    winner->class->turn -= total;
    return winner->backend;
}

static struct backend *choose(struct least *l, uint32_t limit, const struct pick_request *request,
                              bool *full)
{
    struct candidate all[BACKEND_WEIGHT_MAX];
    uint32_t count = 0, best = 0;
    for (uint32_t i = 0; i < l->class_count; i++)
        if (class_least(l, &l->classes[i], limit, request, &all[count], full)) {
            if (compare(&all[count], &all[best]) < 0)
                best = count;
            count++;
        }
    if (count <= 1)
        return count ? all[0].backend : NULL;
    return take_turns(all, count, &all[best]);
}

enum pick_answer pick_least(struct pool *pool, const struct view *v UNUSED,
                            const struct pick_request *request, struct rng *rng UNUSED,
                            struct backend **ret_backend)
{
    struct least *l = pool->least;
    bool full = false;
    lock(l);
    struct backend *b = choose(l, pool->conf->max_connections, request, &full);
    if (b)
        count_up(l, b);
    unlock(l);
    if (!b)
        return full ? PICK_QUEUE : PICK_NONE;
    *ret_backend = b;
    return PICK_OK;
}

bool least_take(struct backend *b)
{
    struct least *l = least_of(b);
    uint32_t limit = b->pool->conf->max_connections;
    lock(l);
    bool fits = limit == 0 || atomic_load_explicit(&b->in_flight, memory_order_relaxed) < limit;
    if (fits)
        count_up(l, b);
    unlock(l);
    return fits;
}

void least_done(struct backend *b)
{
    struct least *l = least_of(b);
    lock(l);
    count_down(l, b);
    unlock(l);
}

/* ---- set-up ---- */

static void classes_init(struct least *l, const struct pool *pool)
{
    bool used[BACKEND_WEIGHT_MAX + 1] = {false};
    for (uint32_t i = 0; i < pool->backend_count; i++)
        used[pool->backends[i].weight] = true;
    for (uint32_t w = BACKEND_WEIGHT_MAX; w > 0; w--)
        if (used[w]) {
            l->class_of[w] = (uint8_t)l->class_count;
            l->classes[l->class_count++] = (struct class){.weight = w, .first = NONE};
        }
}

struct least *least_new(struct pool *pool)
{
    uint32_t bucket_count = pool->backend_count + 1;
    struct least *l = calloc(1, sizeof(*l));
    struct bucket *buckets = calloc(bucket_count, sizeof(*buckets));
    if (!l || !buckets) {
        free(l);
        free(buckets);
        return NULL;
    }
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&l->lock, &kind);
    pthread_mutexattr_destroy(&kind);
    l->backends = pool->backends;
    l->buckets = buckets;
    for (uint32_t i = 0; i < bucket_count; i++)
        buckets[i].next = i + 1 < bucket_count ? i + 1 : NONE;
    for (uint32_t i = 0; i < pool->backend_count; i++)
        pool->backends[i].least_bucket = NONE;
    classes_init(l, pool);
    return l;
}

void least_free(struct least **least)
{
    if (!*least)
        return;
    pthread_mutex_destroy(&(*least)->lock);
    free((*least)->buckets);
    free(*least);
    *least = NULL;
}

void least_update(struct pool *pool, const struct view *v)
{
    struct least *l = pool->least;
    lock(l);
    for (uint32_t slot = 0, m = 0; slot < pool->backend_count; slot++) {
        struct backend *b = &pool->backends[slot];
        bool member = m < v->count && v->members[m] == slot;
        bool listed = b->least_bucket != NONE;
        m += member;
        if (member && !listed)
            enlist(l, b);
        else if (!member && listed)
            delist(l, b);
    }
    unlock(l);
}

/* SPDX-License-Identifier: MIT */
/*
 * least_connections: the lowest in_flight / weight of the whole process, found in a time that does
 * not depend on the number of backends. It is the one policy with a lock: exactness over threads
 * needs one order of all picks. The lock is held for some tens of nanoseconds and spins before it
 * sleeps. Under it, and only under it, in_flight of this policy's backends moves.
 *
 *   class (one per weight in use)
 *     └─ first ─▶ bucket load 2 ─▶ bucket load 3 ─▶ bucket load 7      ascending, none empty
 *                   └─ B4 ─ B1       └─ B2            └─ B5            longest waiting first
 *
 * A pick or a completion moves one backend to the neighbouring bucket, at its end: equals take
 * turns. Equals of different weight share by smooth weighted round robin over the classes, so an
 * idle pool is not emptied of its weights.
 *
 * Listed are the members of the last view. in_flight is authoritative: a backend that leaves the
 * rotation is taken out of the lists and goes on counting down; when it returns it is filed by
 * what is still under way. A backend stays in the class it was filed under until the next view,
 * even if its weight has changed meanwhile.
 */
#include "base/check.h"
#include "base/limits.h"
#include "pick/view.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct bucket {
    uint32_t load;
    uint32_t weight; /* its class */
    uint32_t count;
    uint32_t prev, next; /* buckets of the class; next also links the free list */
    uint32_t head, tail; /* slots */
};

struct class
{
    uint32_t weight;
    uint32_t first; /* bucket of the lowest load, or NONE: then it is not in `used` */
    int64_t turn;   /* smooth weighted round robin among tied classes */
};

struct least {
    pthread_mutex_t lock;
    struct backend *backends;
    struct bucket *buckets; /* one per slot and one to move into: more can never be in use */
    uint32_t slots;
    uint32_t free_bucket;
    uint32_t used_count;
    uint16_t used[BACKEND_WEIGHT_MAX];            /* weights with backends, the largest first */
    struct class classes[BACKEND_WEIGHT_MAX + 1]; /* by weight */
};

static struct least *least_of(const struct pool *pool)
{
    return atomic_load_explicit(&pool->least, memory_order_acquire);
}

/* The class a listed backend is in. */
static struct class *class_of(struct least *l, const struct backend *b)
{
    return &l->classes[l->buckets[b->least_bucket].weight];
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
    *k = (struct bucket){
        .load = load,
        .weight = c->weight,
        .prev = prev,
        .next = next,
        .head = NONE,
        .tail = NONE,
    };
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
    struct class *c = &l->classes[backend_weight(b)];
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
    struct class *c = class_of(l, b);
    bucket_del(l, b);
    if (l->buckets[at].count == 0)
        bucket_free(l, c, at);
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
    for (uint32_t i = 0; i < l->used_count; i++)
        if (class_least(l, &l->classes[l->used[i]], limit, request, &all[count], full)) {
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
    struct least *l = least_of(pool);
    uint32_t limit = atomic_load_explicit(&pool->max_connections, memory_order_relaxed);
    bool full = false;
    lock(l);
    struct backend *b = choose(l, limit, request, &full);
    if (b)
        count_up(l, b);
    unlock(l);
    if (!b)
        return full ? PICK_QUEUE : PICK_NONE;
    *ret_backend = b;
    return PICK_OK;
}

NOINLINE bool least_take(struct backend *b)
{
    struct least *l = least_of(b->pool);
    uint32_t limit = atomic_load_explicit(&b->pool->max_connections, memory_order_relaxed);
    lock(l);
    bool fits = limit == 0 || atomic_load_explicit(&b->in_flight, memory_order_relaxed) < limit;
    if (fits)
        count_up(l, b);
    unlock(l);
    return fits;
}

NOINLINE void least_done(struct backend *b)
{
    struct least *l = least_of(b->pool);
    lock(l);
    count_down(l, b);
    unlock(l);
}

/* ---- members: the control thread ---- */

static void free_buckets(struct least *l, struct bucket *buckets, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        buckets[i].next = l->free_bucket;
        l->free_bucket = i;
    }
}

bool least_reserve(struct pool *pool, uint32_t slots)
{
    struct least *l = least_of(pool);
    if (!l || slots <= l->slots)
        return true;
    uint32_t count = MIN(MAX(slots, 2 * l->slots), (uint32_t)BACKENDS_MAX);
    struct bucket *larger = calloc((size_t)count + 1, sizeof(*larger));
    if (!larger)
        return false;
    struct bucket *old = l->buckets;
    lock(l);
    memcpy(larger, old, ((size_t)l->slots + 1) * sizeof(*old));
    free_buckets(l, larger, l->slots + 1, count + 1);
    l->buckets = larger;
    l->slots = count;
    unlock(l);
    free(old);
    return true;
}

static struct least *least_new(struct pool *pool)
{
    uint32_t slots = pool_backend_count(pool);
    struct least *l = calloc(1, sizeof(*l));
    struct bucket *buckets = calloc((size_t)slots + 1, sizeof(*buckets));
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
    l->slots = slots;
    l->free_bucket = NONE;
    free_buckets(l, buckets, 0, slots + 1);
    for (uint32_t w = 0; w <= BACKEND_WEIGHT_MAX; w++)
        l->classes[w] = (struct class){.weight = w, .first = NONE};
    return l;
}

bool least_begin(struct pool *pool)
{
    struct least *l = least_of(pool);
    if (!l) {
        l = least_new(pool);
        if (!l)
            return false;
        atomic_store_explicit(&pool->least, l, memory_order_release);
    }
    atomic_store(&pool->locked, true);
    return true;
}

void least_free(struct pool *pool)
{
    struct least *l = least_of(pool);
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l->buckets);
    free(l);
    atomic_store_explicit(&pool->least, NULL, memory_order_relaxed);
}

/* Which classes have somebody now. One that empties keeps its turn for when it returns. */
static void find_used(struct least *l)
{
    l->used_count = 0;
    for (uint32_t w = BACKEND_WEIGHT_MAX; w > 0; w--)
        if (l->classes[w].first != NONE)
            l->used[l->used_count++] = (uint16_t)w;
}

void least_update(struct pool *pool, const struct view *v)
{
    struct least *l = least_of(pool);
    lock(l);
    for (uint32_t slot = 0, m = 0; slot < pool_backend_count(pool); slot++) {
        struct backend *b = &l->backends[slot];
        bool member = m < v->count && v->members[m] == slot;
        bool listed = b->least_bucket != NONE;
        m += member;
        if (listed && (!member || class_of(l, b)->weight != backend_weight(b))) {
            delist(l, b);
            listed = false;
        }
        if (member && !listed)
            enlist(l, b);
    }
    find_used(l);
    unlock(l);
}

void least_end(struct pool *pool)
{
    struct least *l = least_of(pool);
    lock(l);
    for (uint32_t slot = 0; slot < pool_backend_count(pool); slot++)
        if (l->backends[slot].least_bucket != NONE)
            delist(l, &l->backends[slot]);
    find_used(l);
    unlock(l);
    atomic_store(&pool->locked, false);
}

bool least_copy(struct pool *from, struct pool *to)
{
    struct least *source = least_of(from), *l = least_of(to);
    if (!least_reserve(to, source->slots))
        return false;
    lock(source);
    memcpy(l->buckets, source->buckets, ((size_t)source->slots + 1) * sizeof(*l->buckets));
    memcpy(l->used, source->used, sizeof(l->used));
    memcpy(l->classes, source->classes, sizeof(l->classes));
    l->used_count = source->used_count;
    l->free_bucket = source->free_bucket;
    for (uint32_t i = 0; i < pool_backend_count(from); i++) {
        const struct backend *b = &from->backends[i];
        struct backend *copy = &to->backends[i];
        copy->least_prev = b->least_prev;
        copy->least_next = b->least_next;
        copy->least_bucket = b->least_bucket;
        atomic_store_explicit(&copy->in_flight,
                              atomic_load_explicit(&b->in_flight, memory_order_relaxed),
                              memory_order_relaxed);
    }
    unlock(source);
    return true;
}

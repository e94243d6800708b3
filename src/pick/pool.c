/* SPDX-License-Identifier: MIT */
/*
 * A pool owns its backends and the published view; views own their tables. What must stay true: a
 * view is complete before it is published, and nothing but pool_rebuild publishes one. A backend
 * has its own copy of its configuration (struct facts), as it may outlive a snapshot.
 */
#include "pick/pool.h"

#include "base/check.h"
#include "base/region.h"
#include "pick/view.h"

#include <stdlib.h>
#include <string.h>

#define REGION_BYTES ((size_t)BACKENDS_MAX * sizeof(struct backend))

static_assert(sizeof(struct backend) == CACHE_LINE_BYTES, "a backend is one cache line");

/* What of a backend is not hot. */
struct facts {
    _Atomic uint32_t pins;
    uint32_t admin; /* what control wants; `state` follows with the next view */
    void *user;
    struct backend_conf conf;
    char texts[]; /* name, address text */
};

static struct facts *facts_of(const struct backend *b)
{
    CHECK(b->conf != NULL);
    return container_of(b->conf, struct facts, conf);
}

static struct facts *facts_new(const struct backend_conf *conf)
{
    size_t name = strlen(conf->name) + 1;
    size_t text = conf->address.text ? strlen(conf->address.text) + 1 : 0;
    struct facts *f = calloc(1, sizeof(*f) + name + text);
    if (!f)
        return NULL;
    f->conf = *conf;
    f->conf.name = memcpy(f->texts, conf->name, name);
    if (text)
        f->conf.address.text = memcpy(f->texts + name, conf->address.text, text);
    return f;
}

/* ---- views ---- */

static bool counts(const struct backend *b, bool backup)
{
    return backend_exists(b) && backend_in_rotation(b) && backend_admin(b) == 0 &&
           b->conf->backup == backup && backend_weight(b) > 0;
}

static uint32_t collect(const struct pool *pool, bool backup, uint32_t *members)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < pool_backend_count(pool); i++)
        if (counts(&pool->backends[i], backup))
            members[n++] = i;
    return n;
}

static struct view *view_new(const struct pool *pool)
{
    struct view *v = calloc(1, sizeof(*v));
    uint32_t *members = calloc((size_t)pool_backend_count(pool) + 1, sizeof(*members));
    if (!v || !members) {
        free(v);
        free(members);
        return NULL;
    }
    v->policy = policy_of(pool->balance);
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

/* The operator's bits in the state: those to be cleared before the view that needs it so, those to
 * be set after, so that there is no moment in which a change leaves nobody to pick. */
static void apply_admin(struct pool *pool, bool set)
{
    for (uint32_t i = 0; pool->admin_due && i < pool_backend_count(pool); i++) {
        struct backend *b = &pool->backends[i];
        if (!backend_exists(b))
            continue;
        uint32_t wanted = backend_admin(b);
        uint32_t now = atomic_load_explicit(&b->state, memory_order_relaxed) & BACKEND_ADMIN_BITS;
        if (wanted != now)
            (void)backend_state_change(b, set ? wanted : 0, set ? 0 : now & ~wanted);
    }
}

struct view *pool_rebuild(struct pool *pool)
{
    apply_admin(pool, false);
    struct view *v = view_new(pool);
    struct view *old = NULL;
    if (v) {
        old = atomic_load_explicit(&pool->view, memory_order_relaxed);
        if (pool->balance == BALANCE_ROUND_ROBIN)
            round_robin_continue(pool, old, v);
        if (pool->balance == BALANCE_LEAST_CONNECTIONS)
            least_update(pool, v); /* before anybody picks by it */
        atomic_store_explicit(&pool->view, v, memory_order_release);
    }
    apply_admin(pool, true);
    pool->admin_due = false;
    return old;
}

/* ---- backends ---- */

static void backend_init(struct backend *b, struct pool *pool, uint32_t slot, struct facts *facts)
{
    const struct address *address = &facts->conf.address;
    bool named = address->kind == ADDRESS_NAME;
    b->pool = pool;
    b->slot = slot;
    b->conf = &facts->conf;
    b->least_bucket = b->least_prev = b->least_next = UINT32_MAX;
    b->health = NULL;
    atomic_store_explicit(&b->in_flight, 0, memory_order_relaxed);
    atomic_store_explicit(&b->weight, facts->conf.weight, memory_order_relaxed);
    atomic_store_explicit(&b->address, named ? NULL : address, memory_order_relaxed);
    /* Last: a worker that still looks at the slot passes over it. */
    atomic_store_explicit(&b->state, named ? BACKEND_UNRESOLVED : 0, memory_order_release);
}

static bool take_id(struct pool *pool, struct backend *b, uint32_t slot)
{
    b->key = board_key(pool->ids ? ids_get(pool->ids) : slot);
    return b->id != IDS_NONE;
}

/* Without memory there is no index until somebody is looked for again. */
void pool_know(struct backend *b)
{
    struct pool *pool = b->pool;
    if (pool->names_known && map_put(&pool->names, span_cstr(b->conf->name), b) < 0)
        pool->names_known = false;
}

static void forget_name(struct pool *pool, const struct backend *b)
{
    struct span name = span_cstr(b->conf->name);
    if (pool->names_known && map_get(&pool->names, name) == b)
        (void)map_del(&pool->names, name);
}

struct backend *pool_add_unnamed(struct pool *pool, const struct backend_conf *conf)
{
    uint32_t slot = ids_get(&pool->slots);
    if (slot == IDS_NONE)
        return NULL;
    struct backend *b = slot < BACKENDS_MAX ? &pool->backends[slot] : NULL;
    struct facts *facts = b ? facts_new(conf) : NULL;
    if (!facts)
        goto no_facts;
    if (!least_reserve(pool, slot + 1) || !take_id(pool, b, slot))
        goto no_id;
    backend_init(b, pool, slot, facts);
    if (slot >= pool_backend_count(pool))
        atomic_store_explicit(&pool->backend_count, slot + 1, memory_order_release);
    pool->member_count++;
    return b;

no_id:
    free(facts);
no_facts:
    ids_put(&pool->slots, slot);
    return NULL;
}

struct backend *pool_add(struct pool *pool, const struct backend_conf *conf)
{
    struct backend *b = pool_add_unnamed(pool, conf);
    if (b)
        pool_know(b);
    return b;
}

void pool_forget(struct backend *b)
{
    struct pool *pool = b->pool;
    struct facts *facts = facts_of(b);
    CHECK(backend_quiet(b));
    CHECK(b->least_bucket == UINT32_MAX);
    if (!(facts->admin & BACKEND_REMOVED))
        pool->member_count--;
    forget_name(pool, b);
    atomic_store_explicit(&b->state, BACKEND_FREE, memory_order_relaxed);
    atomic_store_explicit(&b->address, NULL, memory_order_relaxed);
    b->conf = NULL;
    b->health = NULL;
    free(facts);
    if (pool->ids)
        ids_put(pool->ids, b->id);
    ids_put(&pool->slots, b->slot);
}

/* Those being removed are not known; without memory for the index every one is looked at. */
static struct backend *find_slowly(const struct pool *pool, struct span name)
{
    for (uint32_t i = 0; i < pool_backend_count(pool); i++) {
        struct backend *b = &pool->backends[i];
        if (backend_exists(b) && !(backend_admin(b) & BACKEND_REMOVED) &&
            span_eq(span_cstr(b->conf->name), name))
            return b;
    }
    return NULL;
}

static void know_all(struct pool *pool)
{
    map_clear(&pool->names);
    pool->names_known = map_reserve(&pool->names, pool_backend_count(pool) + 1) == 0;
    for (uint32_t i = 0; pool->names_known && i < pool_backend_count(pool); i++) {
        struct backend *b = &pool->backends[i];
        if (backend_exists(b) && !(backend_admin(b) & BACKEND_REMOVED))
            pool_know(b);
    }
}

struct backend *pool_find(struct pool *pool, struct span name)
{
    if (!pool->names_known)
        know_all(pool);
    return pool->names_known ? map_get(&pool->names, name) : find_slowly(pool, name);
}

uint32_t backend_admin(const struct backend *b)
{
    return facts_of(b)->admin;
}

void backend_admin_set(struct backend *b, uint32_t bits)
{
    struct facts *f = facts_of(b);
    CHECK((bits & ~BACKEND_ADMIN_BITS) == 0);
    bool was_removed = (f->admin & BACKEND_REMOVED) != 0;
    CHECK(!was_removed || (bits & BACKEND_REMOVED));
    f->admin = bits;
    b->pool->admin_due = true;
    if (!was_removed && (bits & BACKEND_REMOVED)) {
        forget_name(b->pool, b);
        b->pool->member_count--;
    }
}

void **backend_user(struct backend *b)
{
    return &facts_of(b)->user;
}

void backend_weight_set(struct backend *b, uint32_t weight)
{
    CHECK(weight <= BACKEND_WEIGHT_MAX);
    atomic_store_explicit(&b->weight, (uint16_t)weight, memory_order_relaxed);
}

void backend_reconfigure(struct backend *b, const struct backend_conf *conf)
{
    struct facts *f = facts_of(b);
    backend_weight_set(b, conf->weight);
    f->conf.weight = conf->weight;
    f->conf.backup = conf->backup;
    f->conf.origin = conf->origin;
}

void backend_pin(struct backend *b)
{
    atomic_fetch_add_explicit(&facts_of(b)->pins, 1, memory_order_relaxed);
}

void backend_unpin(struct backend *b)
{
    uint32_t before = atomic_fetch_sub_explicit(&facts_of(b)->pins, 1, memory_order_release);
    CHECK(before > 0);
}

bool backend_quiet(const struct backend *b)
{
    return atomic_load_explicit(&b->in_flight, memory_order_acquire) == 0 &&
           atomic_load_explicit(&facts_of(b)->pins, memory_order_acquire) == 0;
}

bool backend_state_change(struct backend *b, uint32_t set, uint32_t clear)
{
    uint16_t before = atomic_load_explicit(&b->state, memory_order_relaxed);
    uint16_t after;
    do
        after = (uint16_t)((before & ~clear) | set);
    while (!atomic_compare_exchange_weak_explicit(&b->state, &before, after, memory_order_relaxed,
                                                  memory_order_relaxed));
    return (before == 0) != (after == 0);
}

/* ---- pools ---- */

static bool add_all(struct pool *pool, const struct pool_conf *conf)
{
    for (size_t i = 0; i < conf->backend_count; i++)
        if (!pool_add(pool, &conf->backends[i]))
            return false;
    return true;
}

/* A pool without members and without a view. */
struct pool *pool_new_bare(const struct snapshot *s, uint32_t index, const struct pool_conf *conf,
                           struct ids *ids)
{
    struct pool *pool = aligned_alloc(CACHE_LINE_BYTES, sizeof(*pool));
    if (!pool)
        return NULL;
    memset(pool, 0, sizeof(*pool));
    pool->snapshot = snapshot_ref(s);
    pool->index = index;
    pool->ids = ids;
    pool->balance = conf->balance;
    atomic_init(&pool->conf, conf);
    atomic_init(&pool->max_connections, conf->max_connections);
    list_init(&pool->stale);
    ids_init(&pool->slots);
    map_init(&pool->names, 0);
    pool->backends = region_new(REGION_BYTES, conf->backend_count * sizeof(struct backend));
    if (!pool->backends)
        pool_free(&pool);
    return pool;
}

bool pool_open(struct pool *pool)
{
    bool least = pool->balance == BALANCE_LEAST_CONNECTIONS;
    if (least && !least_begin(pool))
        return false;
    struct view *v = view_new(pool);
    if (!v)
        return false;
    atomic_init(&pool->view, v);
    if (least)
        least_update(pool, v);
    return true;
}

struct pool *pool_new(const struct snapshot *s, uint32_t index, struct ids *ids)
{
    CHECK(index < s->pool_count);
    const struct pool_conf *conf = &s->pools[index];
    CHECK(conf->backend_count <= BACKENDS_MAX);
    struct pool *pool = pool_new_bare(s, index, conf, ids);
    if (pool && (!add_all(pool, conf) || !pool_open(pool)))
        pool_free(&pool);
    return pool;
}

void pool_free(struct pool **pool)
{
    struct pool *p = *pool;
    if (!p)
        return;
    CHECK(!list_linked(&p->stale));
    struct view *v = atomic_load_explicit(&p->view, memory_order_relaxed);
    view_free(&v);
    least_free(p);
    for (uint32_t i = 0; i < pool_backend_count(p); i++) {
        struct backend *b = &p->backends[i];
        if (!backend_exists(b))
            continue;
        free(facts_of(b));
        if (p->ids)
            ids_put(p->ids, b->id);
    }
    region_free(p->backends, REGION_BYTES);
    ids_fini(&p->slots);
    map_fini(&p->names);
    snapshot_unref(&p->snapshot);
    free(p);
    *pool = NULL;
}

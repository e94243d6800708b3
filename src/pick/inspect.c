/* SPDX-License-Identifier: MIT */
#include "pick/inspect.h"

#include "base/check.h"
#include "pick/view.h"

static const struct view *view_of(const struct pool *pool)
{
    return atomic_load_explicit(&pool->view, memory_order_acquire);
}

static bool is_member(const struct view *v, uint32_t slot)
{
    uint32_t low = 0, high = v->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (v->members[middle] < slot)
            low = middle + 1;
        else
            high = middle;
    }
    return low < v->count && v->members[low] == slot;
}

static bool is_full(const struct pool *pool, const struct backend *b)
{
    uint32_t limit = atomic_load_explicit(&pool->max_connections, memory_order_relaxed);
    return limit != 0 && atomic_load_explicit(&b->in_flight, memory_order_relaxed) >= limit;
}

enum pick_bar pick_barred(const struct pool *pool, const struct backend *b)
{
    static const struct {
        uint32_t bit;
        enum pick_bar bar;
    } bits[] = {
        {BACKEND_REMOVED, PICK_BAR_REMOVED}, {BACKEND_DISABLED, PICK_BAR_DISABLED},
        {BACKEND_DRAIN, PICK_BAR_DRAIN},     {BACKEND_UNRESOLVED, PICK_BAR_UNRESOLVED},
        {BACKEND_DOWN, PICK_BAR_DOWN},       {BACKEND_EJECTED, PICK_BAR_EJECTED},
    };
    static const struct pick_request any = {0};
    uint32_t state = atomic_load_explicit(&b->state, memory_order_relaxed) | backend_admin(b);
    if (is_member(view_of(pool), b->slot) && pick_eligible(b, &any))
        return is_full(pool, b) ? PICK_BAR_FULL : PICK_BAR_NONE;
    for (size_t i = 0; i < ARRAY_LEN(bits); i++)
        if (state & bits[i].bit)
            return bits[i].bar;
    if (backend_weight(b) == 0)
        return PICK_BAR_WEIGHT;
    return b->conf->backup ? PICK_BAR_BACKUP : PICK_BAR_VIEW;
}

bool pick_score(const struct pool *pool, const struct backend *b, double *ret_score)
{
    uint32_t weight = backend_weight(b);
    uint32_t load = atomic_load_explicit(&b->in_flight, memory_order_relaxed);
    bool least = pool->balance == BALANCE_LEAST_CONNECTIONS;
    if ((!least && pool->balance != BALANCE_P2C) || weight == 0)
        return false;
    *ret_score = ((double)load + (least ? 0 : 1)) / weight;
    return true;
}

void pick_start(struct pool *pool, const struct pick_request *request, struct rng rng,
                struct pick_start *ret_start)
{
    const struct view *v = view_of(pool);
    struct backend *two[2] = {NULL, NULL};
    *ret_start = (struct pick_start){.balance = pool->balance, .key = request->key};
    if (v->count == 0)
        return;
    switch (pool->balance) {
    case BALANCE_ROUND_ROBIN:
        ret_start->turn = atomic_load_explicit(&pool->cursor, memory_order_relaxed);
        ret_start->place = round_robin_place(v, ret_start->turn);
        break;
    case BALANCE_SOURCE_HASH: ret_start->place = hash_place(v, request->key); break;
    case BALANCE_RANDOM: two[0] = &pool->backends[view_draw(v, &rng)]; break;
    case BALANCE_P2C: p2c_draw(pool, v, request, &rng, two); break;
    case BALANCE_LEAST_CONNECTIONS: break;
    }
    ret_start->drawn[0] = two[0];
    ret_start->drawn[1] = two[1];
    ret_start->length = v->table_length;
    if (v->table_length > 0)
        ret_start->at = &pool->backends[v->table[ret_start->place]];
}

/* ---- a twin ---- */

/* Slots that are nobody's are filled for as long as it takes to give the others their numbers. */
static bool copy_slots(const struct pool *pool, struct pool *twin)
{
    static const struct backend_conf nobody = {.name = ""};
    uint32_t count = pool_backend_count(pool);
    for (uint32_t i = 0; i < count; i++) {
        const struct backend *b = &pool->backends[i];
        struct backend *copy = pool_add_unnamed(twin, backend_exists(b) ? b->conf : &nobody);
        if (!copy)
            return false;
        CHECK(copy->slot == i);
    }
    for (uint32_t i = 0; i < count; i++)
        if (!backend_exists(&pool->backends[i]))
            pool_forget(&twin->backends[i]);
    return true;
}

static void copy_states(const struct pool *pool, struct pool *twin)
{
    for (uint32_t i = 0; i < pool_backend_count(pool); i++) {
        const struct backend *b = &pool->backends[i];
        struct backend *copy = &twin->backends[i];
        if (!backend_exists(b))
            continue;
        backend_weight_set(copy, backend_weight(b));
        backend_admin_set(copy, backend_admin(b));
        atomic_store_explicit(&copy->state, atomic_load_explicit(&b->state, memory_order_relaxed),
                              memory_order_relaxed);
        atomic_store_explicit(&copy->in_flight,
                              atomic_load_explicit(&b->in_flight, memory_order_relaxed),
                              memory_order_relaxed);
    }
}

static bool copy_policy(struct pool *pool, struct pool *twin)
{
    const struct view *from = view_of(pool);
    struct view *v = atomic_load_explicit(&twin->view, memory_order_relaxed);
    atomic_store(&twin->cursor, atomic_load(&pool->cursor));
    atomic_store(&twin->waiting, atomic_load(&pool->waiting));
    v->base = from->base;
    bool listed = pool->balance == BALANCE_LEAST_CONNECTIONS && from->policy == v->policy &&
                  atomic_load(&pool->locked);
    return !listed || least_copy(pool, twin);
}

struct pool *pool_twin(struct pool *pool)
{
    struct pool *twin = pool_new_bare(pool->snapshot, pool->index, pool_conf(pool), NULL);
    if (!twin)
        return NULL;
    twin->balance = pool->balance;
    bool ok = copy_slots(pool, twin);
    if (ok)
        copy_states(pool, twin);
    if (!ok || !pool_open(twin) || !copy_policy(pool, twin))
        pool_free(&twin);
    return twin;
}

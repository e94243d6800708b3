/* SPDX-License-Identifier: MIT */
/*
 * A pool comes to a new configuration. What can fail (memory for new backends) comes first and can
 * be undone; the rest cannot fail. The order of the steps keeps what workers see consistent: at any
 * time each of them may still hold the former configuration or view.
 */
#include "base/check.h"
#include "config/compare.h"
#include "pick/view.h"

#include <stdio.h>
#include <stdlib.h>

#define DETAIL_MAX 1024

struct change {
    struct pool *pool;
    const struct pool_conf *to;
    const struct pool_change_ops *ops;
    void *user;
    struct map wanted;     /* name: struct backend_conf of `to` */
    struct backend **made; /* new backends, by their place in `to`; else NULL */
};

static void note(const struct change *c, const char *change, const char *name, const char *detail)
{
    if (c->ops && c->ops->note)
        c->ops->note(c->user, change, name, detail);
}

static bool same_place(const struct backend *b, const struct backend_conf *conf)
{
    const struct address *a = &b->conf->address;
    return a->kind == conf->address.kind && address_equal(a, &conf->address);
}

/* The backend that conf finds and keeps, or NULL. */
static struct backend *kept_for(const struct change *c, const struct backend_conf *conf)
{
    struct backend *b = pool_find(c->pool, span_cstr(conf->name));
    return b && same_place(b, conf) ? b : NULL;
}

/* What the new configuration wants of a backend that there is, or NULL: it goes. */
static const struct backend_conf *wanted_of(const struct change *c, const struct backend *b)
{
    const struct backend_conf *conf = map_get(&c->wanted, span_cstr(b->conf->name));
    return conf && same_place(b, conf) ? conf : NULL;
}

static bool is_member(const struct backend *b)
{
    return backend_exists(b) && !(backend_admin(b) & BACKEND_REMOVED);
}

/* ---- what differs ---- */

static void say_backend(const struct change *c, const struct backend *b,
                        const struct backend_conf *to)
{
    char detail[DETAIL_MAX];
    if (backend_weight(b) != to->weight) {
        (void)snprintf(detail, sizeof(detail), "weight of %s %u → %u", to->name, backend_weight(b),
                       to->weight);
        note(c, "changed", to->name, detail);
    }
    if (b->conf->backup != to->backup) {
        (void)snprintf(detail, sizeof(detail), "%s %s a backup", to->name,
                       to->backup ? "becomes" : "is no longer");
        note(c, "changed", to->name, detail);
    }
}

static void say_members(const struct change *c)
{
    char detail[DETAIL_MAX];
    for (size_t i = 0; i < c->to->backend_count; i++) {
        const struct backend_conf *to = &c->to->backends[i];
        const struct backend *b = kept_for(c, to);
        if (b) {
            say_backend(c, b, to);
            continue;
        }
        (void)snprintf(detail, sizeof(detail), "backend %s added", to->name);
        note(c, "added", to->name, detail);
    }
    for (uint32_t slot = 0; slot < pool_backend_count(c->pool); slot++) {
        const struct backend *b = &c->pool->backends[slot];
        if (!is_member(b) || wanted_of(c, b))
            continue;
        (void)snprintf(detail, sizeof(detail), "backend %s removed", b->conf->name);
        note(c, "removed", b->conf->name, detail);
    }
}

static void say_number(const struct change *c, const char *name, uint64_t from, uint64_t to)
{
    char detail[DETAIL_MAX];
    if (from == to)
        return;
    (void)snprintf(detail, sizeof(detail), "%s %llu → %llu", name, (unsigned long long)from,
                   (unsigned long long)to);
    note(c, "changed", name, detail);
}

static void say_settings(const struct change *c)
{
    const struct pool_conf *from = pool_conf(c->pool), *to = c->to;
    char detail[DETAIL_MAX];
    if (from->balance != to->balance) {
        (void)snprintf(detail, sizeof(detail), "balance %s → %s", balance_name(from->balance),
                       balance_name(to->balance));
        note(c, "changed", "balance", detail);
    }
    if (from->protocol != to->protocol) {
        (void)snprintf(detail, sizeof(detail), "protocol %s → %s", protocol_name(from->protocol),
                       protocol_name(to->protocol));
        note(c, "changed", "protocol", detail);
    }
    if (!health_conf_equal(&from->health, &to->health))
        note(c, "changed", "health", "health checks");
    if (!passive_conf_equal(&from->passive, &to->passive))
        note(c, "changed", "passive_health", "passive health");
    say_number(c, "retries.attempts", from->retry_attempts, to->retry_attempts);
    if (from->retry_on != to->retry_on)
        note(c, "changed", "retries.on", "retries.on");
    say_number(c, "timeouts.connect (ms)", from->connect_ms, to->connect_ms);
    say_number(c, "timeouts.response (ms)", from->response_ms, to->response_ms);
    say_number(c, "timeouts.idle (ms)", from->idle_ms, to->idle_ms);
    say_number(c, "keepalive.max_idle", from->keepalive_max_idle, to->keepalive_max_idle);
    say_number(c, "keepalive.idle (ms)", from->keepalive_idle_ms, to->keepalive_idle_ms);
    say_number(c, "max_connections", from->max_connections, to->max_connections);
    say_number(c, "queue.max", from->queue_max, to->queue_max);
    say_number(c, "queue.timeout (ms)", from->queue_ms, to->queue_ms);
}

/* ---- doing it ---- */

static void unmake(struct change *c)
{
    for (size_t i = 0; i < c->to->backend_count; i++) {
        if (!c->made[i])
            continue;
        if (c->ops && c->ops->unadded)
            c->ops->unadded(c->user, c->made[i]);
        pool_forget(c->made[i]);
    }
}

/* New backends, not yet in a view; not known by name while one of that name still is. */
static int make_new(struct change *c)
{
    for (size_t i = 0; i < c->to->backend_count; i++) {
        const struct backend_conf *to = &c->to->backends[i];
        if (kept_for(c, to))
            continue;
        struct backend *b = pool_add_unnamed(c->pool, to);
        int r = b ? 0 : -(int)REASON_overload;
        if (b && c->ops && c->ops->added)
            r = c->ops->added(c->user, b);
        if (r < 0) {
            if (b)
                pool_forget(b);
            unmake(c);
            return r;
        }
        c->made[i] = b;
    }
    return 0;
}

static void remove_old(const struct change *c)
{
    for (uint32_t slot = 0; slot < pool_backend_count(c->pool); slot++) {
        struct backend *b = &c->pool->backends[slot];
        if (!is_member(b) || wanted_of(c, b))
            continue;
        backend_admin_set(b, BACKEND_REMOVED);
        if (c->ops && c->ops->removed)
            c->ops->removed(c->user, b);
    }
}

static void update_kept(struct change *c)
{
    for (size_t i = 0; i < c->to->backend_count; i++)
        if (!c->made[i])
            backend_reconfigure(kept_for(c, &c->to->backends[i]), &c->to->backends[i]);
}

/* See pool_settle: the lock must be in use by all before the lists are, and to the last. */
static void change_balance(struct pool *pool, enum balance to)
{
    if (to != BALANCE_LEAST_CONNECTIONS)
        pool->balance = to;
    pool->settle_due = to == BALANCE_LEAST_CONNECTIONS
                           ? pool->balance != to
                           : atomic_load_explicit(&pool->locked, memory_order_relaxed);
}

static void commit(struct change *c, const struct snapshot *s, uint32_t index)
{
    struct pool *pool = c->pool;
    update_kept(c);
    remove_old(c);
    for (size_t i = 0; i < c->to->backend_count; i++)
        if (c->made[i])
            pool_know(c->made[i]);
    change_balance(pool, c->to->balance);
    const struct snapshot *old = pool->snapshot;
    pool->snapshot = snapshot_ref(s);
    pool->index = index;
    atomic_store_explicit(&pool->conf, c->to, memory_order_release);
    atomic_store_explicit(&pool->max_connections, c->to->max_connections, memory_order_release);
    snapshot_unref(&old);
}

static int change_begin(struct change *c)
{
    map_init(&c->wanted, 0);
    c->made = calloc(c->to->backend_count + 1, sizeof(struct backend *));
    bool room = c->made && map_reserve(&c->wanted, c->to->backend_count) == 0;
    for (size_t i = 0; room && i < c->to->backend_count; i++)
        room = map_put(&c->wanted, span_cstr(c->to->backends[i].name), &c->to->backends[i]) == 0;
    return room ? 0 : -(int)REASON_overload;
}

int pool_reconfigure(struct pool *pool, const struct snapshot *s, uint32_t index, bool plan_only,
                     const struct pool_change_ops *ops, void *user)
{
    CHECK(index < s->pool_count);
    CHECK(s->pools[index].backend_count <= BACKENDS_MAX);
    struct change c = {.pool = pool, .to = &s->pools[index], .ops = ops, .user = user};
    int r = change_begin(&c);
    if (r == 0 && !plan_only && c.to->balance == BALANCE_LEAST_CONNECTIONS && !least_begin(pool))
        r = -(int)REASON_overload;
    if (r == 0 && !plan_only)
        r = make_new(&c);
    if (r == 0) {
        say_settings(&c);
        say_members(&c);
        if (!plan_only)
            commit(&c, s, index);
    }
    free(c.made);
    map_fini(&c.wanted);
    return r;
}

bool pool_settle(struct pool *pool)
{
    pool->settle_due = false;
    bool locked = atomic_load_explicit(&pool->locked, memory_order_relaxed);
    if (pool_conf(pool)->balance != BALANCE_LEAST_CONNECTIONS) {
        if (locked)
            least_end(pool);
        return false;
    }
    bool begin = pool->balance != BALANCE_LEAST_CONNECTIONS;
    pool->balance = BALANCE_LEAST_CONNECTIONS;
    return begin;
}

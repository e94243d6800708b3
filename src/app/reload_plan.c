/* SPDX-License-Identifier: MIT */
/*
 * Out of memory is noted once (`failed`) and reported at the end, so that the comparisons read
 * straight on.
 */
#include "app/reload_plan.h"

#include "base/limits.h"
#include "base/map.h"
#include "config/difference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAN_BYTES_MAX ((size_t)256 << 20)

/* A change of many backends names the first few. */
#define DETAILS_SHOWN 12

/* The details of one change, joined with "; ". */
struct details {
    struct arena *arena;
    const char *text; /* NULL: none yet */
    size_t count;
    bool failed;
};

struct planner {
    struct reload_plan *plan;
    const struct snapshot *now, *next;
    const struct reload_facts *facts;
    bool failed;
};

/* ---- texts ---- */

static void detail(struct details *d, const char *text)
{
    if (!text) {
        d->failed = true;
        return;
    }
    if (d->count++ >= DETAILS_SHOWN)
        return;
    d->text = d->text ? arena_printf(d->arena, "%s; %s", d->text, text) : text;
    d->failed |= d->text == NULL;
}

static const char *details_text(struct details *d)
{
    if (d->count > DETAILS_SHOWN && d->text) {
        d->text = arena_printf(d->arena, "%s; and %zu more", d->text, d->count - DETAILS_SHOWN);
        d->failed |= d->text == NULL;
    }
    return d->text ? d->text : "";
}

static void on_difference(void *user, const char *path, const char *before, const char *after)
{
    struct details *d = user;
    detail(d, arena_printf(d->arena, "%s %s → %s", path, before, after));
}

static struct details details_of(struct planner *p)
{
    return (struct details){.arena = &p->plan->arena};
}

static const char *counted(struct planner *p, uint32_t n, const char *what, const char *does_one,
                           const char *does_many)
{
    const char *text = arena_printf(&p->plan->arena, "%u %s%s %s", n, what, n == 1 ? "" : "s",
                                    n == 1 ? does_one : does_many);
    p->failed |= text == NULL;
    return text;
}

static uint32_t clients_of(const struct planner *p, size_t listener)
{
    return p->facts && p->facts->clients ? p->facts->clients[listener] : 0;
}

static uint32_t in_flight_of(const struct planner *p, size_t pool)
{
    return p->facts && p->facts->in_flight ? p->facts->in_flight[pool] : 0;
}

/* ---- changes ---- */

static bool make_room(struct reload_plan *plan)
{
    if (plan->count < plan->room)
        return true;
    size_t room = plan->room ? 2 * plan->room : 16;
    struct steer_change *changes = realloc(plan->changes, room * sizeof(changes[0]));
    if (!changes)
        return false;
    plan->changes = changes;
    plan->room = room;
    return true;
}

static void add(struct planner *p, struct steer_change change)
{
    struct arena *a = &p->plan->arena;
    change.name = arena_strdup(a, span_cstr(change.name));
    change.detail = arena_strdup(a, span_cstr(change.detail));
    if (!change.name || !change.detail || !make_room(p->plan)) {
        p->failed = true;
        return;
    }
    p->plan->changes[p->plan->count++] = change;
}

/* If there is anything to say. */
static void add_changed(struct planner *p, const char *what, const char *name,
                        struct details *details, const char *change, const char *touches)
{
    p->failed |= details->failed;
    if (details->count > 0)
        add(p, (struct steer_change){what, name, change, details_text(details), touches});
}

/* ---- routes ---- */

/* Most stand where they stood, at `hint`. */
static size_t route_find_name(const struct listener_conf *l, const char *name, size_t hint)
{
    if (hint < l->route_count && strcmp(l->routes[hint].name, name) == 0)
        return hint;
    for (size_t i = 0; i < l->route_count; i++) {
        if (strcmp(l->routes[i].name, name) == 0)
            return i;
    }
    return SIZE_MAX;
}

static void compare_routes(struct planner *p, size_t now_index, const struct listener_conf *now,
                           const struct listener_conf *next)
{
    const char *touches = counted(p, clients_of(p, now_index), "connection",
                                  "from its next request", "from their next request");
    for (size_t i = 0; i < now->route_count; i++) {
        if (route_find_name(next, now->routes[i].name, i) == SIZE_MAX)
            add(p, (struct steer_change){"route", now->routes[i].name, "removed", "", touches});
    }
    size_t last = 0;
    bool moved = false;
    for (size_t i = 0; i < next->route_count; i++) {
        const struct route_conf *route = &next->routes[i];
        size_t before = route_find_name(now, route->name, i);
        if (before == SIZE_MAX) {
            add(p, (struct steer_change){"route", route->name, "added",
                                         p->next->pools[route->pool].name, touches});
            continue;
        }
        moved |= before < last;
        last = MAX(last, before);
        struct details d = details_of(p);
        (void)config_compare(SCOPE_ROUTE, p->now, &now->routes[before], p->next, route,
                             on_difference, &d);
        add_changed(p, "route", route->name, &d, "changed", touches);
    }
    if (moved)
        add(p, (struct steer_change){"listener", next->name, "changed", "order of its routes",
                                     touches});
}

/* ---- listeners ---- */

static size_t listener_find(const struct snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        if (strcmp(s->listeners[i].name, name) == 0)
            return i;
    }
    return SIZE_MAX;
}

static void listener_removed(struct planner *p, size_t index)
{
    add(p, (struct steer_change){
               .what = "listener",
               .name = p->now->listeners[index].name,
               .change = "removed",
               .touches = counted(p, clients_of(p, index), "connection", "drains", "drain"),
           });
}

static void listener_added(struct planner *p, const struct listener_conf *l)
{
    struct details d = details_of(p);
    for (size_t i = 0; i < l->address_count; i++) {
        char text[ADDRESS_TEXT_MAX];
        (void)address_format(&l->addresses[i], text);
        detail(&d, arena_printf(d.arena, "%s", text));
    }
    p->failed |= d.failed;
    add(p, (struct steer_change){"listener", l->name, "added", details_text(&d), "nobody"});
}

static void compare_listener(struct planner *p, size_t now_index, const struct listener_conf *next)
{
    const struct listener_conf *now = &p->now->listeners[now_index];
    uint32_t clients = clients_of(p, now_index);
    struct details d = details_of(p);
    (void)config_compare(SCOPE_LISTENER, p->now, now, p->next, next, on_difference, &d);
    bool other_protocol = now->protocol != next->protocol;
    add_changed(p, "listener", next->name, &d, "changed",
                other_protocol ? counted(p, clients, "connection", "drains", "drain")
                               : counted(p, clients, "connection", "stays", "stay"));
    compare_routes(p, now_index, now, next);
}

static void compare_listeners(struct planner *p)
{
    for (size_t i = 0; i < p->now->listener_count; i++) {
        if (listener_find(p->next, p->now->listeners[i].name) == SIZE_MAX)
            listener_removed(p, i);
    }
    for (size_t i = 0; i < p->next->listener_count; i++) {
        const struct listener_conf *next = &p->next->listeners[i];
        size_t now = listener_find(p->now, next->name);
        if (now == SIZE_MAX)
            listener_added(p, next);
        else
            compare_listener(p, now, next);
    }
}

/* ---- pools ---- */

static bool index_backends(const struct pool_conf *pool, struct map *map)
{
    for (size_t i = 0; i < pool->backend_count; i++) {
        if (map_put(map, span_cstr(pool->backends[i].name), &pool->backends[i]) < 0)
            return false;
    }
    return true;
}

static void compare_backend(struct details *d, const struct backend_conf *now,
                            const struct backend_conf *next)
{
    char path[NAME_MAX_LEN + ADDRESS_TEXT_MAX];
    if (!address_equal(&now->address, &next->address)) {
        char before[ADDRESS_TEXT_MAX], after[ADDRESS_TEXT_MAX];
        (void)address_format(&now->address, before);
        (void)address_format(&next->address, after);
        (void)snprintf(path, sizeof(path), "address of %s", next->name);
        on_difference(d, path, before, after);
    }
    if (now->weight != next->weight)
        detail(d, arena_printf(d->arena, "weight of %s %u → %u", next->name, now->weight,
                               next->weight));
    if (now->backup != next->backup)
        detail(d, arena_printf(d->arena, "%s is %s backup", next->name,
                               next->backup ? "now a" : "no more a"));
}

/* True when a backend goes: its exchanges finish. */
static bool compare_backends(struct planner *p, struct details *d, const struct pool_conf *now,
                             const struct pool_conf *next)
{
    struct map before, after;
    bool goes = false;
    map_init(&before, 0);
    map_init(&after, 0);
    p->failed |= !index_backends(now, &before) || !index_backends(next, &after);
    for (size_t i = 0; i < next->backend_count && !p->failed; i++) {
        const struct backend_conf *b = &next->backends[i];
        const struct backend_conf *was = map_get(&before, span_cstr(b->name));
        if (was)
            compare_backend(d, was, b);
        else
            detail(d, arena_printf(d->arena, "backend %s added", b->name));
        goes |= was && !address_equal(&was->address, &b->address);
    }
    for (size_t i = 0; i < now->backend_count && !p->failed; i++) {
        if (map_get(&after, span_cstr(now->backends[i].name)))
            continue;
        detail(d, arena_printf(d->arena, "backend %s removed", now->backends[i].name));
        goes = true;
    }
    map_fini(&before);
    map_fini(&after);
    return goes;
}

static size_t pool_find_name(const struct snapshot *s, const struct map *names, const char *name)
{
    const struct pool_conf *found = map_get(names, span_cstr(name));
    return found ? (size_t)(found - s->pools) : SIZE_MAX;
}

/* Backends as they run, which may be others than the present snapshot has. */
struct members_to {
    struct details *details;
    bool goes;
};

static void on_member(void *to, const char *text, bool goes)
{
    struct members_to *t = to;
    detail(t->details, arena_printf(t->details->arena, "%s", text));
    t->goes |= goes;
}

static bool compare_members(struct planner *p, struct details *d, size_t now, size_t next)
{
    const struct reload_facts *f = p->facts;
    struct members_to to = {.details = d};
    if (!f || !f->members)
        return compare_backends(p, d, &p->now->pools[now], &p->next->pools[next]);
    p->failed |= !f->members(f->user, now, next, on_member, &to);
    return to.goes;
}

static void compare_pool(struct planner *p, size_t now_index, size_t next_index)
{
    const struct pool_conf *now = &p->now->pools[now_index];
    const struct pool_conf *next = &p->next->pools[next_index];
    struct details d = details_of(p);
    bool goes = compare_members(p, &d, now_index, next_index);
    (void)config_compare(SCOPE_POOL, p->now, now, p->next, next, on_difference, &d);
    uint32_t n = in_flight_of(p, now_index);
    add_changed(p, "pool", next->name, &d, "changed",
                goes ? counted(p, n, "exchange", "finishes", "finish")
                     : counted(p, n, "exchange", "goes on", "go on"));
}

static bool index_pools(const struct snapshot *s, struct map *map)
{
    map_init(map, 0);
    for (size_t i = 0; i < s->pool_count; i++) {
        if (map_put(map, span_cstr(s->pools[i].name), &s->pools[i]) < 0)
            return false;
    }
    return true;
}

static void pool_added(struct planner *p, const struct pool_conf *pool)
{
    const char *text = arena_printf(&p->plan->arena, "%zu backend%s", pool->backend_count,
                                    pool->backend_count == 1 ? "" : "s");
    p->failed |= text == NULL;
    add(p, (struct steer_change){"pool", pool->name, "added", text, "nobody"});
}

static void compare_pools(struct planner *p)
{
    struct map before, after;
    bool indexed = index_pools(p->now, &before);
    indexed = index_pools(p->next, &after) && indexed;
    p->failed |= !indexed;
    for (size_t i = 0; i < p->now->pool_count && indexed; i++) {
        const char *name = p->now->pools[i].name;
        if (pool_find_name(p->next, &after, name) == SIZE_MAX)
            add(p, (struct steer_change){
                       "pool", name, "removed", "",
                       counted(p, in_flight_of(p, i), "exchange", "finishes", "finish")});
    }
    for (size_t i = 0; i < p->next->pool_count && indexed; i++) {
        size_t now = pool_find_name(p->now, &before, p->next->pools[i].name);
        if (now == SIZE_MAX)
            pool_added(p, &p->next->pools[i]);
        else
            compare_pool(p, now, i);
    }
    map_fini(&before);
    map_fini(&after);
}

/* ---- the rest ---- */

static void compare_part(struct planner *p, enum scope scope, const char *what, const char *name,
                         const char *change, const char *touches)
{
    struct details d = details_of(p);
    (void)config_compare(scope, p->now, p->now, p->next, p->next, on_difference, &d);
    add_changed(p, what, name, &d, change, touches);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Another token holds at once; the server itself stays where it is. */
static void compare_admin(struct planner *p)
{
    const struct admin_conf *a = &p->now->admin, *b = &p->next->admin;
    bool stays = a->enabled == b->enabled && address_equal(&a->address, &b->address) &&
                 same_text(a->socket, b->socket);
    compare_part(p, SCOPE_ADMIN, "admin", "admin", stays ? "changed" : "needs restart",
                 stays ? "nobody" : "nobody before a restart");
}

int reload_plan_make(const struct snapshot *now, const struct snapshot *next,
                     const struct reload_facts *facts, struct reload_plan *ret_plan)
{
    *ret_plan = (struct reload_plan){0};
    struct planner p = {.plan = ret_plan, .now = now, .next = next, .facts = facts};
    arena_init(&ret_plan->arena, 4096, PLAN_BYTES_MAX);
    compare_listeners(&p);
    compare_pools(&p);
    compare_part(&p, SCOPE_LOG, "log", "log", "changed", "nobody");
    compare_part(&p, SCOPE_ACCESS_LOG, "log", "access_log", "changed", "nobody");
    compare_admin(&p);
    compare_part(&p, SCOPE_DRAIN, "process", "drain", "changed", "nobody");
    compare_part(&p, SCOPE_ROOT, "process", "poise", "needs restart", "nobody before a restart");
    if (p.failed) {
        reload_plan_fini(ret_plan);
        return -(int)REASON_overload;
    }
    return 0;
}

void reload_plan_fini(struct reload_plan *p)
{
    arena_fini(&p->arena);
    free(p->changes);
    *p = (struct reload_plan){0};
}

/* SPDX-License-Identifier: MIT */
#include "config/snapshot.h"

#include "base/check.h"
#include "config/block.h"

#include <stdio.h>
#include <stdlib.h>

#define SNAPSHOT_BYTES_MAX ((size_t)4 << 30) /* CONFIG_NODES_MAX values need less */

struct config *config_new(const char *source)
{
    struct config *c = config_must(calloc(1, sizeof(*c)));
    c->magic = CONFIG_MAGIC;
    atomic_init(&c->references, 1);
    arena_init(&c->arena, 16384, SNAPSHOT_BYTES_MAX);
    c->snapshot.source = config_must(arena_strdup(&c->arena, span_cstr(source)));
    return c;
}

struct config *config_of(const struct snapshot *s)
{
    struct config *c = container_of(s, struct config, snapshot);
    CHECK_OBJ(c, CONFIG_MAGIC);
    return c;
}

const struct snapshot *snapshot_ref(const struct snapshot *s)
{
    uint32_t before = atomic_fetch_add_explicit(&config_of(s)->references, 1, memory_order_relaxed);
    CHECK(before > 0);
    return s;
}

void snapshot_unref(const struct snapshot **s)
{
    if (*s == NULL)
        return;
    struct config *c = config_of(*s);
    *s = NULL;
    uint32_t before = atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1)
        return;
    c->magic = 0;
    arena_fini(&c->arena);
    free(c);
}

size_t block_index(const struct block *b, const char *name)
{
    const struct option *o = option_find(b->scope, span_cstr(name));
    CHECK(o != NULL);
    return (size_t)(o - b->options);
}

const struct block *block_children(const struct block *b, const char *name, size_t *ret_count)
{
    size_t i = block_index(b, name);
    *ret_count = b->child_counts[i];
    return b->children[i];
}

struct place block_place(const struct block *b, const char *name)
{
    struct place at = b->places[block_index(b, name)];
    return at.line ? at : b->at;
}

static void print_count(FILE *out, const char *before, size_t n, const char *word)
{
    (void)fprintf(out, "%s%zu %s%s", before, n, word, n == 1 ? "" : "s");
}

static void print_listener(const struct snapshot *s, const struct listener_conf *l, FILE *out)
{
    (void)fprintf(out, "  listener %s (%s) on", l->name, protocol_name(l->protocol));
    for (size_t i = 0; i < l->address_count; i++) {
        char text[ADDRESS_TEXT_MAX];
        (void)address_format(&l->addresses[i], text);
        (void)fprintf(out, " %s", text);
    }
    if (l->route_count)
        print_count(out, ": ", l->route_count, "route");
    if (l->pool >= 0)
        (void)fprintf(out, "%s pool %s", l->route_count ? ", else" : ":", s->pools[l->pool].name);
    (void)fputc('\n', out);
}

static void print_pool(const struct pool_conf *p, FILE *out)
{
    static const char *const checks[] = {
        [HEALTH_NONE] = "no", [HEALTH_TCP] = "tcp", [HEALTH_HTTP] = "http", [HEALTH_GRPC] = "grpc"};
    size_t backups = 0;
    for (size_t i = 0; i < p->backend_count; i++)
        backups += p->backends[i].backup;
    (void)fprintf(out, "  pool %s (%s, %s, %s checks)", p->name, protocol_name(p->protocol),
                  balance_name(p->balance), checks[p->health.type]);
    print_count(out, ": ", p->backend_count, "backend");
    if (backups)
        print_count(out, ", ", backups, "backup");
    (void)fputc('\n', out);
}

void config_summary_print(const struct snapshot *s, FILE *out)
{
    size_t routes = 0;
    size_t backends = 0;
    for (size_t i = 0; i < s->listener_count; i++)
        routes += s->listeners[i].route_count;
    for (size_t i = 0; i < s->pool_count; i++)
        backends += s->pools[i].backend_count;
    print_count(out, "", s->listener_count, "listener");
    print_count(out, ", ", routes, "route");
    print_count(out, ", ", s->pool_count, "pool");
    print_count(out, ", ", backends, "backend");
    (void)fputc('\n', out);
    for (size_t i = 0; i < s->listener_count; i++)
        print_listener(s, &s->listeners[i], out);
    for (size_t i = 0; i < s->pool_count; i++)
        print_pool(&s->pools[i], out);
}

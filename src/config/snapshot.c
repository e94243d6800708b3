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

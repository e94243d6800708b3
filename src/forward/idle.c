/* SPDX-License-Identifier: MIT */
/* Stacks of idle upstream connections, one per backend, in chunks that never move: connections are
 * linked into their stack. */
#include "forward/idle.h"

#include "base/check.h"
#include "base/list.h"
#include "forward/upstream.h"
#include "forward/upstream_h2.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_STACKS 64u

struct idle_stack {
    struct list connections; /* the one used last first */
    uint32_t count;
    struct idle_shared shared;
};

struct idle_set {
    struct idle_stack **chunks; /* by id / CHUNK_STACKS; NULL: none of them has kept one yet */
    uint32_t chunk_count;
};

struct idle_set *idle_set_new(void)
{
    return calloc(1, sizeof(struct idle_set));
}

void idle_set_free(struct idle_set **set)
{
    if (!*set)
        return;
    for (uint32_t i = 0; i < (*set)->chunk_count; i++)
        free((*set)->chunks[i]);
    free((*set)->chunks);
    free(*set);
    *set = NULL;
}

/* NULL: it has never kept a connection. */
static struct idle_stack *stack_of(const struct idle_set *set, const struct backend *b)
{
    uint32_t chunk = b->id / CHUNK_STACKS;
    if (UNLIKELY(chunk >= set->chunk_count || !set->chunks[chunk]))
        return NULL;
    return &set->chunks[chunk][b->id % CHUNK_STACKS];
}

static bool make_room(struct idle_set *set, uint32_t chunk)
{
    if (chunk >= set->chunk_count) {
        uint32_t count = MAX(chunk + 1, 2 * set->chunk_count);
        struct idle_stack **larger = realloc(set->chunks, count * sizeof(struct idle_stack *));
        if (!larger)
            return false;
        memset(&larger[set->chunk_count], 0,
               (count - set->chunk_count) * sizeof(struct idle_stack *));
        set->chunks = larger;
        set->chunk_count = count;
    }
    struct idle_stack *stacks = calloc(CHUNK_STACKS, sizeof(*stacks));
    for (uint32_t i = 0; stacks && i < CHUNK_STACKS; i++) {
        list_init(&stacks[i].connections);
        list_init(&stacks[i].shared.connections);
    }
    set->chunks[chunk] = stacks;
    return stacks != NULL;
}

struct upstream *idle_take(struct idle_set *set, const struct backend *b)
{
    struct idle_stack *s = stack_of(set, b);
    struct list *link = s ? list_pop(&s->connections) : NULL;
    if (!link)
        return NULL;
    s->count--;
    return container_of(link, struct upstream, link);
}

static inline bool push(struct idle_stack *s, const struct backend *b, struct upstream *u)
{
    if (s->count >= pool_conf(b->pool)->keepalive_max_idle)
        return false;
    list_add_head(&s->connections, &u->link);
    s->count++;
    return true;
}

/* Apart, so that the usual way is short. */
static NOINLINE COLD bool put_first(struct idle_set *set, const struct backend *b,
                                    struct upstream *u)
{
    if (!make_room(set, b->id / CHUNK_STACKS))
        return false;
    return push(&set->chunks[b->id / CHUNK_STACKS][b->id % CHUNK_STACKS], b, u);
}

bool idle_put(struct idle_set *set, const struct backend *b, struct upstream *u)
{
    struct idle_stack *s = stack_of(set, b);
    return LIKELY(s != NULL) ? push(s, b, u) : put_first(set, b, u);
}

void idle_remove(struct idle_set *set, const struct backend *b, struct upstream *u)
{
    struct idle_stack *s = stack_of(set, b);
    CHECK(s != NULL);
    CHECK(s->count > 0 && list_linked(&u->link));
    list_del(&u->link);
    s->count--;
}

struct idle_shared *idle_shared(struct idle_set *set, const struct backend *b)
{
    struct idle_stack *s = stack_of(set, b);
    if (UNLIKELY(!s) && make_room(set, b->id / CHUNK_STACKS))
        s = stack_of(set, b);
    return s ? &s->shared : NULL;
}

static void close_stack(struct idle_stack *s)
{
    while (!list_empty(&s->connections))
        upstream_close_idle(container_of(list_first(&s->connections), struct upstream, link));
    while (!list_empty(&s->shared.connections))
        upstream_h2_part(upstream_h2_of_link(list_first(&s->shared.connections)));
    CHECK(s->shared.resting == 0);
    s->shared.limit = 0; /* the next may be another backend of that id */
}

void idle_close_backend(struct idle_set *set, const struct backend *b)
{
    struct idle_stack *s = stack_of(set, b);
    if (s)
        close_stack(s);
}

void idle_close_all(struct idle_set *set)
{
    for (uint32_t i = 0; i < set->chunk_count; i++) {
        for (uint32_t k = 0; set->chunks[i] && k < CHUNK_STACKS; k++)
            close_stack(&set->chunks[i][k]);
    }
}

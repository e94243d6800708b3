/* SPDX-License-Identifier: MIT */
/* Stacks of idle upstream connections, one per backend, in one array per pool. */
#include "forward/idle.h"

#include "base/check.h"
#include "base/list.h"
#include "forward/upstream.h"

#include <stdlib.h>

struct idle_stack {
    struct list connections; /* the one used last first */
    uint32_t count;
};

struct idle_set {
    struct pool *const *pools;
    uint32_t pool_count;
    struct idle_stack *stacks[]; /* by pool index; each by slot */
};

struct idle_set *idle_set_new(struct pool *const *pools, uint32_t pool_count)
{
    struct idle_set *set = calloc(1, sizeof(*set) + pool_count * sizeof(set->stacks[0]));
    if (!set)
        return NULL;
    set->pools = pools;
    set->pool_count = pool_count;
    for (uint32_t i = 0; i < pool_count; i++) {
        uint32_t n = pools[i]->backend_count;
        set->stacks[i] = calloc(n ? n : 1, sizeof(struct idle_stack));
        if (!set->stacks[i]) {
            idle_set_free(&set);
            return NULL;
        }
        for (uint32_t k = 0; k < n; k++)
            list_init(&set->stacks[i][k].connections);
    }
    return set;
}

void idle_set_free(struct idle_set **set)
{
    if (!*set)
        return;
    for (uint32_t i = 0; i < (*set)->pool_count; i++)
        free((*set)->stacks[i]);
    free(*set);
    *set = NULL;
}

static struct idle_stack *stack_of(struct idle_set *set, const struct backend *b)
{
    return &set->stacks[b->pool->index][b->slot];
}

struct upstream *idle_take(struct idle_set *set, struct backend *b)
{
    struct idle_stack *s = stack_of(set, b);
    struct list *link = list_pop(&s->connections);
    if (!link)
        return NULL;
    s->count--;
    return container_of(link, struct upstream, link);
}

bool idle_put(struct idle_set *set, struct backend *b, struct upstream *u)
{
    struct idle_stack *s = stack_of(set, b);
    if (s->count >= b->pool->conf->keepalive_max_idle)
        return false;
    list_add_head(&s->connections, &u->link);
    s->count++;
    return true;
}

void idle_remove(struct idle_set *set, struct backend *b, struct upstream *u)
{
    struct idle_stack *s = stack_of(set, b);
    CHECK(s->count > 0 && list_linked(&u->link));
    list_del(&u->link);
    s->count--;
}

void idle_close_all(struct idle_set *set)
{
    for (uint32_t i = 0; i < set->pool_count; i++) {
        for (uint32_t k = 0; k < set->pools[i]->backend_count; k++) {
            struct idle_stack *s = &set->stacks[i][k];
            while (!list_empty(&s->connections))
                upstream_close_idle(
                    container_of(list_first(&s->connections), struct upstream, link));
        }
    }
}

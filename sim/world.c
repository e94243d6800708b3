/* SPDX-License-Identifier: MIT */
/*
 * The heap has four children a node: it is half as deep as one of two, and the children of a node
 * are neighbours in memory.
 */
#include "sim/world.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"

#include <stdlib.h>
#include <xxhash.h>

#define HEAP_CHILDREN 4
#define HEAP_FIRST    1024

struct happening {
    uint64_t at_ns;
    uint64_t number; /* of the order of asking */
    world_fn *fn;
    void *what;
    uint64_t argument;
};

struct world {
    uint64_t seed;
    uint64_t now_ns;
    uint64_t asked, happened;
    bool stopped;
    struct happening *heap;
    size_t count, room;
};

void *world_must(void *p)
{
    CHECK(p != NULL);
    return p;
}

struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    struct happening *heap = calloc(HEAP_FIRST, sizeof(heap[0]));
    if (!w || !heap) {
        free(w);
        free(heap);
        return NULL;
    }
    w->seed = seed;
    w->heap = heap;
    w->room = HEAP_FIRST;
    return w;
}

void world_free(struct world **world)
{
    struct world *w = *world;
    if (!w)
        return;
    free(w->heap);
    free(w);
    *world = NULL;
}

uint64_t world_now(const struct world *w)
{
    return w->now_ns;
}

uint64_t world_events(const struct world *w)
{
    return w->happened;
}

struct rng world_rng(const struct world *w, const char *purpose, uint64_t index)
{
    return rng_seed(XXH3_64bits_withSeed(purpose, strlen(purpose), w->seed) ^ mix64(index + 1));
}

static inline bool is_before(const struct happening *a, const struct happening *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->number < b->number);
}

static void make_room(struct world *w)
{
    CHECK(w->count < SIM_EVENTS_MAX);
    if (w->count < w->room)
        return;
    w->room *= 2;
    w->heap = world_must(realloc(w->heap, w->room * sizeof(w->heap[0])));
}

void world_at(struct world *w, uint64_t at_ns, world_fn *fn, void *what, uint64_t argument)
{
    CHECK(at_ns >= w->now_ns);
    make_room(w);
    const struct happening h = {at_ns, w->asked++, fn, what, argument};
    size_t i = w->count++;
    while (i > 0 && is_before(&h, &w->heap[(i - 1) / HEAP_CHILDREN])) {
        w->heap[i] = w->heap[(i - 1) / HEAP_CHILDREN];
        i = (i - 1) / HEAP_CHILDREN;
    }
    w->heap[i] = h;
}

/* The child that comes first, or `count` when there is none. */
static size_t first_child(const struct world *w, size_t i)
{
    size_t child = HEAP_CHILDREN * i + 1;
    size_t end = MIN(child + HEAP_CHILDREN, w->count);
    if (child >= w->count)
        return w->count;
    size_t first = child;
    while (++child < end) {
        if (is_before(&w->heap[child], &w->heap[first]))
            first = child;
    }
    return first;
}

static struct happening take_first(struct world *w)
{
    const struct happening first = w->heap[0];
    const struct happening last = w->heap[--w->count];
    size_t i = 0;
    for (;;) {
        size_t child = first_child(w, i);
        if (child == w->count || !is_before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return first;
}

void world_run(struct world *w, uint64_t until_ns)
{
    w->stopped = false;
    while (!w->stopped && w->count > 0 && w->heap[0].at_ns <= until_ns) {
        const struct happening h = take_first(w);
        w->now_ns = h.at_ns;
        w->happened++;
        h.fn(h.what, h.argument);
    }
    if (!w->stopped)
        w->now_ns = MAX(w->now_ns, until_ns);
}

void world_stop(struct world *w)
{
    w->stopped = true;
}

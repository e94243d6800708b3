/* SPDX-License-Identifier: MIT */
/* Room to take a number back is made when it is given out, so that giving back cannot fail. */
#include "base/ids.h"

#include "base/check.h"

#include <stdlib.h>

#define CAPACITY_MIN 64

void ids_init(struct ids *ids)
{
    *ids = (struct ids){0};
}

void ids_fini(struct ids *ids)
{
    free(ids->free);
    ids_init(ids);
}

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t kept = *a;
    *a = *b;
    *b = kept;
}

static uint32_t pop_lowest(struct ids *ids)
{
    uint32_t *heap = ids->free, lowest = heap[0], n = --ids->free_count;
    heap[0] = heap[n];
    for (uint32_t at = 0, child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[at] <= heap[child])
            break;
        swap(&heap[at], &heap[child]);
    }
    return lowest;
}

uint32_t ids_get(struct ids *ids)
{
    if (ids->free_count > 0)
        return pop_lowest(ids);
    if (ids->next == ids->capacity) {
        uint32_t capacity = ids->capacity ? 2 * ids->capacity : CAPACITY_MIN;
        uint32_t *larger = realloc(ids->free, capacity * sizeof(*larger));
        if (!larger)
            return IDS_NONE;
        ids->free = larger;
        ids->capacity = capacity;
    }
    return ids->next++;
}

void ids_put(struct ids *ids, uint32_t id)
{
    CHECK(id < ids->next);
    CHECK(ids->free_count < ids->next);
    uint32_t *heap = ids->free, at = ids->free_count++;
    heap[at] = id;
    for (uint32_t above; at > 0 && heap[above = (at - 1) / 2] > heap[at]; at = above)
        swap(&heap[at], &heap[above]);
}

/* SPDX-License-Identifier: MIT */
#include "pick/maglev.h"

#include "base/check.h"

#include <stdlib.h>
#include <xxhash.h>

#define PLACE_FREE UINT32_MAX

/* One member's walk over the table: at, at + step, at + 2 step, … modulo the prime size. */
struct walk {
    XXH128_hash_t hash;
    uint32_t at, step;
    uint32_t weight, value;
    uint32_t turn; /* running sum of weights: a turn each time it passes the largest weight */
};

/* Primes, few and far apart: growing across one moves nearly every key. */
static const uint32_t sizes[] = {65537, 262147, 1048583, 4194319};

uint32_t maglev_size(uint32_t members)
{
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(sizes) && sizes[i] < (uint64_t)members * 100)
        i++;
    return sizes[i];
}

static int walk_compare(const void *left, const void *right)
{
    const struct walk *a = left, *b = right;
    return XXH128_cmp(&a->hash, &b->hash);
}

static struct walk walk_begin(const struct maglev_member *m, uint32_t size)
{
    XXH128_hash_t hash = XXH3_128bits(m->name.p, m->name.n);
    return (struct walk){
        .hash = hash,
        .at = (uint32_t)(hash.low64 % size),
        .step = (uint32_t)(hash.high64 % (size - 1)) + 1,
        .weight = m->weight,
        .value = m->value,
    };
}

/* The first free place of the walk; there is one, as the walk visits every place. */
static void walk_claim(struct walk *w, uint32_t *table, uint32_t size)
{
    while (table[w->at] != PLACE_FREE) {
        w->at += w->step;
        if (w->at >= size)
            w->at -= size;
    }
    table[w->at] = w->value;
}

int maglev_build(uint32_t *table, uint32_t size, const struct maglev_member *members, uint32_t n)
{
    CHECK(n > 0);
    struct walk *walks = calloc(n, sizeof(*walks));
    if (!walks)
        return -1;
    uint32_t weight_max = 0;
    for (uint32_t i = 0; i < n; i++) {
        walks[i] = walk_begin(&members[i], size);
        weight_max = MAX(weight_max, members[i].weight);
    }
    /* Turns go by hash, so that the order of the members does not matter. */
    qsort(walks, n, sizeof(*walks), walk_compare);
    for (uint32_t i = 0; i < size; i++)
        table[i] = PLACE_FREE;
    for (uint32_t i = 0, left = size; left > 0; i = i + 1 < n ? i + 1 : 0) {
        struct walk *w = &walks[i];
        w->turn += w->weight;
        if (w->turn < weight_max)
            continue;
        w->turn -= weight_max;
        walk_claim(w, table, size);
        left--;
    }
    free(walks);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Hash map from a byte string to a pointer. Robin Hood open addressing over one flat array, XXH3
 * with a seed of the caller's: who chooses keys (a client) must not be able to choose collisions,
 * so the seed is random in production and fixed in tests.
 *
 * Keys are views: the caller keeps their bytes alive and unchanged while they are in the map,
 * usually in the object the value points to. Values are not NULL.
 *
 * Threads: the owner's thread; concurrent readers are fine as long as nobody writes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

struct map_entry;

struct map {
    uint64_t seed;
    struct map_entry *entries; /* NULL until the first put */
    uint32_t capacity;         /* 0 or a power of two */
    uint32_t count;
};

/* Allocates nothing. */
void map_init(struct map *m, uint64_t seed);

/* Frees the table, not keys or values. The map is empty and usable again. */
void map_fini(struct map *m);

/* The value of a key, or NULL. */
void *map_get(const struct map *m, struct span key);

/* Inserts, or replaces both key and value. 0, -ENOMEM, or -E2BIG at MAP_ENTRIES_MAX; on failure the
 * map is unchanged. Replacing never fails. */
NODISCARD int map_put(struct map *m, struct span key, void *value);

/* Takes a key out and returns its value, or NULL if it was not there. Never allocates. */
void *map_del(struct map *m, struct span key);

/* Makes room for `count` entries in all: puts up to there cannot fail. 0, -ENOMEM, -E2BIG. */
NODISCARD int map_reserve(struct map *m, size_t count);

/* Forgets all entries, keeps the table. */
void map_clear(struct map *m);

static inline size_t map_count(const struct map *m)
{
    return m->count;
}

/*
 * Iteration in no particular order:
 *
 *      struct map_iter it = {0};
 *      while (map_next(m, &it))
 *          use(it.key, it.value);
 *
 * The map must not change meanwhile.
 */
struct map_iter {
    uint32_t at;
    struct span key;
    void *value;
};

bool map_next(const struct map *m, struct map_iter *it);

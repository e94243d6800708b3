/* SPDX-License-Identifier: MIT */
/*
 * Robin Hood hashing with backward-shift deletion. An entry's distance is how far it sits from the
 * slot its hash names; along a probe distances grow by at most one, so a search ends as soon as it
 * meets an entry nearer to its home than the key would be here. No tombstones, ever.
 */
#include "base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/limits.h"

#define CAPACITY_MIN 16u
#define NOT_FOUND    UINT32_MAX

struct map_entry {
    struct span key;
    void *value; /* NULL is an empty slot */
    uint64_t hash;
};

void map_init(struct map *m, uint64_t seed)
{
    *m = (struct map){.seed = seed};
}

void map_fini(struct map *m)
{
    free(m->entries);
    map_init(m, m->seed);
}

static uint64_t hash_of(const struct map *m, struct span key)
{
    return XXH3_64bits_withSeed(key.n ? key.p : (const uint8_t *)"", key.n, m->seed);
}

static uint32_t next_slot(const struct map *m, uint32_t slot)
{
    return (slot + 1) & (m->capacity - 1);
}

static uint32_t distance_at(const struct map *m, uint32_t slot)
{
    return (slot - (uint32_t)m->entries[slot].hash) & (m->capacity - 1);
}

static uint32_t find(const struct map *m, struct span key, uint64_t hash)
{
    if (m->count == 0)
        return NOT_FOUND;
    uint32_t slot = (uint32_t)hash & (m->capacity - 1);
    for (uint32_t distance = 0;; distance++, slot = next_slot(m, slot)) {
        const struct map_entry *e = &m->entries[slot];
        if (!e->value || distance_at(m, slot) < distance)
            return NOT_FOUND;
        if (e->hash == hash && span_eq(e->key, key))
            return slot;
    }
}

void *map_get(const struct map *m, struct span key)
{
    uint32_t slot = find(m, key, hash_of(m, key));
    return slot == NOT_FOUND ? NULL : m->entries[slot].value;
}

/* Places a key that is not there into a table with room. */
static void place(struct map *m, struct map_entry e)
{
    uint32_t slot = (uint32_t)e.hash & (m->capacity - 1);
    for (uint32_t distance = 0; m->entries[slot].value; distance++, slot = next_slot(m, slot)) {
        uint32_t theirs = distance_at(m, slot);
        if (theirs < distance) {
            struct map_entry displaced = m->entries[slot];
            m->entries[slot] = e;
            e = displaced;
            distance = theirs;
        }
    }
    m->entries[slot] = e;
}

/* Room for `count` entries at a load of at most 7/8. */
static bool has_room(const struct map *m, size_t count)
{
    return count <= (size_t)m->capacity / 8 * 7;
}

static int rehash(struct map *m, uint32_t capacity)
{
    struct map_entry *entries = calloc(capacity, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    struct map old = *m;
    m->entries = entries;
    m->capacity = capacity;
    for (uint32_t slot = 0; slot < old.capacity; slot++)
        if (old.entries[slot].value)
            place(m, old.entries[slot]);
    free(old.entries);
    return 0;
}

int map_reserve(struct map *m, size_t count)
{
    if (has_room(m, count))
        return 0;
    if (count > MAP_ENTRIES_MAX)
        return -E2BIG;
    uint32_t capacity = MAX(m->capacity, CAPACITY_MIN);
    while ((size_t)capacity / 8 * 7 < count)
        capacity *= 2;
    return rehash(m, capacity);
}

int map_put(struct map *m, struct span key, void *value)
{
    CHECK(value != NULL);
    struct map_entry e = {.key = key, .value = value, .hash = hash_of(m, key)};
    uint32_t slot = find(m, key, e.hash);
    if (slot != NOT_FOUND) {
        m->entries[slot] = e;
        return 0;
    }
    int error = map_reserve(m, (size_t)m->count + 1);
    if (error)
        return error;
    place(m, e);
    m->count++;
    return 0;
}

void *map_del(struct map *m, struct span key)
{
    uint32_t slot = find(m, key, hash_of(m, key));
    if (slot == NOT_FOUND)
        return NULL;
    void *value = m->entries[slot].value;
    uint32_t after = next_slot(m, slot);
    while (m->entries[after].value && distance_at(m, after) > 0) {
        m->entries[slot] = m->entries[after];
        slot = after;
        after = next_slot(m, after);
    }
    m->entries[slot] = (struct map_entry){0};
    m->count--;
    return value;
}

void map_clear(struct map *m)
{
    if (m->count > 0)
        memset(m->entries, 0, m->capacity * sizeof(*m->entries));
    m->count = 0;
}

bool map_next(const struct map *m, struct map_iter *it)
{
    while (it->at < m->capacity) {
        const struct map_entry *e = &m->entries[it->at++];
        if (e->value) {
            it->key = e->key;
            it->value = e->value;
            return true;
        }
    }
    return false;
}

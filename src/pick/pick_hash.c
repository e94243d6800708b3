/* SPDX-License-Identifier: MIT */
/*
 * source_hash: the same key goes to the same backend as long as that can be picked, and to the same
 * substitute while it cannot: the key walks the table in an order of its own. (The next places of
 * the table would send all keys of a full backend to a few neighbours.)
 */
#include "pick/maglev.h"
#include "pick/view.h"

#include <stdlib.h>
#include <xxhash.h>

uint64_t pick_source_key(const struct address *peer)
{
    return XXH3_64bits(peer->ip, sizeof(peer->ip));
}

int hash_build(const struct pool *pool, struct view *v)
{
    struct maglev_member *members = calloc(v->count, sizeof(*members));
    v->table_length = maglev_size(pool->member_count);
    v->table = calloc(v->table_length, sizeof(*v->table));
    int rc = -1;
    if (members && v->table) {
        for (uint32_t i = 0; i < v->count; i++) {
            const struct backend *b = &pool->backends[v->members[i]];
            members[i] = (struct maglev_member){
                .name = span_cstr(b->conf->name),
                .weight = backend_weight(b),
                .value = b->slot,
            };
        }
        rc = maglev_build(v->table, v->table_length, members, v->count);
    }
    free(members);
    return rc;
}

enum pick_answer pick_hash(struct pool *pool, const struct view *v,
                           const struct pick_request *request, struct rng *rng UNUSED,
                           struct backend **ret_backend)
{
    uint64_t hash = mix64(request->key);
    uint64_t at = hash_place(v, request->key);
    if (LIKELY(pick_try(pool, v->table[at], request, ret_backend)))
        return PICK_OK;
    uint64_t second = mix64(hash);
    uint64_t pace = second % (v->table_length - 1) + 1;
    for (uint32_t step = 1; step < PICK_STEPS_MAX; step++) {
        at = (at + pace) % v->table_length;
        if (pick_try(pool, v->table[at], request, ret_backend))
            return PICK_OK;
    }
    return pick_scan(pool, v, request, (uint32_t)((second >> 32) % v->count), ret_backend);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Pick: pool view, request key, already tried, now, random → a backend, "queue", or none.
 *
 *   members → eligible (state, tier, maximum connections, not tried) → policy → admission
 *
 * The picked backend's in_flight is already counted up on return (admission is part of the pick, so
 * that a request waiting for its connection counts), and pick_done must be called exactly once per
 * successful pick, whatever happens.
 *
 * Backups are used only while no primary is in rotation. A backend at its maximum of connections is
 * passed over; when all are, the answer is PICK_QUEUE.
 *
 * Pure but for the pool's own atomic words. Any worker thread. Cost is independent of the number of
 * backends. Policies: one file each (pick_rr.c, pick_least.c, pick_random.c, pick_p2c.c,
 * pick_hash.c), one row each in pick.c's table.
 */

#include "base/rng.h"
#include "pick/pool.h"

enum pick_answer {
    PICK_OK,
    PICK_QUEUE, /* there are backends, but all are at their limit */
    PICK_NONE,  /* REASON_no_backend */
};

#define PICK_TRIED_MAX 16

struct pick_request {
    uint64_t key;         /* source_hash: hash of the client's IP */
    uint32_t tried_count; /* slots that must not be picked again */
    uint32_t tried[PICK_TRIED_MAX];
};

/* The key of a client: the hash of its IP. */
uint64_t pick_source_key(const struct address *peer);

NODISCARD enum pick_answer pick_backend(struct pool *pool, const struct pick_request *request,
                                        struct rng *rng, struct backend **ret_backend);

/*
 * Takes one more connection of this very backend if its limit allows (used when a queue hands over
 * a freed place); counts it like a pick. False when it is full or out of rotation.
 */
NODISCARD bool pick_this(struct backend *b);

/* The end of what pick_backend or pick_this began. */
void pick_done(struct backend *b);

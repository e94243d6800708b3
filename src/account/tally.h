/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A tally: the counters of one worker, by listener and pool, and by backend (see board.h).
 *
 *   fronts ─▶ chunk ─▶ row of a listener ─▶ chunk ─▶ pair: listener and pool
 *   backends ─▶ chunk ─▶ row of a backend
 *
 * Rows are found by number with three loads. Chunks are made when a number in them first occurs and
 * never move, so a reader may be anywhere while the worker goes on. A row says by its birth whose
 * it is; the worker begins it anew when that differs (board.h).
 *
 * Memory of one worker: 1 KiB a backend that was used, 2 KiB a pair.
 * Thread rule: one writer, the worker; any thread may read rows.
 */

#include "account/account.h"
#include "account/board.h"
#include "account/latency.h"
#include "base/limits.h"

#include <stdatomic.h>
#include <stdint.h>

/* Statuses and methods are told apart in a small table of open addressing that is never more than
 * two thirds full; entry 0 is empty, others are tally_code + 1. */
#define PAIR_CODES         64
#define PAIR_CODES_MAX     40
#define BACKEND_CODES      16
#define TALLY_CHUNK        64
#define TALLY_FRONT_CHUNKS (BOARD_LISTENERS_MAX / TALLY_CHUNK)
#define TALLY_POOL_CHUNKS  (BOARD_POOLS_MAX / TALLY_CHUNK)
#define TALLY_CHUNKS       (BOARD_BACKENDS_MAX / TALLY_CHUNK)

struct tally_counts {
    _Atomic uint64_t requests, failures, retries, bytes_in, bytes_out;
    struct latency latency;
};

struct tally_pair {
    _Atomic uint32_t birth; /* of the pool; of the listener where there is no pool */
    uint32_t distinct;
    struct tally_counts counts;
    _Atomic uint16_t codes[PAIR_CODES];
    _Atomic uint64_t by_code[PAIR_CODES];
    _Atomic uint64_t by_class[BOARD_CLASSES * BOARD_METHODS];
};

struct tally_backend {
    ALIGNED(64) _Atomic uint32_t birth;
    struct tally_counts counts;
    _Atomic uint16_t codes[BACKEND_CODES];
    _Atomic uint64_t by_code[BACKEND_CODES];
    _Atomic uint64_t by_class[BOARD_CLASSES];
    _Atomic uint64_t connect_errors[BOARD_CONNECT_REASONS];
};

/* Entry 0 is for exchanges without a pool, entry n + 1 for pool number n. */
struct tally_pairs {
    _Atomic(struct tally_pair *) pairs[TALLY_CHUNK];
};

struct tally_front {
    _Atomic uint32_t birth;
    _Atomic uint64_t connections;
    _Atomic(struct tally_pairs *) chunks[TALLY_POOL_CHUNKS];
};

struct tally {
    _Atomic(struct tally_front *) fronts[TALLY_FRONT_CHUNKS * TALLY_CHUNK];
    _Atomic(struct tally_backend *) backends[TALLY_CHUNKS]; /* chunks */
    _Atomic uint64_t untold;                                /* no room for a row */
};

/* NULL without memory. */
struct tally *tally_new(void);
void tally_free(struct tally **t);

void tally_connection(struct tally *t, const struct board_key *listener);
void tally_exchange(struct tally *t, const struct account_count *c);
void tally_left(struct tally *t, const struct board_key *backend, const struct account_left *l);
void tally_retried(struct tally *t, const struct board_key *backend);

/* A row if it is of this birth, else NULL. */
const struct tally_front *tally_find_front(const struct tally *t, struct board_key key);
const struct tally_pair *tally_find_pair(const struct tally_front *f, struct board_key listener,
                                         const struct board_key *pool);
const struct tally_backend *tally_find_backend(const struct tally *t, struct board_key key);

/* Status and method in one number, and back. */
static inline uint16_t tally_code(uint16_t status, uint8_t method)
{
    return (uint16_t)(status * BOARD_METHODS + method);
}

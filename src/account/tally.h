/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A tally: the counters of one worker, by listener and pool, and by backend (see board.h).
 *
 *   fronts[number] ─▶ row of a listener ─▶ chunk of pools ─▶ pair: listener and pool
 *   backends[number / 16] ─▶ rows of backends
 *
 * Rows are made when a number first occurs and never move, so a reader may be anywhere while the
 * worker goes on. A row says by its birth whose
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
#define PAIR_CODES        64
#define PAIR_CODES_MAX    40
#define BACKEND_CODES     16
#define TALLY_ROWS        16
#define TALLY_CHUNK       64
#define TALLY_POOL_CHUNKS (BOARD_POOLS_MAX / TALLY_CHUNK)

struct tally_counts {
    _Atomic uint64_t failures, retries, bytes_in, bytes_out;
    struct latency latency;
};

/* Calls of gRPC; of pairs that had any. */
struct tally_calls {
    _Atomic uint64_t by_status[BOARD_GRPC];
};

struct tally_pair {
    _Atomic uint32_t birth; /* of the pool; of the listener where there is no pool */
    uint32_t distinct;
    struct tally_counts counts;
    _Atomic uint16_t codes[PAIR_CODES];
    _Atomic uint64_t by_code[PAIR_CODES];
    _Atomic uint64_t by_class[BOARD_CLASSES * BOARD_METHODS];
    _Atomic(struct tally_calls *) calls;
};

struct tally_backend {
    ALIGNED(64) _Atomic uint32_t birth;
    struct tally_counts counts;
    _Atomic uint16_t codes[BACKEND_CODES];
    _Atomic uint64_t by_code[BACKEND_CODES];
    _Atomic uint64_t by_class[BOARD_CLASSES];
    _Atomic uint64_t connect_errors[BOARD_CONNECT_REASONS];
};

/* What pairs held that have a new owner. */
struct tally_past {
    struct tally_counts counts;
    _Atomic uint64_t by_class[BOARD_CLASSES];
};

/* Entry 0 is for exchanges without a pool, entry n + 1 for pool number n. */
struct tally_pairs {
    _Atomic(struct tally_pair *) pairs[TALLY_CHUNK];
};

struct tally_front {
    _Atomic uint32_t birth;
    _Atomic uint64_t connections;
    _Atomic uint64_t tunnels[BOARD_TUNNELS], tunnels_ended[BOARD_TUNNELS];
    _Atomic uint64_t handshakes[BOARD_HANDSHAKES];
    _Atomic uint64_t handshakes_failed[BOARD_HANDSHAKE_REASONS];
    struct tally_past gone; /* of pools that left the listener */
    _Atomic(struct tally_pairs *) chunks[TALLY_POOL_CHUNKS];
};

/* Most of it is never touched: pages of pointers to rows that there are not. */
struct tally {
    struct tally_pair nowhere;    /* exchanges of no listener, or without room for a row */
    _Atomic uint64_t untold;      /* how often there was none */
    struct tally_past gone;       /* of all listeners and pools */
    _Atomic uint32_t front_count; /* no number from here on has a row */
    _Atomic(struct tally_front *) fronts[BOARD_LISTENERS_MAX];
    _Atomic(struct tally_backend *) backends[BOARD_BACKENDS_MAX / TALLY_ROWS]; /* each so many */
};

/* NULL without memory. */
struct tally *tally_new(void);
void tally_free(struct tally **t);

void tally_connection(struct tally *t, const struct board_key *listener);
void tally_tunnel(struct tally *t, const struct board_key *listener, enum board_tunnel kind,
                  bool begun);
void tally_handshake(struct tally *t, const struct board_key *listener, bool tls13, bool resumed);
void tally_handshake_failed(struct tally *t, const struct board_key *listener, enum reason why);
void tally_exchange(struct tally *t, const struct account_count *c);
void tally_call(struct tally *t, const struct board_key *listener, const struct board_key *pool,
                uint8_t grpc);
void tally_left(struct tally *t, const struct board_key *backend, const struct account_left *l);
void tally_retried(struct tally *t, const struct board_key *backend);

/* A row if it is of this birth, else NULL. */
COLD const struct tally_front *tally_find_front(const struct tally *t, struct board_key key);
COLD const struct tally_pair *tally_find_pair(const struct tally_front *f,
                                              struct board_key listener,
                                              const struct board_key *pool);
COLD const struct tally_backend *tally_find_backend(const struct tally *t, struct board_key key);

/* The next pair of a listener, whoever's it is, moving *at past it; NULL at the end. */
COLD const struct tally_pair *tally_next_pair(const struct tally_front *f, uint32_t *at);

/* The row of a number, whoever's it is, or NULL. */
static inline const struct tally_front *tally_front_at(const struct tally *t, uint32_t number)
{
    return atomic_load_explicit(&t->fronts[number], memory_order_acquire);
}

static inline uint32_t tally_front_count(const struct tally *t)
{
    return atomic_load_explicit(&t->front_count, memory_order_relaxed);
}

/* Adds everything that was counted of exchanges. */
COLD void tally_all(const struct tally *t, struct board_sum *add_to,
                    uint64_t classes[BOARD_CLASSES]);

/* Adds what is counted in one place; `requests` follows from the latencies. */
COLD void tally_add(const struct tally_counts *c, struct board_sum *add_to);

COLD void tally_past_add(const struct tally_past *past, struct board_sum *add_to,
                         uint64_t classes[BOARD_CLASSES]);
COLD void tally_pair_add(const struct tally_pair *p, struct board_sum *add_to,
                         uint64_t classes[BOARD_CLASSES]);

/* Adds the counts of a pair by status / 100. */
COLD void tally_classes(const struct tally_pair *p, uint64_t add_to[BOARD_CLASSES]);

/* Status and method in one number. */
#define TALLY_STATUS_BITS 10
static inline uint32_t tally_code(uint32_t status, uint32_t method)
{
    return method << TALLY_STATUS_BITS | status;
}

static inline uint16_t tally_status(uint32_t code)
{
    return code & ((1u << TALLY_STATUS_BITS) - 1);
}

static inline uint8_t tally_method(uint32_t code)
{
    return (uint8_t)(code >> TALLY_STATUS_BITS);
}

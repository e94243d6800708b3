/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The board: what all workers have counted, by listener and pool, and by backend.
 *
 *   worker ─ account ─ tally ──┐  (each written by one thread alone)
 *   worker ─ account ─ tally ──┴── struct account_board, sums ─▶ admin/rates, admin/metrics
 *
 * Objects are known by keys. The number of a key is small and belongs to another object when its
 * owner is gone; the birth is unlike any before. A worker that meets a number with another birth
 * begins it anew from zero, and a reader passes over rows of other births: so nobody has to clear
 * what another thread writes, and a new backend never inherits the counters of an old one.
 *
 * Lifetime: board_new .. board_free, around the accounts in it.
 * Thread rule: keys are made and the board is read on the control thread. Who reads is COLD:
 * inlining there would use up what the optimiser allows the whole program to grow, and workers need
 * that.
 */

#include "account/latency.h"
#include "account/reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct account; /* account/account.h */
struct account_board;

struct board_key {
    uint32_t number; /* small, of its own among those of its kind as long as the object lives */
    uint32_t birth;  /* 0 = no key: nothing is counted for it */
};

/* A key with this number and a birth of its own. */
struct board_key board_key(uint32_t number);

/* The pool of an exchange that never got as far as one. */
#define BOARD_NO_POOL UINT32_MAX

/* How a request is named in series: 0..9 are the methods of codec/message.h. */
#define BOARD_METHODS     11
#define BOARD_METHOD_NONE 10 /* TCP, or never understood */

/* Statuses by their hundreds: 0 = none; 5 = 500 and all above. */
#define BOARD_CLASSES 6

/* Reasons for which no connection to a backend could be had. */
#define BOARD_CONNECT_REASONS 10
enum reason board_connect_reason(size_t i);

/* Exchanges that became tunnels, by the protocol that was upgraded to. */
enum board_tunnel { BOARD_WEBSOCKET, BOARD_OTHER_TUNNEL, BOARD_TUNNELS };

/* Never more ended than begun. */
struct board_tunnels {
    uint64_t begun[BOARD_TUNNELS], ended[BOARD_TUNNELS];
};

/* Why handshakes with clients fail; all other reasons count as the last of these. */
#define BOARD_HANDSHAKE_REASONS 7
enum reason board_handshake_reason(size_t i);

/* Handshakes that were completed, by what they came to. */
#define BOARD_HANDSHAKES 4
struct board_handshakes {
    uint64_t done[BOARD_HANDSHAKES]; /* board_handshake */
    uint64_t failed[BOARD_HANDSHAKE_REASONS];
};

static inline size_t board_handshake(bool tls13, bool resumed)
{
    return 2 * (size_t)tls13 + (size_t)resumed;
}

/* NULL without memory. Up to `count` accounts, each to be added before it counts anything. */
struct account_board *board_new(uint32_t count);
/* One that has counted nothing. */
const struct account_board *board_empty(void);
void board_add(struct account_board *b, const struct account *a);
void board_free(struct account_board **b);

/* What is kept of exchanges, of whatever they have in common. */
struct board_sum {
    uint64_t requests; /* = latency.count */
    uint64_t failures; /* ended by the backend's fault */
    uint64_t retries;
    uint64_t bytes_in, bytes_out;
    struct latency_sum latency;
};

/* Counts by status and method. Each worker keeps a bounded number of distinct ones; what is beyond
 * is counted by the class of the status. Set `count` and by_class to 0 to begin with. */
#define BOARD_STATUSES  1000 /* 0 = none; larger ones count as 999 */
#define BOARD_CODES_MAX 1024
struct board_codes {
    uint32_t count;
    struct board_code {
        uint16_t status;
        uint8_t method;
        uint64_t count;
    } codes[BOARD_CODES_MAX]; /* in no order */
    uint64_t by_class[BOARD_CLASSES][BOARD_METHODS];
};
void board_codes_clear(struct board_codes *c);

/* ---- by listener and pool ---- */

/* Calls of gRPC by how they ended: [i] is RECORD_GRPC_NONE + i (account/record.h). */
#define BOARD_GRPC 18
COLD void board_pair_grpc(const struct account_board *b, struct board_key listener,
                          const struct board_key *pool, uint64_t add_to[BOARD_GRPC]);

/* Connections taken by a listener. */
COLD uint64_t board_connections(const struct account_board *b, struct board_key listener);

/* Adds its tunnels. */
COLD void board_tunnels(const struct account_board *b, struct board_key listener,
                        struct board_tunnels *add_to);

/* Adds its TLS handshakes. */
COLD void board_tls(const struct account_board *b, struct board_key listener,
                    struct board_handshakes *add_to);

/* The next pool number from *at on that a listener has had to do with, moving *at past it;
 * BOARD_NO_POOL comes first. False at the end. `*at` begins at 0. */
COLD bool board_next_pool(const struct account_board *b, struct board_key listener, uint32_t *at,
                          uint32_t *ret_pool_number);

/* Adds what was counted for this pair; the pool NULL for exchanges without one. False when that is
 * nothing: it may be of a pool that is gone. */
COLD bool board_pair(const struct account_board *b, struct board_key listener,
                     const struct board_key *pool, struct board_sum *add_to);

/* Adds the counts of the pair by status and method. */
COLD void board_pair_codes(const struct account_board *b, struct board_key listener,
                           const struct board_key *pool, struct board_codes *add_to);

/* All there is of a listener, a pool, the process, and by status / 100. Those of a listener and of
 * the process never fall, whatever comes and goes. */
COLD void board_listener(const struct account_board *b, struct board_key listener,
                         struct board_sum *add_to, uint64_t classes[BOARD_CLASSES]);
COLD void board_pool(const struct account_board *b, struct board_key pool, struct board_sum *add_to,
                     uint64_t classes[BOARD_CLASSES]);
COLD void board_process(const struct account_board *b, struct board_sum *add_to,
                        uint64_t classes[BOARD_CLASSES]);

/* ---- by backend ---- */

/* Exchanges given to it; cheaper than all of it, to see whether anything has changed. */
COLD uint64_t board_backend_requests(const struct account_board *b, struct board_key backend);

COLD bool board_backend(const struct account_board *b, struct board_key backend,
                        struct board_sum *add_to);

/* By status alone: the method is always BOARD_METHOD_NONE. */
COLD void board_backend_codes(const struct account_board *b, struct board_key backend,
                              struct board_codes *add_to);

COLD void board_backend_classes(const struct account_board *b, struct board_key backend,
                                uint64_t add_to[BOARD_CLASSES]);

/* For the reasons of board_connect_reason. */
COLD void board_backend_connect_errors(const struct account_board *b, struct board_key backend,
                                       uint64_t add_to[BOARD_CONNECT_REASONS]);

/* ---- of all ---- */

COLD uint32_t board_accounts(const struct account_board *b);
COLD const struct account *board_account(const struct account_board *b, uint32_t index);

/* Exchanges that ended for this reason. */
COLD uint64_t board_reason(const struct account_board *b, enum reason reason);

/* Records that the access log had no room for. */
COLD uint64_t board_records_dropped(const struct account_board *b);

/* Exchanges that have no row, for want of memory or beyond the limits. */
COLD uint64_t board_untold(const struct account_board *b);

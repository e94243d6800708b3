/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The account record: what happened in one exchange, written once at its end.
 *
 * Plain data filled by forward/; texts are spans that need to live only until account_exchange
 * returns. Times are microseconds; a phase that was not reached is 0.
 *
 *   |-- queue --|-- connect --|-- response (to its first byte) --| … |
 *   |------------------------------ total ---------------------------|
 */

#include "account/reason.h"
#include "base/address.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct board_key; /* account/board.h */

/* How a call of gRPC ended, in a byte of which 0 says that it was none: its status, from 0 to 16,
 * or that it got none, as when its client went. */
#define RECORD_GRPC_NONE      1
#define RECORD_GRPC(status)   ((uint8_t)((status) + 2))
#define RECORD_GRPC_STATUS(g) ((g)-2)
#define RECORD_GRPC_COUNT     18 /* of what it may be but 0 */

struct record {
    uint64_t start_wall_ms; /* since 1970, when the request's first byte came */
    struct address client;
    struct span listener, route, pool, backend; /* empty where none */
    bool http;
    struct span method, target, host; /* target as received */
    struct span user_agent, referer, request_id;
    struct span tls_version, tls_cipher, sni, client_subject; /* all empty of a plain connection */
    uint8_t version_major, version_minor;                     /* of HTTP; major 0 is 1 */
    uint16_t status;   /* sent to the client; 0 = none (TCP, or gone before) */
    uint64_t bytes_in; /* from the client: heads and bodies */
    uint64_t bytes_out;
    uint64_t queue_us, connect_us, response_us, total_us;
    uint32_t retries;
    bool made_here; /* the answer is ours, not a backend's */
    uint8_t grpc;   /* RECORD_GRPC_*; 0 = no call of gRPC */
    enum reason reason;
    /* for the counters; not in the log */
    uint8_t method_number;                           /* as in account/board.h */
    const struct board_key *listener_key, *pool_key; /* NULL where none */
};

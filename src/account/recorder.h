/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The flight recorder: the last exchanges of one worker, kept in a ring whether or not there is an
 * access log, for looking back at what has just happened.
 *
 *   worker ── recorder_put ─▶ ring of RECORDER_ROWS rows ◀── recorder_read ── any thread
 *
 * Nobody waits for anybody: each row has a number that is odd while it is written; a reader that
 * finds it odd, or other than it was before, leaves the row out. Memory is fixed: RECORDER_ROWS
 * rows of RECORDER_ROW_BYTES, which is 1.5 MiB for each worker, touched as it fills.
 *
 * Texts are cut to what fits a row: names to 63 bytes, the request id to 36, and of the request's
 * head the first 160 bytes, from which method, target and Host are read when somebody asks. Words
 * of TLS take the place of its end where names are long.
 *
 * Thread rule: recorder_put on the worker; recorder_read and what is below on any thread.
 */

#include "account/reason.h"
#include "base/address.h"
#include "base/bytes.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORDER_ROWS      4096
#define RECORDER_ROW_BYTES 384
#define RECORDER_TEXT_MAX  280

struct recorder;

/* How its peers speak, and what it became: bits of flight.marks. Above them RECORD_GRPC_*. */
enum flight_mark {
    FLIGHT_TCP = 0,
    FLIGHT_HTTP_1_0 = 1,
    FLIGHT_HTTP_1_1 = 2,
    FLIGHT_HTTP_2 = 3,
    FLIGHT_PROTOCOL = 3, /* the bits of these four, of the client */
    FLIGHT_BACKEND_HTTP_2 = 1 << 2,
    FLIGHT_BACKEND_TLS = 1 << 3,
    FLIGHT_WEBSOCKET = 1 << 4,
};
#define FLIGHT_GRPC_SHIFT 8

/* What is known of TLS on either side; what there is none of is empty. */
struct flight_tls {
    struct span version, cipher, sni;
    struct span backend_version, backend_cipher;
};

/* What is kept of an exchange. Times are those of the worker's clock (loop_now); 0 where it did not
 * come so far. */
struct flight {
    uint64_t begun_ns, picked_ns, connected_ns, first_byte_ns;
    uint64_t ended_ns; /* of one under way: now */
    uint64_t bytes_in, bytes_out;
    const struct address *client;
    const char *listener, *route, *pool, *backend; /* NULL: none */
    struct span head;                              /* of the request as sent to a backend */
    struct span request_id;
    uint32_t births[3]; /* of the keys of listener, pool and backend (account/board.h); 0: none */
    uint32_t retries;
    uint16_t status;
    uint16_t reason;              /* enum reason */
    uint16_t marks;               /* enum flight_mark */
    uint8_t state;                /* the caller's own numbers */
    const struct flight_tls *tls; /* NULL: none on either side */
};

/* A row as it was found, on its own. */
struct flight_row {
    uint64_t words[RECORDER_ROW_BYTES / 8 - 1];
};

/* NULL without memory. */
struct recorder *recorder_new(void);
/* Leaves NULL; accepts NULL. */
void recorder_free(struct recorder **r);

/* The end of one exchange. */
void recorder_put(struct recorder *r, const struct flight *f);

/* Exchanges recorded so far. */
uint64_t recorder_count(const struct recorder *r);

/* At most `max` of the last, newest first; how many there were. */
size_t recorder_read(const struct recorder *r, struct flight_row *rows, size_t max);

/* The row of an exchange that is not (yet) in a ring. */
void flight_pack(struct flight_row *row, const struct flight *f);

/* What a row holds. Texts point into it; those there were none of are empty. */
struct flight_view {
    uint64_t ended_ns, bytes_in, bytes_out;
    uint64_t queue_us, connect_us, response_us, total_us;
    struct address client;
    struct span listener, route, pool, backend, request_id;
    struct span method, target, host;
    uint32_t retries;
    uint16_t status;
    enum reason reason;
    uint16_t marks;
    uint8_t state, grpc; /* RECORD_GRPC_* */
    bool http;
    struct flight_tls tls;
};
void flight_view(const struct flight_row *row, struct flight_view *ret_view);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Sessions: exchanges under way, and the last that ended, as GET /api/v1/sessions shows them.
 *
 * Who gathers them must ask each worker, so the answer comes later: a sessions_fn is called with a
 * query and calls `done` exactly once, from the loop's turn and never inside the call. Rows and
 * their texts stay valid until `done` returns.
 *
 * Thread rule: the control thread.
 */

#include "account/reason.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SESSIONS_SHOWN_MAX  1000 /* under way */
#define SESSIONS_RECENT_MAX 4096 /* of each worker */

struct session {
    uint32_t worker;
    struct span client; /* address and port */
    struct span listener, route, pool, backend;
    struct span method, target, host; /* empty of TCP */
    bool tcp;
    const char
        *client_protocol; /* "HTTP/1.0", "HTTP/1.1", "HTTP/2", "websocket", "tunnel", "tcp" */
    const char *backend_protocol; /* "HTTP/1.1", "HTTP/2", "tcp"; NULL: given to no backend */
    struct span tls_version, tls_cipher, sni; /* of the client; empty: none */
    struct span backend_tls_version, backend_tls_cipher;
    uint8_t grpc;      /* RECORD_GRPC_* of account/record.h; 0 = no call of gRPC */
    const char *state; /* "queued", "connecting", "sending", "responding", "finishing", "tunnel";
                          of one that ended NULL */
    double age_ms;
    uint64_t bytes_in, bytes_out;
    uint32_t retries;
    struct span request_id;

    /* of one that ended */
    uint16_t status;
    enum reason reason;
    uint64_t ended_wall_ms;
    double queue_ms, connect_ms, response_ms, total_ms;
};

struct sessions_query {
    bool recent;  /* those that ended, newest first; else those under way */
    uint32_t max; /* rows wanted */
};

/* `total` counts those that are not shown too. */
typedef void sessions_done_fn(void *user, uint64_t total, const struct session *rows, size_t count);

typedef void sessions_fn(void *user, const struct sessions_query *query, sessions_done_fn *done,
                         void *done_user);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Upstream connections that speak HTTP/2: shared by the exchanges of this worker, each of which has
 * a stream of its own there.
 *
 *   exchange ─▶ struct upstream_request (a side) ─┐
 *   exchange ─▶ struct upstream_request ──────────┼─▶ struct upstream_h2 ─▶ h2_conn ─▶ stream
 *   exchange ─▶ …                           ┘     one send a turn for all of them
 *
 * Which connection: the one used last that has room, so that few are busy and the others come to
 * rest; another is opened when all are full. One has room for as many requests as the backend
 * allows, at most UPSTREAM_H2_STREAMS. Until the backend has said how many, requests may be refused
 * for being too many: those, and the ones behind a GOAWAY, were not processed, so that any method
 * may be sent again.
 *
 * What becomes of a connection:
 *
 *   upstream_h2_begin ─▶ CONNECTING ─connected─▶ OPEN ─(last exchange left)─▶ idle ─▶ closed
 *                                                 │                            ▲ keepalive.idle,
 *                                                 └─ PARTED ─(last exchange left)
 * keepalive.max_idle
 *
 * It is parted from its backend, which means that no other exchange gets it, by GOAWAY, when the
 * backend leaves, or when it has been silent for as long as a response may take.
 *
 * What is refused, limited and timed is as with HTTP/1 (forward/upstream.h): a backend is trusted
 * with no more because it speaks another protocol. A WebSocket needs extended CONNECT (RFC 8441)
 * there; where that is not offered the request is answered with backend_no_websocket.
 *
 * Thread rule: its worker's thread.
 */

#include "pick/pool.h"

#include <stdbool.h>
#include <stddef.h>

struct exchange;
struct upstream_h2;

/* Gives the exchange's request to a connection to `b`. On return x->backend is set and the exchange
 * may even be over; or, when there was no room for it, false is returned with nothing begun. */
bool upstream_h2_begin(struct exchange *x, struct backend *b);

/* Nothing new for this connection; it closes when its last exchange has left, perhaps now. */
void upstream_h2_part(struct upstream_h2 *u);

/* Whether it is the one that `link`, of struct idle_shared, belongs to. */
struct upstream_h2 *upstream_h2_of_link(struct list *link);

/* Slab objects: connections, and requests on them. */
size_t upstream_h2_object_bytes(void);
size_t upstream_request_object_bytes(void);

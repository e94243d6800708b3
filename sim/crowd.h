/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A group of clients.
 *
 * Open loop (`rate_per_s`): requests come when they come, by a Poisson process or evenly, whatever
 * becomes of those before; each takes a connection that is free, or opens one. Latency counts from
 * the instant at which the request came. Closed loop (`connections`): so many clients, each asks,
 * waits for the answer, thinks, asks again.
 *
 * Each request goes to one of the balancers in turn (open loop) or to that of its client (closed
 * loop). Its luck is drawn when it comes, before any balancer has seen it.
 *
 * A request has failed when the answer is 400 or more, when the connection ends without one, or
 * when it takes longer than the timeout. Only a request on a connection used before, which ends
 * without a byte of an answer, is sent once more, as browsers do: the balancer may just have closed
 * it.
 *
 * Thread rule: as world.h.
 */

#include "account/reason.h"
#include "base/histogram.h"
#include "sim/cable.h"
#include "sim/server.h"
#include "sim/spread.h"
#include "sim/trace.h"

#include <stdbool.h>

/* Where they dial. */
struct crowd_target {
    struct host *host;
    struct address address; /* of the listener */
};

struct crowd_conf {
    const char *name;
    const struct trace *trace; /* requests as recorded (trace.h), in an open loop; or NULL */
    double rate_per_s;         /* 0: closed loop */
    bool even;                 /* arrivals at equal distances */
    uint32_t connections;
    struct spread think;
    uint64_t timeout_ns;
    bool keep_alive;
    const char *path, *host;
    uint32_t body_bytes; /* of a request; 0: GET, else POST */
    uint32_t addresses;  /* that they come from */
    bool tcp;
};

/* Ways for a request to fail that no balancer's reason names come after those. */
enum crowd_failure {
    CROWD_TIMEOUT = REASON_COUNT,
    CROWD_LOST,     /* the connection ended before the answer was whole */
    CROWD_REFUSED,  /* the balancer could not be reached */
    CROWD_STATUS,   /* a status of 400 or more that comes from the backend */
    CROWD_OVERLOAD, /* no connection was left on the client's side: not sent */
    CROWD_FAILURES
};
const char *crowd_failure_name(size_t failure);

struct crowd_stats {
    uint64_t requests, ok, failed, resent;
    uint64_t failures[CROWD_FAILURES];
    uint64_t connections;
    uint64_t response_bytes;
    struct histogram latency; /* nanoseconds, of those that went well */
};

struct crowd;

/* Not yet begun. NULL: out of memory. */
struct crowd *crowd_new(struct world *w, struct network *n, const struct crowd_conf *conf,
                        const struct crowd_target *targets, size_t target_count, uint64_t index,
                        struct window measured);
/* Leaves NULL; accepts NULL. */
void crowd_free(struct crowd **c);

/* Begins; until measured.until_ns. */
void crowd_begin(struct crowd *c);

/* Requests that have not ended. */
uint64_t crowd_waiting(const struct crowd *c);

/* Closes what is open, once nothing waits. */
void crowd_leave(struct crowd *c);

const struct crowd_conf *crowd_conf(const struct crowd *c);
const struct crowd_stats *crowd_stats(const struct crowd *c);

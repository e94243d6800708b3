/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A backend's model: a host that speaks HTTP/1 (or takes one line and answers, for TCP pools) and
 * serves as a queueing station does.
 *
 *   cable ─▶ strict reader (codec/h1.h) ─▶ queue (first come) ─▶ one of `slots` ─▶ service time
 *        ◀── answer ◀────────────────────────────────────────────────┘
 *
 * The service time comes from the spread and the luck that the request brings along (SERVER_LUCK),
 * so a retry takes as long as the first try would have. Requests without luck are health checks:
 * they are answered at once, without a slot.
 *
 * What an operator's night is made of: it dies (cables are reset, dialling is refused, what it
 * served is lost), comes back, refuses (new cables only), becomes slow (services that begin from
 * then on), a black hole (cable.h), sick (health checks get 503, the rest works). What waits in its
 * queue is dropped when its cable goes; what is being served is served on.
 *
 * Thread rule: as world.h.
 */

#include "base/histogram.h"
#include "sim/cable.h"
#include "sim/spread.h"

/* The field by which a request brings its luck: 16 hex digits. In TCP it is the first line. */
#define SERVER_LUCK "sim-luck"

/* Of the luck: the request counts (it does not belong to the warm-up). */
#define SERVER_COUNTS 1u

/* The time that is measured. */
struct window {
    uint64_t from_ns, until_ns;
};

struct server_conf {
    const char *name;
    struct spread service;
    uint32_t slots;      /* served at a time; 0 = any number */
    uint32_t queue_max;  /* beyond: 503 */
    double error_rate;   /* answered with 500, after the same time */
    uint32_t body_bytes; /* of an answer */
    uint64_t latency_ns;
    bool tcp; /* takes a line, answers, and closes */
};

struct server_stats {
    uint64_t requests;                  /* begun, of those that count */
    uint64_t answered, errors, refused; /* 200, 500, 503 */
    uint64_t lost;                      /* died, or the cable went before the answer */
    uint64_t checks;                    /* without luck */
    uint64_t cables;
    uint32_t here, here_peak; /* in service and waiting */
    uint32_t queue_peak;
    uint64_t queued_ns; /* sum of waiting */
    uint64_t busy_ns;   /* sum of service, as far as it has gone */
};

struct server;

/* Known in the network at the address, up and with nothing to do. NULL: out of memory. */
struct server *server_new(struct world *w, struct network *n, const struct server_conf *conf,
                          const struct address *at, struct window measured);
/* Leaves NULL; accepts NULL. */
void server_free(struct server **s);

const struct server_conf *server_conf(const struct server *s);
const struct address *server_address(const struct server *s);
struct host *server_host(struct server *s);
const struct server_stats *server_stats(const struct server *s);

void server_die(struct server *s);
/* Ends whatever happened to it: it is as at the beginning. */
void server_recover(struct server *s);
void server_refuse(struct server *s);
void server_black_hole(struct server *s);
void server_slow(struct server *s, double factor);
void server_sick(struct server *s);

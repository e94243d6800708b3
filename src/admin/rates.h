/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Numbers for the API and the dashboard: counters since the start, and what became of them in the
 * last seconds, for the process and each listener, pool and backend.
 *
 *   account/board.h (written by workers) ── rates_tick, once a second ─▶ rates ─▶ admin/show_*.c
 *
 * Counters (requests, codes, bytes ...) are read from the board at the time of the call; what needs
 * two readings (requests a second, latency of the last ten seconds, history) is of the last tick.
 * Objects are found by what they are, not by index: the name of a listener, pool or backend that a
 * reload or a live change kept goes on with its numbers, and one that came since the last tick has
 * a row without a past. None of the calls fails: who is unknown has a row of zeros.
 *
 * Lifetime: rates_new .. rates_free. Memory grows with the number of objects and only in
 * rates_tick; without memory new objects keep rows of zeros.
 * Thread rule: the control thread.
 */

#include "account/reason.h"
#include "admin/steer.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct rates;

/* Seconds of history, and of what a latency is made of. */
#define RATES_HISTORY         60
#define RATES_LATENCY_SECONDS 10

struct rates_row {
    uint64_t requests; /* exchanges that ended; of a pool or backend: those given to it */
    uint64_t failures; /* ended by the backend's fault */
    uint64_t retries;
    uint64_t bytes_in, bytes_out; /* of the client's side: received, sent */
    uint64_t codes[6];            /* by status / 100; [0] = no answer */
    double requests_per_second;   /* of the last second */
    bool timed;                   /* an exchange ended in the last ten seconds: */
    double p50_ms, p90_ms, p99_ms, max_ms;
    uint32_t history_count;          /* at most RATES_HISTORY */
    uint32_t history[RATES_HISTORY]; /* requests of each of the last seconds, oldest first */
};

/* NULL without memory. */
struct rates *rates_new(void);
/* Leaves NULL; accepts NULL. */
void rates_free(struct rates **r);

/* Reads the board; now_ms is the loop's time. The server calls it once a second. */
void rates_tick(struct rates *r, const struct steer_view *view, uint64_t now_ms);

void rates_process(const struct rates *r, const struct steer_view *view, struct rates_row *ret_row);
void rates_listener(const struct rates *r, const struct steer_view *view, const struct front *front,
                    struct rates_row *ret_row);
void rates_pool(const struct rates *r, const struct steer_view *view, const struct pool *pool,
                struct rates_row *ret_row);
void rates_backend(const struct rates *r, const struct steer_view *view, const struct backend *b,
                   struct rates_row *ret_row);

/* Client connections a listener took since the start. */
uint64_t rates_connections(const struct rates *r, const struct steer_view *view,
                           const struct front *front);

/* Exchanges of the process that ended for this reason. */
uint64_t rates_reason(const struct rates *r, const struct steer_view *view, enum reason reason);

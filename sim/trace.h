/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A recorded access log as a workload: what came when, for what, and how long backends took.
 *
 *   access.log (json) ─▶ trace ─┬─ arrivals: instant, method, target, host   ─▶ crowd.h
 *                               └─ per backend its times, sorted             ─▶ spread.h
 * (EMPIRICAL)
 *
 * Each request keeps its rank: where its time stood among those of the backend that served it. In
 * the simulation it takes the time of that rank, of whichever backend serves it then; so one that
 * is sent to where it went takes exactly as long as it did.
 *
 * Times are `response` of the log, less the way there and back. They hold whatever waiting there
 * was at the backend, so models of backends that come from here have no slots. Thread rule: one
 * thread.
 */

#include "base/arena.h"
#include "base/compiler.h"
#include "sim/spread.h"

#include <stddef.h>
#include <stdint.h>

struct trace_record {
    uint64_t at_ns; /* since the first */
    uint64_t luck;  /* its rank */
    const char *method, *target, *host;
};

struct trace_backend {
    const char *pool, *name;
    uint64_t *times_ns; /* sorted */
    size_t count;
};

struct trace {
    struct trace_record *records; /* by time */
    size_t count;
    struct trace_backend *backends; /* those with enough times to go by; the last is of all */
    size_t backend_count;
    size_t skipped; /* lines that are no record of a request */
    struct arena arena;
};

/* 0; or an exit code of the program with a sentence in ret_why. `way_ns`: to a backend and back. */
NODISCARD int trace_read(const char *path, uint64_t way_ns, struct trace **ret_trace, char *ret_why,
                         size_t why_size);

/* Leaves NULL; accepts NULL. */
void trace_free(struct trace **t);

/* The times of a backend, or of all where it has too few; false when there are none at all. */
NODISCARD bool trace_spread(const struct trace *t, const char *pool, const char *backend,
                            struct spread *ret_spread);

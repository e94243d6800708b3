/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A scenario: what is simulated, as a file of strict YAML (docs/simulator.md has every key).
 *
 *   config: poise.yaml          # of the product, unchanged; or the configuration itself
 *   duration: 60s
 *   clients: [{rate: 500/s}]
 *   backends: [{service: {lognormal: {p50: 8ms, p99: 60ms}}, slots: 16}]
 *   events: [{at: 20s, backend: B2, becomes: dead}, {at: 40s, backend: B2, becomes: alive}]
 *   expect: {failed: 0, p99: "<100ms"}
 *
 * Unknown keys, keys given twice and wrong units are errors with line, column and caret, all in one
 * run, as of the configuration. Times here go down to microseconds.
 *
 * All memory is the scenario's. Thread rule: one thread.
 */

#include "base/arena.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "config/diagnose.h"
#include "sim/balancer.h"
#include "sim/crowd.h"
#include "sim/server.h"

/* A configuration by path, or written in the scenario. */
struct scenario_config {
    const char *path;   /* NULL: in the scenario */
    const char *source; /* for messages */
    struct span text;
    struct place at; /* in the scenario */
};

struct scenario_clients {
    struct crowd_conf conf;
    const char *listener; /* NULL: the first */
    struct place at, listener_at;
};

/* A model for one backend, or, without a name, for all that have none. */
struct scenario_backend {
    const char *name, *pool; /* NULL: any */
    struct server_conf conf;
    struct place at, name_at;
};

enum becomes {
    BECOMES_NOTHING,
    BECOMES_DEAD,
    BECOMES_ALIVE,
    BECOMES_REFUSING,
    BECOMES_BLACK_HOLE,
    BECOMES_SICK,
    BECOMES_SLOW
};

struct scenario_event {
    uint64_t at_ns;
    const char *backend, *pool;
    uint32_t becomes; /* enum becomes */
    double factor;
    uint32_t act; /* enum balancer_act + 1; 0: none */
    const char *address;
    uint64_t weight;
    uint64_t balancer; /* that it is for, from 1; 0: all */
    struct scenario_config config;
    struct place at, backend_at;
};

enum expect_metric {
    EXPECT_REQUESTS,
    EXPECT_OK,
    EXPECT_FAILED,
    EXPECT_RETRIES,
    EXPECT_MEAN,
    EXPECT_P50,
    EXPECT_P90,
    EXPECT_P99,
    EXPECT_P999,
    EXPECT_MAX,
    EXPECT_METRICS
};
enum expect_relation { EXPECT_EQUAL, EXPECT_BELOW, EXPECT_UP_TO, EXPECT_ABOVE, EXPECT_AT_LEAST };

struct scenario_expect {
    bool given;
    bool share; /* of all requests, as in "<0.1%" */
    enum expect_relation relation;
    double value;     /* nanoseconds, a count, or a share */
    const char *text; /* as written */
};
const char *expect_metric_name(size_t metric);

struct scenario {
    const char *path;
    struct scenario_config config;
    uint64_t seed;
    uint64_t duration_ns, warm_up_ns;
    uint64_t balancers, workers;
    uint64_t latency_ns, jitter_ns;
    struct scenario_clients *clients;
    size_t client_count;
    struct scenario_backend *backends;
    size_t backend_count;
    struct scenario_event *events;
    size_t event_count;
    struct scenario_expect expects[EXPECT_METRICS];
    const struct trace *trace; /* whose requests and times are taken, or NULL */
    struct arena arena;
};

/*
 * Reads a file. 0; or an exit code of the program: EXIT_OPEN with a sentence in ret_why, or
 * EXIT_CONFIG with diagnostics. `ret_diagnostics` is filled in both cases and quotes the text that
 * the scenario owns: diagnostics_fini before scenario_free. `traced`: clients and the duration may
 * be missing, as scenario_take_trace follows.
 */
NODISCARD int scenario_read(const char *path, bool traced, struct diagnostics *ret_diagnostics,
                            struct scenario **ret_scenario, char *ret_why, size_t why_size);

/* The same of a text; `path` is for messages, and where the files that it names lie beside. */
NODISCARD int scenario_parse(const char *path, struct span text, bool traced,
                             struct diagnostics *ret_diagnostics, struct scenario **ret_scenario);

/* The scenario of a configuration alone, which lacks clients. As above. */
NODISCARD int scenario_of_config(const char *path, struct scenario **ret_scenario, char *ret_why,
                                 size_t why_size);

/* Its clients are those of the trace, which outlives it, and so are the times of backends without
 * an entry of their name. It ends with the trace, or at its duration if it has one. */
void scenario_take_trace(struct scenario *s, const struct trace *t);

/* Leaves NULL; accepts NULL. */
void scenario_free(struct scenario **s);

/* The model for a backend of a pool: the entry of its name, else the times of the trace, else the
 * entry without a name, else the default. */
void scenario_model(const struct scenario *s, const char *pool, const char *backend,
                    struct server_conf *ret_conf);

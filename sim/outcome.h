/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What came of one simulation: plain data, from which all reports are made. Counts and times are of
 * the measured part, after the warm-up, unless said otherwise.
 *
 * Lifetime: simulation_run .. outcome_free. Thread rule: one thread.
 */

#include "base/histogram.h"
#include "base/limits.h"
#include "base/log.h"
#include "sim/crowd.h"
#include "sim/server.h"

struct outcome_backend {
    char name[256], pool[256], address[ADDRESS_TEXT_MAX];
    struct server_stats stats;
    uint32_t slots;
};

struct outcome_clients {
    char name[64];
    struct crowd_stats stats;
};

struct outcome_balancer {
    char name[16];
    uint64_t exchanges, retries; /* as the product counted them */
    uint32_t workers;
};

/* A line of a balancer's event log, or of the timeline. */
struct outcome_line {
    uint64_t at_ns;
    char who[16];
    enum log_level level;
    char area[LOG_AREA_MAX + 1];
    char *message;
};

struct outcome {
    char balance[64]; /* the policies of the pools, or the one asked for */
    uint64_t seed;
    uint64_t measured_ns;
    struct crowd_stats total; /* of all clients */
    uint64_t retries;
    struct outcome_clients *clients; /* by group */
    size_t client_count;
    struct outcome_backend *backends;
    size_t backend_count;
    struct outcome_balancer *balancers;
    size_t balancer_count;
    struct outcome_line *lines; /* of the whole run */
    size_t line_count, lines_dropped;
    uint64_t events, turns; /* of the whole run */
    uint64_t virtual_ns;
    uint64_t stuck; /* exchanges that were still under way when all clients had gone */
};

/* Leaves NULL; accepts NULL. */
void outcome_free(struct outcome **o);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The balancer of the demo: a child that runs a configuration and keeps its event log where the
 * demo can read along. Both live in memory files, so that nothing stays on disk even after a crash.
 *
 * Lifetime: demo_balancer_start .. demo_balancer_end. Thread rule: the main thread.
 */

#include "app/demo_child.h"
#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DEMO_LINE_MAX 512

struct demo_balancer {
    struct demo_child child;
    int config, log; /* memory files, or -1 */
    uint64_t log_at; /* read up to here */
    uint16_t port, admin_port;
};

/* What the dashboard asks for before it changes something. */
#define DEMO_TOKEN "poise-demo"

struct demo_backend_address {
    const char *name;
    uint16_t port;
};

/* Starts it over the backends and waits until it listens. 0, or a negative reason after having said
 * why on `err`. */
NODISCARD int demo_balancer_start(const struct demo_backend_address *backends, size_t count,
                                  FILE *err, struct demo_balancer *ret_balancer);

/* The next complete line of its event log, without line end; false when there is none yet. */
NODISCARD bool demo_balancer_event(struct demo_balancer *b, char line[DEMO_LINE_MAX]);

void demo_balancer_end(struct demo_balancer *b);

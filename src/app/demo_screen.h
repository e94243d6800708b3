/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the demo shows: on a terminal a table redrawn in place with messages above it, elsewhere one
 * line a second and the messages between them. Thread rule: the main thread.
 */

#include "app/traffic.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct demo_row {
    const char *name;
    const char *state; /* "up", "killed", ... */
    bool good;
};

struct demo_screen {
    bool live, colour, silent;
    size_t drawn; /* lines of the table that stand on the screen */
    uint64_t counts_before[8], drawn_ms;
};

/* `silent`: shows nothing at all. */
void demo_screen_init(struct demo_screen *s, bool silent);

/* A line people should see; shown at once. */
PRINTF(2, 3) void demo_screen_say(struct demo_screen *s, const char *format, ...);

/* How things stand `at_ms` after the start. */
void demo_screen_update(struct demo_screen *s, uint64_t at_ms, uint64_t until_ms,
                        const struct demo_row *rows, size_t row_count,
                        const struct traffic_report *report);

/* Leaves the table; what follows stands below it. */
void demo_screen_end(struct demo_screen *s);

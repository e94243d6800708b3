/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The screen of `poise top`: a head with the process, a table of backends that is sorted, filtered
 * and scrolled, a line of messages. It knows nothing of how the data come. Thread rule: the main
 * thread; one at a time, for the terminal is one.
 *
 *   Poise 0.1.0  serving 61s   812 req/s   p50 0.42 ms  p99 2.10 ms   3 under way
 *   POOL  BACKEND  STATE  WEIGHT  IN FLIGHT  REQ/S  P50  P99  FAILED  WHY
 *   app   B1       up     1       1          270    …
 *   d drain  e enable  x disable  +/- weight  s sort  / filter  p pause  q quit
 */

#include "base/compiler.h"

#include <jansson.h>
#include <stdbool.h>

struct top_screen;

/* False: the terminal cannot be used. */
bool top_screen_open(struct top_screen **ret_screen);
/* The terminal is as it was before. Leaves NULL; accepts NULL. */
void top_screen_close(struct top_screen **screen);

/* Shows answers of /api/v1/status and /api/v1/pools; the rows are copied out of them. */
void top_screen_feed(struct top_screen *s, const json_t *status, const json_t *pools);

/* A message at the bottom, until the next. */
PRINTF(3, 4) void top_screen_say(struct top_screen *s, bool bad, const char *format, ...);

enum top_key {
    TOP_KEY_NONE,
    TOP_KEY_QUIT,
    TOP_KEY_DRAIN,
    TOP_KEY_ENABLE,
    TOP_KEY_DISABLE,
    TOP_KEY_HEAVIER,
    TOP_KEY_LIGHTER,
    TOP_KEY_PAUSE,
};

/* Draws, then waits up to a tenth of a second for a key. Keys that only change what is shown
 * (moving, sorting, filtering) are dealt with here. */
enum top_key top_screen_key(struct top_screen *s);

/* The row under the cursor; false when there is none. */
bool top_screen_chosen(const struct top_screen *s, const char **ret_pool, const char **ret_backend);
double top_screen_weight(const struct top_screen *s);

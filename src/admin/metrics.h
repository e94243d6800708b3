/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What GET /metrics answers: the Prometheus text format, version 0.0.4. What there is stands in
 * metrics.def.
 *
 * All of it at once, or piece by piece in several turns of the control loop, so that many backends
 * do not hold up anything else:
 *
 *   struct metrics_at at = {0};
 *   while (metrics_step(&at, &view, &out, METRICS_PIECE)) ... next turn, with the view of then
 *
 * Between pieces backends may come and go, and pools too: none is told twice.
 *
 * Thread rule: the control thread.
 */

#include "admin/rates.h"
#include "admin/steer.h"
#include "admin/text.h"
#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

/* Writes everything that can be scraped to `out`, whose limit is the answer's; what does not fit is
 * left out by the text's sticky failure, which the caller looks at. */
void metrics_write(const struct steer_view *view, const struct rates *rates, struct text *out);

/* Where the next piece begins. */
struct metrics_at {
    size_t family;
    uint64_t generation; /* of the view */
    size_t index;        /* of the listener or pool */
    uint32_t slot;
};

/* About half a millisecond. */
#define METRICS_PIECE 2000

/* Writes the objects that follow, up to `objects`; false when that was the last. After a reload it
 * begins anew. */
NODISCARD bool metrics_step(struct metrics_at *at, const struct steer_view *view, struct text *out,
                            uint32_t objects);

/* The table, for documents and tests. */
struct metric {
    const char *name, *type, *labels, *help;
};
size_t metrics_count(void);
const struct metric *metrics_get(size_t i);

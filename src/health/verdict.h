/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The verdict machine: from single probe results to "up" and "down". Pure; the prober feeds it.
 *
 *             fall failures in a row
 *      ┌────┐ ─────────────────────▶ ┌──────┐
 *      │ UP │                        │ DOWN │
 *      └────┘ ◀───────────────────── └──────┘
 *             rise successes in a row
 *
 * A backend starts UP but unproven: the first probe alone decides (one failure is enough to take it
 * out at start-up, so that traffic does not wait for `fall` intervals).
 */

#include "account/reason.h"

#include <stdbool.h>
#include <stdint.h>

enum verdict_state { VERDICT_UP, VERDICT_DOWN };

struct verdict {
    uint32_t rise, fall; /* >= 1 */
    uint32_t streak;     /* results in a row against the present state */
    enum verdict_state state;
    bool proven;      /* at least one result has been seen */
    enum reason last; /* REASON_ok or why the last probe failed */
};

void verdict_init(struct verdict *v, uint32_t rise, uint32_t fall);

/* Something else speaks against it (requests failed): while up, the next failure alone decides. */
void verdict_suspect(struct verdict *v);

/* One probe's result; true when the state changed. */
bool verdict_feed(struct verdict *v, enum reason result);

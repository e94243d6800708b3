/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reload: from the running configuration to the one that the file holds now, without losing a
 * request.
 *
 *   read ─▶ check ─▶ compare ─▶ (plan: tell) ─▶ make what is new ─▶ swap ─▶ what is gone drains
 *     │       │                                      │
 *     └───────┴──── bad: nothing has changed ◀───────┘
 *
 * Everything that can fail comes before the swap and is undone: new addresses are bound, new pools
 * made, log files opened. The swap gives every front the next generation's configuration; requests
 * that come later follow it, also those on connections that are open. What runs keeps what it began
 * with (forward/front.h).
 *
 * Thread rule: the control thread.
 */

#include "admin/steer.h"
#include "app/engine_priv.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct reload;

/* NULL: out of memory. */
struct reload *reload_new(struct engine *e);

/* Those asked for and not begun are dropped. Leaves NULL; accepts NULL. */
void reload_free(struct reload **r);

/* Reloads, or only says what that would change. `done` is called once, from a later turn of the
 * loop; several follow each other. False: out of memory, `done` is never called. The result is in
 * the event log as well, but for a plan. */
NODISCARD bool reload_begin(struct reload *r, bool plan_only, steer_done_fn *done, void *user);

/* The last one that was not a plan; ok at first, with the time of the start. */
struct reload_last {
    bool ok;
    uint64_t wall_ms;
};
struct reload_last reload_last(const struct reload *r);

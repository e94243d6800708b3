/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Pools over generations. A pool exists as long as a generation names it: across reloads it is the
 * same object while its name stays, with its health, counters and connections, brought to each new
 * configuration in place. One that is no longer configured serves those that began with it.
 *
 *   pools_prepare ──▶ pools_commit ──▶ … ──▶ pools_release (when the generation is gone)
 *        └──────────▶ pools_abandon
 *
 * Thread rule: the control thread.
 */

#include "app/engine_priv.h"
#include "base/compiler.h"

/* Fills next->pools: by name those that there are, others are made. 0, or a negative reason with
 * nothing changed. */
NODISCARD int pools_prepare(struct engine *e, struct generation *next);

/* Takes back what was made. */
void pools_abandon(struct engine *e, struct generation *next);

/* Brings those that there were to the new configuration. 0; or a negative reason: then they are as
 * they were. */
NODISCARD int pools_commit(struct engine *e, struct generation *next);

/* The generation before `now` is no longer the present one: pools that only it names are checked no
 * more. */
void pools_leave(struct engine *e, const struct generation *before, const struct generation *now);

/* No exchange uses g any more: pools that no other generation names go. */
void pools_release(struct engine *e, struct generation *g);

/* The same at the end, when no worker runs. */
void pools_free(struct generation *g);

/* … and those whose end was under way. After health_stop. */
void pools_free_retiring(struct engine *e);

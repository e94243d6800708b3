/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One run of a scenario, from the beginning of its world to the end.
 *
 *   crowds ─cables─▶ balancers (the product) ─cables─▶ servers
 *                        ▲                             ▲
 *   timeline: operator ──┘                    fate ────┘
 *
 * When the duration is over no more requests come; those that wait are seen to their end, then the
 * clients leave and the balancers stop. At that point nothing may be left under way anywhere: what
 * a balancer still counts then is reported as `stuck`, which is a bug of the product.
 *
 * Thread rule: one thread, one run at a time.
 */

#include "sim/outcome.h"
#include "sim/scenario.h"

struct simulation_options {
    struct scenario *scenario;
    const char *balance; /* instead of the configuration's; or NULL */
};

/* 0; or an exit code with a sentence, perhaps of many lines, in ret_why. */
NODISCARD int simulation_run(const struct simulation_options *o, struct outcome **ret_outcome,
                             char *ret_why, size_t why_size);

/*
 * Whether the names of a scenario are those of its configurations; what is wrong is added to the
 * diagnostics. EXIT_OK; or an exit code, and in ret_why what is wrong with a configuration, if
 * anything. Calls note for what of it is left out.
 */
NODISCARD int simulation_check(struct scenario *s, struct diagnostics *d,
                               void (*note)(void *user, const char *sentence), void *user,
                               char *ret_why, size_t why_size);

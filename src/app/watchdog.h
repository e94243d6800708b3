/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The watchdog: once a second every worker is sent a message, and one that does not take it does
 * not turn its loop, because of a bug that never ends. That is said after WATCHDOG_SAY_TURNS looks,
 * and after WATCHDOG_END_TURNS the process is ended, with that thread's backtrace on standard
 * error; the supervisor starts another. Looks are counted, not time, so that a process which was
 * stopped for a while is not taken for one that hangs.
 *
 * Thread rule: control thread. Workers outlive it.
 */

#include "app/worker.h"
#include "base/compiler.h"
#include "io/loop.h"

#define WATCHDOG_SAY_TURNS 5
#define WATCHDOG_END_TURNS 30

struct watchdog;

/* Begins to look. 0, or a negative reason. */
NODISCARD int watchdog_start(struct loop *loop, struct worker *const *workers,
                             uint32_t worker_count, struct watchdog **ret_watchdog);

/* That worker has ended, and will take no message any more. */
void watchdog_forget(struct watchdog *d, uint32_t worker);

/* Workers must have ended. Leaves NULL; accepts NULL. */
void watchdog_stop(struct watchdog **d);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The supervisor: the small process that `poise run` is. It holds the listening sockets, reads the
 * configuration, opens the log files, and starts the engine, another process of the same program,
 * which serves and may do none of that (app/door.h, app/sandbox.h).
 *
 *                 start                     READY
 *   (nothing) ────────────▶ engine starting ─────▶ engine serving ── it dies ──▶ started again at
 *                                                        │                       once, or after a
 *                                                        │ USR2                  while when it dies
 *                              a second engine of the program on disk            too often
 *                              serves beside it; the first one drains;
 *                              the supervisor becomes that program too
 *
 * HUP, USR1, TERM, INT and QUIT go on to the engine; its exit status is ours. If the supervisor is
 * killed, the engine drains and ends. It parses nothing that comes from the network.
 *
 * Thread rule: the main thread of a process without other threads; all signals blocked.
 */

#include "app/claims.h"
#include "app/door.h"
#include "base/compiler.h"
#include "config/snapshot.h"

/* Runs until it is told to stop. Takes over `claims`. `*ret_served` says whether an engine has ever
 * served. Returns an enum exit_code. */
int supervisor_run(const struct door_origin *origin, const struct snapshot *s,
                   struct claims *claims, bool *ret_served);

/* The hidden verb `adopt`: goes on where the program before this one stopped (app/handover.h). */
int supervisor_adopt(int argc, char *const *argv);

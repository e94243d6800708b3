/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The engine as the admin server sees it: opens the server's listeners as the configuration says,
 * and implements struct steer_ops by calls of the engine and of those who change it.
 *
 * Lifetime: steer_open .. steer_close, within the control loop's and the engine's.
 * Thread rule: the control thread.
 */

#include "app/engine.h"
#include "config/snapshot.h"
#include "io/loop.h"

struct steer;

/* ENGINE_OK and NULL where there is no admin server. A failure has a plain sentence in ret_why. */
NODISCARD enum engine_failure steer_open(struct engine *e, struct loop *loop,
                                         const struct admin_conf *conf, struct steer **ret_steer,
                                         char *ret_why, size_t why_size);

/* Leaves NULL; accepts NULL. */
void steer_close(struct steer **steer);

/* The address really bound, or NULL. */
const struct address *steer_address(const struct steer *s);

/* Readers of events want to know that the rotation of some pool changed, and what else did. Both
 * accept NULL. */
struct steer_change;
void steer_rotation_changed(struct steer *s);
void steer_changed(struct steer *s, const struct steer_change *change);

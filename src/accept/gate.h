/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A gate: where clients of one listening address enter one worker. It applies the listener's limit
 * of connections and hands each accepted stream to the client side of the listener's protocol.
 *
 * Lifetime: gate_open to gate_close, on the worker's thread (or before it runs). The front and the
 * listener outlive it.
 */

#include "base/compiler.h"
#include "forward/forwarder.h"
#include "io/listener.h"

struct gate;

/* Starts accepting on shard `shard`. 0, or a negative reason. */
NODISCARD int gate_open(struct forwarder *f, struct front *front, struct listener *listener,
                        uint32_t shard, struct gate **ret_gate);

/* Clients wait in the kernel's queue while paused. */
void gate_pause(struct gate *g, bool paused);

/* Stops accepting. Leaves NULL; accepts NULL. */
void gate_close(struct gate **gate);

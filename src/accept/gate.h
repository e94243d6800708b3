/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A gate: where clients of one listening address enter one worker. It applies the listener's limit
 * of connections and hands each accepted stream to the client side of the listener's protocol.
 *
 *   struct inlet (one for each address) ◀── struct gate (one for each worker that accepts there)
 *      └─front─▶ struct front
 *
 * An inlet may be given to another front while it is open: who connects next belongs to that one.
 *
 * Lifetime: gate_open to gate_close, on the worker's thread (or before it runs). The inlet, its
 * listener and its front outlive it.
 */

#include "base/compiler.h"
#include "forward/forwarder.h"
#include "io/listener.h"

#include <stdatomic.h>

struct gate;

struct inlet {
    struct listener *listener;
    uint32_t number;               /* small; unique among those that are open */
    _Atomic(struct front *) front; /* whose clients these are; set by the control thread */
};

/* Starts accepting on shard `shard`. Each connection taken is counted in `taken`, which only gates
 * of this worker write and any thread may read. 0, or a negative reason. */
NODISCARD int gate_open(struct forwarder *f, struct inlet *inlet, uint32_t shard,
                        _Atomic uint64_t *taken, struct gate **ret_gate);

/* Clients wait in the kernel's queue while paused. */
void gate_pause(struct gate *g, bool paused);

/* Takes what waits now, even if the kernel told somebody else of it. */
void gate_look(struct gate *g);

/* Stops accepting. Leaves NULL; accepts NULL. */
void gate_close(struct gate **gate);

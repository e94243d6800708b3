/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The third engine behind io/loop.h: virtual time instead of the kernel's, cables instead of
 * sockets. Everything above the loop runs as it is.
 *
 *   product ─▶ io/loop.h ─▶ loop_sim ─▶ cable.h ─▶ models of backends and clients
 *                 ▲             │
 *                 └─ a turn ◀── world.h: something has arrived, a timer is due, a message waits
 *
 * A turn takes no time: what a balancer costs is not simulated, what it decides is. The rules of
 * io/loop.h are kept, in the order connected, sent, data, eof, failed. There are no bulks and no
 * descriptors; a watch of one is accepted and never fires.
 *
 * All loops of one balancer are of one machine: a host of the network that clients dial, at which
 * the acceptors of its workers listen. As SO_REUSEPORT would, it gives each connection to one of
 * the workers by chance.
 *
 * Thread rule: as world.h. loop_post and loop_stop work from anywhere inside the world.
 */

#include "io/loop.h"
#include "sim/cable.h"

struct machine;

/* Virtual time as a loop sees it begins here, so that no time is 0. */
#define LOOP_SIM_EPOCH_NS UINT64_C(1000000000000)

struct machine_options {
    struct network *network;
    struct address address; /* of its own, in the network; its listeners have others */
    uint64_t latency_ns;    /* to clients and backends, besides the network's */
    uint64_t index;         /* of the machine */
    /* A loop was stopped (loop_stop): it turns no more unless loop_run is called. */
    void (*stopped)(void *user, struct loop *loop);
    /* A turn begins, or NULL at its end: whoever logs now is this machine. */
    void (*turning)(void *user, bool begins);
    void *user;
};

NODISCARD int machine_new(struct world *w, const struct machine_options *o,
                          struct machine **ret_machine);
/* All its loops have been freed. Leaves NULL; accepts NULL. */
void machine_free(struct machine **m);

/* loop_make_fn: `user` is the struct machine that the loop belongs to. */
int loop_sim_make(void *user, const struct loop_options *options, struct loop **ret_loop);

struct host *machine_host(struct machine *m);

/* Turns of all its loops so far. */
uint64_t machine_turns(const struct machine *m);

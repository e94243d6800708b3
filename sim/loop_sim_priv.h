/* SPDX-License-Identifier: MIT */
#pragma once

/* Between the files of the simulated engine: loop_sim.c (turns, accepting) and stream_sim.c. */

#include "base/limits.h"
#include "io/loop_priv.h"
#include "sim/loop_sim.h"

struct sim_acceptor;

struct machine {
    struct world *world;
    struct machine_options options;
    struct host host;
    struct rng rng;
    uint64_t turns;
    struct sim_acceptor **acceptors; /* of all its loops */
    size_t acceptor_count;
    struct list loops; /* freed ones, whose events may still be due */
};

struct sim_loop {
    struct loop loop; /* first: a loop is cast to this */
    struct machine *machine;
    uint64_t turn_ns; /* of the turn that is due; UINT64_MAX: none is */
    bool turning;
    bool ended; /* the product stopped it */
    struct slab streams;
    struct list ready, ready_next; /* streams with something to do; … that had their share */
    struct list closed;            /* streams, until the end of the turn */
    struct list arrivals_due;      /* acceptors where somebody waits */
    struct list gone;              /* acceptors stopped in this turn */
    struct list link;
};

static inline struct sim_loop *sim_loop_of(const struct loop *loop)
{
    CHECK(loop->magic == LOOP_MAGIC);
    return (struct sim_loop *)(uintptr_t)loop;
}

/* Has the loop turn, unless a turn is under way: that looks again at its end. */
void sim_loop_wake(struct sim_loop *l);
void sim_loop_wake_at(struct sim_loop *l, uint64_t at_ns);

/* ---- stream_sim.c ---- */

void sim_streams_init(struct sim_loop *l);
void sim_streams_run(struct sim_loop *l);
bool sim_streams_due(const struct sim_loop *l);
void sim_streams_free_closed(struct sim_loop *l);

/* A stream over an end that has arrived. */
struct stream *sim_stream_adopt(struct sim_loop *l, struct cable_end *e);

struct stream *sim_connect(struct loop *loop, const struct address *to,
                           const struct stream_ops *ops, void *user);
void sim_read(struct stream *s, bool want);
enum send_result sim_send(struct stream *s, const struct slice *slices, size_t count);
void sim_shutdown(struct stream *s);
void sim_close(struct stream *s, enum stream_close_how how);
uint64_t sim_unsent(struct stream *s);
bool sim_has_input(struct stream *s);
bool sim_is_ending(struct stream *s);
struct address sim_peer(struct stream *s);
struct address sim_local(struct stream *s);

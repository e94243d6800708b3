/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One balancer of the simulated tier: the product's own engine (app/engine.h), with its workers,
 * health checks, membership and reload, made from a configuration file of the product and turned by
 * the world. It has a machine of its own and knows nothing of its neighbours.
 *
 *   text ─▶ config/load ─▶ app/engine (stepped) ─▶ loops of its machine (loop_sim.h)
 *             ▲ door: the text, listeners without sockets, nothing else of the outside
 *
 * Thread rule: as world.h.
 */

#include "account/board.h"
#include "admin/steer.h"
#include "sim/loop_sim.h"

struct balancer;

/* A line of its event log. */
typedef void balancer_log_fn(void *user, const struct balancer *b, enum log_level level,
                             const char *area, struct span message);

struct balancer_options {
    struct network *network;
    const char *name; /* "lb1" */
    uint64_t index, seed;
    struct span text;    /* the configuration; outlives it */
    const char *source;  /* its name */
    const char *balance; /* of every pool, instead of the configuration's; or NULL */
    uint32_t workers;    /* 0: as the configuration says, and one where that says auto */
    balancer_log_fn *log;
    void *user;
};

/* 0; or an exit code of the program (app/exit_code.h) with a sentence, perhaps of many lines, in
 * ret_why. It runs from the first moment of the world on. */
NODISCARD int balancer_new(struct world *w, const struct balancer_options *o,
                           struct balancer **ret_balancer, char *ret_why, size_t why_size);

/* Ends what runs, now: the world goes on a little for that. */
void balancer_stop(struct balancer *b);
bool balancer_stopped(const struct balancer *b);

/* Leaves NULL; accepts NULL. balancer_stopped, or it never ran. */
void balancer_free(struct balancer **b);

const char *balancer_name(const struct balancer *b);
const struct snapshot *balancer_snapshot(const struct balancer *b);
struct machine *balancer_machine(struct balancer *b);
const struct account_board *balancer_board(const struct balancer *b);

/* Everything that an operator can do, on the control loop's next turn, which is now. What went
 * wrong is said in the log. */
enum balancer_act {
    ACT_ADD,
    ACT_REMOVE,
    ACT_DRAIN,
    ACT_DISABLE,
    ACT_ENABLE,
    ACT_WEIGHT,
    ACT_RELOAD
};
struct balancer_order {
    enum balancer_act act;
    const char *pool;    /* NULL: the first that has it; of ADD the first */
    const char *backend; /* its name */
    const char *address; /* ADD */
    uint32_t weight;     /* ADD, WEIGHT */
    struct span text;    /* RELOAD: outlives the balancer */
};
void balancer_do(struct balancer *b, const struct balancer_order *order);

/* Exchanges that the product says are under way, over all backends: 0 when all have ended. */
uint64_t balancer_in_flight(const struct balancer *b);

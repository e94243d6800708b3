/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The network: hosts with names or addresses, and cables (TCP connections) between them.
 *
 *      one who dials                    cable                     host at that address
 *      cable_dial ───────────────▶ (latency) ───────────────▶ host->arrived
 *      ops->opened  | ops->failed ◀── (latency) ── up | refuses
 *      cable_put, cable_flush ────▶ (latency) ───────────────▶ ops->input
 *      ops->room ◀──────────────── (latency) ── cable_take
 *      cable_shut (the end), cable_close (the end, or a reset) likewise
 *
 * What is modelled: one latency per cable and direction, order, a window of CABLE_WINDOW bytes in
 * each direction, ends and resets as TCP has them (closing with bytes unread, or sending to who has
 * closed, gives a reset). A host refuses, dies (all its cables are reset) or is a black hole: what
 * is on its way to or from it then waits until it is none any more, as retransmission would have
 * it. What is not: bandwidth, loss of single packets, slow start, the cost of a packet.
 *
 * Rules: nothing is called from inside a call of yours. After `failed` and after cable_close
 * nothing is called for that end any more; cable_close is due after `failed` too. Thread rule: as
 * world.h.
 */

#include "account/reason.h"
#include "base/address.h"
#include "base/bytes.h"
#include "base/list.h"
#include "sim/world.h"

#define CABLE_WINDOW (256u * 1024)

struct network;
struct cable;
struct cable_end;

struct cable_ops {
    void (*opened)(struct cable_end *e);                  /* of who dialled */
    void (*failed)(struct cable_end *e, enum reason why); /* refused, or reset */
    void (*input)(struct cable_end *e);                   /* more bytes, or the end */
    void (*room)(struct cable_end *e);                    /* of what was put some was taken */
};

/* One side of a cable. */
struct cable_end {
    const struct cable_ops *ops; /* NULL: nobody has it yet */
    void *user;
    struct cable *cable;
    /* what has come in */
    uint8_t *bytes;
    uint32_t bytes_room;
    uint32_t put, arrived, taken; /* offsets into bytes; taken <= arrived <= put */
    uint32_t unsaid;              /* put by the other end and not flushed yet */
    bool wants_room;              /* there was none when it put something */
    bool end_sent, end_arrived;   /* of what comes in */
    bool shut;                    /* nothing goes out any more */
    bool closed;
    bool dead;           /* reset, or refused: this end knows */
    struct address peer; /* who is at the other end */
};

/* A machine with an address: a backend, a balancer. Embed it. */
struct host {
    /* set by the owner */
    struct network *network;
    struct address address;
    void *user;
    uint64_t latency_ns; /* added to that of the network, one way */
    /* Somebody dials `to`, which is here: true, and `e` is the owner's; false refuses. */
    bool (*arrived)(struct host *h, const struct address *to, struct cable_end *e);
    /* the network's */
    bool refuses, black_hole;
    struct held *held; /* what waits for the end of the black hole */
    size_t held_count, held_room;
};

NODISCARD struct network *network_new(struct world *w, uint64_t latency_ns, uint64_t jitter_ns);
/* All cables must be closed. Leaves NULL; accepts NULL. */
void network_free(struct network **n);

/* Makes it known under an address of its own; host_add fills the network's part. */
void host_add(struct network *n, struct host *h);
void host_fini(struct host *h);
struct host *network_find(struct network *n, const struct address *a);

/* An address for a name, the same whenever it is asked for. */
struct address network_resolve(struct network *n, const char *name, uint16_t port);

/* Whoever dials is refused, or not any more. Of one that dies its owner also resets the cables. */
void host_refuse(struct host *h, bool refuses);
void host_black_hole(struct host *h, bool black_hole);

/* Begins a cable from the address `me` (of `from`, or of nobody's host: NULL) to whoever has the
 * address `to` in the network, or to the host `at` if that is not NULL. opened or failed comes
 * later. */
struct cable_end *cable_dial(struct network *n, struct host *from, const struct address *me,
                             struct host *at, const struct address *to, const struct cable_ops *ops,
                             void *user);

/* How much may be put. */
static inline uint32_t cable_room(const struct cable_end *e);

/* Puts bytes in, as many as there is room for, and returns how many. They leave with cable_flush.
 */
uint32_t cable_put(struct cable_end *e, const void *bytes, uint32_t n);
void cable_flush(struct cable_end *e);

/* What has arrived and was not taken. */
static inline struct span cable_input(const struct cable_end *e);
void cable_take(struct cable_end *e, uint32_t n);

/* All has been taken and the other end sends no more. */
static inline bool cable_at_end(const struct cable_end *e)
{
    return e->end_arrived && e->taken == e->arrived;
}

/* Nothing more will be put. */
void cable_shut(struct cable_end *e);

/* Leaves NULL; accepts NULL in *e. */
void cable_close(struct cable_end **e, bool reset);

/* Bytes put here that the other end has not taken. */
uint32_t cable_unread(const struct cable_end *e);

/* ---- inline bodies ---- */

struct cable_end *cable_other(const struct cable_end *e);

static inline uint32_t cable_room(const struct cable_end *e)
{
    const struct cable_end *other = cable_other(e);
    return CABLE_WINDOW - (other->put - other->taken);
}

static inline struct span cable_input(const struct cable_end *e)
{
    return e->bytes ? span_of(e->bytes + e->taken, e->arrived - e->taken) : span_of(NULL, 0);
}

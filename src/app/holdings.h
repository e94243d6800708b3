/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The listening sockets that the supervisor holds, so that no engine's end closes them. Each was
 * opened for an address as the configuration writes it; an address of port 0 may be there several
 * times, and an engine is given each of them once.
 *
 * Thread rule: the supervisor's one thread.
 */

#include "base/compiler.h"
#include "base/list.h"
#include "io/listener.h"

#include <stdbool.h>
#include <stdint.h>

struct holding {
    struct list link;
    struct listener *listener;
    char *owner;    /* the listener of the configuration */
    char *asked;    /* the address as it was asked for */
    uint32_t given; /* a bit for each slot of an engine */
    uint32_t shards;
    bool defer_accept;
    bool own_file; /* of a unix socket, which goes with it */
};

/* Sockets that the service manager has opened for us, taken when their address is asked for. */
struct inherited {
    int *fds;
    uint32_t count;
};

struct holdings {
    struct list all; /* in the order of opening */
    struct inherited inherited;
};

void holdings_init(struct holdings *h);

/* Closes everything. */
void holdings_fini(struct holdings *h);

/* What is held there for that engine's slot, opened if it is not held yet. 0, or a negative reason
 * with a sentence in ret_why. */
NODISCARD int holdings_get(struct holdings *h, const char *owner,
                           const struct listener_options *options, uint32_t slot,
                           const struct holding **ret_holding, char ret_why[LISTENER_WHY_MAX]);

/* The engine in that slot is no more. */
void holdings_forget(struct holdings *h, uint32_t slot);

/* Closes what is really bound there. */
void holdings_close(struct holdings *h, const char *address);

/* Closes what the engine in that slot was not given. */
void holdings_close_others(struct holdings *h, uint32_t slot);

/* Adds one that was handed over by a predecessor. 0, or a negative reason. */
NODISCARD int holdings_adopt(struct holdings *h, const struct holding *like, const int *fds,
                             uint32_t count);

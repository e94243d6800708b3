/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Listening sockets: opened once by the main thread before the workers start, one shard per worker
 * (SO_REUSEPORT) so that the kernel spreads connections and no accept lock exists. Unix sockets
 * have one shard that all workers share.
 *
 * A second program on the same port must be an error although SO_REUSEPORT would allow it: opening
 * first binds without that option to find out.
 */

#include "base/address.h"
#include "base/compiler.h"

#include <stdint.h>

struct listener;

struct listener_options {
    struct address address; /* not ADDRESS_NAME */
    uint32_t shards;        /* >= 1 */
    uint32_t backlog;       /* 0 = the system's maximum */
    bool defer_accept;      /* HTTP: wake only when the first bytes are there */
};

#define LISTENER_WHY_MAX 256

/*
 * Opens, binds and listens. 0, or a negative reason with a plain sentence in ret_why that names
 * the address and what to do ("cannot listen on :80: permission denied; run as root or …").
 * A stale unix socket file (nobody answers) is replaced; a live one is an error.
 */
NODISCARD int listener_open(const struct listener_options *options, struct listener **ret_listener,
                            char ret_why[LISTENER_WHY_MAX]);

/* The address really bound (port 0 becomes the port the kernel chose). */
const struct address *listener_address(const struct listener *l);

/* Closes every shard and removes a unix socket file. Leaves NULL. All acceptors must be stopped. */
void listener_close(struct listener **l);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Listening sockets: opened once by the main thread before the workers start, one shard per worker
 * (SO_REUSEPORT) so that the kernel spreads connections and no accept lock exists. Unix sockets
 * have one shard that all workers share.
 *
 * Balance: the kernel chooses the shard of a new connection by a hash of both addresses, so each
 * worker gets its share of many connections (of 10,000 to 4 workers, 2 % more or less), and nothing
 * has to be counted or handed over. It goes on choosing a shard from which nobody accepts, so a
 * worker must not leave its shard alone to be given fewer connections: they would not go elsewhere
 * but wait. Nor is a shard closed for that: the connections in its queue would be reset. Whoever
 * has room may accept from any shard instead, and when a worker does not take what waits for it
 * (stalled, or full), the others do so until it does again (app/relief.h).
 *
 * A second program on the same port must be an error although SO_REUSEPORT would allow it: opening
 * first binds without that option to find out.
 */

#include "base/address.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct listener;

struct listener_options {
    struct address address; /* not ADDRESS_NAME */
    uint32_t shards;        /* >= 1 */
    uint32_t backlog;       /* 0 = the system's maximum */
    bool defer_accept;      /* HTTP: wake only when the first bytes are there */
    uint32_t mode;          /* of a unix socket's file, less the umask; 0 = 0777 */
};

#define LISTENER_WHY_MAX 256

/*
 * Opens, binds and listens. 0, or a negative reason with a plain sentence in ret_why that names
 * the address and what to do ("cannot listen on :80: permission denied; run as root or …").
 * A stale unix socket file (nobody answers) is replaced; a live one is an error.
 */
NODISCARD int listener_open(const struct listener_options *options, struct listener **ret_listener,
                            char ret_why[LISTENER_WHY_MAX]);

/*
 * The same of descriptors that listen already, handed over by another process: they are the
 * listener's from now on, even if it fails. Fewer than `shards` of them are shared by all workers;
 * options->shards otherwise says how many there are. `own_file`: closing removes a unix socket's
 * file. 0, or a negative reason with a sentence in ret_why.
 */
NODISCARD int listener_adopt(const struct listener_options *options, const int *fds, uint32_t count,
                             bool own_file, struct listener **ret_listener,
                             char ret_why[LISTENER_WHY_MAX]);

/* One without any socket, for loops that are not the kernel's (a simulator's): it has an address
 * and nothing more. NULL: out of memory. */
struct listener *listener_imagine(const struct listener_options *options);

/* Its descriptors, in the order of the shards, to hand them to another process; they stay the
 * listener's. How many there are; at most `max` are written. */
uint32_t listener_fds(const struct listener *l, int *ret_fds, uint32_t max);

/* Whether a descriptor of unknown origin is a listening socket at that address. */
bool listener_fd_is_at(int fd, const struct address *a);

/* The address really bound (port 0 becomes the port the kernel chose). */
const struct address *listener_address(const struct listener *l);

/* How many connections wait to be accepted at a shard; 0 where all workers share one queue. A
 * system call. Any thread. */
uint32_t listener_waiting(const struct listener *l, uint32_t shard);

/* Whether connections wait for their first bytes before they are accepted, as in the options. Any
 * thread. */
void listener_defer_accept(struct listener *l, bool on);

/* Closes every shard and removes a unix socket file. Leaves NULL. All acceptors must be stopped. */
void listener_close(struct listener **l);

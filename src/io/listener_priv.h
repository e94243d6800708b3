/* SPDX-License-Identifier: MIT */
#pragma once

/* What acceptors of the socket engines need of a listener. */

#include "io/listener.h"

/* The listening descriptor of a shard; it stays the listener's. */
int listener_fd(const struct listener *l, uint32_t shard);

/* A loop begins, or ends, to accept from a shard. True for the first one: those that come second
 * watch it exclusively, so that a connection wakes its owner and one of them. Any thread. */
bool listener_enter(struct listener *l, uint32_t shard);
void listener_leave(struct listener *l, uint32_t shard);

/* One descriptor serves all shards: several loops watch the same socket. */
bool listener_is_shared(const struct listener *l);

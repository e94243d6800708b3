/* SPDX-License-Identifier: MIT */
#pragma once

/* What acceptors of the socket engines need of a listener. */

#include "io/listener.h"

/* The listening descriptor of a shard; it stays the listener's. */
int listener_fd(const struct listener *l, uint32_t shard);

/* One descriptor serves all shards: several loops watch the same socket. */
bool listener_is_shared(const struct listener *l);

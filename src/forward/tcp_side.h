/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * TCP: bytes as they come, in both directions, each with its own end (half-close is kept).
 *
 * One side for either end of the pair. The client's is opened by client_tcp_open
 * (forward/client.h); the backend's by tcp_backend_begin. Thread rule: the worker's thread.
 */

#include "pick/pool.h"

#include <stdbool.h>
#include <stddef.h>

struct exchange;

/* Connects the exchange to `b`. False when not even a descriptor could be had. */
bool tcp_backend_begin(struct exchange *x, struct backend *b);

size_t client_tcp_object_bytes(void);
size_t tcp_backend_object_bytes(void);

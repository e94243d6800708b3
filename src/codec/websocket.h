/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The key and its acceptance that a WebSocket handshake exchanges (RFC 6455 4): made here where one
 * end speaks HTTP/2, which has neither. They are no secret and prove no more than that the other
 * end read the request. Pure. Thread rule: none.
 */

#include "base/bytes.h"
#include "base/rng.h"

#define WEBSOCKET_KEY_BYTES    24
#define WEBSOCKET_ACCEPT_BYTES 28

/* A Sec-WebSocket-Key: 16 random bytes in base64. */
void websocket_key_make(struct rng *rng, uint8_t ret_key[WEBSOCKET_KEY_BYTES]);

/* The Sec-WebSocket-Accept that answers this key. */
void websocket_accept(struct span key, uint8_t ret_accept[WEBSOCKET_ACCEPT_BYTES]);

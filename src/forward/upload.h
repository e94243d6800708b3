/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Whether a client takes too long to send its request's body; the same rule in every protocol.
 * Thread rule: the exchange's worker.
 */

#include "base/limits.h"
#include "forward/exchange.h"

/* A body must not stop for limit_ms, nor trickle for longer than that at less than a minimum. Only
 * the time in which the client was free to send counts; quiet_ms is how long nothing came. */
static inline bool upload_stalled(const struct exchange *x, uint64_t quiet_ms, uint64_t limit_ms)
{
    uint64_t spent_ms = exchange_body_ms(x);
    bool trickles =
        spent_ms >= limit_ms && exchange_body_bytes(x) < spent_ms * HTTP_BODY_RATE_MIN / 1000;
    return quiet_ms >= limit_ms || trickles;
}

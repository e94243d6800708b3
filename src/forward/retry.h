/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * May a failed request go to another backend? Pure; the rule in one place.
 *
 *  - never once a byte of its body was taken (it is gone) or a byte of the response was seen;
 *  - a failure to connect: any request, if the pool's retries.on names connect_failure;
 *  - a reset before the response: only requests safe to repeat (RFC 9110 9.2.2), if retries.on
 * names reset_before_response;
 *  - a kept-alive connection that had been closed meanwhile ("stale") says nothing about the
 *    backend: requests safe to repeat go out again on a new connection, whatever the setting;
 *    likewise any request that an HTTP/2 backend refused unseen (stream_refused);
 *  - at most retries.attempts times, and in any case at most RETRY_ATTEMPTS_MAX times.
 */

#include "account/reason.h"
#include "config/snapshot.h"

#include <stdbool.h>
#include <stdint.h>

struct retry_facts {
    bool idempotent;
    bool tcp;   /* a byte stream: only failures to connect can be repeated */
    bool spent; /* a byte of its body was taken, or one of the response came */
    bool stale;
    uint32_t retries; /* so far */
};

bool retry_allowed(const struct pool_conf *conf, const struct retry_facts *facts, enum reason why);

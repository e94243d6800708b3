/* SPDX-License-Identifier: MIT */
#include "forward/retry.h"

#include "base/limits.h"

bool retry_allowed(const struct pool_conf *conf, const struct retry_facts *facts, enum reason why)
{
    if (facts->spent || facts->retries >= RETRY_ATTEMPTS_MAX)
        return false;
    bool unseen = why == REASON_stream_refused; /* the backend says it did nothing with it */
    if (facts->stale)
        return (facts->idempotent || unseen) && !facts->tcp &&
               facts->retries <= conf->retry_attempts;
    if (facts->retries >= conf->retry_attempts)
        return false;
    switch (reason_retry(why)) {
    case REASON_RETRY_CONNECT: return (conf->retry_on & RETRY_ON_CONNECT_FAILURE) != 0;
    case REASON_RETRY_RESET:
        return (conf->retry_on & RETRY_ON_RESET_BEFORE_RESPONSE) != 0 && facts->idempotent &&
               !facts->tcp;
    case REASON_RETRY_NO: break;
    }
    return false;
}

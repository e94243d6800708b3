/* SPDX-License-Identifier: MIT */
#pragma once

/* Inside routing: what its parts share. */

#include "codec/arrival.h"
#include "route/route.h"

/* Whether a name is the wanted one in any case, or below it ("*.example.com"). */
static inline bool host_is(struct span host, struct span wanted)
{
    if (!span_starts(wanted, span_str("*.")))
        return span_eq_nocase(host, wanted);
    struct span suffix = span_from(wanted, 1); /* its dot included: a label must come before */
    return host.n > suffix.n && span_eq_nocase(span_from(host, host.n - suffix.n), suffix);
}

/* Whether a route asks how the client came. */
static inline bool route_asks_arrival(const struct route_conf *r)
{
    return (r->sni_count | r->client_subject_count | r->client_san_count |
            r->client_fingerprint_count) != 0;
}

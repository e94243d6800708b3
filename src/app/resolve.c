/* SPDX-License-Identifier: MIT */
#include "app/resolve.h"

#include "io/loop.h"
#include "io/resolver.h"

#include <stdio.h>

/* The first IPv4 address of an answer, else its first address. */
static const struct address *preferred(const struct resolver_query *q)
{
    for (uint32_t i = 0; i < q->count; i++) {
        if (q->addresses[i].kind == ADDRESS_V4)
            return &q->addresses[i];
    }
    return q->count ? &q->addresses[0] : NULL;
}

static void on_resolved(struct resolver_query *q, enum reason why, const struct address *addresses,
                        size_t count)
{
    (void)why;
    (void)addresses;
    (void)count;
    loop_stop(q->user);
}

int resolve_host(struct loop *loop, const char *host, uint16_t port, struct address *ret_address,
                 char *ret_why, size_t why_size)
{
    struct resolver *resolver;
    struct resolver_query query = {.user = loop};
    int err = resolver_new(loop, NULL, &resolver);
    if (err) {
        (void)snprintf(ret_why, why_size, "cannot look up names");
        return err;
    }
    resolver_lookup(resolver, &query, host, port, on_resolved);
    loop_run(loop);
    const struct address *address = preferred(&query);
    if (address)
        *ret_address = *address;
    else
        (void)snprintf(ret_why, why_size, "'%s' does not resolve", host);
    resolver_free(&resolver);
    return address ? 0 : -(int)REASON_unresolved;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Names to addresses, without blocking the loop: A and AAAA by DNS, the hosts file first.
 *
 * Lifetime: a query is embedded in its owner and must stay until `fn` is called or
 * resolver_cancel(); every query must be over before resolver_free(). Thread rule: the loop's
 * thread. Names come from the configuration, answers from the network: an answer holds at most
 * RESOLVER_ADDRESSES_MAX addresses, more are left out.
 */

#include "account/reason.h"
#include "base/address.h"
#include "base/compiler.h"
#include "io/timer.h"

#include <stddef.h>

struct loop;
struct resolver;
struct resolver_lookup;
struct resolver_query;

#define RESOLVER_ADDRESSES_MAX 32

/*
 * The answer, from the loop's turn: REASON_ok and at least one address, or count 0 and `unresolved`
 * (no such name, no answer in time) or `overload`. The query may be used again or freed in it.
 */
typedef void resolved_fn(struct resolver_query *q, enum reason why, const struct address *addresses,
                         size_t count);

struct resolver_query {
    /* set by resolver_lookup */
    struct resolver *resolver;
    resolved_fn *fn;
    void *user; /* the owner's, never touched */
    uint16_t port;
    /* this thread only */
    struct resolver_lookup *lookup; /* under way, or NULL */
    struct timer timer;             /* the deadline; then "answer in the next turn" */
    enum reason why;
    uint32_t count;
    struct address addresses[RESOLVER_ADDRESSES_MAX];
};

struct resolver_options {
    const char *servers;  /* "127.0.0.1:53,[::1]:5353"; NULL: those of the system */
    uint32_t try_ms;      /* until a server is asked again; 0 = 1000 */
    uint32_t tries;       /* per server; 0 = 3 */
    uint32_t deadline_ms; /* for the whole lookup; 0 = 5000 */
};

/* `options` may be NULL. 0 or a negative reason. */
NODISCARD int resolver_new(struct loop *loop, const struct resolver_options *options,
                           struct resolver **ret_resolver);

/* Leaves NULL; accepts NULL in *r. */
void resolver_free(struct resolver **r);

/* Asks for the addresses of `host` (a name or an IP address); each comes with `port`. */
void resolver_lookup(struct resolver *r, struct resolver_query *q, const char *host, uint16_t port,
                     resolved_fn *fn);

/* Nothing is called any more. Does nothing when the query is over. */
void resolver_cancel(struct resolver_query *q);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * From a request's head to a pool. The FIRST route that matches, in the order of the file, is
 * taken; without one, the listener's own pool.
 *
 * What a route asks (config/option.def, scope MATCH), all of it must hold:
 *   host         one of the hosts, ASCII case ignored, without port; "*.example.com" is any name
 *                below example.com, not example.com itself; a dot at the end counts for nothing
 *   path         the canonical path (head_path), exactly
 *   path_prefix  the canonical path, by whole segments: /v1 is /v1, /v1/, /v1/x and /v1;x, not
 *                /v10; a prefix that ends in '/' is only what is below it
 *   method       one of the methods, with their case
 *   headers      each field there, at least once with exactly that value (or with any)
 *   sni          one of the names, as with host, is what TLS was opened for
 *   client_*     the client showed a certificate that is good, and its subject (exactly), one of
 *                its names or its fingerprint is one of these. A name is compared in any case, with
 *                "*." for what is below; of an e-mail address the domain has no case; URIs exactly
 *
 * A client that came plain and directly (arrival NULL) matches no route that asks for sni or
 * client_*.
 *
 * Pure: no state, no allocation, any thread. Time grows with the routes of the listener.
 */

#include "codec/message.h"
#include "config/snapshot.h"

struct arrival;

/* No route matched and the listener has no pool: the request is answered with no_route. */
#define ROUTE_NO_POOL UINT32_MAX

/* The route taken, or NULL for none. *ret_pool is always set: an index into pools, of the route or
 * of the listener, or ROUTE_NO_POOL. `method` is the text of the request's method. */
const struct route_conf *route_find(const struct listener_conf *l, struct span method,
                                    const struct head *h, const struct arrival *a,
                                    uint32_t *ret_pool);

/* The same of a tcp listener, whose routes ask for nothing but the name in TLS; empty where none
 * was asked for. */
const struct route_conf *route_find_sni(const struct listener_conf *l, struct span sni,
                                        uint32_t *ret_pool);

/* Whether one route matches. */
bool route_matches(const struct route_conf *r, struct span method, const struct head *h,
                   const struct arrival *a);

/* What a route can ask, in the order in which it is looked at. */
enum route_condition {
    ROUTE_HOLDS, /* all of them */
    ROUTE_METHOD,
    ROUTE_PATH,
    ROUTE_PATH_PREFIX,
    ROUTE_HOST,
    ROUTE_FIELD,
    ROUTE_SNI,
    ROUTE_CLIENT_SUBJECT,
    ROUTE_CLIENT_SAN,
    ROUTE_CLIENT_FINGERPRINT,
};

/* The first condition that does not hold, which is what route_matches goes by; of ROUTE_FIELD
 * *ret_field is the index of the field. */
enum route_condition route_mismatch(const struct route_conf *r, struct span method,
                                    const struct head *h, const struct arrival *a,
                                    size_t *ret_field);

/* The first of those that ask how the client came, which are all that a tcp listener's routes may
 * have. `a` NULL: plain and direct. */
enum route_condition route_arrival_mismatch(const struct route_conf *r, const struct arrival *a);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Who may ask, and who may change: what a request says of itself, weighed.
 *
 * A browser can be made to send requests to this server by any page of any site. What such a
 * request cannot do is lie in Host, Origin and Sec-Fetch-Site, which the browser itself writes:
 *
 *   Host            must be a literal address or a loopback name: a name of the other site's own
 *                   might lead here (DNS rebinding)
 *   Sec-Fetch-Site  must be none or same-origin, but for opening the dashboard by a link
 *   Origin          must be what Host says
 *
 * The checks hold for the unix socket too: people forward ports to it.
 *
 * Pure: no I/O, no state. Any thread.
 */

#include "base/bytes.h"
#include "codec/message.h"

#include <stdbool.h>

/* Whether a host (without port) may be meant for this server. */
bool auth_host_ok(struct span host);

/* Whether no page of another origin is behind the request; `opens_page`: it asks for the page
 * itself, to which any page may link. */
bool auth_origin_ok(const struct head *h, bool opens_page);

/* The token that `Authorization: Bearer` presents; empty when there is none, or two. */
struct span auth_bearer(const struct head *h);

/* Whether they are equal, in a time that depends on the length of `token` alone. An empty token
 * equals nothing. */
bool auth_token_ok(struct span given, struct span token);

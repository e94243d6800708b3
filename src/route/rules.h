/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a listener answers itself, before any route is looked at, in this order:
 *
 *   ACME        /.well-known/acme-challenge/… of a listener with acme_challenge: acme_challenge
 *               (the token's file, if there is one) or acme_unknown (not GET or HEAD, or what comes
 *               behind is no token)
 *   redirect    everything else of a listener with redirect_https: redirected; without a host to
 *               send to: missing_host
 *   misdirected of a listener that asks clients for certificates: the Host is not the name that TLS
 *               was opened for. A client that asked for no name may only ask for an IP address,
 *               which has no place in SNI (RFC 6066 3), or, in HTTP/1.0, for no host at all.
 *
 * Pure, any thread.
 */

#include "account/reason.h"
#include "base/bytes.h"
#include "codec/message.h"
#include "config/snapshot.h"

struct arrival;

/* The longest token; ACME's have 43 bytes (RFC 8555 8.3). */
#define ACME_TOKEN_MAX 128

/* Whether the listener answers anything itself: where not, rules_answer need not be asked. */
bool rules_any(const struct listener_conf *l);

/* The reason with which it answers, or REASON_ok: the request goes its way. `a` NULL: plain and
 * direct. */
enum reason rules_answer(const struct listener_conf *l, const struct head *h,
                         const struct arrival *a);

/* Whether it is one: base64url, 1 to ACME_TOKEN_MAX bytes. As the name of a file it leads nowhere
 * but into its folder. */
bool rules_is_token(struct span text);

/* The token of a path below /.well-known/acme-challenge/, empty where that is none. */
struct span rules_token(struct span path);

/* The longest Location. */
#define RULES_LOCATION_MAX (URI_MAX + HTTP_HOST_MAX + 32)

/* Where a redirected request goes: https://HOST[:PORT]/path?query. */
void rules_location(const struct listener_conf *l, const struct head *h, struct writer *w);

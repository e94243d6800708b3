/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The request as it goes to a backend, written once from the parsed head and independent of which
 * backend that will be: a retry sends the same bytes.
 *
 * Added: X-Forwarded-For, -Proto, -Host (from a trusted peer: appended and kept; from any other:
 * replaced, and `Forwarded` is removed), X-Request-Id when absent, Host when an HTTP/1.0 client
 * gave none; where clients are asked for certificates, what theirs says (request_certificate.h).
 * Removed: hop-by-hop fields. Kept: everything else, in order.
 */

#include "base/address.h"
#include "base/compiler.h"
#include "codec/message.h"

struct exchange;

/* Fills x->request and the texts for the log behind it. 0, or a negative reason (overload). */
NODISCARD int request_build(struct exchange *x, const struct head *h, const struct address *peer);

/* For a request that no backend gets: its first line and Host, for logs and sessions alone. Without
 * room for them they stay unsaid. */
void request_note(struct exchange *x, const struct head *h);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Request targets: one canonical path, computed once, is what is routed on and what is forwarded
 * (RFC 3986 6.2.2, 5.2.4; RFC 9112 3.2).
 *
 *  - percent escapes of unreserved characters are decoded, the others get upper-case hex digits;
 *  - "." and ".." segments are resolved; above the root is an error;
 *  - %00, %2F, %5C and a raw backslash are errors (two programs would disagree about them);
 *  - empty segments ("//") are kept: backends differ, and merging changes what is asked for;
 *  - a dot segment with a parameter ("..;x") is an error: some servers resolve it, others do not;
 *  - "#" and bytes outside RFC 3986's set are errors; the query is checked but not changed, and
 *    there what browsers leave unescaped ({ } | ^ ` \ and a lone %) passes.
 */

#include "account/reason.h"
#include "base/bytes.h"
#include "base/compiler.h"

#include <stdbool.h>

/* Bytes that a query may have. */
bool target_query_ok(struct span query);

/* Whether `path` is canonical already: the common case, no rewriting needed. */
bool target_path_is_canonical(struct span path);

/* Writes the canonical form of `path` ("/…") into out[cap], cap >= path.n; never longer than the
 * input. 0 and *ret_len, or -REASON_bad_path / -REASON_bad_target. */
NODISCARD int target_path_canonical(struct span path, uint8_t *out, size_t cap, size_t *ret_len);

/* Checks host[:port] of an authority or Host field (reg-name, IPv4, [IPv6]; no userinfo, no comma,
 * no percent escapes); gives the host without port, an IPv6 address with its brackets. Empty is
 * allowed only where `allow_empty`. -REASON_bad_host. */
NODISCARD int target_authority(struct span authority, bool allow_empty, struct span *ret_host);

/* A port of an authority: up to five digits that are at most 65535, or none. */
bool target_port_ok(struct span port);

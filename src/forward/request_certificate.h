/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a request says to backends about the client's certificate, on listeners that ask for one:
 *
 *   X-Client-Verify       SUCCESS: it was shown and is good; NONE: it was not shown
 *   X-Client-Subject      CN=ann,O=Example (RFC 2253)
 *   X-Client-SAN          its names, separated by ", "
 *   X-Client-Fingerprint  SHA-256, 64 hex digits in lower case
 *
 * These, and Client-Cert and Client-Cert-Chain (RFC 9440), which we do not write, never come from a
 * client there. Who issued a certificate chose its texts: every byte that is not printable ASCII,
 * and '%', is written as %XX; in a name also ',' and ' ', so that it cannot pose as two. A subject
 * that is too long is left out, and so are names that have no room any more: a backend then knows
 * less, never something else.
 */

#include "base/bytes.h"
#include "codec/message.h"
#include "config/snapshot.h"

struct arrival;

#define REQUEST_CERTIFICATE_FIELDS                                                   \
    (UINT64_C(1) << FIELD_X_CLIENT_VERIFY | UINT64_C(1) << FIELD_X_CLIENT_SUBJECT |  \
     UINT64_C(1) << FIELD_X_CLIENT_SAN | UINT64_C(1) << FIELD_X_CLIENT_FINGERPRINT | \
     UINT64_C(1) << FIELD_CLIENT_CERT | UINT64_C(1) << FIELD_CLIENT_CERT_CHAIN)

/* Values at most. */
#define REQUEST_SUBJECT_MAX 1024
#define REQUEST_SAN_MAX     2048

/* All fields at most. */
#define REQUEST_CERTIFICATE_BYTES (REQUEST_SUBJECT_MAX + REQUEST_SAN_MAX + 256)

/* Whether requests of this listener say so. */
static inline bool request_certified(const struct listener_conf *l)
{
    return l->tls.client_auth != CLIENT_AUTH_NONE && l->tls.enabled;
}

/* Writes them. `a` NULL: plain and direct, so nothing was shown. */
void request_write_certificate(struct writer *w, const struct arrival *a);

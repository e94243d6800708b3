/* SPDX-License-Identifier: MIT */
#pragma once

/* What the log says of how a client came. */

#include "account/record.h"
#include "base/compiler.h"
#include "codec/arrival.h"

/* `a` NULL: nothing to say. */
static inline void record_arrival(struct record *r, const struct arrival *a)
{
    if (LIKELY(!a))
        return;
    r->tls_version = a->version;
    r->tls_cipher = a->cipher;
    r->sni = a->sni;
    r->client_subject = a->certificate.subject;
}

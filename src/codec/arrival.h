/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An arrival: who a client is and how it came, where that is more than a TCP connection says. Made
 * by accept/greeting.h from a PROXY header and the TLS handshake; a client that came plain and
 * directly has none.
 *
 * Immutable once made. Lifetime: its connection's; an exchange of that connection may point to it,
 * since the client's side outlives it. All texts lie in memory that goes with it. Thread rule: its
 * worker's thread.
 */

#include "base/address.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* What the client's certificate says. */
struct client_certificate {
    bool verified;            /* it was shown, and it is good; the rest is empty otherwise */
    struct span subject;      /* RFC 2253: "CN=ann,O=Example" */
    struct span common_name;  /* of the subject, the last one; may be empty */
    const struct span *names; /* subject alternative names: DNS, e-mail, URI, IP address as text */
    size_t name_count;
    struct span fingerprint; /* SHA-256, 64 lower-case hex digits */
};

struct arrival {
    struct address peer;  /* who: of the connection, or as the PROXY header says */
    struct address local; /* where to: the same */
    bool proxied;         /* the PROXY header says so */
    bool secure;          /* over TLS, ended here or by the proxy that says so */
    bool resumed;         /* … of a session known before */
    uint64_t rules;       /* under which it was let in (tls_server_rules); 0: no TLS ended here */
    struct span version;  /* "TLSv1.3" */
    struct span cipher;   /* "TLS_AES_128_GCM_SHA256" */
    struct span sni;      /* the name asked for, lower case; also where TLS passes through */
    struct span alpn;     /* "h2", "http/1.1" or empty */
    struct client_certificate certificate;
};

/* A copy of these facts, all texts in one block with it: free() takes it back. The path of a unix
 * socket is not kept. NULL without memory. */
struct arrival *arrival_new(const struct arrival *facts);

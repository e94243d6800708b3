/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the tests of TLS share: certificates made on the spot, and two sessions that talk in memory.
 */

#include "codec/tls.h"

#include <openssl/x509.h>

/* What to make; zeroes are a good leaf of P-256 for "localhost", valid now, signed by itself. */
struct wish {
    const char *subject; /* CN; NULL: "localhost" */
    const char *sans;    /* "DNS:a.example.com,IP:127.0.0.1" as openssl writes them; NULL: none */
    const struct made *issuer;
    bool ca;
    bool rsa;
    bool key_ids;  /* it says which key is its own, and which its issuer's */
    int days_from; /* from today; 0 both: -1 to 30 */
    int days_to;
    struct span raw_san; /* one dNSName of just these bytes */
};

/* A certificate and its key. */
struct made {
    X509 *x;
    EVP_PKEY *key;
    char *pem; /* of the certificate */
    char *key_pem;
};

struct made make_certificate(const struct wish *wish);
void made_free(struct made *m);
/* The certificate as an operator would give it. */
struct tls_certificate made_given(const struct made *m);
/* To be given back with tls_ca_unref. */
struct tls_ca *make_ca(struct tls_library *library, const char *pem);
/* A response that says "good" of it, until tomorrow; to be freed. */
struct span make_ocsp(const struct made *issuer, const struct made *leaf);

/* Bytes on their way. */
struct wire {
    struct tls_sink sink; /* first: grow() finds the rest from it */
    uint8_t *bytes;
    size_t room;
    size_t taken; /* by the reader */
};

/* One end of a connection in memory. */
struct party {
    struct tls_session t;
    struct wire out;
    uint8_t plain[1 << 18];
    size_t plain_n;
    int last; /* what tls_session_input said */
};

struct pair {
    struct party server;
    struct party client;
};

void wire_init(struct wire *w);
void wire_fini(struct wire *w);
struct span wire_unread(const struct wire *w);

/* Both sessions, nothing sent yet. */
void pair_open(struct pair *p, struct tls_server *server, struct tls_client *client,
               const char *name, struct tls_resumption *resumption);
void pair_close(struct pair *p);

/* Called with the client's session before it starts, if set: to make it an unusual one. */
extern void (*pair_tune)(struct ssl_st *ssl);

/* Feeds what waits for a party, at most `step` bytes at a time; returns the last event. */
int party_take(struct party *to, struct wire *from, size_t step);

/* Runs until neither has more to say. True when both handshakes are done. */
bool pair_run(struct pair *p, size_t step);

/* All of `n` bytes go through in one direction; false if not. */
bool pair_send(struct party *from, struct party *to, const void *bytes, size_t n);

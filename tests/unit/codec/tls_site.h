/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The site that the tests of TLS policy share: a CA and another one, a certificate, ticket keys,
 * and a client that trusts the first CA.
 */

#include "../base/unit.h"
#include "tls_fixture.h"

#include <openssl/ssl.h>

static struct tls_library *library;
static struct tls_tickets *tickets;
static struct made ca, other_ca, leaf;
static struct tls_ca *trusted;    /* ca */
static struct tls_client *client; /* trusts it */
static struct pair p;
static char why[TLS_WHY_MAX];

/* OpenSSL's macros take texts that they do not change as if they would. */
static inline char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static inline struct tls_server *new_server(const struct tls_server_options *o)
{
    struct tls_server *s = NULL;
    if (tls_server_new(library, o, &s, why) != 0)
        fail_msg("%s", why);
    return s;
}

static inline struct tls_client *new_client(const struct tls_client_options *o)
{
    struct tls_client *c = NULL;
    if (tls_client_new(library, o, &c, why) != 0)
        fail_msg("%s", why);
    return c;
}

static inline struct tls_client *new_client_trusting(const char *pem)
{
    struct tls_ca *its = make_ca(library, pem);
    struct tls_client *c = new_client(&(struct tls_client_options){.verify = true, .ca = its});
    tls_ca_unref(&its);
    return c;
}

/* A server with `leaf` and nothing else said. */
static inline struct tls_server_options plain_options(void)
{
    static struct tls_certificate given;
    given = made_given(&leaf);
    return (struct tls_server_options){
        .certificates = &given,
        .certificates_count = 1,
        .domain = span_str("web"),
        .tickets = tickets,
    };
}

static inline int open_all(void **state)
{
    (void)state;
    assert_int_equal(tls_library_new(&library), 0);
    assert_int_equal(tls_tickets_new(&tickets), 0);
    ca = make_certificate(&(struct wish){.subject = "Test CA", .ca = true});
    other_ca = make_certificate(&(struct wish){.subject = "Other CA", .ca = true});
    leaf = make_certificate(&(struct wish){
        .issuer = &ca, .sans = "DNS:localhost,DNS:a.example.com,DNS:b.example.com,IP:127.0.0.1"});
    trusted = make_ca(library, ca.pem);
    client = new_client(
        &(struct tls_client_options){.verify = true, .ca = trusted, .alpn = TLS_ALPN_HTTP1});
    return 0;
}

static inline int close_all(void **state)
{
    (void)state;
    tls_client_unref(&client);
    tls_ca_unref(&trusted);
    made_free(&leaf);
    made_free(&other_ca);
    made_free(&ca);
    tls_tickets_free(&tickets);
    tls_library_free(&library);
    return 0;
}

static inline int clear_tune(void **state)
{
    (void)state;
    pair_tune = NULL;
    return 0;
}

/* Runs a handshake to its end, well or badly. */
static inline bool meet(struct tls_server *s, struct tls_client *c, const char *name,
                        struct tls_resumption *r)
{
    pair_open(&p, s, c, name, r);
    return pair_run(&p, SIZE_MAX);
}

/* Handshake, some data so that tickets arrive, close; whether it resumed a session. */
static inline bool resumes(struct tls_server *s, struct tls_client *c, const char *name,
                           struct tls_resumption *r)
{
    assert_true(meet(s, c, name, r));
    assert_true(pair_send(&p.server, &p.client, "x", 1));
    struct tls_facts f;
    tls_session_facts(&p.server.t, &f);
    pair_close(&p);
    return f.resumed;
}

static inline void use_1_2(SSL *ssl)
{
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
}

/* SPDX-License-Identifier: MIT */
/* Who gets which certificate, who is let in, whose ticket is good, and what is never spoken. */
#include "../base/unit.h"

#include "tls_fixture.h"

#include <openssl/ocsp.h>
#include <openssl/ssl.h>

static struct tls_library *library;
static struct tls_tickets *tickets;
static struct made ca, other_ca, leaf;
static struct tls_client *client; /* trusts ca */
static struct pair p;
static char why[TLS_WHY_MAX];

static struct tls_server *new_server(const struct tls_server_options *o)
{
    struct tls_server *s = NULL;
    if (tls_server_new(library, o, &s, why) != 0)
        fail_msg("%s", why);
    return s;
}

static struct tls_client *new_client(const struct tls_client_options *o)
{
    struct tls_client *c = NULL;
    if (tls_client_new(library, o, &c, why) != 0)
        fail_msg("%s", why);
    return c;
}

/* A server with `leaf` and nothing else said. */
static struct tls_server_options plain_options(void)
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

static int open_all(void **state)
{
    (void)state;
    assert_int_equal(tls_library_new(&library), 0);
    assert_int_equal(tls_tickets_new(&tickets), 0);
    ca = make_certificate(&(struct wish){.subject = "Test CA", .ca = true});
    other_ca = make_certificate(&(struct wish){.subject = "Other CA", .ca = true});
    leaf = make_certificate(&(struct wish){
        .issuer = &ca, .sans = "DNS:localhost,DNS:a.example.com,DNS:b.example.com,IP:127.0.0.1"});
    client = new_client(&(struct tls_client_options){
        .verify = true, .ca_pem = span_cstr(ca.pem), .alpn = TLS_ALPN_HTTP1});
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    tls_client_unref(&client);
    made_free(&leaf);
    made_free(&other_ca);
    made_free(&ca);
    tls_tickets_free(&tickets);
    tls_library_free(&library);
    return 0;
}

static int clear_tune(void **state)
{
    (void)state;
    pair_tune = NULL;
    return 0;
}

/* Runs a handshake to its end, well or badly. */
static bool meet(struct tls_server *s, struct tls_client *c, const char *name,
                 struct tls_resumption *r)
{
    pair_open(&p, s, c, name, r);
    return pair_run(&p, SIZE_MAX);
}

/* Handshake, some data so that tickets arrive, close; whether it resumed a session. */
static bool resumes(struct tls_server *s, struct tls_client *c, const char *name,
                    struct tls_resumption *r)
{
    assert_true(meet(s, c, name, r));
    assert_true(pair_send(&p.server, &p.client, "x", 1));
    struct tls_facts f;
    tls_session_facts(&p.server.t, &f);
    pair_close(&p);
    return f.resumed;
}

/* ---- choosing a certificate ---- */

static void use_1_2(SSL *ssl)
{
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
}

static void only_rsa(SSL *ssl)
{
    assert_int_equal(SSL_set1_sigalgs_list(ssl, "RSA-PSS+SHA256:RSA+SHA256"), 1);
}

static void only_ecdsa(SSL *ssl)
{
    assert_int_equal(SSL_set1_sigalgs_list(ssl, "ECDSA+SHA256"), 1);
}

/* The subject of what a client that asks for `name` is shown. */
static const char *shown_to(struct tls_server *s, const char *name)
{
    static char subject[256];
    struct tls_client *trusting = new_client(&(struct tls_client_options){.verify = false});
    bool done = meet(s, trusting, name, NULL);
    struct tls_peer *peer = done ? tls_session_peer(&p.client.t) : NULL;
    snprintf(subject, sizeof subject, "%s", peer ? peer->common_name : "nothing");
    tls_peer_free(&peer);
    pair_close(&p);
    tls_client_unref(&trusting);
    return subject;
}

static void test_sni(void **state)
{
    (void)state;
    struct made m[] = {
        make_certificate(&(struct wish){.subject = "first", .sans = "DNS:first.example"}),
        make_certificate(&(struct wish){.subject = "star", .sans = "DNS:*.example.com"}),
        make_certificate(&(struct wish){.subject = "exact", .sans = "DNS:www.example.com"}),
        make_certificate(&(struct wish){.subject = "cn.example.org"}),
        make_certificate(&(struct wish){.subject = "named", .sans = "DNS:ignored.example"}),
        make_certificate(&(struct wish){.subject = "late", .sans = "DNS:first.example"}),
    };
    struct tls_certificate given[ARRAY_LEN(m)];
    for (size_t i = 0; i < ARRAY_LEN(m); i++)
        given[i] = made_given(&m[i]);
    const struct span names[] = {SPAN_INIT("Named.Example"), SPAN_INIT("*.named.example")};
    given[4].names = names;
    given[4].names_count = 2;
    struct tls_server_options o = {.certificates = given, .certificates_count = ARRAY_LEN(m)};
    struct tls_server *s = new_server(&o);
    static const char *const rows[][2] = {
        {"first.example", "first"},
        {"www.example.com", "exact"},
        {"WWW.Example.COM", "exact"},
        {"a.example.com", "star"},
        {"example.com", "first"},
        {"a.b.example.com", "first"},
        {"cn.example.org", "cn.example.org"},
        {"named.example", "named"},
        {"x.named.example", "named"},
        {"ignored.example", "first"},
        {"unknown", "first"},
        {"", "first"},
        {".example.com", "first"},
        {"127.0.0.1", "first"},
    };
    for (int version = 0; version < 2; version++) {
        pair_tune = version ? use_1_2 : NULL;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            if (strcmp(shown_to(s, rows[i][0]), rows[i][1]) != 0)
                fail_msg("%s is shown %s", rows[i][0], shown_to(s, rows[i][0]));
        }
    }
    tls_server_unref(&s);
    for (size_t i = 0; i < ARRAY_LEN(m); i++)
        made_free(&m[i]);
}

static void test_rsa_and_ecdsa(void **state)
{
    (void)state;
    struct made rsa = make_certificate(
        &(struct wish){.subject = "rsa", .sans = "DNS:x.example,DNS:y.example", .rsa = true});
    struct made ec = make_certificate(&(struct wish){.subject = "ec", .sans = "DNS:x.example"});
    const struct tls_certificate given[] = {made_given(&rsa), made_given(&ec)};
    struct tls_server_options o = {.certificates = given, .certificates_count = 2};
    struct tls_server *s = new_server(&o);
    assert_string_equal(shown_to(s, "x.example"), "ec"); /* the cheaper one */
    assert_string_equal(shown_to(s, "y.example"), "rsa");
    pair_tune = only_rsa;
    assert_string_equal(shown_to(s, "x.example"), "rsa");
    assert_string_equal(shown_to(s, "other"), "rsa");
    pair_tune = only_ecdsa;
    assert_string_equal(shown_to(s, "x.example"), "ec");
    assert_string_equal(shown_to(s, "other"), "ec"); /* the default is a set as well */
    assert_string_equal(shown_to(s, "y.example"), "nothing");
    tls_server_unref(&s);
    made_free(&rsa);
    made_free(&ec);
}

static void test_alpn(void **state)
{
    (void)state;
    static const struct {
        uint32_t server, client;
        const char *chosen; /* NULL: refused */
    } rows[] = {
        {TLS_ALPN_H2 | TLS_ALPN_HTTP1, TLS_ALPN_HTTP1, "http/1.1"},
        {TLS_ALPN_H2 | TLS_ALPN_HTTP1, TLS_ALPN_H2 | TLS_ALPN_HTTP1, "h2"},
        {TLS_ALPN_HTTP1, TLS_ALPN_H2 | TLS_ALPN_HTTP1, "http/1.1"},
        {TLS_ALPN_HTTP1, TLS_ALPN_H2, NULL},
        {TLS_ALPN_HTTP1, 0, ""},
        {0, TLS_ALPN_H2, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_server_options o = plain_options();
        o.alpn = rows[i].server;
        struct tls_server *s = new_server(&o);
        struct tls_client *c = new_client(&(struct tls_client_options){.alpn = rows[i].client});
        assert_int_equal(meet(s, c, "localhost", NULL), rows[i].chosen != NULL);
        if (rows[i].chosen) {
            struct tls_facts f;
            tls_session_facts(&p.server.t, &f);
            assert_span(f.alpn, rows[i].chosen);
        } else {
            assert_int_equal(p.server.last, -REASON_tls_handshake_failed);
            assert_int_equal(p.client.last, -REASON_backend_tls_failed);
        }
        pair_close(&p);
        tls_client_unref(&c);
        tls_server_unref(&s);
    }
}

/* ---- versions, and what is never spoken ---- */

static void test_versions(void **state)
{
    (void)state;
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    pair_tune = use_1_2;
    assert_true(meet(s, client, "localhost", NULL));
    struct tls_facts f;
    tls_session_facts(&p.server.t, &f);
    assert_string_equal(f.version, "TLSv1.2");
    assert_string_equal(f.cipher, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    assert_true(pair_send(&p.client, &p.server, "GET", 3));
    pair_close(&p);
    tls_server_unref(&s);
    o.only_1_3 = true;
    s = new_server(&o);
    assert_false(meet(s, client, "localhost", NULL));
    assert_int_equal(p.server.last, -REASON_tls_handshake_failed);
    pair_close(&p);
    tls_server_unref(&s);
}

static void use_1_1(SSL *ssl)
{
    SSL_set_security_level(ssl, 0);
    SSL_set_min_proto_version(ssl, TLS1_VERSION);
    SSL_set_max_proto_version(ssl, TLS1_1_VERSION);
    assert_int_equal(SSL_set_cipher_list(ssl, "ALL:@SECLEVEL=0"), 1);
}

static void use_cbc(SSL *ssl)
{
    use_1_2(ssl);
    assert_int_equal(SSL_set_cipher_list(ssl, "ECDHE-ECDSA-AES128-SHA256:AES128-GCM-SHA256"), 1);
}

static void use_p521(SSL *ssl)
{
    assert_int_equal(SSL_set1_groups_list(ssl, "P-521"), 1);
}

static void test_weak_offers_are_refused(void **state)
{
    (void)state;
    static void (*const tunes[])(SSL *) = {use_1_1, use_cbc, use_p521};
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    for (size_t i = 0; i < ARRAY_LEN(tunes); i++) {
        pair_tune = tunes[i];
        assert_false(meet(s, client, "localhost", NULL));
        assert_int_equal(p.server.last, -REASON_tls_handshake_failed);
        pair_close(&p);
    }
    tls_server_unref(&s);
}

static void may_renegotiate(SSL *ssl)
{
    use_1_2(ssl);
    SSL_clear_options(ssl, SSL_OP_NO_RENEGOTIATION);
}

static void test_renegotiation(void **state)
{
    (void)state;
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    pair_tune = may_renegotiate;
    assert_true(meet(s, client, "localhost", NULL));
    assert_int_equal(SSL_renegotiate(p.client.t.ssl), 1);
    const struct span piece = span_str("x");
    (void)!tls_session_output(&p.client.t, &piece, 1, &p.client.out.sink);
    assert_int_equal(party_take(&p.server, &p.client.out, SIZE_MAX), -REASON_tls_handshake_failed);
    assert_string_equal(tls_session_why(&p.server.t), "renegotiation");
    pair_close(&p);
    tls_server_unref(&s);
}

/* A ticket of ours allows no early data, so a client has none to send. */
static void test_no_early_data(void **state)
{
    (void)state;
    struct tls_resumption r = {0};
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    assert_false(resumes(s, client, "localhost", &r));
    assert_int_equal(SSL_SESSION_get_max_early_data(r.session), 0);
    tls_resumption_clear(&r);
    tls_server_unref(&s);
}

static void test_key_update_flood(void **state)
{
    (void)state;
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    assert_true(meet(s, client, "localhost", NULL));
    int updates = 0;
    for (; updates < 5000 && p.server.last >= 0; updates++) {
        const struct span piece = span_str("x");
        assert_int_equal(SSL_key_update(p.client.t.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(tls_session_output(&p.client.t, &piece, 1, &p.client.out.sink), 0);
        (void)party_take(&p.server, &p.client.out, SIZE_MAX);
        p.server.plain_n = 0;
    }
    assert_int_equal(p.server.last, -REASON_tls_handshake_failed);
    assert_true(updates > 100);
    pair_close(&p);
    tls_server_unref(&s);
}

/* ---- clients' certificates ---- */

static void test_client_certificates(void **state)
{
    (void)state;
    struct made ann = make_certificate(&(struct wish){
        .subject = "Ann", .issuer = &ca, .sans = "email:ann@example.com,URI:spiffe://x/ann"});
    struct made stranger = make_certificate(&(struct wish){.subject = "Ann", .issuer = &other_ca});
    struct made old = make_certificate(
        &(struct wish){.subject = "Ann", .issuer = &ca, .days_from = -9, .days_to = -1});
    struct made alone = make_certificate(&(struct wish){.subject = "Ann"});
    const struct {
        const struct made *shows;
        enum tls_client_auth auth;
        bool enters, verified;
    } rows[] = {
        {NULL, TLS_CLIENT_AUTH_NONE, true, false},
        {&ann, TLS_CLIENT_AUTH_NONE, true, false},
        {NULL, TLS_CLIENT_AUTH_OPTIONAL, true, false},
        {&ann, TLS_CLIENT_AUTH_OPTIONAL, true, true},
        {&stranger, TLS_CLIENT_AUTH_OPTIONAL, false, false},
        {&old, TLS_CLIENT_AUTH_OPTIONAL, false, false},
        {NULL, TLS_CLIENT_AUTH_REQUIRE, false, false},
        {&ann, TLS_CLIENT_AUTH_REQUIRE, true, true},
        {&stranger, TLS_CLIENT_AUTH_REQUIRE, false, false},
        {&old, TLS_CLIENT_AUTH_REQUIRE, false, false},
        {&alone, TLS_CLIENT_AUTH_REQUIRE, false, false},
    };
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        pair_tune = i % 2 ? use_1_2 : NULL;
        struct tls_server_options o = plain_options();
        o.client_auth = rows[i / 2].auth;
        o.client_ca_pem = span_cstr(ca.pem);
        struct tls_server *s = new_server(&o);
        struct tls_certificate given = {0};
        if (rows[i / 2].shows)
            given = made_given(rows[i / 2].shows);
        struct tls_client *c = new_client(
            &(struct tls_client_options){.certificate = rows[i / 2].shows ? &given : NULL});
        (void)meet(s, c, "localhost", NULL);
        if (rows[i / 2].enters) {
            assert_int_equal(p.server.last, TLS_NEED_MORE);
            struct tls_facts f;
            tls_session_facts(&p.server.t, &f);
            assert_int_equal(f.verified, rows[i / 2].verified);
            struct tls_peer *peer = tls_session_peer(&p.server.t);
            assert_int_equal(peer != NULL, rows[i / 2].verified);
            if (peer) {
                assert_string_equal(peer->subject, "CN=Ann");
                assert_string_equal(peer->names[0], "ann@example.com");
                assert_string_equal(peer->names[1], "spiffe://x/ann");
            }
            tls_peer_free(&peer);
        } else {
            assert_int_equal(p.server.last, -REASON_tls_client_certificate);
            assert_false(p.server.t.done);
        }
        pair_close(&p);
        tls_client_unref(&c);
        tls_server_unref(&s);
    }
    made_free(&ann);
    made_free(&stranger);
    made_free(&old);
    made_free(&alone);
}

/* ---- tickets ---- */

static void test_tickets(void **state)
{
    (void)state;
    for (int version = 0; version < 2; version++) {
        pair_tune = version ? use_1_2 : NULL;
        struct tls_resumption r = {0};
        struct tls_server_options o = plain_options();
        struct tls_server *s = new_server(&o), *reloaded = new_server(&o);
        assert_false(resumes(s, client, "localhost", &r));
        assert_true(resumes(s, client, "localhost", &r));
        assert_true(resumes(reloaded, client, "localhost", &r));
        /* One rotation: opened by the previous key, and sealed anew. Two without use: gone. */
        assert_int_equal(tls_tickets_rotate(tickets), 0);
        assert_true(resumes(s, client, "localhost", &r));
        assert_int_equal(tls_tickets_rotate(tickets), 0);
        assert_true(resumes(s, client, "localhost", &r));
        assert_int_equal(tls_tickets_rotate(tickets), 0);
        assert_int_equal(tls_tickets_rotate(tickets), 0);
        assert_false(resumes(s, client, "localhost", &r));
        tls_resumption_clear(&r);
        tls_server_unref(&s);
        tls_server_unref(&reloaded);
    }
}

/* Another process that has the keys, one rotation behind. */
static void test_ticket_keys_handed_over(void **state)
{
    (void)state;
    struct tls_resumption r = {0};
    struct tls_tickets *theirs;
    struct tls_ticket_key keys[TLS_TICKET_KEYS];
    assert_int_equal(tls_tickets_new(&theirs), 0);
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    o.tickets = theirs;
    struct tls_server *other = new_server(&o);
    assert_false(resumes(s, client, "localhost", &r));
    assert_false(resumes(other, client, "localhost", &r));
    assert_false(resumes(s, client, "localhost", &r)); /* the ticket is theirs now */
    tls_tickets_get(tickets, keys);
    tls_tickets_set(theirs, keys);
    assert_int_equal(tls_tickets_rotate(tickets), 0);
    assert_true(resumes(s, client, "localhost", &r));
    assert_true(resumes(other, client, "localhost", &r)); /* sealed with what is `next` there */
    tls_resumption_clear(&r);
    tls_server_unref(&s);
    tls_server_unref(&other);
    tls_tickets_free(&theirs);
}

/* A ticket is good for one listener, its rules for clients, and one name. */
static void test_tickets_stay_in_their_domain(void **state)
{
    (void)state;
    for (int version = 0; version < 2; version++) {
        pair_tune = version ? use_1_2 : NULL;
        struct tls_resumption r = {0};
        struct made ann = make_certificate(&(struct wish){.subject = "Ann", .issuer = &ca});
        const struct tls_certificate given = made_given(&ann);
        struct tls_client *c = new_client(&(struct tls_client_options){.certificate = &given});
        struct tls_server_options o = plain_options();
        o.client_auth = TLS_CLIENT_AUTH_REQUIRE;
        o.client_ca_pem = span_cstr(ca.pem);
        struct tls_server *base = new_server(&o);
        struct tls_server *others[3];
        o.domain = span_str("api");
        others[0] = new_server(&o);
        o.domain = span_str("web");
        char *both = NULL;
        assert_true(asprintf(&both, "%s%s", ca.pem, other_ca.pem) > 0);
        o.client_ca_pem = span_cstr(both);
        others[1] = new_server(&o);
        o.client_ca_pem = span_cstr(ca.pem);
        o.client_auth = TLS_CLIENT_AUTH_OPTIONAL;
        others[2] = new_server(&o);
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
            (void)resumes(base, c, "localhost", &r);
            assert_true(resumes(base, c, "localhost", &r));
            assert_false(resumes(others[i], c, "localhost", &r));
            tls_server_unref(&others[i]);
        }
        tls_resumption_clear(&r);
        tls_server_unref(&base);
        tls_client_unref(&c);
        made_free(&ann);
        free(both);
    }
}

/* A ticket of a client whose certificate has expired since opens, and is good for nothing. The
 * first time it is looked at as if it were five days ago. */
static void test_ticket_outlives_its_certificate(void **state)
{
    (void)state;
    struct made old_ca = make_certificate(
        &(struct wish){.subject = "Old CA", .ca = true, .days_from = -20, .days_to = 20});
    struct made ann = make_certificate(
        &(struct wish){.subject = "Ann", .issuer = &old_ca, .days_from = -9, .days_to = -1});
    const struct tls_certificate given = made_given(&ann);
    struct tls_client *c = new_client(&(struct tls_client_options){.certificate = &given});
    struct tls_server_options o = plain_options();
    o.client_auth = TLS_CLIENT_AUTH_REQUIRE;
    o.client_ca_pem = span_cstr(old_ca.pem);
    struct tls_server *s = new_server(&o);
    for (int version = 0; version < 2; version++) {
        pair_tune = version ? use_1_2 : NULL;
        struct tls_resumption r = {0};
        pair_open(&p, s, c, "localhost", &r);
        X509_VERIFY_PARAM_set_time(SSL_get0_param(p.server.t.ssl), time(NULL) - 5 * 86400);
        assert_true(pair_run(&p, SIZE_MAX));
        assert_true(pair_send(&p.server, &p.client, "x", 1));
        pair_close(&p);
        assert_non_null(r.session);
        (void)meet(s, c, "localhost", &r);
        assert_int_equal(p.server.last, -REASON_tls_client_certificate);
        pair_close(&p);
        tls_resumption_clear(&r);
    }
    tls_client_unref(&c);
    tls_server_unref(&s);
    made_free(&ann);
    made_free(&old_ca);
}

static const char *lie; /* the name that is asked for with a ticket of another */

static void ask_for_lie(SSL *ssl)
{
    if (lie)
        assert_int_equal(SSL_set_tlsext_host_name(ssl, lie), 1);
}

static void ask_for_lie_1_2(SSL *ssl)
{
    use_1_2(ssl);
    ask_for_lie(ssl);
}

static void test_tickets_stay_with_their_name(void **state)
{
    (void)state;
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    struct tls_client *c = new_client(&(struct tls_client_options){.verify = false});
    for (int version = 0; version < 2; version++) {
        struct tls_resumption r = {0};
        pair_tune = version ? ask_for_lie_1_2 : ask_for_lie;
        lie = NULL;
        assert_false(resumes(s, c, "a.example.com", &r));
        lie = "A.example.COM";
        assert_true(resumes(s, c, "a.example.com", &r));
        lie = "b.example.com";
        assert_false(resumes(s, c, "a.example.com", &r));
        tls_resumption_clear(&r);
    }
    tls_client_unref(&c);
    tls_server_unref(&s);
}

static void test_without_tickets(void **state)
{
    (void)state;
    struct tls_server_options o = plain_options();
    o.tickets = NULL;
    struct tls_server *s = new_server(&o);
    for (int version = 0; version < 2; version++) {
        struct tls_resumption r = {0};
        pair_tune = version ? use_1_2 : NULL;
        assert_false(resumes(s, client, "localhost", &r));
        assert_false(resumes(s, client, "localhost", &r));
        tls_resumption_clear(&r);
    }
    tls_server_unref(&s);
}

/* A ticket stands for a certificate that was verified: only for the same rules and name. */
static void test_resumption_belongs_to_its_client(void **state)
{
    (void)state;
    struct tls_resumption r = {0};
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    struct tls_client *lax = new_client(&(struct tls_client_options){.verify = false});
    struct tls_client *strict =
        new_client(&(struct tls_client_options){.verify = true, .ca_pem = span_cstr(other_ca.pem)});
    struct tls_client *same = new_client(&(struct tls_client_options){
        .verify = true, .ca_pem = span_cstr(ca.pem), .alpn = TLS_ALPN_HTTP1});
    assert_false(resumes(s, lax, "localhost", &r));
    assert_true(resumes(s, lax, "localhost", &r));
    assert_false(meet(s, strict, "localhost", &r));
    assert_int_equal(p.client.last, -REASON_backend_certificate);
    pair_close(&p);
    assert_false(resumes(s, client, "localhost", &r));
    assert_false(resumes(s, client, "a.example.com", &r));
    assert_true(resumes(s, client, "a.example.com", &r));
    assert_true(resumes(s, same, "a.example.com", &r)); /* after a reload */
    tls_resumption_clear(&r);
    tls_client_unref(&lax);
    tls_client_unref(&strict);
    tls_client_unref(&same);
    tls_server_unref(&s);
}

/* ---- stapling ---- */

static void ask_for_status(SSL *ssl)
{
    SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
}

static void test_ocsp(void **state)
{
    (void)state;
    struct span der = make_ocsp(&ca, &leaf);
    struct tls_certificate given = made_given(&leaf);
    given.ocsp_der = der;
    struct tls_server_options o = {.certificates = &given, .certificates_count = 1};
    struct tls_server *s = new_server(&o);
    pair_tune = ask_for_status;
    assert_true(meet(s, client, "localhost", NULL));
    unsigned char *got = NULL;
    long n = SSL_get_tlsext_status_ocsp_resp(p.client.t.ssl, &got);
    assert_true(n > 0 && span_eq(span_of(got, (size_t)n), der));
    pair_close(&p);
    tls_server_unref(&s);

    struct tls_certificate_facts *f = NULL;
    assert_int_equal(tls_certificate_describe(library, &given, &f, why), 0);
    assert_true(f->ocsp_until_s > 0);
    tls_certificate_facts_free(&f);
    struct made other = make_certificate(&(struct wish){.issuer = &ca});
    struct tls_certificate wrong = made_given(&other);
    wrong.ocsp_der = der;
    assert_true(tls_certificate_describe(library, &wrong, &f, why) < 0);
    assert_string_equal(why, "the OCSP response is about another certificate");
    wrong.ocsp_der = span_str("nonsense");
    assert_true(tls_certificate_describe(library, &wrong, &f, why) < 0);
    made_free(&other);
    free((void *)(uintptr_t)der.p);
}

/* ---- verifying backends ---- */

static void test_backend_certificates(void **state)
{
    (void)state;
    struct made made[] = {
        make_certificate(&(struct wish){.issuer = &ca, .sans = "DNS:localhost,IP:127.0.0.1"}),
        make_certificate(&(struct wish){.issuer = &other_ca, .sans = "DNS:localhost"}),
        make_certificate(
            &(struct wish){.issuer = &ca, .sans = "DNS:localhost", .days_from = -9, .days_to = -1}),
        make_certificate(
            &(struct wish){.issuer = &ca, .sans = "DNS:localhost", .days_from = 1, .days_to = 9}),
        make_certificate(
            &(struct wish){.issuer = &ca, .raw_san = span_str("localhost\0.evil.example")}),
        make_certificate(&(struct wish){.issuer = &ca, .sans = "DNS:*.example.com"}),
        make_certificate(&(struct wish){.issuer = &ca, .sans = "DNS:a*.example.com"}),
        make_certificate(&(struct wish){.sans = "DNS:localhost"}),
    };
    const struct {
        size_t shows;
        const char *name;
        bool good;
    } rows[] = {
        {0, "localhost", true},    {0, "LOCALHOST", true},       {0, "127.0.0.1", true},
        {0, "127.0.0.2", false},   {0, "other", false},          {0, "local", false},
        {1, "localhost", false},   {2, "localhost", false},      {3, "localhost", false},
        {4, "localhost", false},   {5, "x.example.com", true},   {5, "x.y.example.com", false},
        {5, "example.com", false}, {6, "ab.example.com", false}, {7, "localhost", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct tls_certificate given = made_given(&made[rows[i].shows]);
        struct tls_server_options o = {.certificates = &given, .certificates_count = 1};
        struct tls_server *s = new_server(&o);
        if (meet(s, client, rows[i].name, NULL) != rows[i].good)
            fail_msg("row %zu", i);
        if (!rows[i].good) {
            assert_int_equal(p.client.last, -REASON_backend_certificate);
            assert_non_null(tls_session_why(&p.client.t));
            assert_int_equal(p.server.last, -REASON_tls_alert);
        }
        pair_close(&p);
        tls_server_unref(&s);
    }
    /* Who trusts just this certificate takes it. */
    const struct tls_certificate given = made_given(&made[7]);
    struct tls_server_options o = {.certificates = &given, .certificates_count = 1};
    struct tls_server *s = new_server(&o);
    struct tls_client *pinned =
        new_client(&(struct tls_client_options){.verify = true, .ca_pem = span_cstr(made[7].pem)});
    assert_true(meet(s, pinned, "localhost", NULL));
    pair_close(&p);
    tls_client_unref(&pinned);
    tls_server_unref(&s);
    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        made_free(&made[i]);
}

/* ---- what operators give ---- */

static void expect_why(struct tls_certificate c, const char *wanted)
{
    struct tls_certificate_facts *f = NULL;
    assert_int_equal(tls_certificate_describe(library, &c, &f, why), -REASON_system_error);
    assert_string_equal(why, wanted);
}

static void test_describe(void **state)
{
    (void)state;
    struct tls_certificate good = made_given(&leaf), c = good;
    struct tls_certificate_facts *f = NULL;
    assert_int_equal(tls_certificate_describe(library, &good, &f, why), 0);
    assert_string_equal(f->subject, "CN=localhost");
    assert_string_equal(f->issuer, "CN=Test CA");
    assert_int_equal(f->names_count, 3);
    assert_string_equal(f->names[1], "a.example.com");
    assert_string_equal(f->key_type, "ECDSA");
    assert_int_equal(f->key_bits, 256);
    assert_true(f->not_after_s - f->not_before_s == 31 * 86400);
    tls_certificate_facts_free(&f);

    c.chain_pem = span_str("hello");
    expect_why(c, "there is no certificate in it (PEM is wanted)");
    c = good;
    c.key_pem = span_cstr(leaf.pem);
    expect_why(c, "there is no private key in it (PEM is wanted)");
    c.key_pem = span_cstr(ca.key_pem);
    expect_why(c, "the private key does not belong to the certificate");
    c.key_pem = span_str("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    expect_why(c, "the private key cannot be read");
    const struct span bad = SPAN_INIT("no name");
    c = good;
    c.names = &bad;
    c.names_count = 1;
    expect_why(c, "\"no name\" is no host name");
    char *text = NULL;
    assert_true(asprintf(&text, "%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                         leaf.pem) > 0);
    c = good;
    c.chain_pem = span_cstr(text);
    expect_why(c, "number 2 of its certificates cannot be read");
    free(text);
    assert_true(asprintf(&text, "%s%s", leaf.pem, leaf.key_pem) > 0);
    c = (struct tls_certificate){.chain_pem = span_cstr(text)};
    assert_int_equal(tls_certificate_describe(library, &c, &f, why), 0); /* both in one file */
    tls_certificate_facts_free(&f);
    free(text);
    uint32_t count = 0;
    assert_int_equal(tls_ca_describe(library, span_cstr(ca.pem), &count, why), 0);
    assert_int_equal(count, 1);
    assert_true(tls_ca_describe(library, span_str("x"), &count, why) < 0);
}

/* ---- looking without speaking ---- */

static void test_peek(void **state)
{
    (void)state;
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    uint8_t room[TLS_NAME_MAX];
    struct span name;
    pair_open(&p, s, client, "A.Example.com", NULL);
    struct span hello = wire_unread(&p.client.out);
    for (size_t n = 0; n < hello.n; n++)
        assert_int_equal(tls_peek_name(span_sub(hello, 0, n), room, &name), TLS_NEED_MORE);
    assert_int_equal(tls_peek_name(hello, room, &name), 1);
    assert_span(name, "a.example.com");
    /* In two records, and with something behind it. */
    uint8_t split[4096];
    struct writer w = writer_of(split, sizeof split);
    w_bytes(&w, "\x16\x03\x01\x00\x0a", 5);
    w_span(&w, span_sub(hello, 5, 10));
    w_bytes(&w, "\x16\x03\x01", 3);
    w_u16be(&w, (uint16_t)(hello.n - 15));
    w_span(&w, span_from(hello, 15));
    w_bytes(&w, "\x14\x03\x03\x00\x01\x01", 6);
    assert_int_equal(tls_peek_name(w_span_of_result(&w), room, &name), 1);
    assert_span(name, "a.example.com");
    pair_close(&p);
    pair_open(&p, s, client, "127.0.0.1", NULL);
    assert_int_equal(tls_peek_name(wire_unread(&p.client.out), room, &name), 1);
    assert_span(name, "");
    pair_close(&p);
    assert_int_equal(tls_peek_name(span_str("GET / HTTP/1.1\r\n"), room, &name), -REASON_not_tls);
    assert_int_equal(tls_peek_name(span_str("\x16\x04\x00"), room, &name), -REASON_not_tls);
    tls_server_unref(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_sni, clear_tune),
        cmocka_unit_test_teardown(test_rsa_and_ecdsa, clear_tune),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test_teardown(test_versions, clear_tune),
        cmocka_unit_test_teardown(test_weak_offers_are_refused, clear_tune),
        cmocka_unit_test_teardown(test_renegotiation, clear_tune),
        cmocka_unit_test(test_no_early_data),
        cmocka_unit_test(test_key_update_flood),
        cmocka_unit_test_teardown(test_client_certificates, clear_tune),
        cmocka_unit_test_teardown(test_tickets, clear_tune),
        cmocka_unit_test(test_ticket_keys_handed_over),
        cmocka_unit_test_teardown(test_tickets_stay_in_their_domain, clear_tune),
        cmocka_unit_test_teardown(test_ticket_outlives_its_certificate, clear_tune),
        cmocka_unit_test_teardown(test_tickets_stay_with_their_name, clear_tune),
        cmocka_unit_test_teardown(test_without_tickets, clear_tune),
        cmocka_unit_test(test_resumption_belongs_to_its_client),
        cmocka_unit_test_teardown(test_ocsp, clear_tune),
        cmocka_unit_test(test_backend_certificates),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_peek),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

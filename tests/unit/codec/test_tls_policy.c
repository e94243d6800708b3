/* SPDX-License-Identifier: MIT */
/* Who gets which certificate, who is let in, and what is never spoken. */
#include "tls_site.h"

#include <openssl/pem.h>

/* ---- choosing a certificate ---- */

static void only_rsa(SSL *ssl)
{
    assert_int_equal(SSL_set1_sigalgs_list(ssl, text("RSA-PSS+SHA256:RSA+SHA256")), 1);
}

static void only_ecdsa(SSL *ssl)
{
    assert_int_equal(SSL_set1_sigalgs_list(ssl, text("ECDSA+SHA256")), 1);
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
    assert_int_equal(SSL_set1_groups_list(ssl, text("P-521")), 1);
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

/* What the client offers first is not taken, what it offers as well is. */
static void begin_with_p521(SSL *ssl)
{
    assert_int_equal(SSL_set1_groups_list(ssl, text("P-521:P-384")), 1);
}

static void test_hello_retry(void **state)
{
    (void)state;
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    pair_tune = begin_with_p521;
    for (size_t step = 1; step < 700; step = step * 2 + 1) {
        pair_open(&p, s, client, "a.example.com", NULL);
        assert_true(pair_run(&p, step));
        assert_true(pair_send(&p.client, &p.server, "GET", 3));
        assert_true(pair_send(&p.server, &p.client, "200", 3));
        assert_non_null(p.server.t.records);
        pair_close(&p);
    }
    tls_server_unref(&s);
}

/* A hello that is only answered by asking for another one leaves the costly part to come. */
static void test_what_costs(void **state)
{
    (void)state;
    static const struct {
        void (*tune)(SSL *);
        int costly; /* messages of the client */
    } rows[] = {{NULL, 1}, {use_1_2, 1}, {begin_with_p521, 2}};
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int costly = 0;
        pair_tune = rows[i].tune;
        pair_open(&p, s, client, "a.example.com", NULL);
        while (!p.server.t.done) {
            costly += tls_session_is_costly(&p.server.t);
            assert_int_equal(party_take(&p.server, &p.client.out, SIZE_MAX) < 0, false);
            if (!p.client.t.done)
                assert_true(party_take(&p.client, &p.server.out, SIZE_MAX) >= 0);
        }
        assert_int_equal(costly, rows[i].costly);
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
        o.client_ca = trusted;
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
    struct tls_client *pinned = new_client_trusting(made[7].pem);
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
}

static struct span held(BIO *bio)
{
    char *bytes = NULL;
    long n = BIO_get_mem_data(bio, &bytes);
    return span_of(bytes, (size_t)n);
}

/* PKCS #8, and what older tools write, of every kind; the key need not come first. */
static void test_forms_of_keys(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *before;
        bool old;
    } rows[] = {
        {"EC", "", false},
        {"EC", "", true},
        {"EC", "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
         true},
        {"RSA", "", false},
        {"RSA", "words\n", true},
        {"ED25519", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool ec = rows[i].kind[0] == 'E' && rows[i].kind[1] == 'C', rsa = rows[i].kind[0] == 'R';
        EVP_PKEY *key = ec ? EVP_EC_gen("P-256")
                           : (rsa ? EVP_RSA_gen(2048u) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
        X509 *x = X509_dup(leaf.x);
        BIO *certificate = BIO_new(BIO_s_mem()), *its = BIO_new(BIO_s_mem());
        assert_int_equal(X509_set_pubkey(x, key), 1);
        assert_true(X509_sign(x, ca.key, EVP_sha256()) > 0);
        assert_int_equal(PEM_write_bio_X509(certificate, x), 1);
        assert_int_equal(BIO_puts(its, rows[i].before), (int)strlen(rows[i].before));
        if (rows[i].old)
            assert_int_equal(
                PEM_write_bio_PrivateKey_traditional(its, key, NULL, NULL, 0, NULL, NULL), 1);
        else
            assert_int_equal(PEM_write_bio_PrivateKey(its, key, NULL, NULL, 0, NULL, NULL), 1);
        struct tls_certificate c = {.chain_pem = held(certificate), .key_pem = held(its)};
        struct tls_certificate_facts *f = NULL;
        if (tls_certificate_describe(library, &c, &f, why) != 0)
            fail_msg("%zu: %s", i, why);
        tls_certificate_facts_free(&f);
        c.chain_pem = span_cstr(leaf.pem); /* of another kind, or of another key */
        expect_why(c, "the private key does not belong to the certificate");
        BIO_free(certificate);
        BIO_free(its);
        X509_free(x);
        EVP_PKEY_free(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_sni, clear_tune),
        cmocka_unit_test_teardown(test_rsa_and_ecdsa, clear_tune),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test_teardown(test_versions, clear_tune),
        cmocka_unit_test_teardown(test_weak_offers_are_refused, clear_tune),
        cmocka_unit_test_teardown(test_hello_retry, clear_tune),
        cmocka_unit_test_teardown(test_what_costs, clear_tune),
        cmocka_unit_test_teardown(test_renegotiation, clear_tune),
        cmocka_unit_test(test_no_early_data),
        cmocka_unit_test(test_key_update_flood),
        cmocka_unit_test_teardown(test_client_certificates, clear_tune),
        cmocka_unit_test_teardown(test_ocsp, clear_tune),
        cmocka_unit_test(test_backend_certificates),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_forms_of_keys),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

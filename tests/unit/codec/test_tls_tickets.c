/* SPDX-License-Identifier: MIT */
/* Whose ticket is good, for how long, and where. */
#include "tls_site.h"

#include <pthread.h>
#include <stdatomic.h>

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
        o.client_ca = trusted;
        struct tls_server *base = new_server(&o);
        struct tls_server *others[3];
        o.domain = span_str("api");
        others[0] = new_server(&o);
        o.domain = span_str("web");
        char *both = NULL;
        assert_true(asprintf(&both, "%s%s", ca.pem, other_ca.pem) > 0);
        struct tls_ca *more = make_ca(library, both);
        o.client_ca = more;
        others[1] = new_server(&o);
        tls_ca_unref(&more);
        o.client_ca = trusted;
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
    struct tls_ca *old = make_ca(library, old_ca.pem);
    o.client_ca = old;
    struct tls_server *s = new_server(&o);
    tls_ca_unref(&old);
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
        assert_int_equal(SSL_set_tlsext_host_name(ssl, text(lie)), 1);
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
    struct tls_client *strict = new_client_trusting(other_ca.pem);
    struct tls_ca *again = make_ca(library, ca.pem);
    struct tls_client *same = new_client(
        &(struct tls_client_options){.verify = true, .ca = again, .alpn = TLS_ALPN_HTTP1});
    tls_ca_unref(&again);
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

/* Readers on other threads see all of a change or nothing. */
static atomic_bool enough;
static atomic_uint torn, seen;

static void *read_keys(void *keys_of)
{
    while (!atomic_load(&enough)) {
        struct tls_ticket_key keys[TLS_TICKET_KEYS];
        const uint8_t *bytes = (const uint8_t *)keys;
        tls_tickets_get(keys_of, keys);
        for (size_t i = 1; i < sizeof keys; i++) {
            if (bytes[i] != bytes[0])
                atomic_fetch_add(&torn, 1);
        }
        atomic_fetch_add(&seen, 1);
    }
    return NULL;
}

static void test_keys_change_as_a_whole(void **state)
{
    (void)state;
    struct tls_tickets *changing;
    struct tls_ticket_key keys[TLS_TICKET_KEYS];
    pthread_t readers[2];
    assert_int_equal(tls_tickets_new(&changing), 0);
    memset(keys, 0, sizeof keys);
    tls_tickets_set(changing, keys);
    atomic_store(&enough, false);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_keys, changing), 0);
    for (unsigned i = 0; i < 20000 || atomic_load(&seen) < 1000; i++) {
        memset(keys, (int)(i & 0xff), sizeof keys);
        tls_tickets_set(changing, keys);
    }
    atomic_store(&enough, true);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_int_equal(atomic_load(&torn), 0);
    tls_tickets_free(&changing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_change_as_a_whole),
        cmocka_unit_test_teardown(test_tickets, clear_tune),
        cmocka_unit_test(test_ticket_keys_handed_over),
        cmocka_unit_test_teardown(test_tickets_stay_in_their_domain, clear_tune),
        cmocka_unit_test_teardown(test_ticket_outlives_its_certificate, clear_tune),
        cmocka_unit_test_teardown(test_tickets_stay_with_their_name, clear_tune),
        cmocka_unit_test_teardown(test_without_tickets, clear_tune),
        cmocka_unit_test(test_resumption_belongs_to_its_client),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

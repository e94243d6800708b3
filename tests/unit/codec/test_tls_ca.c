/* SPDX-License-Identifier: MIT */
/* Who is found in a bundle of CA certificates, and who is not. */
#include "codec/tls_priv.h"

#include "tls_site.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

/* How many certificates the library has decoded for its only bundle. */
static int decoded(void)
{
    struct tls_trust *t;
    int n = 0;
    list_each(t, &library->trusts, link)
        n = sk_X509_OBJECT_num(X509_STORE_get0_objects(t->store));
    return n;
}

/* Whether a server with `shown`, and `between` in its chain, is let in as `name`. */
static bool lets_in(struct tls_client *c, const struct made *shown, const struct made *between,
                    const char *name)
{
    char *chain = NULL;
    assert_true(asprintf(&chain, "%s%s", shown->pem, between ? between->pem : "") > 0);
    struct tls_certificate given = made_given(shown);
    given.chain_pem = span_cstr(chain);
    struct tls_server_options o = {.certificates = &given, .certificates_count = 1};
    struct tls_server *s = new_server(&o);
    bool good = meet(s, c, name, NULL);
    if (!good)
        assert_int_equal(p.client.last, -REASON_backend_certificate);
    pair_close(&p);
    tls_server_unref(&s);
    free(chain);
    return good;
}

/* ---- a bundle of many ---- */

#define MANY 40

static char *append(char *all, const char *pem)
{
    char *longer = NULL;
    assert_true(asprintf(&longer, "%s%s", all ? all : "", pem) > 0);
    free(all);
    return longer;
}

static void test_only_what_is_asked_for(void **state)
{
    (void)state;
    tls_client_unref(&client);
    struct made many[MANY], leaves[MANY];
    char *all = NULL;
    for (size_t i = 0; i < MANY; i++) {
        char subject[32];
        (void)snprintf(subject, sizeof subject, "CA %zu", i * 7 % MANY);
        many[i] = make_certificate(&(struct wish){.subject = subject, .ca = true});
        leaves[i] = make_certificate(&(struct wish){.issuer = &many[i], .sans = "DNS:localhost"});
        all = append(all, many[i].pem);
    }
    struct made near = make_certificate(&(struct wish){.subject = "CA 7x", .ca = true});
    struct made far =
        make_certificate(&(struct wish){.issuer = &near, .sans = "DNS:localhost,DNS:far"});
    struct tls_client *c = new_client_trusting(all);
    assert_int_equal(decoded(), 0);
    assert_true(lets_in(c, &leaves[3], NULL, "localhost"));
    assert_int_equal(decoded(), 1);
    assert_true(lets_in(c, &leaves[3], NULL, "localhost"));
    assert_int_equal(decoded(), 1);
    assert_false(lets_in(c, &leaves[4], NULL, "another.example.com")); /* known, and not him */
    assert_false(lets_in(c, &far, NULL, "localhost"));
    assert_false(lets_in(c, &far, &near, "localhost"));
    assert_int_equal(decoded(), 2);
    for (size_t i = 0; i < MANY; i++)
        assert_true(lets_in(c, &leaves[i], NULL, "localhost"));
    assert_int_equal(decoded(), MANY);
    tls_client_unref(&c);
    made_free(&near);
    made_free(&far);
    for (size_t i = 0; i < MANY; i++) {
        made_free(&many[i]);
        made_free(&leaves[i]);
    }
    free(all);
    client = new_client_trusting(ca.pem);
}

/* ---- several of one name ---- */

/* Both are trusted, each has signed one, and neither signs for the other. */
static void test_namesakes(void **state)
{
    (void)state;
    struct made twins[3], leaves[3];
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        twins[i] = make_certificate(&(struct wish){.subject = "Twin", .ca = true, .key_ids = true});
        leaves[i] = make_certificate(
            &(struct wish){.issuer = &twins[i], .sans = "DNS:localhost", .key_ids = true});
    }
    char *all = append(append(append(NULL, twins[0].pem), other_ca.pem), twins[1].pem);
    struct tls_client *c = new_client_trusting(all);
    assert_true(lets_in(c, &leaves[1], NULL, "localhost"));
    assert_true(lets_in(c, &leaves[0], NULL, "localhost"));
    assert_false(lets_in(c, &leaves[2], NULL, "localhost"));
    assert_false(lets_in(c, &leaves[2], &twins[2], "localhost"));
    tls_client_unref(&c);
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        made_free(&twins[i]);
        made_free(&leaves[i]);
    }
    free(all);
}

/* Of a CA that has expired and the one that was made in its place. */
static void test_an_expired_namesake(void **state)
{
    (void)state;
    struct made old = make_certificate(
        &(struct wish){.subject = "Root", .ca = true, .days_from = -20, .days_to = -1});
    struct made present = make_certificate(&(struct wish){.subject = "Root", .ca = true});
    struct made by_old = make_certificate(&(struct wish){.issuer = &old, .sans = "DNS:localhost"});
    struct made now = make_certificate(&(struct wish){.issuer = &present, .sans = "DNS:localhost"});
    char *all = append(append(NULL, old.pem), present.pem);
    struct tls_client *c = new_client_trusting(all);
    assert_true(lets_in(c, &now, NULL, "localhost"));
    assert_false(lets_in(c, &by_old, NULL, "localhost"));
    tls_client_unref(&c);
    c = new_client_trusting(old.pem);
    assert_false(lets_in(c, &by_old, NULL, "localhost"));
    tls_client_unref(&c);
    made_free(&old);
    made_free(&present);
    made_free(&by_old);
    made_free(&now);
    free(all);
}

/* ---- chains ---- */

/* An intermediate may be in the chain or in the bundle, and be trusted without its root. */
static void test_intermediates(void **state)
{
    (void)state;
    struct made middle =
        make_certificate(&(struct wish){.subject = "Middle", .ca = true, .issuer = &ca});
    struct made last = make_certificate(&(struct wish){.issuer = &middle, .sans = "DNS:localhost"});
    char *both = append(append(NULL, ca.pem), middle.pem);
    const char *const bundles[] = {ca.pem, both, middle.pem};
    for (size_t i = 0; i < ARRAY_LEN(bundles); i++) {
        struct tls_client *c = new_client_trusting(bundles[i]);
        assert_int_equal(lets_in(c, &last, NULL, "localhost"), i > 0);
        assert_true(lets_in(c, &last, &middle, "localhost"));
        tls_client_unref(&c);
    }
    made_free(&middle);
    made_free(&last);
    free(both);
}

/* The certificate itself, with no CA at all; and one that only says it is by somebody known. */
static void test_pinned_and_pretended(void **state)
{
    (void)state;
    struct made alone = make_certificate(&(struct wish){.subject = "localhost"});
    struct made copy = make_certificate(&(struct wish){.subject = "localhost"});
    struct made false_ca = make_certificate(&(struct wish){.subject = "Test CA", .ca = true});
    struct made pretended =
        make_certificate(&(struct wish){.issuer = &false_ca, .sans = "DNS:localhost"});
    struct tls_client *c = new_client_trusting(alone.pem);
    assert_true(lets_in(c, &alone, NULL, "localhost"));
    assert_false(lets_in(c, &copy, NULL, "localhost"));
    assert_false(lets_in(client, &pretended, NULL, "localhost"));
    assert_false(lets_in(client, &pretended, &false_ca, "localhost"));
    tls_client_unref(&c);
    made_free(&alone);
    made_free(&copy);
    made_free(&false_ca);
    made_free(&pretended);
}

/* ---- libraries ---- */

/* One bundle, two workers; it may go before either. */
static void test_shared(void **state)
{
    (void)state;
    struct tls_library *second = NULL;
    struct tls_client *theirs = NULL;
    struct tls_server_options o = plain_options();
    struct tls_server *s = new_server(&o);
    struct tls_ca *shared = make_ca(library, ca.pem);
    const struct tls_client_options co = {.verify = true, .ca = shared};
    assert_int_equal(tls_library_new(&second), 0);
    assert_int_equal(tls_client_new(second, &co, &theirs, why), 0);
    struct tls_client *ours = new_client(&co);
    assert_ptr_equal(ours->trust, client->trust); /* the same bytes */
    assert_ptr_not_equal(ours->trust, theirs->trust);
    tls_ca_unref(&shared);
    assert_null(shared);
    assert_true(meet(s, ours, "localhost", NULL));
    pair_close(&p);
    tls_client_unref(&ours);
    assert_true(meet(s, theirs, "localhost", NULL));
    pair_close(&p);
    tls_client_unref(&theirs);
    tls_library_free(&second);
    tls_server_unref(&s);
}

/* Clients are told whom we trust, as the file has it. */
static void test_names_for_clients(void **state)
{
    (void)state;
    char *both = append(append(NULL, ca.pem), other_ca.pem);
    struct tls_ca *two = make_ca(library, both);
    STACK_OF(X509_NAME) *names = tls_ca_names(two);
    assert_int_equal(sk_X509_NAME_num(names), 2);
    for (int i = 0; i < 2; i++) {
        char *name = tls_name_text(sk_X509_NAME_value(names, i));
        assert_true(strcmp(name, "CN=Test CA") == 0 || strcmp(name, "CN=Other CA") == 0);
        free(name);
    }
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    tls_ca_unref(&two);
    free(both);
}

/* ---- what is no bundle ---- */

static void test_broken(void **state)
{
    (void)state;
    static const struct {
        const char *end, *why;
    } rows[] = {
        {"", NULL},
        {"# words between are no matter\n", NULL},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
         "number 2 of the CA certificates cannot be read"},
        {"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
         "number 2 of the CA certificates cannot be read"},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n", "number 2 of the CA certificates cannot be read"},
        {"-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,"
         "00000000000000000000000000000000\n\nAAAA\n-----END CERTIFICATE-----\n",
         "number 2 of the CA certificates cannot be read"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_ca *made = NULL;
        char *all = append(append(NULL, ca.pem), rows[i].end);
        int r = tls_ca_new(library, span_cstr(all), &made, why);
        assert_int_equal(r, rows[i].why ? -REASON_system_error : 0);
        if (rows[i].why) {
            assert_null(made);
            assert_string_equal(why, rows[i].why);
        } else {
            assert_int_equal(tls_ca_count(made), 1);
        }
        tls_ca_unref(&made);
        free(all);
    }
    struct tls_ca *made = NULL;
    assert_true(tls_ca_new(library, span_str("x"), &made, why) < 0);
    assert_string_equal(why, "there is no CA certificate in it (PEM is wanted)");
    assert_true(tls_ca_new(library, span_cstr(ca.key_pem), &made, why) < 0);
    assert_true(tls_ca_new(library, (struct span){NULL, 0}, &made, why) < 0);
    assert_null(made);
}

/* One byte of a certificate that is another: it is refused when it is read, or trusted by nobody
 * who would not have been. Nothing else may happen. */
static void test_every_byte(void **state)
{
    (void)state;
    struct made stranger = make_certificate(&(struct wish){.sans = "DNS:localhost"});
    uint8_t *der = NULL;
    int n = i2d_X509(ca.x, &der);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        struct tls_ca *made = NULL;
        der[i] ^= 0x5a;
        BIO *bio = BIO_new(BIO_s_mem());
        char *pem = NULL;
        assert_true(PEM_write_bio(bio, "CERTIFICATE", "", der, n) > 0);
        long pem_n = BIO_get_mem_data(bio, &pem);
        if (tls_ca_new(library, span_of(pem, (size_t)pem_n), &made, why) == 0) {
            struct tls_client *c =
                new_client(&(struct tls_client_options){.verify = true, .ca = made});
            assert_false(lets_in(c, &stranger, NULL, "localhost"));
            (void)lets_in(c, &leaf, NULL, "localhost");
            tls_client_unref(&c);
        }
        tls_ca_unref(&made);
        BIO_free(bio);
        der[i] ^= 0x5a;
    }
    OPENSSL_free(der);
    made_free(&stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_asked_for),
        cmocka_unit_test(test_namesakes),
        cmocka_unit_test(test_an_expired_namesake),
        cmocka_unit_test(test_intermediates),
        cmocka_unit_test(test_pinned_and_pretended),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_names_for_clients),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_every_byte),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

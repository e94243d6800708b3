/* SPDX-License-Identifier: MIT */
/* What routes ask of TLS and of the client's certificate. */
#include "route/route.h"

#include "codec/arrival.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ANN   "CN=ann,O=Example"
#define PRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const struct span names[] = {
    SPAN_INIT("ann@Example.com"), SPAN_INIT("A.example.com"), SPAN_INIT("spiffe://example.org/ann"),
    SPAN_INIT("10.0.0.1"),        SPAN_INIT("2001:db8::1"),
};

static const struct arrival ann = {
    .secure = true,
    .sni = SPAN_INIT("www.example.com"),
    .certificate = {.verified = true,
                    .subject = SPAN_INIT(ANN),
                    .names = names,
                    .name_count = ARRAY_LEN(names),
                    .fingerprint = SPAN_INIT(PRINT)},
};

enum { SNI, SUBJECT, SAN, PRINTED };

static enum route_condition ask(int what, const char *wanted, const struct arrival *a)
{
    const char *values[] = {"nothing.example", wanted};
    struct route_conf r = {0};
    const char ***lists[] = {&r.snis, &r.client_subjects, &r.client_sans, &r.client_fingerprints};
    size_t *counts[] = {&r.sni_count, &r.client_subject_count, &r.client_san_count,
                        &r.client_fingerprint_count};
    *lists[what] = values;
    *counts[what] = 2;
    return route_arrival_mismatch(&r, a);
}

static void test_each(void **state)
{
    static const struct {
        int what;
        const char *wanted;
        bool holds;
    } cases[] = {
        {SNI, "www.example.com", true},
        {SNI, "*.example.com", true},
        {SNI, "example.com", false},
        {SNI, "*.www.example.com", false},
        {SUBJECT, ANN, true},
        {SUBJECT, "CN=ann", false},
        {SUBJECT, "cn=ann,O=Example", false},
        {PRINTED, PRINT, true},
        {PRINTED, "00", false},
        /* names of hosts: any case, and what is below */
        {SAN, "a.EXAMPLE.com", true},
        {SAN, "*.example.com", true},
        {SAN, "example.com", false},
        {SAN, "*.a.example.com", false},
        /* addresses of people: the domain in any case */
        {SAN, "ann@example.COM", true},
        {SAN, "Ann@example.com", false},
        {SAN, "bann@example.com", false},
        {SAN, "nn@example.com", false},
        {SAN, "@example.com", false},
        /* URIs and IP addresses exactly; nothing is below them */
        {SAN, "spiffe://example.org/ann", true},
        {SAN, "spiffe://example.org/Ann", false},
        {SAN, "*.org/ann", false},
        {SAN, "10.0.0.1", true},
        {SAN, "10.0.0.10", false},
        {SAN, "2001:db8::1", true},
        {SAN, "2001:DB8::1", false}, /* the configuration's are made canonical before */
    };
    static const enum route_condition broken[] = {ROUTE_SNI, ROUTE_CLIENT_SUBJECT, ROUTE_CLIENT_SAN,
                                                  ROUTE_CLIENT_FINGERPRINT};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum route_condition expect = cases[i].holds ? ROUTE_HOLDS : broken[cases[i].what];
        if (ask(cases[i].what, cases[i].wanted, &ann) != expect)
            fail_msg("case %zu: %s", i, cases[i].wanted);
        if (ask(cases[i].what, cases[i].wanted, NULL) == ROUTE_HOLDS)
            fail_msg("case %zu holds of a client without TLS", i);
    }
}

/* A mail or URI of a certificate must not be taken for a host below a domain. */
static void test_suffix_is_for_hosts(void **state)
{
    static const struct span tricky[] = {
        SPAN_INIT("x@mail.corp.example"),
        SPAN_INIT("https://evil.corp.example"),
        SPAN_INIT("evil/x.corp.example"),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tricky); i++) {
        struct arrival a = {
            .certificate = {.verified = true, .names = &tricky[i], .name_count = 1}};
        assert_int_equal(ask(SAN, "*.corp.example", &a), ROUTE_CLIENT_SAN);
    }
}

/* What a certificate says counts only when it is good, and empty texts are no match. */
static void test_unverified(void **state)
{
    (void)state;
    struct arrival a = ann;
    a.certificate.verified = false;
    assert_int_equal(ask(SUBJECT, ANN, &a), ROUTE_CLIENT_SUBJECT);
    assert_int_equal(ask(SAN, "10.0.0.1", &a), ROUTE_CLIENT_SAN);
    assert_int_equal(ask(PRINTED, PRINT, &a), ROUTE_CLIENT_FINGERPRINT);
    assert_int_equal(ask(SNI, "www.example.com", &a), ROUTE_HOLDS);
    assert_int_equal(ask(SUBJECT, "", NULL), ROUTE_CLIENT_SUBJECT);
    assert_int_equal(ask(PRINTED, "", NULL), ROUTE_CLIENT_FINGERPRINT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_suffix_is_for_hosts),
        cmocka_unit_test(test_unverified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Certificates from files to contexts, what is said of bad ones, and when there is something to be
 * done anew. */
#include "app/credentials.h"
#include "app/expiry.h"
#include "config/load.h"
#include "tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct rig {
    char directory[64];
    struct door *door;
    struct door_origin origin;
    struct tls_library *libraries[3]; /* the last one is control's */
    struct credentials_kit kit;
    struct credentials_notes notes;
    char said[4096]; /* "W text\n" */
    const struct snapshot *s;
};

static void on_note(void *user, enum credentials_level level, const struct origin *where,
                    const char *text)
{
    struct rig *r = user;
    size_t at = strlen(r->said);
    assert_true(where->line > 0);
    snprintf(r->said + at, sizeof(r->said) - at, "%c %s\n", "WUI"[level], text);
}

static int open_rig(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    snprintf(r->directory, sizeof(r->directory), "/tmp/test-credentials-XXXXXX");
    assert_non_null(mkdtemp(r->directory));
    assert_int_equal(chdir(r->directory), 0);
    assert_int_equal(door_direct_new(&r->origin, &r->door), 0);
    for (size_t i = 0; i < ARRAY_LEN(r->libraries); i++)
        assert_int_equal(tls_library_new(&r->libraries[i]), 0);
    r->kit = (struct credentials_kit){
        .door = r->door,
        .control = r->libraries[2],
        .libraries = r->libraries,
        .workers = 2,
        .now_s = time(NULL),
    };
    r->notes = (struct credentials_notes){on_note, r};
    *state = r;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *r = *state;
    char command[100];
    snapshot_unref(&r->s);
    for (size_t i = 0; i < ARRAY_LEN(r->libraries); i++)
        tls_library_free(&r->libraries[i]);
    door_free(&r->door);
    snprintf(command, sizeof(command), "rm -r %s", r->directory);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(system(command), 0);
    free(r);
    return 0;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* NAME.pem and NAME.key. */
static void put_certificate(const char *name, const struct wish *wish)
{
    char path[64];
    struct made m = make_certificate(wish);
    snprintf(path, sizeof(path), "%s.pem", name);
    put(path, m.pem);
    snprintf(path, sizeof(path), "%s.key", name);
    put(path, m.key_pem);
    made_free(&m);
}

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static const struct snapshot *snapshot_with(const char *listener, const char *pool)
{
    struct diagnostics found;
    const struct snapshot *s = NULL;
    char text[2048];
    snprintf(text, sizeof(text),
             "listeners: [{name: web, listen: '127.0.0.1:0', pool: p%s}]\n"
             "pools: [{name: p, backends: ['127.0.0.1:1']%s}]\n",
             listener, pool);
    int r = config_load("test.yaml", span_cstr(text), no_env, &found, &s);
    if (r < 0)
        diagnostics_print(&found, stderr, false);
    diagnostics_fini(&found);
    assert_int_equal(r, 0);
    return s;
}

#define CERTIFICATES(list) ", tls: {certificates: [" list "]}"

static struct identity *load(struct rig *r, const char *listener)
{
    snapshot_unref(&r->s);
    r->s = snapshot_with(listener, "");
    r->said[0] = '\0';
    return identity_load(&r->kit, &r->s->listeners[0], &r->notes);
}

static void test_a_listener(void **state)
{
    struct rig *r = *state;
    uint64_t stamp;
    put_certificate("a", &(struct wish){.sans = "DNS:a.example.com,DNS:*.b.example.com"});
    put_certificate("r", &(struct wish){.sans = "DNS:a.example.com", .rsa = true});
    struct identity *i =
        load(r, CERTIFICATES("{cert: a.pem, key: a.key}, {cert: r.pem, key: r.key}"));
    assert_string_equal(r->said, "");
    assert_non_null(i);
    assert_int_equal(i->certificate_count, 2);
    assert_string_equal(i->certificates[0].facts->names[1], "*.b.example.com");
    assert_string_equal(i->certificates[1].facts->key_type, "RSA");
    assert_false(i->certificates[0].stapled);
    assert_true(i->servers[0] && i->servers[1] && i->servers[0] != i->servers[1]);
    assert_true(identity_stamp(r->door, &r->s->listeners[0], &stamp));
    assert_true(stamp == i->stamp);
    put_certificate("r", &(struct wish){.sans = "DNS:a.example.com", .rsa = true});
    assert_true(identity_stamp(r->door, &r->s->listeners[0], &stamp));
    assert_true(stamp != i->stamp);
    identity_unref(&i);
}

/* Many are made ready by several threads: the same comes out. */
static void test_many(void **state)
{
    struct rig *r = *state;
    char listener[2048];
    struct writer w = writer_of(listener, sizeof(listener));
    put_certificate("a", &(struct wish){0});
    w_str(&w, ", tls: {certificates: [");
    for (int k = 0; k < 40; k++)
        w_str(&w, "{cert: a.pem, key: a.key}, ");
    w_str(&w, "]}");
    assert_non_null(w_cstr(&w));
    struct identity *i = load(r, listener);
    assert_non_null(i);
    assert_true(i->servers[0] && i->servers[1]);
    assert_true(i->certificates[39].repeated && !i->certificates[0].repeated);
    identity_unref(&i);
}

/* All that is wrong is said in one go. */
static void test_bad_files(void **state)
{
    struct rig *r = *state;
    put_certificate("a", &(struct wish){0});
    put_certificate("b", &(struct wish){0});
    assert_null(
        load(r, CERTIFICATES("{cert: x.pem, key: x.key}, {cert: a.pem, key: b.key}, {cert: "
                             "a.pem}, {cert: b.pem, key: b.key}, {cert: a.key, key: a.pem}")));
    assert_non_null(strstr(r->said, "U the certificate x.pem cannot be read: No such file"));
    assert_non_null(strstr(r->said, "U the key x.key cannot be read: No such file"));
    assert_non_null(strstr(r->said, "I certificate a.pem with key b.key cannot be used: the "
                                    "private key does not belong to the certificate"));
    assert_non_null(strstr(r->said, "I there is no private key in a.pem"));
    assert_non_null(strstr(r->said, "(PEM is wanted); say where it is with key: FILE"));
    assert_non_null(strstr(r->said, "(PEM is wanted); cert and key may be swapped"));
    assert_null(strstr(r->said, "b.pem"));
    assert_null(load(r, ", tls: {client_auth: optional, client_ca: a.key, certificates: [{cert: "
                        "a.pem, key: a.key}]}"));
    assert_non_null(strstr(r->said, "I the CA file for clients a.key cannot be used"));
}

static void test_responses(void **state)
{
    struct rig *r = *state;
    struct made ca = make_certificate(&(struct wish){.subject = "CA", .ca = true});
    struct made a = make_certificate(&(struct wish){.issuer = &ca});
    struct span der = make_ocsp(&ca, &a);
    put("a.pem", a.pem);
    put("a.key", a.key_pem);
    put_certificate("b", &(struct wish){.days_to = 10, .days_from = -1});
    FILE *f = fopen("a.ocsp", "w");
    assert_int_equal(fwrite(der.p, 1, der.n, f), der.n);
    fclose(f);
    struct identity *i = load(r, CERTIFICATES("{cert: a.pem, key: a.key, ocsp: a.ocsp}"));
    assert_non_null(i);
    assert_string_equal(r->said, "");
    assert_true(i->certificates[0].stapled);
    int64_t until_s = i->staple_until_s;
    assert_true(until_s > r->kit.now_s && until_s < INT64_MAX);
    identity_unref(&i);
    r->kit.now_s = until_s; /* then it is not shown any more, and nobody is refused for it */
    i = load(r, CERTIFICATES("{cert: a.pem, key: a.key, ocsp: a.ocsp}"));
    assert_non_null(i);
    assert_false(i->certificates[0].stapled);
    assert_true(i->staple_until_s == INT64_MAX);
    assert_string_equal(r->said, "W the OCSP response a.ocsp is not stapled: it has expired\n");
    identity_unref(&i);
    put("a.ocsp", "no response");
    i = load(r, CERTIFICATES("{cert: a.pem, key: a.key, ocsp: a.ocsp}, {cert: a.pem, key: a.key, "
                             "ocsp: none}"));
    assert_non_null(i);
    assert_non_null(strstr(r->said, "W the OCSP response a.ocsp is not stapled: "));
    assert_non_null(strstr(r->said, "W the OCSP response none cannot be read, none is stapled"));
    identity_unref(&i);
    free((void *)(uintptr_t)der.p);
    made_free(&a);
    made_free(&ca);
}

/* What is shared over a reload, and what is not. */
static void test_what_asks_for_the_same(void **state)
{
    (void)state;
    static const char base[] = CERTIFICATES("{cert: a, key: b, names: [x.y]}");
    static const char *const others[] = {
        "",
        CERTIFICATES("{cert: a, key: b}"),
        CERTIFICATES("{cert: a, key: b, names: [x.z]}"),
        CERTIFICATES("{cert: a, key: c, names: [x.y]}"),
        CERTIFICATES("{cert: c, key: b, names: [x.y]}"),
        CERTIFICATES("{cert: a, key: b, names: [x.y], ocsp: o}"),
        CERTIFICATES("{cert: a, key: b, names: [x.y]}, {cert: a, key: b, names: [x.y]}"),
        ", tls: {tickets: false, certificates: [{cert: a, key: b, names: [x.y]}]}",
        ", tls: {min_version: '1.3', certificates: [{cert: a, key: b, names: [x.y]}]}",
        (", tls: {client_auth: require, client_ca: c, certificates: [{cert: a, key: b, names: "
         "[x.y]}]}"),
        ", http2: false, tls: {certificates: [{cert: a, key: b, names: [x.y]}]}",
    };
    const struct snapshot *a = snapshot_with(base, ""), *same = snapshot_with(base, "");
    const struct snapshot *hsts = snapshot_with(
        ", tls: {hsts: 1h, certificates: [{cert: a, key: b, names: [x.y]}]}, max_connections: 5",
        "");
    assert_true(identity_conf_equal(&a->listeners[0], &same->listeners[0]));
    assert_true(identity_conf_equal(&a->listeners[0], &hsts->listeners[0]));
    snapshot_unref(&same);
    snapshot_unref(&hsts);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        const struct snapshot *b = snapshot_with(others[i], "");
        if (identity_conf_equal(&a->listeners[0], &b->listeners[0]))
            fail_msg("taken for the same: %s", others[i]);
        snapshot_unref(&b);
    }
    snapshot_unref(&a);
}

static void test_pools(void **state)
{
    struct rig *r = *state;
    uint64_t stamp;
    put_certificate("ca", &(struct wish){.ca = true});
    put_certificate("own", &(struct wish){0});
    r->s = snapshot_with("", ", tls: {ca: ca.pem, cert: own.pem, key: own.key}");
    const struct pool_conf *p = &r->s->pools[0];
    struct trust *t = trust_load(&r->kit, p, &r->notes);
    assert_string_equal(r->said, "");
    assert_non_null(t);
    assert_int_equal(t->tls->workers, 2);
    assert_true(t->tls->clients[0] && t->tls->clients[1] && t->tls->clients[2]);
    assert_true(trust_stamp(r->door, p, &stamp) && stamp == t->stamp);
    put("ca.pem", "nothing");
    assert_true(trust_stamp(r->door, p, &stamp) && stamp != t->stamp);
    trust_unref(&t);
    assert_null(trust_load(&r->kit, p, &r->notes));
    assert_non_null(strstr(r->said, "I the CA file ca.pem cannot be used: "));
    setenv("SSL_CERT_FILE", "system.pem", 1);
    snapshot_unref(&r->s);
    r->s = snapshot_with("", ", tls: {}");
    r->said[0] = '\0';
    assert_null(trust_load(&r->kit, &r->s->pools[0], &r->notes));
    assert_non_null(strstr(r->said, "U the system has no file of CA certificates (system.pem "));
    put_certificate("system", &(struct wish){.ca = true});
    t = trust_load(&r->kit, &r->s->pools[0], &r->notes);
    assert_non_null(t);
    assert_true(trust_stamp(r->door, &r->s->pools[0], &stamp) && stamp == t->stamp);
    trust_unref(&t);
    unsetenv("SSL_CERT_FILE");
}

static void test_expiry(void **state)
{
    (void)state;
    enum { DAY = 86400, NOW = 1000 * DAY };
    struct expiry_told told = {0};
    char text[EXPIRY_TEXT_MAX];
    assert_int_equal(expiry_of(NOW + 15 * DAY, NOW), EXPIRY_FAR);
    assert_int_equal(expiry_of(NOW + 14 * DAY, NOW), EXPIRY_NEAR);
    assert_int_equal(expiry_of(NOW + 3 * DAY, NOW), EXPIRY_VERY_NEAR);
    assert_int_equal(expiry_of(NOW + 1, NOW), EXPIRY_VERY_NEAR);
    assert_int_equal(expiry_of(NOW, NOW), EXPIRY_OVER);
    assert_false(expiry_due(&told, EXPIRY_FAR, NOW));
    assert_true(expiry_due(&told, EXPIRY_NEAR, NOW));
    assert_false(expiry_due(&told, EXPIRY_NEAR, NOW + DAY - 1));
    assert_true(expiry_due(&told, EXPIRY_VERY_NEAR, NOW + DAY - 1)); /* worse: at once */
    assert_false(expiry_due(&told, EXPIRY_VERY_NEAR, NOW + DAY));
    assert_true(expiry_due(&told, EXPIRY_VERY_NEAR, NOW + 2 * DAY)); /* and once a day */
    assert_true(expiry_due(&told, EXPIRY_OVER, NOW + 2 * DAY + 1));
    assert_false(expiry_due(&told, EXPIRY_FAR, NOW + 2 * DAY + 2)); /* renewed */
    assert_true(expiry_due(&told, EXPIRY_NEAR, NOW + 2 * DAY + 3));
    assert_string_equal(expiry_text(NOW - 3 * DAY, NOW, text), "expired 3 days ago");
    assert_string_equal(expiry_text(NOW + 3 * DAY + 5, NOW, text), "expires in 3 days");
    assert_string_equal(expiry_text(NOW + 3600, NOW, text), "expires in 1 hour");
    assert_string_equal(expiry_text(NOW, NOW, text), "expired 0 hours ago");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)
    const struct CMUnitTest tests[] = {
        CASE(test_a_listener),
        CASE(test_many),
        CASE(test_bad_files),
        CASE(test_responses),
        cmocka_unit_test(test_what_asks_for_the_same),
        CASE(test_pools),
        cmocka_unit_test(test_expiry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Routing: each condition by itself, the order of routes, and many random requests against a
 * matcher written the plain way.
 */
#include "route/route.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <strings.h>

struct request {
    char text[1024];
    size_t used;
    struct head head;
};

static struct range put(struct request *q, const char *text)
{
    size_t n = strlen(text);
    struct range r = {(uint32_t)q->used, (uint32_t)n};
    assert_true(q->used + n <= sizeof(q->text));
    memcpy(q->text + q->used, text, n);
    q->used += n;
    return r;
}

static void request_init(struct request *q, const char *method, const char *host, const char *path)
{
    *q = (struct request){.used = 0};
    q->head.base = (const uint8_t *)q->text;
    q->head.method_text = put(q, method);
    q->head.path = put(q, path);
    q->head.host = put(q, host);
}

static void request_add(struct request *q, const char *name, const char *value)
{
    struct field *f = &q->head.fields[q->head.field_count++];
    struct range n = put(q, name);
    struct range v = put(q, value);
    f->name_off = n.off;
    f->name_len = (uint8_t)n.len;
    f->value_off = v.off;
    f->value_len = (uint16_t)v.len;
    f->id = (uint8_t)field_id_of(span_cstr(name));
    if (f->id != FIELD_OTHER)
        q->head.known |= (uint64_t)1 << f->id;
}

static bool matches(const struct route_conf *r, const struct request *q)
{
    return route_matches(r, head_span(&q->head, q->head.method_text), &q->head, NULL);
}

static void test_hosts(void **state)
{
    static const struct {
        const char *wanted, *host;
        bool match;
    } cases[] = {
        {"a.example", "a.example", true},  {"a.example", "A.Example", true},
        {"a.example", "a.example.", true}, {"a.example", "b.a.example", false},
        {"a.example", "", false},          {"a.example", ".", false},
        {"*.example", "a.example", true},  {"*.example", "b.a.EXAMPLE", true},
        {"*.example", "example", false},   {"*.example", ".example", false},
        {"*.example", "aexample", false},  {"*.example", "a.example.org", false},
        {"[::1]", "[::1]", true},          {"[::1]", "::1", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *hosts[] = {"other.test", cases[i].wanted};
        struct route_conf r = {.hosts = hosts, .host_count = 2};
        struct request q;
        request_init(&q, "GET", cases[i].host, "/");
        assert_int_equal(matches(&r, &q), cases[i].match);
    }
}

static void test_paths(void **state)
{
    static const struct {
        const char *path, *prefix, *asked;
        bool match;
    } cases[] = {
        {"/a", NULL, "/a", true},     {"/a", NULL, "/a/", false},    {"/a", NULL, "/A", false},
        {"/", NULL, "/", true},       {"/", NULL, "*", false},       {NULL, "/v1", "/v1", true},
        {NULL, "/v1", "/v1/", true},  {NULL, "/v1", "/v1/x", true},  {NULL, "/v1", "/v10", false},
        {NULL, "/v1", "/v", false},   {NULL, "/v1", "/", false},     {NULL, "/v1/", "/v1", false},
        {NULL, "/v1/", "/v1/", true}, {NULL, "/v1/", "/v1/x", true}, {NULL, "/", "/", true},
        {NULL, "/", "/x", true},      {NULL, "/", "*", false},       {NULL, NULL, "*", true},
        {NULL, "/v1", "/V1", false},  {NULL, "/v1", "//v1", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route_conf r = {.path = cases[i].path, .path_prefix = cases[i].prefix};
        struct request q;
        request_init(&q, "GET", "h", cases[i].asked);
        assert_int_equal(matches(&r, &q), cases[i].match);
    }
}

/* What is routed on is the canonical path, wherever it lies. */
static void test_path_in_scratch(void **state)
{
    struct route_conf r = {.path_prefix = "/v1"};
    struct request q;
    (void)state;
    request_init(&q, "GET", "h", "/x/../v1");
    assert_false(matches(&r, &q));
    uint8_t scratch[] = "/v1";
    q.head.scratch_buf = scratch;
    q.head.path = (struct range){0, 3};
    q.head.path_in_scratch = true;
    assert_true(matches(&r, &q));
}

static void test_methods(void **state)
{
    const char *methods[] = {"GET", "HEAD"};
    struct route_conf r = {.methods = methods, .method_count = 2};
    static const struct {
        const char *method;
        bool match;
    } cases[] = {{"GET", true}, {"HEAD", true}, {"get", false}, {"POST", false}, {"GETS", false}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct request q;
        request_init(&q, cases[i].method, "h", "/");
        assert_int_equal(matches(&r, &q), cases[i].match);
    }
}

static void test_fields(void **state)
{
    struct match_field fields[] = {{"x-beta", "1"}, {"cookie", NULL}};
    struct route_conf r = {.fields = fields, .field_count = 2};
    struct request q;
    (void)state;
    request_init(&q, "GET", "h", "/");
    assert_false(matches(&r, &q));
    request_add(&q, "X-Beta", "2");
    request_add(&q, "Cookie", "");
    assert_false(matches(&r, &q));
    request_add(&q, "x-BETA", "1"); /* one of several is enough */
    assert_true(matches(&r, &q));
    request_init(&q, "GET", "h", "/");
    request_add(&q, "X-Beta", "1");
    assert_false(matches(&r, &q));
    request_add(&q, "Cookie", "a=b");
    assert_true(matches(&r, &q));
}

static void test_order_and_fallback(void **state)
{
    struct route_conf routes[] = {{.path_prefix = "/a", .pool = 1},
                                  {.path_prefix = "/a/b", .pool = 2},
                                  {.path = "/c", .pool = 3}};
    struct listener_conf l = {.routes = routes, .route_count = 3, .pool = 7};
    struct request q;
    uint32_t pool = 99;
    (void)state;
    request_init(&q, "GET", "h", "/a/b");
    assert_ptr_equal(route_find(&l, span_str("GET"), &q.head, NULL, &pool), &routes[0]);
    assert_int_equal(pool, 1);
    request_init(&q, "GET", "h", "/c");
    assert_ptr_equal(route_find(&l, span_str("GET"), &q.head, NULL, &pool), &routes[2]);
    assert_int_equal(pool, 3);
    request_init(&q, "GET", "h", "/d");
    assert_null(route_find(&l, span_str("GET"), &q.head, NULL, &pool));
    assert_int_equal(pool, 7);
    l.pool = -1;
    assert_null(route_find(&l, span_str("GET"), &q.head, NULL, &pool));
    assert_int_equal(pool, ROUTE_NO_POOL);
}

/* ---- against the plain way ---- */

static const char *const hosts[] = {"a.x", "b.x", "*.x", "*.b.x", "x", "A.X", "c.b.x", "*.c.b.x"};
static const char *const paths[] = {"/", "/a", "/a/", "/a/b", "/ab", "/a/bc", "/a/b/", "/b"};
static const char *const methods[] = {"GET", "HEAD", "POST"};
static const char *const names[] = {"x-a", "accept", "x-b"};
static const char *const values[] = {"1", "2", NULL};

#define PICK(rng, list) ((list)[rng_below(rng, ARRAY_LEN(list))])

static bool plain_host(const char *wanted, const char *host)
{
    if (wanted[0] != '*')
        return strcasecmp(wanted, host) == 0;
    for (const char *dot = strchr(host, '.'); dot; dot = strchr(dot + 1, '.'))
        if (dot > host && strcasecmp(dot, wanted + 1) == 0)
            return true;
    return false;
}

/* Cuts segments off the end of the path until it is the prefix. */
static bool plain_prefix(const char *prefix, const char *path)
{
    char cut[64];
    (void)snprintf(cut, sizeof(cut), "%s", path);
    for (size_t n = strlen(cut);; n--) {
        cut[n] = 0;
        bool whole = path[n] == 0 || path[n] == '/' || (n > 0 && path[n - 1] == '/');
        if (whole && strcmp(cut, prefix) == 0)
            return true;
        if (n == 0)
            return false;
    }
}

struct asked {
    const char *method, *host, *path;
    const char *fields[3][2];
    size_t field_count;
};

static bool plain_match(const struct route_conf *r, const struct asked *q)
{
    bool method = r->method_count == 0;
    bool host = r->host_count == 0;
    for (size_t i = 0; i < r->method_count; i++)
        method |= strcmp(r->methods[i], q->method) == 0;
    for (size_t i = 0; i < r->host_count; i++)
        host |= plain_host(r->hosts[i], q->host);
    for (size_t i = 0; i < r->field_count; i++) {
        bool found = false;
        for (size_t k = 0; k < q->field_count; k++)
            found |= strcasecmp(q->fields[k][0], r->fields[i].name) == 0 &&
                     (!r->fields[i].value || strcmp(q->fields[k][1], r->fields[i].value) == 0);
        if (!found)
            return false;
    }
    return method && host && (!r->path || strcmp(r->path, q->path) == 0) &&
           (!r->path_prefix || plain_prefix(r->path_prefix, q->path));
}

struct random_route {
    struct route_conf conf;
    const char *hosts[2], *methods[2];
    struct match_field fields[2];
};

static void random_route(struct rng *rng, struct random_route *r, uint32_t pool)
{
    *r = (struct random_route){.conf.pool = pool};
    r->conf.hosts = r->hosts;
    r->conf.methods = r->methods;
    r->conf.fields = r->fields;
    for (uint64_t n = rng_below(rng, 3); n > 0; n--)
        r->hosts[r->conf.host_count++] = PICK(rng, hosts);
    for (uint64_t n = rng_below(rng, 3); n > 0; n--)
        r->methods[r->conf.method_count++] = PICK(rng, methods);
    for (uint64_t n = rng_below(rng, 6); n > 4; n--)
        r->fields[r->conf.field_count++] =
            (struct match_field){PICK(rng, names), PICK(rng, values)};
    uint64_t kind = rng_below(rng, 3);
    r->conf.path = kind == 1 ? PICK(rng, paths) : NULL;
    r->conf.path_prefix = kind == 2 ? PICK(rng, paths) : NULL;
}

static void random_asked(struct rng *rng, struct asked *a, struct request *q)
{
    *a = (struct asked){.method = PICK(rng, methods), .path = PICK(rng, paths)};
    do
        a->host = PICK(rng, hosts);
    while (a->host[0] == '*');
    request_init(q, a->method, a->host, a->path);
    for (uint64_t n = rng_below(rng, 4); n > 0; n--) {
        a->fields[a->field_count][0] = PICK(rng, names);
        a->fields[a->field_count][1] = rng_below(rng, 2) ? "1" : "2";
        request_add(q, a->fields[a->field_count][0], a->fields[a->field_count][1]);
        a->field_count++;
    }
}

static void test_random_requests(void **state)
{
    enum { ROUTES = 6, ROUNDS = 2000, REQUESTS = 20 };
    struct rng rng = rng_seed(7);
    size_t found = 0;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct random_route made[ROUTES];
        struct route_conf routes[ROUTES];
        struct listener_conf l = {.routes = routes, .route_count = ROUTES, .pool = -1};
        for (uint32_t i = 0; i < ROUTES; i++) {
            random_route(&rng, &made[i], i);
            routes[i] = made[i].conf;
        }
        for (int k = 0; k < REQUESTS; k++) {
            struct asked a;
            struct request q;
            uint32_t pool;
            uint32_t wanted = 0;
            random_asked(&rng, &a, &q);
            while (wanted < ROUTES && !plain_match(&routes[wanted], &a))
                wanted++;
            (void)route_find(&l, span_cstr(a.method), &q.head, NULL, &pool);
            assert_int_equal(pool, wanted == ROUTES ? ROUTE_NO_POOL : wanted);
            found += wanted < ROUTES;
        }
    }
    /* the generator must make both ends common, or the comparison says little */
    assert_true(found > ROUNDS * REQUESTS / 10 && found < ROUNDS * REQUESTS * 9 / 10);
}

static void test_mismatch(void **state)
{
    const char *wanted[] = {"a.example"}, *allowed[] = {"GET"};
    struct match_field fields[] = {{"x-a", NULL}, {"x-b", "1"}};
    struct route_conf r = {.hosts = wanted,
                           .host_count = 1,
                           .path_prefix = "/v1",
                           .methods = allowed,
                           .method_count = 1,
                           .fields = fields,
                           .field_count = 2};
    static const struct {
        const char *method, *host, *path;
        const char *a, *b;
        enum route_condition broken;
        size_t field;
    } cases[] = {
        {"GET", "a.example", "/v1/x", "0", "1", ROUTE_HOLDS, 2},
        {"PUT", "b.example", "/v2", NULL, NULL, ROUTE_METHOD, 9},
        {"GET", "b.example", "/v2", NULL, NULL, ROUTE_PATH_PREFIX, 9},
        {"GET", "b.example", "/v1", NULL, NULL, ROUTE_HOST, 9},
        {"GET", "a.example", "/v1", NULL, "1", ROUTE_FIELD, 0},
        {"GET", "a.example", "/v1", "0", "2", ROUTE_FIELD, 1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct request q;
        size_t field = 9;
        request_init(&q, cases[i].method, cases[i].host, cases[i].path);
        if (cases[i].a)
            request_add(&q, "X-A", cases[i].a);
        if (cases[i].b)
            request_add(&q, "X-B", cases[i].b);
        struct span method = head_span(&q.head, q.head.method_text);
        assert_int_equal(route_mismatch(&r, method, &q.head, NULL, &field), cases[i].broken);
        assert_int_equal(field, cases[i].field);
        assert_int_equal(matches(&r, &q), cases[i].broken == ROUTE_HOLDS);
    }
    struct request q;
    size_t field;
    request_init(&q, "GET", "a.example", "/v1");
    r.path = "/v1/x";
    assert_int_equal(route_mismatch(&r, span_str("GET"), &q.head, NULL, &field), ROUTE_PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_path_in_scratch),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_order_and_fallback),
        cmocka_unit_test(test_random_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What a reload says it would change, from two texts. */
#include "app/reload_plan.h"
#include "config/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BASE                                                                                       \
    "listeners:\n"                                                                                 \
    "  - {name: web, listen: \"127.0.0.1:80\", pool: app, routes: [\n"                             \
    "      {name: r1, match: {path: /a}, pool: api}, {name: r2, match: {path: /b}, pool: api}]}\n" \
    "  - {name: db, listen: \"127.0.0.1:5432\", protocol: tcp, pool: pg}\n"                        \
    "pools:\n"                                                                                     \
    "  - {name: app, backends: [{name: B1, address: \"127.0.0.1:1\"}, {name: B2, address: "        \
    "\"127.0.0.1:2\"}]}\n"                                                                         \
    "  - {name: api, backends: [{name: A1, address: \"127.0.0.1:3\"}]}\n"                          \
    "  - {name: pg, protocol: tcp, backends: [{name: P1, address: \"127.0.0.1:4\"}]}\n"

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static const struct snapshot *loaded(const char *text)
{
    struct diagnostics found;
    const struct snapshot *s = NULL;
    int r = config_load("test.yaml", span_cstr(text), no_env, &found, &s);
    if (r < 0)
        diagnostics_print(&found, stderr, false);
    diagnostics_fini(&found);
    assert_int_equal(r, 0);
    return s;
}

/* One line for each change: "what name change: detail (touches)". */
static char *plan_of(const char *now_text, const char *next_text)
{
    static const uint32_t clients[] = {12, 1, 0, 0}, in_flight[] = {3, 1, 0, 0};
    const struct snapshot *now = loaded(now_text), *next = loaded(next_text);
    struct reload_facts facts = {.clients = clients, .in_flight = in_flight};
    struct reload_plan plan;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_int_equal(reload_plan_make(now, next, &facts, &plan), 0);
    snapshot_unref(&now); /* the texts are the plan's own */
    snapshot_unref(&next);
    for (size_t i = 0; i < plan.count; i++) {
        const struct steer_change *c = &plan.changes[i];
        (void)fprintf(out, "%s %s %s: %s (%s)\n", c->what, c->name, c->change, c->detail,
                      c->touches);
    }
    (void)fclose(out);
    reload_plan_fini(&plan);
    return text;
}

/* BASE with the first `from` replaced. */
static char *edited(const char *from, const char *to)
{
    static const char base[] = BASE;
    const char *at = strstr(base, from);
    assert_non_null(at);
    size_t size = sizeof(base) + strlen(to);
    char *text = malloc(size);
    (void)snprintf(text, size, "%.*s%s%s", (int)(at - base), base, to, at + strlen(from));
    return text;
}

static void check(const char *from, const char *to, const char *expected)
{
    char *text = edited(from, to);
    char *plan = plan_of(BASE, text);
    assert_string_equal(plan, expected);
    free(plan);
    free(text);
}

#define TLS "name: web, tls: {certificates: [{cert: a.pem}, {cert: b.pem, key: b.key}]}"
#define TLS_BASE(tls)                                                          \
    "listeners:\n  - {" tls ", listen: \"127.0.0.1:80\", pool: app}\npools:\n" \
    "  - {name: app, backends: [{name: B1, address: \"127.0.0.1:1\"}]}\n"

static void check_tls(const char *now, const char *next, const char *expected)
{
    char *plan = plan_of(now, next);
    assert_string_equal(plan, expected);
    free(plan);
}

/* Lists within blocks, and blocks that only stand there, are seen too. */
static void test_tls(void **state)
{
    (void)state;
    check_tls(TLS_BASE(TLS), TLS_BASE(TLS), "");
    check_tls(
        TLS_BASE(TLS),
        TLS_BASE("name: web, tls: {certificates: [{cert: a.pem}, {cert: b.pem, key: c.key}]}"),
        "listener web changed: tls.certificates[1].key b.key → c.key (12 connections stay)\n");
    check_tls(TLS_BASE(TLS), TLS_BASE("name: web, tls: {certificates: [{cert: a.pem}]}"),
              "listener web changed: tls.certificates 2 → 1 (12 connections stay)\n");
    check_tls(TLS_BASE("name: web"), TLS_BASE("name: web, tls: {certificates: [{cert: a.pem}]}"),
              "listener web changed: tls off → on; tls.certificates 0 → 1 (12 connections stay)\n");
    check("{name: api,", "{name: api, tls: {},",
          "pool api changed: tls off → on (1 exchange goes on)\n");
    check("{name: api,", "{name: api, tls: {verify: false},",
          "pool api changed: tls off → on; tls.verify true → false (1 exchange goes on)\n");
}

static void test_nothing(void **state)
{
    (void)state;
    char *plan = plan_of(BASE, BASE);
    assert_string_equal(plan, "");
    free(plan);
}

static void test_listeners(void **state)
{
    (void)state;
    check("127.0.0.1:80", "127.0.0.1:81",
          "listener web changed: listen 127.0.0.1:80 → 127.0.0.1:81 (12 connections stay)\n");
    check("  - {name: db, listen: \"127.0.0.1:5432\", protocol: tcp, pool: pg}\n", "",
          "listener db removed:  (1 connection drains)\n");
    check("pools:\n", "  - {name: new, listen: \"127.0.0.1:82\", pool: app}\npools:\n",
          "listener new added: 127.0.0.1:82 (nobody)\n");
    check("name: db", "name: dbx",
          "listener db removed:  (1 connection drains)\n"
          "listener dbx added: 127.0.0.1:5432 (nobody)\n");
    check("pool: app,", "pool: app, max_connections: 9, timeouts: {idle: 5s}, trusted: 10.0.0.0/8,",
          "listener web changed: max_connections 0 → 9; trusted none → 10.0.0.0/8; "
          "timeouts.idle 1m → 5s (12 connections stay)\n");
}

static void test_routes(void **state)
{
    (void)state;
    check("path: /a", "path: /c",
          "route r1 changed: match.path /a → /c (12 connections from their next request)\n");
    check("{name: r1, match: {path: /a}, pool: api}, ", "",
          "route r1 removed:  (12 connections from their next request)\n");
    check("{name: r1,", "{name: r0, match: {path: /z}, pool: app}, {name: r1,",
          "route r0 added: app (12 connections from their next request)\n");
    check("{name: r1, match: {path: /a}, pool: api}, {name: r2, match: {path: /b}, pool: api}",
          "{name: r2, match: {path: /b}, pool: api}, {name: r1, match: {path: /a}, pool: api}",
          "listener web changed: order of its routes (12 connections from their next request)\n");
}

static void test_backends(void **state)
{
    (void)state;
    check(", {name: B2, address: \"127.0.0.1:2\"}", "",
          "pool app changed: backend B2 removed (3 exchanges finish)\n");
    check("{name: B1,", "{name: B4, address: \"127.0.0.1:9\"}, {name: B1, weight: 2,",
          "pool app changed: backend B4 added; weight of B1 1 → 2 (3 exchanges go on)\n");
    check("{name: B1, address: \"127.0.0.1:1\"",
          "{name: B1, backup: true, address: \"127.0.0.1:7\"",
          "pool app changed: address of B1 127.0.0.1:1 → 127.0.0.1:7; B1 is now a backup "
          "(3 exchanges finish)\n");
}

static void test_pools(void **state)
{
    (void)state;
    check("{name: api, backends",
          "{name: api, balance: p2c, queue: {max: 7}, health: {type: none}, backends",
          "pool api changed: balance round_robin → p2c; health.type tcp → none; queue.max 1024 → 7 "
          "(1 exchange goes on)\n");
    check("pools:\n", "pools:\n  - {name: more, backends: [127.0.0.1:5]}\n",
          "pool more added: 1 backend (nobody)\n");
    char *text = edited("protocol: tcp, pool: pg}\n", "protocol: tcp, pool: sql}\n");
    char *renamed = strstr(text, "{name: pg,");
    memcpy(renamed, "{name: sql", 10);
    memmove(renamed + 11, renamed + 10, strlen(renamed + 10) + 1);
    renamed[10] = ',';
    char *plan = plan_of(BASE, text);
    assert_string_equal(plan, "listener db changed: pool pg → sql (1 connection stays)\n"
                              "pool pg removed:  (0 exchanges finish)\n"
                              "pool sql added: 1 backend (nobody)\n");
    free(plan);
    free(text);
}

static void test_the_rest(void **state)
{
    (void)state;
    check("listeners:\n",
          "log: {level: debug}\naccess_log: {format: json}\nworkers: 3\ndrain: {deadline: 5s}\n"
          "admin: {listen: \"127.0.0.1:9900\", token: \"very secret\"}\nlisteners:\n",
          "log log changed: level info → debug (nobody)\n"
          "log access_log changed: file none → -; format none → json (nobody)\n"
          "admin admin needs restart: listen none → 127.0.0.1:9900; token none → (redacted) "
          "(nobody before a restart)\n"
          "process drain changed: deadline 30s → 5s (nobody)\n"
          "process poise needs restart: workers auto → 3 (nobody before a restart)\n");
}

static void test_secret(void **state)
{
    (void)state;
    char *one =
        edited("listeners:\n", "admin: {listen: \":9\", token: \"secret-one\"}\nlisteners:\n");
    char *two =
        edited("listeners:\n", "admin: {listen: \":9\", token: \"secret-two\"}\nlisteners:\n");
    char *plan = plan_of(one, two);
    assert_string_equal(plan, "admin admin changed: token (redacted) → (redacted) (nobody)\n");
    free(plan);
    free(one);
    free(two);
}

/* Many at once: the first few by name, the others by number. */
static void test_many(void **state)
{
    (void)state;
    char more[2048];
    size_t n = 0;
    for (int i = 10; i < 40; i++)
        n += (size_t)snprintf(more + n, sizeof(more) - n,
                              "{name: N%d, address: \"127.0.0.1:%d\"}, ", i, i);
    (void)snprintf(more + n, sizeof(more) - n, "{name: B1,");
    char *text = edited("{name: B1,", more);
    char *plan = plan_of(BASE, text);
    assert_non_null(strstr(plan, "backend N10 added; backend N11 added"));
    assert_non_null(strstr(plan, "backend N21 added; and 18 more (3 exchanges go on)"));
    free(plan);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls),       cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_listeners), cmocka_unit_test(test_routes),
        cmocka_unit_test(test_backends),  cmocka_unit_test(test_pools),
        cmocka_unit_test(test_the_rest),  cmocka_unit_test(test_secret),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * The effective form loads again to the same configuration, whatever is set; and each row of the
 * option table holds what it says: bounds, default, help.
 */
#include "loaded.h"

#include "base/str.h"
#include "config/option.h"
#include "config/value.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>

#define LISTENERS(more) "listeners: [{name: web, listen: ':80', pool: app" more "}]\n"
#define POOLS(more)     "pools: [{name: app, backends: ['127.0.0.1:1']" more "}]\n"

static void check_round_trip(const char *text)
{
    struct loaded first = loaded_good(text);
    char *printed = printed_effective(first.s, true);
    char *bare = printed_effective(first.s, false);
    struct loaded second = loaded_good(printed);
    char *again = printed_effective(second.s, false);
    assert_string_equal(again, bare);
    for (size_t i = 0; i < first.s->pool_count; i++)
        for (size_t k = 0; k < first.s->pools[i].backend_count; k++)
            assert_string_equal(first.s->pools[i].backends[k].name,
                                second.s->pools[i].backends[k].name);
    loaded_fini(&first);
    loaded_fini(&second);
    free(printed);
    free(bare);
    free(again);
}

static void test_round_trips(void **state)
{
    static const char *const texts[] = {
        LISTENERS("") POOLS(""),
        LISTENERS("") POOLS("") "log: {file: 'a \"b\" \\ $${x} # \xc3\xa4'}\n",
        LISTENERS("") POOLS("") "log: {file: \"${DOLLAR}\"}\naccess_log: {file: '- x: y'}\n",
        LISTENERS(
            "") "pools: [{name: app, backends: [{name: 'no', address: 'unix:/a b'}, d.e:1]}]\n",
        LISTENERS(", routes: [{match: {headers: {x: ' y ', z: '${PORT}', n: 'null'}}, pool: app}]")
            POOLS(""),
        LISTENERS(
            "") "pools: [{name: 'true', backends: ['a:1']}, {name: app, backends: ['b:2']}]\n",
        LISTENERS(", trusted: ['10.0.0.0/8', '::/0', '192.168.1.1']") POOLS(""),
        LISTENERS("") POOLS(", health: {type: none}, retries: {on: []}"),
        LISTENERS("") POOLS(", health: {type: http, expect: [200, 201-299, '404']}"),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        check_round_trip(texts[i]);
}

static void test_origins(void **state)
{
    (void)state;
    struct loaded l =
        loaded_good(LISTENERS("") POOLS(", balance: p2c") "\nworkers: 2\nadmin: {listen: "
                                                          "'127.0.0.1:1', token: secret-token}\n");
    char *printed = printed_effective(l.s, true);
    assert_non_null(
        strstr(printed, "\nworkers: 2                                      # t.yaml:4\n"));
    assert_non_null(
        strstr(printed, "\n    balance: p2c                                # t.yaml:2\n"));
    assert_non_null(
        strstr(printed, "\n      connect: 2s                               # default\n"));
    assert_null(strstr(printed, "secret-token"));
    assert_non_null(strstr(printed, "(redacted)"));
    free(printed);
    loaded_fini(&l);
}

static void test_json_form(void **state)
{
    (void)state;
    struct loaded l = loaded_good(LISTENERS("") POOLS("") "workers: 2\n");
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    config_print_effective_json(l.s, out);
    (void)fclose(out);
    json_t *root = json_loadb(text, n, 0, NULL);
    json_t *workers = json_object_get(root, "workers");
    json_t *pool = json_array_get(json_object_get(root, "pools"), 0);
    json_t *connect = json_object_get(json_object_get(pool, "timeouts"), "connect");
    assert_int_equal(json_integer_value(json_object_get(workers, "value")), 2);
    assert_string_equal(json_string_value(json_object_get(workers, "from")), "t.yaml:3");
    assert_string_equal(json_string_value(json_object_get(connect, "value")), "2s");
    assert_string_equal(json_string_value(json_object_get(connect, "from")), "default");
    json_decref(root);
    free(text);
    loaded_fini(&l);
}

/* ---- row by row ---- */

/* A configuration whose only setting beyond what must be is "key: value" in that scope. */
static char *with_setting(const struct option *o, const char *value)
{
    static const char *const forms[SCOPE_COUNT] = {
        [SCOPE_ROOT] = LISTENERS("") POOLS("") "%s: %s\n",
        [SCOPE_ADMIN] = LISTENERS("") POOLS("") "admin: {listen: '127.0.0.1:9', %s: %s}\n",
        [SCOPE_LOG] = LISTENERS("") POOLS("") "log: {%s: %s}\n",
        [SCOPE_ACCESS_LOG] = LISTENERS("") POOLS("") "access_log: {%s: %s}\n",
        [SCOPE_DRAIN] = LISTENERS("") POOLS("") "drain: {%s: %s}\n",
        [SCOPE_LISTENER] = LISTENERS(", %s: %s") POOLS(""),
        [SCOPE_LISTENER_TLS] = LISTENERS(", tls: {certificates: [{cert: a.pem}], client_ca: ca.pem,"
                                         " client_auth: optional, %s: %s}") POOLS(""),
        [SCOPE_CERTIFICATE] = LISTENERS(", tls: {certificates: [{cert: a.pem, %s: %s}]}") POOLS(""),
        [SCOPE_LISTENER_TIMEOUTS] = LISTENERS(", timeouts: {%s: %s}") POOLS(""),
        [SCOPE_LISTENER_LIMITS] = LISTENERS(", limits: {%s: %s}") POOLS(""),
        [SCOPE_ROUTE] = LISTENERS(", routes: [{pool: app, %s: %s}]") POOLS(""),
        [SCOPE_MATCH] = LISTENERS(", routes: [{pool: app, match: {%s: %s}}]") POOLS(""),
        [SCOPE_POOL] = LISTENERS("") POOLS(", %s: %s"),
        [SCOPE_POOL_TLS] = LISTENERS("") POOLS(", tls: {cert: a.pem, %s: %s}"),
        [SCOPE_HEALTH] = LISTENERS("") POOLS(", health: {type: http, %s: %s}"),
        [SCOPE_PASSIVE_HEALTH] = LISTENERS("") POOLS(", passive_health: {%s: %s}"),
        [SCOPE_RETRIES] = LISTENERS("") POOLS(", retries: {%s: %s}"),
        [SCOPE_POOL_TIMEOUTS] = LISTENERS("") POOLS(", timeouts: {%s: %s}"),
        [SCOPE_KEEPALIVE] = LISTENERS("") POOLS(", keepalive: {%s: %s}"),
        [SCOPE_QUEUE] = LISTENERS("") POOLS(", queue: {%s: %s}"),
        [SCOPE_BACKEND] =
            LISTENERS("") "pools: [{name: app, backends: [{address: '127.0.0.1:1', %s: %s}]}]\n",
    };
    const char *form = forms[o->scope];
    const char *key = strstr(form, "%s");
    const char *place = strstr(key + 2, "%s");
    char *text = NULL;
    assert_true(asprintf(&text, "%.*s%s%.*s%s%s", (int)(key - form), form, o->name,
                         (int)(place - key - 2), key + 2, value, place + 2) > 0);
    return text;
}

/* Keys that the forms above have already. */
static bool is_in_form(const struct option *o)
{
    return option_is_required(o) || o->type == TYPE_BLOCK || o->type == TYPE_BLOCKS ||
           (o->scope == SCOPE_ADMIN && o->type == TYPE_ADDRESS) ||
           (o->scope == SCOPE_LISTENER && o->type == TYPE_POOL) ||
           (o->scope == SCOPE_LISTENER_TLS && strncmp(o->name, "client_", 7) == 0) ||
           (o->scope == SCOPE_POOL_TLS && strcmp(o->name, "cert") == 0) ||
           (o->scope == SCOPE_HEALTH && (o->type == TYPE_ENUM || strcmp(o->name, "service") == 0));
}

static bool is_number(const struct option *o)
{
    return o->type == TYPE_DURATION || o->type == TYPE_SIZE || o->type == TYPE_INTEGER ||
           o->type == TYPE_COUNT_OR_AUTO;
}

static const char *number_text(const struct option *o, uint64_t value, char buf[FORMAT_SHORT_MAX])
{
    if (o->type == TYPE_DURATION)
        return format_duration_ms(buf, value);
    if (o->type == TYPE_SIZE)
        return format_size_bytes(buf, value);
    (void)snprintf(buf, FORMAT_SHORT_MAX, "%llu", (unsigned long long)value);
    return buf;
}

static const char *sample(const struct option *o)
{
    switch (o->type) {
    case TYPE_BOOL: return "true";
    case TYPE_NAME: return "a_b.c-1";
    case TYPE_FILE:
    case TYPE_SECRET: return "'(redacted)'";
    case TYPE_PATH: return "/a/b-%C3%A4";
    case TYPE_HOST: return o->list ? "[a.example, '*.example']" : "a.example";
    case TYPE_METHOD: return "[GET, 'X!']";
    case TYPE_NETWORK: return "10.0.0.0/8";
    case TYPE_STATUS: return "[204, 300-399]";
    case TYPE_TEXT:
        return strcmp(o->name, "client_fingerprint") == 0
                   ? "[00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff]"
                   : "['CN=a,O=b', x]";
    case TYPE_FIELD: return "{x-a: \"1\", x-b: '*'}";
    case TYPE_ADDRESS: return "'127.0.0.1:9'";
    default: return NULL;
    }
}

/* Calls check for each row that is a value. */
static void each_option(void (*check)(const struct option *o))
{
    for (int scope = 0; scope < SCOPE_COUNT; scope++) {
        size_t count;
        const struct option *o = scope_options((enum scope)scope, &count);
        for (size_t i = 0; i < count; i++)
            check(&o[i]);
    }
}

static void check_row(const struct option *o)
{
    size_t n = strlen(o->help);
    assert_true(n > 10 && o->help[n - 1] == '.');
    assert_true(o->min <= o->max);
    assert_ptr_equal(option_find(o->scope, span_cstr(o->name)), o);
    if (o->type == TYPE_ENUM || o->type == TYPE_FLAGS)
        assert_non_null(o->words);
    if (is_number(o))
        assert_non_null(option_default(o));
}

static void check_bounds(const struct option *o)
{
    char buf[FORMAT_SHORT_MAX];
    if (!is_number(o))
        return;
    const struct {
        uint64_t value;
        bool good;
    } cases[] = {{o->min, true}, {o->max, true}, {o->max + 1, false}, {o->min - 1, false}};
    for (size_t i = 0; i < ARRAY_LEN(cases) - (o->min == 0); i++) {
        char *text = with_setting(o, number_text(o, cases[i].value, buf));
        struct loaded l = loaded_text(text);
        if ((l.s != NULL) != cases[i].good)
            print_error("%s", text);
        assert_int_equal(l.s != NULL, cases[i].good);
        loaded_fini(&l);
        if (cases[i].good)
            check_round_trip(text);
        free(text);
    }
}

/* A default that is written out is the same as one that is not. */
static void check_default(const struct option *o)
{
    bool optional = o->scope == SCOPE_LISTENER_TLS || o->scope == SCOPE_POOL_TLS;
    if (option_default(o) == NULL || o->list || is_in_form(o) || o->scope == SCOPE_HEALTH ||
        optional)
        return;
    char *text = with_setting(o, option_default(o));
    struct loaded written = loaded_good(text);
    struct loaded left = loaded_good(LISTENERS(", routes: []") POOLS(""));
    char *a = printed_effective(written.s, false);
    char *b = printed_effective(left.s, false);
    if (o->scope != SCOPE_ADMIN && o->scope != SCOPE_ROUTE)
        assert_string_equal(a, b);
    loaded_fini(&written);
    loaded_fini(&left);
    free(a);
    free(b);
    free(text);
}

static void check_sample(const struct option *o)
{
    if (is_in_form(o))
        return;
    for (const struct option_word *word = o->words; word && word->name; word++) {
        char *text = with_setting(o, word->name);
        bool other_protocol = strcmp(o->name, "protocol") == 0 && word->value == PROTOCOL_TCP &&
                              o->scope == SCOPE_POOL; /* than the listener's */
        if (word->missing == NULL && !other_protocol)
            check_round_trip(text);
        free(text);
    }
    if (sample(o)) {
        char *text = with_setting(o, sample(o));
        check_round_trip(text);
        free(text);
    }
}

static void test_rows(void **state)
{
    (void)state;
    each_option(check_row);
}

static void test_bounds(void **state)
{
    (void)state;
    each_option(check_bounds);
}

static void test_defaults(void **state)
{
    (void)state;
    each_option(check_default);
}

static void test_samples(void **state)
{
    (void)state;
    each_option(check_sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_origins),
        cmocka_unit_test(test_json_form),   cmocka_unit_test(test_rows),
        cmocka_unit_test(test_bounds),      cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

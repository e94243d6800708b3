/* SPDX-License-Identifier: MIT */
#include "admin/verbs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "verb_path.h"

static const char *api_md;

static void test_paths(void **state)
{
    static const struct {
        enum method method;
        const char *path;
        enum admin_found found;
        enum admin_verb verb;
        const char *first, *second;
    } cases[] = {
        {METHOD_GET, "/", ADMIN_FOUND, ADMIN_VERB_page, "", ""},
        {METHOD_HEAD, "/health", ADMIN_FOUND, ADMIN_VERB_health, "", ""},
        {METHOD_POST, "/health", ADMIN_NO_METHOD, 0, "", ""},
        {METHOD_OTHER, "/health", ADMIN_NO_METHOD, 0, "", ""},
        {METHOD_GET, "/healt", ADMIN_NO_PATH, 0, "", ""},
        {METHOD_GET, "/healthy", ADMIN_NO_PATH, 0, "", ""},
        {METHOD_GET, "/health/", ADMIN_NO_PATH, 0, "", ""},
        {METHOD_GET, "//health", ADMIN_NO_PATH, 0, "", ""},
        {METHOD_GET, "", ADMIN_NO_PATH, 0, "", ""},
        {METHOD_GET, "*", ADMIN_NO_PATH, 0, "", ""},
        {METHOD_GET, "/api/v1/pools", ADMIN_FOUND, ADMIN_VERB_pools, "", ""},
        {METHOD_GET, "/api/v1/pools/", ADMIN_NO_PATH, 0, "", ""},
        {METHOD_GET, "/api/v1/pools/app", ADMIN_FOUND, ADMIN_VERB_pool, "app", ""},
        {METHOD_GET, "/api/v1/pools/app/backend", ADMIN_NO_PATH, 0, "", ""},
        {METHOD_POST, "/api/v1/pools/app/backends", ADMIN_FOUND, ADMIN_VERB_backend_add, "app", ""},
        {METHOD_GET, "/api/v1/pools/app/backends/", ADMIN_NO_PATH, 0, "", ""},
        {METHOD_DELETE, "/api/v1/pools/app/backends/B1", ADMIN_FOUND, ADMIN_VERB_backend_remove,
         "app", "B1"},
        {METHOD_PATCH, "/api/v1/pools/a/backends/unix:/run/b.sock", ADMIN_FOUND,
         ADMIN_VERB_backend_change, "a", "unix:/run/b.sock"},
        {METHOD_PUT, "/api/v1/pools/a/backends/b", ADMIN_NO_METHOD, 0, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct admin_match m = {0};
        enum admin_found found = admin_verb_find(cases[i].method, span_cstr(cases[i].path), &m);
        if (found != cases[i].found)
            fail_msg("%s: %d", cases[i].path, found);
        if (found != ADMIN_FOUND)
            continue;
        assert_int_equal(m.verb, cases[i].verb);
        assert_true(span_eq(m.params[0], span_cstr(cases[i].first)));
        assert_true(span_eq(m.params[1], span_cstr(cases[i].second)));
    }
}

static void test_every_row_is_found_by_the_path_made_for_it(void **state)
{
    const struct span names[ADMIN_PARAMS_MAX] = {SPAN_INIT("app"), SPAN_INIT("127.0.0.1:80")};
    (void)state;
    for (int v = 0; v < ADMIN_VERB_COUNT; v++) {
        const struct admin_verb_row *row = admin_verb_row((enum admin_verb)v);
        char path[256];
        struct writer w = writer_of(path, sizeof(path));
        struct admin_match m;
        path_of_verb(&w, (enum admin_verb)v, names);
        assert_true(w_ok(&w));
        assert_int_equal(admin_verb_find(row->method, w_span_of_result(&w), &m), ADMIN_FOUND);
        assert_int_equal(m.verb, v);
        assert_true(row->who == ADMIN_ANYONE || row->method != METHOD_GET);
        assert_true(row->who == ADMIN_CHANGERS || row->method == METHOD_GET ||
                    v == ADMIN_VERB_explain /* its question is a body, and changes nothing */);
    }
}

static void test_methods_and_suggestions(void **state)
{
    char list[128];
    struct writer w = writer_of(list, sizeof(list));
    (void)state;
    admin_verb_methods(span_str("/api/v1/pools/app/backends/B1"), &w);
    assert_string_equal(w_cstr(&w), "GET, HEAD, PATCH, DELETE");
    assert_string_equal(admin_verb_suggest(span_str("/api/v1/reloda")), "/api/v1/reload");
    assert_null(admin_verb_suggest(span_str("/something/else/entirely")));
}

/* The table in docs/api.md says each path, in full or behind the one it belongs to. */
static void test_docs(void **state)
{
    static char text[65536];
    (void)state;
    FILE *in = fopen(api_md, "r");
    assert_non_null(in);
    size_t n = fread(text, 1, sizeof(text) - 1, in);
    (void)fclose(in);
    text[n] = 0;
    for (int v = 0; v < ADMIN_VERB_COUNT; v++) {
        const struct admin_verb_row *row = admin_verb_row((enum admin_verb)v);
        static const char prefix[] = "/api/v1";
        char full[256], tail[256];
        bool below = span_starts(span_cstr(row->path), span_cstr(prefix));
        snprintf(full, sizeof(full), "`%s %s`", row->method_name, row->path);
        snprintf(tail, sizeof(tail), "`%s`", row->path + (below ? strlen(prefix) : 0));
        bool said = strstr(text, full) != NULL;
        full[strlen(full) - 1] = ' '; /* a body follows */
        said = said || strstr(text, full) != NULL || (below && strstr(text, tail));
        if (!said)
            fail_msg("docs/api.md says nothing of %s %s", row->method_name, row->path);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_every_row_is_found_by_the_path_made_for_it),
        cmocka_unit_test(test_methods_and_suggestions),
        cmocka_unit_test(test_docs),
    };
    api_md = argc > 1 ? argv[1] : "docs/api.md";
    return cmocka_run_group_tests(tests, NULL, NULL);
}

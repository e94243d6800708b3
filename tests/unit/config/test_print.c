/* SPDX-License-Identifier: MIT */
/* Diagnostics, to the letter. */
#include "loaded.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>

#define BASE                                               \
    "listeners: [{name: web, listen: ':80', pool: app}]\n" \
    "pools: [{name: app, backends: ['127.0.0.1:1']}]\n"

static void check_printed(const char *text, const char *expected)
{
    struct loaded l = loaded_text(text);
    char *printed = printed_diagnostics(&l.d);
    assert_string_equal(printed, expected);
    free(printed);
    loaded_fini(&l);
}

static void test_plain(void **state)
{
    (void)state;
    check_printed("listeners: [{name: web, listen: ':80', pool: app}]\n"
                  "pools:\n"
                  "  - name: app\n"
                  "    backends:\n"
                  "      - address: 127.0.0.1:1\n"
                  "        weigth: 2\n",
                  "t.yaml:6:9: error: unknown key 'weigth'\n"
                  "    6 |         weigth: 2\n"
                  "      |         ^~~~~~ did you mean 'weight'?\n"
                  "      = the keys here are: name, address, weight, backup\n"
                  "t.yaml: 1 error\n");
}

static void test_two_places(void **state)
{
    (void)state;
    check_printed(BASE "workers: 1\nworkers: 2\n",
                  "t.yaml:4:1: error: the key 'workers' is given twice\n"
                  "    4 | workers: 2\n"
                  "      | ^~~~~~~\n"
                  "    3 | workers: 1\n"
                  "      | ^~~~~~~ first given here\n"
                  "t.yaml: 1 error\n");
}

static void test_whole_file(void **state)
{
    (void)state;
    check_printed("", "t.yaml: error: there is no configuration in it\n"
                      "      = a configuration is at least:\n"
                      "          listeners:\n"
                      "            - {name: web, listen: \":8080\", pool: app}\n"
                      "          pools:\n"
                      "            - {name: app, backends: [127.0.0.1:8881, 127.0.0.1:8882]}\n"
                      "t.yaml: 1 error\n");
}

/* Tabs stay tabs, wide characters are two cells, combining ones none: the caret is under its word.
 */
static void test_caret_lines_up(void **state)
{
    (void)state;
    check_printed(BASE "log:\t{file:\tx, lvl: info}\n",
                  "t.yaml:3:16: error: unknown key 'lvl'\n"
                  "    3 | log:\t{file:\tx, lvl: info}\n"
                  "      |     \t      \t   ^~~\n"
                  "      = the keys here are: level, file, format\n"
                  "t.yaml: 1 error\n");
    check_printed(BASE "log: {file: \xc3\xa4\xe6\x97\xa5\x65\xcc\x81, lvl: info}\n",
                  "t.yaml:3:19: error: unknown key 'lvl'\n"
                  "    3 | log: {file: \xc3\xa4\xe6\x97\xa5\x65\xcc\x81, lvl: info}\n"
                  "      |                   ^~~\n"
                  "      = the keys here are: level, file, format\n"
                  "t.yaml: 1 error\n");
    check_printed(BASE "\xe6\x97\xa5\xe6\x9c\xac: 1\n",
                  "t.yaml:3:1: error: unknown key '\xe6\x97\xa5\xe6\x9c\xac'\n"
                  "    3 | \xe6\x97\xa5\xe6\x9c\xac: 1\n"
                  "      | ^~~~\n"
                  "      = the keys here are: admin, log, access_log, workers, engine, drain, "
                  "listeners, pools\n"
                  "t.yaml: 1 error\n");
}

static void test_long_line(void **state)
{
    char text[2000];
    (void)state;
    (void)snprintf(text, sizeof(text), BASE "log: {file: %0800d, lvl: x, format: %0500d}\n", 0, 0);
    struct loaded l = loaded_text(text);
    char *printed = printed_diagnostics(&l.d);
    const char *quote = strstr(printed, "    3 | ...000");
    const char *caret = strstr(printed, "      |       ");
    assert_non_null(quote);
    assert_non_null(caret);
    const char *word = strstr(quote, "lvl");
    assert_non_null(word);
    assert_int_equal(word - quote, strchr(caret, '^') - caret);
    assert_non_null(strstr(quote, "000...\n"));
    assert_true(strlen(printed) < 1200);
    free(printed);
    loaded_fini(&l);
}

static void test_warnings_and_limit(void **state)
{
    char *text = NULL;
    size_t n = 0;
    (void)state;
    FILE *out = open_memstream(&text, &n);
    (void)fputs(BASE "admin: {listen: ':1'}\n", out);
    for (int i = 0; i < 60; i++)
        (void)fprintf(out, "zzzzz%d: 1\n", i);
    (void)fclose(out);
    struct loaded l = loaded_text(text);
    char *printed = printed_diagnostics(&l.d);
    assert_int_equal(l.d.errors, 60);
    assert_int_equal(l.d.warnings, 1);
    assert_non_null(strstr(printed, "t.yaml:3:17: warning: whoever reaches this"));
    assert_non_null(strstr(printed, "t.yaml: 60 errors, 1 warning (the first 50 shown)\n"));
    assert_null(strstr(printed, "zzzzz55"));
    free(printed);
    loaded_fini(&l);
    free(text);
}

static void test_good_says_nothing(void **state)
{
    (void)state;
    check_printed(BASE, "");
}

static void test_colour(void **state)
{
    (void)state;
    struct loaded l = loaded_text("a: \x1b[31m\n");
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    diagnostics_print(&l.d, out, true);
    (void)fclose(out);
    assert_non_null(strstr(text, "\033[1;31merror:\033[0m"));
    assert_null(strstr(text, "\033[31m")); /* the file's own escapes are not obeyed */
    free(text);
    loaded_fini(&l);
}

static void test_json(void **state)
{
    (void)state;
    struct loaded l = loaded_text(BASE "workers: 1\nworkers: 2\nlog: {levle: info}\n");
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    diagnostics_print_json(&l.d, out);
    (void)fclose(out);
    json_t *root = json_loadb(text, n, 0, NULL);
    assert_int_equal(json_array_size(root), 2);
    const json_t *first = json_array_get(root, 0);
    assert_string_equal(json_string_value(json_object_get(first, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(first, "file")), "t.yaml");
    assert_int_equal(json_integer_value(json_object_get(first, "line")), 4);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(first, "also"), "line")),
                     3);
    const json_t *second = json_array_get(root, 1);
    assert_string_equal(json_string_value(json_object_get(second, "hint")),
                        "did you mean 'level'?");
    json_decref(root);
    free(text);
    loaded_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_two_places),
        cmocka_unit_test(test_whole_file),
        cmocka_unit_test(test_caret_lines_up),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_warnings_and_limit),
        cmocka_unit_test(test_good_says_nothing),
        cmocka_unit_test(test_colour),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

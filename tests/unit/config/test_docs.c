/* SPDX-License-Identifier: MIT */
/*
 * The generated papers are those of the option table. After a change of the table run this test
 * with POISE_UPDATE_DOCS=1 in the environment: it then writes them.
 */
#include "config/load.h"
#include "config/option.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>

static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    print(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void check_file(const char *name, void (*print)(FILE *out))
{
    const char *root = getenv("POISE_SOURCE_ROOT");
    char path[4096];
    char why[256];
    char *now = printed(print);
    char *kept = NULL;
    size_t n = 0;
    if (root == NULL)
        skip();
    (void)snprintf(path, sizeof(path), "%s/docs/%s", root, name);
    if (getenv("POISE_UPDATE_DOCS")) {
        FILE *out = fopen(path, "we");
        assert_non_null(out);
        (void)fputs(now, out);
        assert_int_equal(fclose(out), 0);
    }
    assert_int_equal(config_read_file(path, &kept, &n, why, sizeof(why)), 0);
    assert_string_equal(kept, now);
    free(kept);
    free(now);
}

static void test_reference_is_current(void **state)
{
    (void)state;
    check_file("configuration.md", config_print_reference);
}

static void test_schema_is_current(void **state)
{
    (void)state;
    check_file("poise.schema.json", config_print_schema);
}

static void test_reference_has_every_key(void **state)
{
    (void)state;
    char *text = printed(config_print_reference);
    const char *at = text;
    for (int scope = 0; scope < SCOPE_COUNT; scope++) {
        size_t count;
        const struct option *o = scope_options((enum scope)scope, &count);
        for (size_t i = 0; i < count; i++) {
            char row[128];
            (void)snprintf(row, sizeof(row), "\n| `%s` | ", o[i].name);
            at = strstr(at, row);
            assert_non_null(at);
            at += 1;
        }
    }
    free(text);
}

/* The schema's property for an option. */
static const json_t *property(const json_t *root, const struct option *o)
{
    const json_t *block = root;
    if (o->scope != SCOPE_ROOT) {
        char name[64];
        char *to = name;
        for (const char *from = scope_info(o->scope)->where; *from; from++)
            if (*from != '[' && *from != ']')
                *to++ = *from;
        *to = 0;
        block = json_object_get(json_object_get(root, "$defs"), name);
    }
    assert_non_null(block);
    assert_true(json_is_false(json_object_get(block, "additionalProperties")));
    return json_object_get(json_object_get(block, "properties"), o->name);
}

static void check_references(const json_t *root, const json_t *node)
{
    const char *key;
    json_t *value;
    size_t i;
    const char *reference = json_string_value(json_object_get(node, "$ref"));
    if (reference) {
        assert_int_equal(strncmp(reference, "#/$defs/", 8), 0);
        assert_non_null(json_object_get(json_object_get(root, "$defs"), reference + 8));
    }
    if (json_is_array(node))
        for (i = 0; i < json_array_size(node); i++)
            check_references(root, json_array_get(node, i));
    for (void *it = json_object_iter((json_t *)(uintptr_t)node); it;
         it = json_object_iter_next((json_t *)(uintptr_t)node, it)) {
        key = json_object_iter_key(it);
        value = json_object_iter_value(it);
        if (strcmp(key, "default") != 0)
            check_references(root, value);
    }
}

static void test_schema_is_sound(void **state)
{
    (void)state;
    char *text = printed(config_print_schema);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "$schema")),
                        "https://json-schema.org/draft/2020-12/schema");
    assert_int_equal(json_array_size(json_object_get(root, "required")), 1);
    check_references(root, root);
    for (int scope = 0; scope < SCOPE_COUNT; scope++) {
        size_t count;
        const struct option *o = scope_options((enum scope)scope, &count);
        for (size_t i = 0; i < count; i++) {
            const json_t *p = property(root, &o[i]);
            assert_non_null(p);
            assert_string_equal(json_string_value(json_object_get(p, "description")), o[i].help);
            assert_int_equal(json_object_get(p, "default") != NULL, option_default(&o[i]) != NULL);
        }
    }
    json_decref(root);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_is_current),
        cmocka_unit_test(test_schema_is_current),
        cmocka_unit_test(test_reference_has_every_key),
        cmocka_unit_test(test_schema_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The command line on top of a file: same types, same bounds, same words. */
#include "loaded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "workers: 3\n"
                           "log: {level: error}\n"
                           "listeners: [{name: web, listen: \":8080\", pool: app}]\n"
                           "pools: [{name: app, backends: [127.0.0.1:1]}]\n";

static void test_taken(void **state)
{
    (void)state;
    struct loaded l = loaded_good(text);
    char why[256] = "";
    struct config_overrides o = {.workers = "2", .log_level = "debug", .log_file = "/tmp/x.log"};
    assert_true(config_override(&l.s, &o, why, sizeof(why)));
    assert_int_equal(l.s->workers, 2);
    assert_int_equal(l.s->log.level, LOG_LEVEL_DEBUG);
    assert_string_equal(l.s->log.file, "/tmp/x.log");
    struct config_overrides automatic = {.workers = "auto"};
    assert_true(config_override(&l.s, &automatic, why, sizeof(why)));
    assert_int_equal(l.s->workers, 0);
    loaded_fini(&l);
}

static void test_nothing_said(void **state)
{
    (void)state;
    struct loaded l = loaded_good(text);
    char why[256] = "";
    struct config_overrides o = {0};
    assert_true(config_override(&l.s, &o, why, sizeof(why)));
    assert_int_equal(l.s->workers, 3);
    assert_int_equal(l.s->log.level, LOG_LEVEL_ERROR);
    loaded_fini(&l);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        struct config_overrides o;
        const char *said;
    } rows[] = {
        {{.workers = "0"}, "--workers: 'workers' is 1 to 256"},
        {{.workers = "many"}, "--workers: "},
        {{.engine = "kqueue"}, "one of: auto, epoll"},
        {{.log_level = "inf"}, "did you mean 'info'"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loaded l = loaded_good(text);
        char why[256] = "";
        assert_false(config_override(&l.s, &rows[i].o, why, sizeof(why)));
        if (!strstr(why, rows[i].said))
            fail_msg("'%s' is not in '%s'", rows[i].said, why);
        loaded_fini(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_nothing_said),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

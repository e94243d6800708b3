/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/check.h"

#define THING_MAGIC 0x7417u

struct thing {
    uint32_t magic;
};

static void check_false(void *arg)
{
    CHECK(arg != NULL);
}

static void check_wrong_magic(void *arg)
{
    const struct thing *thing = arg;
    CHECK_OBJ(thing, THING_MAGIC);
}

static void check_says_where_and_what(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(fds[1], STDERR_FILENO);
        check_false(NULL);
        _exit(0);
    }
    (void)close(fds[1]);
    char text[8192];
    size_t n = 0;
    ssize_t got;
    while (n < sizeof(text) && (got = read(fds[0], text + n, sizeof(text) - n)) > 0)
        n += (size_t)got;
    (void)close(fds[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct span said = span_of(text, n);
    assert_true(span_find_span(said, span_str("test_check.c:14 in check_false(): arg != NULL\n")) !=
                SPAN_NOT_FOUND);
    assert_true(span_find_span(said, span_str("[0x")) != SPAN_NOT_FOUND); /* the backtrace */
}

static void check_obj_wants_the_magic(void **state)
{
    (void)state;
    struct thing good = {THING_MAGIC};
    struct thing bad = {THING_MAGIC + 1};
    check_wrong_magic(&good);
    check_false(&good);
    assert_aborts(check_wrong_magic, &bad);
    assert_aborts(check_wrong_magic, NULL);
}

int main(void)
{
    check_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_says_where_and_what),
        cmocka_unit_test(check_obj_wants_the_magic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * What every unit test of base/ begins with: cmocka and what it needs before it, an assertion for
 * spans, and one that a CHECK ends the process.
 */
#pragma once

#include <ctype.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"

/* A span holds exactly this text. */
#define assert_span(s, text) assert_span_at(s, text, __FILE__, __LINE__)

static inline void assert_span_at(struct span s, const char *text, const char *file, int line)
{
    if (!span_eq(s, span_cstr(text))) {
        print_error("\"" SPAN_FMT "\" is not \"%s\"\n", SPAN_ARG(s), text);
        _fail(file, line);
    }
}

/* fn(arg) ends in a failed CHECK. Runs in a child whose stderr is closed. */
static inline void assert_aborts(void (*fn)(void *), void *arg)
{
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        fn(arg);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

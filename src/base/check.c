/* SPDX-License-Identifier: MIT */
/*
 * The way out when we are wrong. Everything here must work in a signal handler of a process whose
 * heap may be broken: no allocation, no stdio, only write(2) and what check_init() loaded before.
 */
#include "base/check.h"

#include <execinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"

#define BACKTRACE_FRAMES_MAX 64

void check_init(void)
{
    /* The first call loads the unwinder's library, which allocates. */
    void *frames[1];
    (void)backtrace(frames, 1);
}

void check_backtrace(int fd)
{
    void *frames[BACKTRACE_FRAMES_MAX];
    int n = backtrace(frames, BACKTRACE_FRAMES_MAX);
    backtrace_symbols_fd(frames, n, fd);
}

/* Set once a report is written: abort() after a failed check tells nothing new. */
static volatile sig_atomic_t reported;

static void on_bug(int number)
{
    char text[64];
    struct writer w = writer_of(text, sizeof(text));
    w_str(&w, "died of signal ");
    w_i64_dec(&w, number);
    w_str(&w, "\n");
    struct span message = w_span_of_result(&w);
    if (!reported) {
        ssize_t written = write(STDERR_FILENO, message.p, message.n);
        (void)written; /* nobody is left to tell */
        check_backtrace(STDERR_FILENO);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

void check_catch_signals(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        struct sigaction a = {.sa_handler = on_bug, .sa_flags = (int)SA_RESETHAND};
        (void)sigemptyset(&a.sa_mask);
        (void)sigaction(numbers[i], &a, NULL);
    }
}

void check_failed(const char *file, int line, const char *func, const char *cond)
{
    char text[1024];
    struct writer w = writer_of(text, sizeof(text));
    w_str(&w, "CHECK failed at ");
    w_str(&w, file);
    w_str(&w, ":");
    w_i64_dec(&w, line);
    w_str(&w, " in ");
    w_str(&w, func);
    w_str(&w, "(): ");
    w_str(&w, cond);
    w_str(&w, "\n");
    struct span message = w_span_of_result(&w);
    ssize_t written = write(STDERR_FILENO, message.p, message.n);
    (void)written; /* nobody is left to tell */
    check_backtrace(STDERR_FILENO);
    reported = 1;
    abort();
}

/* SPDX-License-Identifier: MIT */
/*
 * Always-on checks of our own invariants. A CHECK that fails is a bug in this program: it prints
 * where, what and a backtrace to stderr, then aborts. What a peer, a file or the kernel can cause
 * is never a CHECK: it is a returned error with a reason.
 *
 * Threads: any. Signal handlers: allowed; the failure path allocates nothing once check_init()
 * has run.
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

/* True or abort. One condition per CHECK, so that the message says which one failed. */
#define CHECK(cond)                                            \
    do {                                                       \
        if (UNLIKELY(!(cond)))                                 \
            check_failed(__FILE__, __LINE__, __func__, #cond); \
    } while (0)

/* A place the program must never reach; `text` says why it should not. */
#define CHECK_FAIL(text) check_failed(__FILE__, __LINE__, __func__, text)

/*
 * For structs whose first field is `uint32_t magic`: the pointer is set and points at a live
 * object of that kind. Used wherever a `void *` becomes a type again.
 */
#define CHECK_OBJ(ptr, magic_wanted)           \
    do {                                       \
        CHECK((ptr) != NULL);                  \
        CHECK((ptr)->magic == (magic_wanted)); \
    } while (0)

/* Loads what the backtrace needs, which allocates: call once at start, before any sandbox. */
void check_init(void);

/* Writes the calling thread's backtrace to `fd`. Async-signal-safe after check_init(). */
void check_backtrace(int fd);

/* From now on a signal that means a bug (SEGV, ABRT, ...) ends the process with a backtrace of the
 * thread it hit on stderr. */
void check_catch_signals(void);

NORETURN COLD void check_failed(const char *file, int line, const char *func, const char *cond);

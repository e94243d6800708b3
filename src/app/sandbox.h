/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the engine gives up before it sees its first client. Started as root it becomes another user
 * without capabilities; whoever started it, it cannot gain rights, open files, run programs, trace
 * processes, or listen anywhere but at the sockets it was given. What it needs from outside goes
 * through app/door.h.
 *
 *   user          setresuid, no capabilities, no_new_privs, no core files
 *   Landlock      no file but those a resolver reads, /proc/self, and sockets of backends
 *   seccomp       the system calls in sandbox_calls.def, with restrictions on some
 *
 * A kernel without Landlock is no error. Under a sanitizer, which needs all this itself, nothing is
 * given up. Thread rule: the main thread, before any other exists.
 */

#include "base/compiler.h"
#include "config/snapshot.h"

#include <stdbool.h>
#include <stddef.h>

/* What came of it, for the log. */
struct sandbox_state {
    bool on;
    char user[64]; /* whom it runs as now; empty: as before */
    int landlock;  /* version of the kernel's interface; 0 = none */
    bool seccomp;
    const char *warning; /* something an operator should know, or NULL */
};

/* Enters it as `s` wants (user, sandbox; NULL is the default of both). 0, or a negative reason with
 * a sentence in ret_why: then rights may be half gone, and the process must end. */
NODISCARD int sandbox_enter(const struct snapshot *s, struct sandbox_state *ret_state,
                            char *ret_why, size_t why_size);

void sandbox_log(const struct sandbox_state *state);

/*
 * For tests: enters the sandbox and then tries what an intruder would: "open", "exec", "ptrace",
 * "socket" (a raw one), "bind" or "kill". Prints how it went; 0 if it was refused, 1 if not, 77
 * where this build has no sandbox.
 */
int sandbox_probe(const char *what);

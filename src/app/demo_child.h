/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A child process of the demo that runs another verb of this program. It dies with its parent,
 * whatever happens to that, and not by a Ctrl-C meant for the parent.
 *
 * Lifetime: demo_child_start .. demo_child_end. Thread rule: the main thread, all calls.
 */

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct demo_child {
    pid_t pid; /* 0 = none */
    int out;   /* what it prints, or -1 */
};

/* argv[0] is "poise"; NULL at the end. `keep` are descriptors it inherits. 0 or a negative reason.
 */
NODISCARD int demo_child_start(const char *const *argv, const int *keep, size_t keep_count,
                               struct demo_child *ret_child);

/* Waits for its first line, without line end, at most `timeout_ms`. False if none came. */
NODISCARD bool demo_child_line(struct demo_child *c, unsigned timeout_ms, char *line, size_t size);

/* The same of a line that names an address; the port at its end, before a '/' if there is one. */
NODISCARD bool demo_child_port(struct demo_child *c, unsigned timeout_ms, uint16_t *ret_port);

/* SIGKILL, and gone on return. */
void demo_child_kill(struct demo_child *c);

/* SIGTERM; SIGKILL if it takes more than five seconds. Nothing if there is none. */
void demo_child_end(struct demo_child *c);

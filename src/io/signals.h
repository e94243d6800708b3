/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Signals as events of a loop, for the one thread that acts on them.
 *
 * Opening blocks the signals in the calling thread; threads started later inherit that, so open
 * before starting any. A signal that a thread does not block would be handled there, the default
 * way. Thread rule: the loop's thread. The signals stay blocked after closing.
 */

#include "base/compiler.h"

#include <signal.h>

struct loop;
struct signals;

/* May close the signals it came from. Signals of one kind that arrive together come once. */
typedef void signals_fn(struct signals *s, int signal, void *user);

/* 0 or a negative reason (out_of_files, system_error). */
NODISCARD int signals_open(struct loop *loop, const sigset_t *set, signals_fn *fn, void *user,
                           struct signals **ret_signals);

/* Leaves NULL; accepts NULL in *s. */
void signals_close(struct signals **s);

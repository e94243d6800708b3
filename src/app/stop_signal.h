/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * TERM and INT stop the loop of a test tool. Close with signals_close (io/signals.h). Thread rule:
 * the loop's thread, before any other thread starts.
 */

#include "base/compiler.h"
#include "io/signals.h"

/* 0, or a negative reason. */
NODISCARD int stop_signal_open(struct loop *loop, struct signals **ret_signals);

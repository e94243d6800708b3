/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The hidden verb `engine`: the process that serves, started by the supervisor with the numbers of
 * its two channels. The main thread.
 */

/* Returns an enum exit_code. */
int engine_verb(int argc, char *const *argv);

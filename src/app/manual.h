/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The manual page and the completions of shells, from the same table as the parser and the help
 * (app/verb.def), so that none of them can be out of date. Any thread.
 */

#include "base/compiler.h"

#include <stdbool.h>
#include <stdio.h>

/* poise(1) in the man macros. */
void manual_page(FILE *out);

/* "bash", "zsh" or "fish"; false for any other shell. */
NODISCARD bool manual_completion(FILE *out, const char *shell);

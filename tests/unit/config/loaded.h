/* SPDX-License-Identifier: MIT */
#pragma once

/* A text loaded with a small environment of its own, for the tests of this folder. */

#include "config/load.h"

struct loaded {
    const struct snapshot *s; /* NULL when there were errors */
    struct diagnostics d;
};

/* TOKEN is "secret-token", PORT "8881", EMPTY "", DOLLAR "${PORT}"; nothing else is set. */
const char *loaded_env(const char *name);

/* The text must outlive the result. */
struct loaded loaded_text(const char *text);
void loaded_fini(struct loaded *l);

/* The same, and the test fails with the diagnostics printed if there are errors. */
struct loaded loaded_good(const char *text);

/* Texts in memory of malloc: what a printing function prints. */
char *printed_effective(const struct snapshot *s, bool comments);
char *printed_diagnostics(const struct diagnostics *d);

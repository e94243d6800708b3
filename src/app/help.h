/* SPDX-License-Identifier: MIT */
#pragma once

/* What `help` and `--help` print, made from app/verb.def. Any thread. */

#include "app/verb.h"

#include <stdio.h>

/* One line that says how to begin. */
void help_short(FILE *out);

/* The program: its verbs and how it ends. */
void help_program(FILE *out);

/* One verb: usage, options, notes. */
void help_verb(FILE *out, enum verb_id verb);

/* The verb of that name, or -1 after having said on `err` that there is none, and the nearest. */
int help_find_verb(const char *name, FILE *err);

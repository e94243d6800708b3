/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The verbs of the program and their options: verb.def as constant data.
 *
 * A new verb is a row in verb.def, its cmd_<id> declared by the expansion below, and a file
 * cmd_<id>.c. Constant data: any thread.
 */

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

struct cli_args; /* app/cli.h */

enum verb_id {
#define VERB(id, name, summary, usage, notes) VERB_##id,
#define OPERANDS(verb, count)
#define OPTION(verb, id, letter, name, type, argument, low, high, help)
#include "app/verb.def"
#undef VERB
#undef OPERANDS
#undef OPTION
    VERB_COUNT
};

enum option_id {
#define VERB(id, name, summary, usage, notes)
#define OPERANDS(verb, count)
#define OPTION(verb, id, letter, name, type, argument, low, high, help) OPT_##verb##_##id,
#include "app/verb.def"
#undef VERB
#undef OPERANDS
#undef OPTION
    OPTION_COUNT
};

enum option_type {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_TEXTS,
    OPTION_NUMBER,
    OPTION_DURATION,
    OPTION_SIZE,
    OPTION_SHARE,
};

struct option_row {
    enum verb_id verb;
    enum option_type type;
    char letter;      /* 0 = none */
    const char *name; /* without the dashes */
    const char *argument;
    uint64_t low, high;
    const char *help;
};

/* Runs a verb; an enum exit_code. */
typedef int verb_fn(const struct cli_args *args);

struct verb_row {
    const char *name, *summary, *usage, *notes;
    verb_fn *run;
};

extern const struct verb_row verb_rows[VERB_COUNT];
extern const uint8_t verb_operands[VERB_COUNT]; /* how many it takes at most */
extern const struct option_row option_rows[OPTION_COUNT];

#define VERB(id, name, summary, usage, notes) verb_fn cmd_##id;
#define OPERANDS(verb, count)
#define OPTION(verb, id, letter, name, type, argument, low, high, help)
#include "app/verb.def"
#undef VERB
#undef OPERANDS
#undef OPTION

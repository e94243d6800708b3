/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The command line as data: words parsed and checked against app/verb.def.
 *
 *   poise VERB [-x] [-n VALUE | -nVALUE] [--name VALUE | --name=VALUE] [--] [OPERAND ...]
 *
 * Wrong words are refused with a sentence on stderr that names the word, and the nearest right one.
 * Texts point into argv. Thread rule: the main thread parses; afterwards it is constant.
 */

#include "app/verb.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CLI_OPERANDS_MAX 4

struct cli_args {
    enum verb_id verb;
    const char *operands[CLI_OPERANDS_MAX]; /* the words without dashes; NULL past the last */
    size_t operand_count;
    bool help; /* --help was there: nothing else has been checked */
    /* private: values in the order given, those of option i at first[i] .. first[i + 1] */
    const char **texts;
    size_t first[OPTION_COUNT + 1];
    union {
        uint64_t number;
        double share;
    } values[OPTION_COUNT];
};

/* Parses what follows the verb (argv[0] is its first word). 0, or an enum exit_code after having
 * said on `err` what is wrong. Release with cli_args_fini in either case. */
NODISCARD int cli_parse(enum verb_id verb, int argc, char *const *argv, FILE *err,
                        struct cli_args *ret_args);
void cli_args_fini(struct cli_args *args);

/* Whether the option was given. */
bool cli_has(const struct cli_args *args, enum option_id id);

/* Its text, or NULL. */
const char *cli_text(const struct cli_args *args, enum option_id id);

/* The same by name, for code that serves several verbs; NULL also where the verb has no such
 * option. Of a flag the text is empty, not NULL. */
const char *cli_text_named(const struct cli_args *args, const char *name);

/* All its texts in order; NULL and 0 when there are none. */
const char *const *cli_texts(const struct cli_args *args, enum option_id id, size_t *ret_count);

/* NUMBER, DURATION (milliseconds), SIZE (bytes). */
uint64_t cli_number(const struct cli_args *args, enum option_id id, uint64_t otherwise);

/* SHARE: 0 to 1. */
double cli_share(const struct cli_args *args, enum option_id id, double otherwise);

/* The whole program: finds the verb and runs it. Returns an enum exit_code. */
int cli_main(int argc, char *const *argv);

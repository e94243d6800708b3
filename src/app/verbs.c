/* SPDX-License-Identifier: MIT */
#include "app/verb.h"

const struct verb_row verb_rows[VERB_COUNT] = {
#define VERB(id, name, summary, usage, notes) [VERB_##id] = {name, summary, usage, notes, cmd_##id},
#define OPERANDS(verb, count)
#define OPTION(verb, id, letter, name, type, argument, low, high, help)
#include "app/verb.def"
#undef VERB
#undef OPERANDS
#undef OPTION
};

const struct option_row option_rows[OPTION_COUNT] = {
#define VERB(id, name, summary, usage, notes)
#define OPERANDS(verb, count)
#define OPTION(verb, id, letter, name, type, argument, low, high, help) \
    [OPT_##verb##_##id] = {VERB_##verb, OPTION_##type, letter, name, argument, low, high, help},
#include "app/verb.def"
#undef VERB
#undef OPERANDS
#undef OPTION
};

const uint8_t verb_operands[VERB_COUNT] = {
#define VERB(id, name, summary, usage, notes)
#define OPERANDS(verb, count) [VERB_##verb] = count,
#define OPTION(verb, id, letter, name, type, argument, low, high, help)
#include "app/verb.def"
#undef VERB
#undef OPERANDS
#undef OPTION
};

/* SPDX-License-Identifier: MIT */
/*
 * Two passes over the words: the first finds each option and its value, the second files values by
 * option, so that a repeated option is an array in the order given.
 */
#include "app/cli.h"

#include "app/exit_code.h"
#include "app/help.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct parse {
    enum verb_id verb;
    int argc;
    char *const *argv;
    int at; /* the next word */
    FILE *err;
    enum option_id *given; /* one per value found */
    const char **values;
    size_t count;
};

PRINTF(2, 3) static int usage_error(struct parse *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("poise: ", p->err);
    vfprintf(p->err, format, args);
    va_end(args);
    fprintf(p->err, "\nTry 'poise help %s'.\n", verb_rows[p->verb].name);
    return EXIT_USAGE;
}

static int find_by_name(enum verb_id verb, struct span name)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (option_rows[i].verb == verb && span_eq(span_cstr(option_rows[i].name), name))
            return i;
    }
    return -1;
}

static int find_by_letter(enum verb_id verb, char letter)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (option_rows[i].verb == verb && option_rows[i].letter == letter)
            return i;
    }
    return -1;
}

static int unknown_option(struct parse *p, struct span name)
{
    const char *names[OPTION_COUNT + 1];
    size_t count = 0;
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (option_rows[i].verb == p->verb)
            names[count++] = option_rows[i].name;
    }
    names[count++] = "help";
    const char *near = suggest_closest(name, names, count);
    const char *verb = verb_rows[p->verb].name;
    if (near)
        return usage_error(p, "'%s' has no option '--" SPAN_FMT "'; did you mean '--%s'?", verb,
                           SPAN_ARG(name), near);
    return usage_error(p, "'%s' has no option '--" SPAN_FMT "'", verb, SPAN_ARG(name));
}

/* `attached` is the value in the same word, or NULL. */
static int take_value(struct parse *p, int id, const char *attached)
{
    const struct option_row *row = &option_rows[id];
    const char *value = attached;
    if (row->type == OPTION_FLAG) {
        if (attached)
            return usage_error(p, "'--%s' takes no value", row->name);
        value = "";
    } else if (!value) {
        if (p->at >= p->argc)
            return usage_error(p, "'--%s' needs a value: --%s %s", row->name, row->name,
                               row->argument);
        value = p->argv[p->at++];
    }
    for (size_t i = 0; i < p->count && row->type != OPTION_TEXTS; i++) {
        if ((int)p->given[i] == id)
            return usage_error(p, "'--%s' is given twice", row->name);
    }
    p->given[p->count] = (enum option_id)id;
    p->values[p->count++] = value;
    return 0;
}

static int take_long(struct parse *p, const char *word)
{
    struct span rest = span_cstr(word);
    struct span name = span_cut(&rest, '=');
    const char *attached = word[name.n] == '=' ? word + name.n + 1 : NULL;
    int id = find_by_name(p->verb, name);
    if (id < 0)
        return unknown_option(p, name);
    return take_value(p, id, attached);
}

static int take_short(struct parse *p, const char *word)
{
    int id = find_by_letter(p->verb, word[0]);
    if (id < 0)
        return usage_error(p, "'%s' has no option '-%c'", verb_rows[p->verb].name, word[0]);
    return take_value(p, id, word[1] ? word + 1 : NULL);
}

static int take_operand(struct parse *p, const char *word, struct cli_args *args)
{
    bool takes = p->verb == VERB_help || p->verb == VERB_explain;
    if (!takes || args->operand)
        return usage_error(p, "'%s' does not take the argument '%s'", verb_rows[p->verb].name,
                           word);
    args->operand = word;
    return 0;
}

static int take_words(struct parse *p, struct cli_args *args)
{
    bool only_operands = false;
    int err = 0;
    while (p->at < p->argc && err == 0) {
        const char *word = p->argv[p->at++];
        if (only_operands || word[0] != '-' || !word[1])
            err = take_operand(p, word, args);
        else if (strcmp(word, "--") == 0)
            only_operands = true;
        else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            args->help = true;
            return 0;
        } else if (word[1] == '-')
            err = take_long(p, word + 2);
        else
            err = take_short(p, word + 1);
    }
    return err;
}

static int check_number(struct parse *p, const struct option_row *row, const char *text,
                        uint64_t *ret_number)
{
    uint64_t n;
    if (!span_to_u64(span_cstr(text), &n) || n < row->low || n > row->high)
        return usage_error(p, "--%s: '%s' is not a number from %llu to %llu", row->name, text,
                           (unsigned long long)row->low, (unsigned long long)row->high);
    *ret_number = n;
    return 0;
}

static int check_share(struct parse *p, const struct option_row *row, const char *text,
                       double *ret_share)
{
    char *end;
    errno = 0;
    double share = strtod(text, &end);
    if (!ascii_is_digit((uint8_t)text[0]) || *end || errno || !(share >= 0 && share <= 1))
        return usage_error(p, "--%s: '%s' is not a share from 0 to 1, such as 0.01", row->name,
                           text);
    *ret_share = share;
    return 0;
}

static int check_value(struct parse *p, enum option_id id, const char *text, struct cli_args *args)
{
    const struct option_row *row = &option_rows[id];
    uint64_t *number = &args->values[id].number;
    switch (row->type) {
    case OPTION_FLAG:
    case OPTION_TEXT:
    case OPTION_TEXTS: return 0;
    case OPTION_NUMBER: return check_number(p, row, text, number);
    case OPTION_SHARE: return check_share(p, row, text, &args->values[id].share);
    case OPTION_DURATION:
        if (!parse_duration_ms(span_cstr(text), number))
            return usage_error(p, "--%s: '%s' is not a duration such as 250ms, 5s or 1m", row->name,
                               text);
        return 0;
    case OPTION_SIZE:
        if (!parse_size_bytes(span_cstr(text), number))
            return usage_error(p, "--%s: '%s' is not a size such as 500B, 16KiB or 10MB", row->name,
                               text);
        return 0;
    }
    CHECK_FAIL("an option type without a case");
}

static int file_values(struct parse *p, struct cli_args *args)
{
    size_t filed = 0;
    for (int id = 0; id < OPTION_COUNT; id++) {
        args->first[id] = filed;
        for (size_t i = 0; i < p->count; i++) {
            if ((int)p->given[i] != id)
                continue;
            int err = check_value(p, (enum option_id)id, p->values[i], args);
            if (err)
                return err;
            args->texts[filed++] = p->values[i];
        }
    }
    args->first[OPTION_COUNT] = filed;
    return 0;
}

int cli_parse(enum verb_id verb, int argc, char *const *argv, FILE *err, struct cli_args *ret_args)
{
    size_t room = (size_t)argc + 1;
    *ret_args = (struct cli_args){.verb = verb};
    struct parse p = {.verb = verb, .argc = argc, .argv = argv, .err = err};
    p.given = calloc(room, sizeof(*p.given));
    p.values = calloc(room, sizeof(*p.values));
    ret_args->texts = calloc(room, sizeof(*ret_args->texts));
    CHECK(p.given && p.values && ret_args->texts);
    int code = take_words(&p, ret_args);
    if (code == 0 && !ret_args->help)
        code = file_values(&p, ret_args);
    free(p.given);
    free(p.values);
    return code;
}

void cli_args_fini(struct cli_args *args)
{
    free(args->texts);
    args->texts = NULL;
}

bool cli_has(const struct cli_args *args, enum option_id id)
{
    CHECK(option_rows[id].verb == args->verb);
    return args->first[id + 1] > args->first[id];
}

const char *cli_text(const struct cli_args *args, enum option_id id)
{
    return cli_has(args, id) ? args->texts[args->first[id]] : NULL;
}

const char *const *cli_texts(const struct cli_args *args, enum option_id id, size_t *ret_count)
{
    *ret_count = cli_has(args, id) ? args->first[id + 1] - args->first[id] : 0;
    return *ret_count ? args->texts + args->first[id] : NULL;
}

uint64_t cli_number(const struct cli_args *args, enum option_id id, uint64_t otherwise)
{
    return cli_has(args, id) ? args->values[id].number : otherwise;
}

double cli_share(const struct cli_args *args, enum option_id id, double otherwise)
{
    return cli_has(args, id) ? args->values[id].share : otherwise;
}

int cli_main(int argc, char *const *argv)
{
    if (argc < 2) {
        help_short(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        puts("poise " POISE_VERSION);
        return EXIT_OK;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        help_program(stdout);
        return EXIT_OK;
    }
    int verb = help_find_verb(word, stderr);
    if (verb < 0)
        return EXIT_USAGE;
    struct cli_args args;
    int code = cli_parse((enum verb_id)verb, argc - 2, argv + 2, stderr, &args);
    if (code == 0 && args.help)
        help_verb(stdout, args.verb);
    else if (code == 0)
        code = verb_rows[verb].run(&args);
    cli_args_fini(&args);
    return code;
}

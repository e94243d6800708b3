/* SPDX-License-Identifier: MIT */
#include "app/help.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>

#define HELP_COLUMNS 96 /* a line of help is folded here */
#define HELP_LEFT    30 /* where explanations begin */

/* Writes `text` folded between words; the cursor stands at column `at`, later lines begin at
 * `left`. */
static void put_folded(FILE *out, size_t at, size_t left, const char *text)
{
    struct span rest = span_cstr(text);
    size_t column = at;
    while (!span_empty(rest)) {
        struct span word = span_cut(&rest, ' ');
        if (column > left && column + 1 + word.n > HELP_COLUMNS) {
            fprintf(out, "\n%*s", (int)left, "");
            column = left;
        }
        column += (size_t)fprintf(out, "%s" SPAN_FMT, column > left ? " " : "", SPAN_ARG(word));
    }
    fputc('\n', out);
}

static void put_row(FILE *out, const char *head, const char *text)
{
    size_t column = (size_t)fprintf(out, "%-*s", HELP_LEFT, head);
    if (column > HELP_LEFT) {
        fprintf(out, "\n%*s", HELP_LEFT, "");
        column = HELP_LEFT;
    }
    put_folded(out, column, HELP_LEFT, text);
}

static void put_option(FILE *out, const struct option_row *o)
{
    char head[80];
    struct writer w = writer_of(head, sizeof(head));
    if (o->letter)
        w_printf(&w, "  -%c, ", o->letter);
    else
        w_str(&w, "      ");
    w_printf(&w, "--%s %s%s", o->name, o->argument, o->type == OPTION_TEXTS ? " ..." : "");
    put_row(out, w_cstr(&w), o->help);
}

static void put_usage(FILE *out, const struct verb_row *v)
{
    struct span rest = span_cstr(v->usage);
    const char *lead = "Usage:";
    do {
        struct span form = span_cut(&rest, '\n');
        fprintf(out, "%-6s poise %s " SPAN_FMT "\n", lead, v->name, SPAN_ARG(form));
        lead = "";
    } while (!span_empty(rest));
}

void help_short(FILE *out)
{
    fputs("Usage: poise VERB [OPTIONS]\n"
          "Verbs:",
          out);
    for (int i = 0; i < VERB_COUNT; i++)
        fprintf(out, "%s %s", i ? "," : "", verb_rows[i].name);
    fputs("\nTry 'poise help', or 'poise demo' to see it work.\n", out);
}

void help_program(FILE *out)
{
    fputs("poise " POISE_VERSION ", a load balancer for TCP and HTTP\n"
          "\n"
          "Usage: poise VERB [OPTIONS]\n"
          "\n"
          "Verbs:\n",
          out);
    for (int i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  %-13s %s\n", verb_rows[i].name, verb_rows[i].summary);
    fputs(
        "\n"
        "'poise help VERB' explains a verb and its options; 'poise --version' says which this is.\n"
        "\n"
        "Exit status: 0 success, 1 failure while running, 2 wrong command line, 3 invalid\n"
        "configuration, 4 cannot bind or open what was named.\n",
        out);
}

void help_verb(FILE *out, enum verb_id verb)
{
    const struct verb_row *v = &verb_rows[verb];
    fprintf(out, "poise %s: %s\n\n", v->name, v->summary);
    put_usage(out, v);
    fputs("\nOptions:\n", out);
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (option_rows[i].verb == verb)
            put_option(out, &option_rows[i]);
    }
    put_row(out, "  -h, --help", "this text");
    if (v->notes[0])
        fprintf(out, "\n%s\n", v->notes);
}

int help_find_verb(const char *name, FILE *err)
{
    const char *names[VERB_COUNT];
    for (int i = 0; i < VERB_COUNT; i++) {
        names[i] = verb_rows[i].name;
        if (strcmp(name, names[i]) == 0)
            return i;
    }
    fprintf(err, "poise: there is no verb '%s'", name);
    const char *near = suggest_closest(span_cstr(name), names, VERB_COUNT);
    if (near)
        fprintf(err, "; did you mean '%s'?", near);
    fputs("\nTry 'poise help'.\n", err);
    return -1;
}

/* SPDX-License-Identifier: MIT */
/*
 * Diagnostics as compilers print them:
 *
 *   poise.yaml:12:9: error: unknown key 'weigth'
 *      12 |         weigth: 2
 *         |         ^~~~~~ did you mean 'weight'?
 *
 * The source line is shown as it is, so the caret's line repeats its tabs and leaves as many cells
 * as its characters take. Of very long lines only the part around the place is shown.
 */
#include "base/limits.h"
#include "config/diagnose.h"
#include "config/tree_text.h"

#include <jansson.h>
#include <stdlib.h>

#define WINDOW_CHARS 120 /* of a source line that is shown */
#define WINDOW_LEAD  60  /* of them before the place, when the line is longer */

struct printer {
    FILE *out;
    const struct diagnostics *d;
    bool colour;
    uint32_t line; /* where `from` begins: diagnostics come in order */
    struct span from;
};

static const char *paint(const struct printer *p, const char *code)
{
    return p->colour ? code : "";
}

/* The part of a line to show. */
struct window {
    struct span text;
    uint32_t skipped; /* characters before it */
    bool cut_at_start, cut_at_end;
};

static struct span skip_chars(struct span s, uint32_t n)
{
    uint32_t code;
    for (; n > 0 && s.n > 0; n--) {
        size_t bytes = utf8_decode(s, &code);
        s = span_from(s, bytes ? bytes : 1);
    }
    return s;
}

static struct window window_of(struct span line, uint32_t column)
{
    struct window w = {.text = line};
    if (column > WINDOW_CHARS - 20) {
        w.skipped = column - WINDOW_LEAD;
        w.text = skip_chars(line, w.skipped);
        w.cut_at_start = true;
    }
    struct span rest = skip_chars(w.text, WINDOW_CHARS);
    w.cut_at_end = rest.n > 0;
    w.text.n -= rest.n;
    return w;
}

/* Cells of a terminal that a character takes: East Asian wide and combining ones are not 1. */
static unsigned cells_of(uint32_t code)
{
    static const struct {
        uint32_t low, high;
        unsigned cells;
    } odd[] = {
        {0x0300, 0x036f, 0},   {0x200b, 0x200f, 0}, {0xfe00, 0xfe0f, 0},   {0x1100, 0x115f, 2},
        {0x2e80, 0xa4cf, 2},   {0xac00, 0xd7a3, 2}, {0xf900, 0xfaff, 2},   {0xfe30, 0xfe6f, 2},
        {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2}, {0x1f300, 0x1f64f, 2}, {0x1f900, 0x1f9ff, 2},
        {0x20000, 0x3fffd, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        if (code >= odd[i].low && code <= odd[i].high)
            return odd[i].cells;
    return 1;
}

static void repeat(FILE *out, char c, unsigned n)
{
    while (n-- > 0)
        (void)fputc(c, out);
}

/* White space as wide as `chars` characters of the text; what remains of the text. */
static struct span print_gap(FILE *out, struct span text, uint32_t chars)
{
    for (; chars > 0 && text.n > 0; chars--) {
        uint32_t code = ' ';
        size_t bytes = utf8_decode(text, &code);
        repeat(out, code == '\t' ? '\t' : ' ', code == '\t' ? 1 : cells_of(code));
        text = span_from(text, bytes ? bytes : 1);
    }
    repeat(out, ' ', chars);
    return text;
}

/* "^~~~" under `chars` characters; at least the caret. */
static void print_underline(FILE *out, struct span text, uint32_t chars)
{
    bool first = true;
    for (; chars > 0 && (text.n > 0 || first); chars--) {
        uint32_t code = ' ';
        size_t bytes = utf8_decode(text, &code);
        unsigned cells = text.n == 0 || code == '\t' ? 1 : cells_of(code);
        for (; cells > 0; cells--, first = false)
            (void)fputc(first ? '^' : '~', out);
        text = span_from(text, bytes ? bytes : 1);
    }
}

/* As it is, but nothing that a terminal would obey. */
static void print_safely(FILE *out, struct span text)
{
    while (text.n > 0) {
        uint32_t code = 0;
        size_t bytes = utf8_decode(text, &code);
        bool fine = bytes > 0 && (code == '\t' || (code >= 0x20 && (code < 0x7f || code >= 0xa0)));
        if (fine)
            (void)fwrite(text.p, 1, bytes, out);
        else
            (void)fputc('?', out);
        text = span_from(text, bytes ? bytes : 1);
    }
}

/* The line of a place. Going on from the last one keeps a long list of places linear. */
static struct span find_line(struct printer *p, uint32_t number)
{
    if (number < p->line) {
        p->line = 1;
        p->from = p->d->text;
    }
    for (; p->line < number && p->from.n > 0; p->line++)
        (void)span_cut(&p->from, '\n');
    return text_line(p->from, 1);
}

static void print_quote(struct printer *p, struct place at, const char *after)
{
    struct span line = find_line(p, at.line);
    struct window w = window_of(line, at.column);
    uint32_t before = at.column > 0 ? at.column - 1 - w.skipped : 0;
    (void)fprintf(p->out, "%5u | %s", at.line, w.cut_at_start ? "..." : "");
    print_safely(p->out, w.text);
    (void)fprintf(p->out, "%s\n      | %s", w.cut_at_end ? "..." : "", w.cut_at_start ? "   " : "");
    struct span rest = print_gap(p->out, w.text, before);
    (void)fputs(paint(p, "\033[1;32m"), p->out);
    print_underline(p->out, rest, at.length);
    if (after)
        (void)fprintf(p->out, " %s", after);
    (void)fprintf(p->out, "%s\n", paint(p, "\033[0m"));
}

static void print_note(struct printer *p, const char *note)
{
    const char *lead = "      = ";
    while (*note) {
        size_t n = strcspn(note, "\n");
        (void)fprintf(p->out, "%s%.*s\n", lead, (int)n, note);
        note += n + (note[n] == '\n');
        lead = "        ";
    }
}

static void print_one(struct printer *p, const struct diagnostic *item)
{
    bool error = item->level == DIAGNOSTIC_ERROR;
    (void)fprintf(p->out, "%s%s:", paint(p, "\033[1m"), p->d->source);
    if (item->line)
        (void)fprintf(p->out, "%u:%u:", item->line, item->column);
    (void)fprintf(p->out, "%s %s%s:%s %s%s%s\n", paint(p, "\033[0m"),
                  paint(p, error ? "\033[1;31m" : "\033[1;35m"), error ? "error" : "warning",
                  paint(p, "\033[0m"), paint(p, "\033[1m"), item->message, paint(p, "\033[0m"));
    if (item->line)
        print_quote(p, (struct place){item->line, item->column, item->length}, item->hint);
    else if (item->hint)
        print_note(p, item->hint);
    if (item->also.line)
        print_quote(p, (struct place){item->also.line, item->also.column, item->also.length},
                    item->also.label);
    if (item->note)
        print_note(p, item->note);
}

static void print_summary(const struct diagnostics *d, size_t shown, FILE *out)
{
    (void)fprintf(out, "%s: ", d->source);
    if (d->errors)
        (void)fprintf(out, "%zu error%s", d->errors, d->errors == 1 ? "" : "s");
    if (d->errors && d->warnings)
        (void)fputs(", ", out);
    if (d->warnings)
        (void)fprintf(out, "%zu warning%s", d->warnings, d->warnings == 1 ? "" : "s");
    if (shown < d->errors + d->warnings)
        (void)fprintf(out, " (the first %zu shown)", shown);
    (void)fputc('\n', out);
}

void diagnostics_print(const struct diagnostics *d, FILE *out, bool colour)
{
    struct printer p = {.out = out, .d = d, .colour = colour, .line = 1, .from = d->text};
    size_t shown = MIN(d->count, (size_t)CONFIG_ERRORS_MAX);
    for (size_t i = 0; i < shown; i++)
        print_one(&p, &d->items[i]);
    if (d->count)
        print_summary(d, shown, out);
}

void diagnostics_print_json(const struct diagnostics *d, FILE *out)
{
    json_t *array = config_must(json_array());
    for (size_t i = 0; i < d->count; i++) {
        const struct diagnostic *item = &d->items[i];
        json_t *object = config_must(json_pack(
            "{s:s, s:s, s:i, s:i, s:i, s:s, s:s*, s:s*}", "level",
            item->level == DIAGNOSTIC_ERROR ? "error" : "warning", "file", d->source, "line",
            (int)item->line, "column", (int)item->column, "length", (int)item->length, "message",
            item->message, "hint", item->hint, "note", item->note));
        if (item->also.line)
            (void)json_object_set_new(
                object, "also",
                config_must(json_pack("{s:i, s:i, s:i, s:s}", "line", (int)item->also.line,
                                      "column", (int)item->also.column, "length",
                                      (int)item->also.length, "label", item->also.label)));
        (void)json_array_append_new(array, object);
    }
    (void)json_dumpf(array, out, JSON_INDENT(2));
    (void)fputc('\n', out);
    json_decref(array);
}

/* SPDX-License-Identifier: MIT */
#include "app/table.h"

#include "app/term.h"
#include "base/bytes.h"
#include "base/check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 1024

struct cell {
    char *text;
    enum table_tone tone;
};

struct table {
    const char *const *columns;
    size_t column_count;
    size_t widths[TABLE_COLUMNS_MAX];
    struct cell *cells;
    size_t count, room;
};

/* What a terminal shows of UTF-8: continuation bytes take no column. */
static size_t columns_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((uint8_t)*text & 0xc0) != 0x80;
    return n;
}

static bool to_the_right(const struct table *t, size_t column)
{
    return t->columns[column][0] == '>';
}

static const char *heading(const struct table *t, size_t column)
{
    return t->columns[column] + (to_the_right(t, column) ? 1 : 0);
}

struct table *table_new(const char *const *columns, size_t count)
{
    CHECK(count > 0 && count <= TABLE_COLUMNS_MAX);
    struct table *t = calloc(1, sizeof(*t));
    CHECK(t);
    t->columns = columns;
    t->column_count = count;
    for (size_t i = 0; i < count; i++)
        t->widths[i] = columns_of(heading(t, i));
    return t;
}

void table_free(struct table **table)
{
    struct table *t = *table;
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i].text);
    free(t->cells);
    free(t);
    *table = NULL;
}

void table_cell(struct table *t, enum table_tone tone, const char *text)
{
    char escaped[4 * CELL_MAX];
    struct writer w = writer_of(escaped, sizeof(escaped));
    size_t n = strnlen(text, CELL_MAX - 1);
    w_escaped(&w, span_of(text, n));
    if (t->count == t->room) {
        t->room = MAX(2 * t->room, (size_t)64);
        t->cells = reallocarray(t->cells, t->room, sizeof(t->cells[0]));
        CHECK(t->cells);
    }
    struct cell *cell = &t->cells[t->count];
    *cell = (struct cell){.text = strdup(w_cstr(&w)), .tone = tone};
    CHECK(cell->text);
    size_t column = t->count++ % t->column_count;
    t->widths[column] = MAX(t->widths[column], columns_of(cell->text));
}

void table_cellf(struct table *t, enum table_tone tone, const char *format, ...)
{
    char text[CELL_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    table_cell(t, tone, text);
}

static const char *tone_on(enum table_tone tone)
{
    static const char *const codes[] = {"", "\033[32m", "\033[33m", "\033[31m"};
    return codes[tone];
}

static void put_cell(const struct table *t, FILE *out, size_t column, const char *text,
                     enum table_tone tone, bool colour)
{
    bool last = column + 1 == t->column_count;
    int pad = (int)(t->widths[column] - columns_of(text));
    bool right = to_the_right(t, column);
    bool toned = colour && tone != TONE_PLAIN;
    if (right)
        fprintf(out, "%*s", pad, "");
    fprintf(out, "%s%s%s", toned ? tone_on(tone) : "", text, toned ? "\033[0m" : "");
    if (!right && !last)
        fprintf(out, "%*s", pad, "");
    fputs(last ? "\n" : "  ", out);
}

void table_print(const struct table *t, FILE *out, const char *when_empty)
{
    if (t->count == 0) {
        fprintf(out, "%s\n", when_empty);
        return;
    }
    bool colour = term_colour(out);
    for (size_t i = 0; i < t->column_count; i++)
        put_cell(t, out, i, heading(t, i), TONE_PLAIN, false);
    for (size_t i = 0; i < t->count; i++)
        put_cell(t, out, i % t->column_count, t->cells[i].text, t->cells[i].tone, colour);
}

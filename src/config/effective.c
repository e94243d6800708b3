/* SPDX-License-Identifier: MIT */
/*
 * The full configuration, as YAML that loads to the same and as JSON that tells each value's
 * origin. Secrets are shown as "(redacted)".
 */
#include "base/str.h"
#include "config/value.h"
#include "config/walk.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMENT_COLUMN 48

/* Escapes take at most 6 bytes for one. */
#define QUOTED_MAX (6 * VALUE_TEXT_MAX + 3)

/* A bare text that YAML, and our own reader, take for exactly that text. */
static bool is_bare(struct span text)
{
    static const char *const words[] = {"yes", "no",   "on",    "off", "y",
                                        "n",   "true", "false", "null"};
    if (text.n == 0 || (!ascii_is_alpha(text.p[0]) && text.p[0] != '/'))
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (!ascii_is_alnum(text.p[i]) && !strchr("_./-", text.p[i]))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (span_eq_nocase(text, span_cstr(words[i])))
            return false;
    return true;
}

/* In double quotes, and so that ${ is not expanded again. */
void yaml_quote(struct writer *w, struct span text)
{
    if (is_bare(text)) {
        w_span(w, text);
        return;
    }
    w_u8(w, '"');
    while (text.n > 0) {
        size_t dollar = span_find_span(text, span_str("${"));
        w_json_escaped(w, span_sub(text, 0, dollar));
        if (dollar == SPAN_NOT_FOUND)
            break;
        w_str(w, "$${");
        text = span_from(text, dollar + 2);
    }
    w_u8(w, '"');
}

struct yaml_out {
    const struct snapshot *s;
    FILE *out;
    unsigned depth;   /* indentation, in steps of two */
    bool item_begins; /* the next line carries the '- ' of its item */
    int column;
};

static void put(struct yaml_out *y, const char *text, size_t n)
{
    (void)fwrite(text, 1, n, y->out);
    y->column += (int)n;
}

static void put_str(struct yaml_out *y, const char *text)
{
    put(y, text, strlen(text));
}

static void begin_line(struct yaml_out *y, const char *key)
{
    y->column = 0;
    for (unsigned i = 0; i < y->depth; i++)
        put_str(y, i + 1 == y->depth && y->item_begins ? "- " : "  ");
    y->item_begins = false;
    put_str(y, key);
    put_str(y, ":");
}

static void end_line(struct yaml_out *y, struct place at)
{
    int gap = y->column < COMMENT_COLUMN ? COMMENT_COLUMN - y->column : 1;
    if (at.line)
        (void)fprintf(y->out, "%*s# %s:%u\n", gap, "", y->s->source, at.line);
    else
        (void)fprintf(y->out, "%*s# default\n", gap, "");
}

static void put_item(struct yaml_out *y, const struct walk *w, size_t i)
{
    static _Thread_local char raw[VALUE_TEXT_MAX];
    static _Thread_local char quoted[QUOTED_MAX];
    struct writer text = writer_of(raw, sizeof(raw));
    struct writer quote = writer_of(quoted, sizeof(quoted));
    value_item(y->s, w->option, w->block->target, i, &text);
    if (w->option->type == TYPE_FIELD) {
        yaml_quote(&quote, span_cstr(value_item_name(w->option, w->block->target, i)));
        w_str(&quote, ": ");
    }
    if (value_type(w->option->type)->kind == VALUE_TEXT)
        yaml_quote(&quote, w_span_of_result(&text));
    else
        w_span(&quote, w_span_of_result(&text));
    put(y, quoted, w_len(&quote));
}

static void put_value(struct yaml_out *y, const struct walk *w)
{
    size_t count = value_count(w->option, w->block->target);
    bool fields = w->option->type == TYPE_FIELD;
    put_str(y, " ");
    if (w->option->list)
        put_str(y, fields ? "{" : "[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            put_str(y, ", ");
        put_item(y, w, i);
    }
    if (w->option->list)
        put_str(y, fields ? "}" : "]");
}

void config_print_effective(const struct snapshot *s, FILE *out)
{
    struct yaml_out y = {.s = s, .out = out};
    struct walk w;
    walk_init(&w, s);
    for (;;) {
        switch (walk_next(&w)) {
        case WALK_END: return;
        case WALK_VALUE:
            begin_line(&y, w.option->name);
            put_value(&y, &w);
            end_line(&y, w.at);
            break;
        case WALK_BLOCK:
        case WALK_ITEMS:
            begin_line(&y, w.option->name);
            end_line(&y, w.at);
            y.depth++;
            break;
        case WALK_ITEM:
            y.depth++;
            y.item_begins = true;
            break;
        case WALK_ITEM_END:
        case WALK_BLOCK_END:
        case WALK_ITEMS_END: y.depth--; break;
        }
    }
}

/* ---- JSON ---- */

static json_t *json_item(const struct snapshot *s, const struct walk *w, size_t i)
{
    static _Thread_local char raw[VALUE_TEXT_MAX];
    struct writer text = writer_of(raw, sizeof(raw));
    uint64_t number;
    value_item(s, w->option, w->block->target, i, &text);
    struct span result = w_span_of_result(&text);
    enum value_kind kind = value_type(w->option->type)->kind;
    if (kind == VALUE_BOOL)
        return json_boolean(span_eq(result, span_str("true")));
    if (kind == VALUE_NUMBER && span_to_u64(result, &number))
        return json_integer((json_int_t)number);
    return json_stringn(raw, w_len(&text));
}

static json_t *json_value(const struct snapshot *s, const struct walk *w)
{
    size_t count = value_count(w->option, w->block->target);
    if (!w->option->list)
        return json_item(s, w, 0);
    bool fields = w->option->type == TYPE_FIELD;
    json_t *list = fields ? json_object() : json_array();
    for (size_t i = 0; i < count; i++) {
        if (fields)
            (void)json_object_set_new(list, value_item_name(w->option, w->block->target, i),
                                      json_item(s, w, i));
        else
            (void)json_array_append_new(list, json_item(s, w, i));
    }
    return list;
}

static json_t *json_origin(const struct snapshot *s, struct place at)
{
    return at.line ? json_sprintf("%s:%u", s->source, at.line) : json_string("default");
}

void config_print_effective_json(const struct snapshot *s, FILE *out)
{
    json_t *open[2 * WALK_DEPTH_MAX] = {config_must(json_object())};
    size_t depth = 0;
    struct walk w;
    enum walk_event event;
    walk_init(&w, s);
    while ((event = walk_next(&w)) != WALK_END) {
        json_t *inner = NULL;
        if (event == WALK_VALUE) {
            json_t *value = config_must(
                json_pack("{s:o, s:o}", "value", json_value(s, &w), "from", json_origin(s, w.at)));
            (void)json_object_set_new(open[depth], w.option->name, value);
        } else if (event == WALK_BLOCK || event == WALK_ITEMS) {
            inner = config_must(event == WALK_BLOCK ? json_object() : json_array());
            (void)json_object_set_new(open[depth], w.option->name, inner);
        } else if (event == WALK_ITEM) {
            inner = config_must(json_object());
            (void)json_array_append_new(open[depth], inner);
        } else {
            depth--;
        }
        if (inner)
            open[++depth] = inner;
    }
    (void)json_dumpf(open[0], out, JSON_INDENT(2));
    (void)fputc('\n', out);
    json_decref(open[0]);
}

/* SPDX-License-Identifier: MIT */
/*
 * ${NAME} and ${NAME:-default} in values. "$${" is a literal "${"; other dollars are themselves.
 * What comes from the environment is not expanded again.
 */
#include "base/limits.h"
#include "config/value.h"

#define NAME_BYTES_MAX 128

struct expansion {
    struct load *l;
    struct place at;
    bool exact; /* characters of the text are columns of the source line */
    struct span text;
    size_t used;
    struct writer out;
};

/* Where `length` bytes at `offset` of the text stand. */
static struct place place_in(const struct expansion *e, size_t offset, size_t length)
{
    if (!e->exact)
        return e->at;
    return (struct place){e->at.line, e->at.column + (uint32_t)offset, (uint32_t)length};
}

static bool is_variable(struct span name)
{
    if (name.n == 0 || name.n > NAME_BYTES_MAX || ascii_is_digit(name.p[0]))
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (!ascii_is_alnum(name.p[i]) && name.p[i] != '_')
            return false;
    return true;
}

/* One "${...}" at e->used. */
static bool expand_variable(struct expansion *e)
{
    struct span rest = span_from(e->text, e->used + 2);
    size_t length = span_find(rest, '}');
    if (length == SPAN_NOT_FOUND) {
        diagnose_error(e->l->d, place_in(e, e->used, 2),
                       "'${' without its '}'; write '$${' for the characters themselves");
        return false;
    }
    struct place at = place_in(e, e->used, length + 3);
    struct span inside = span_sub(rest, 0, length);
    size_t colon = span_find_span(inside, span_str(":-"));
    struct span name = span_sub(inside, 0, colon);
    char word[NAME_BYTES_MAX + 1];
    if (!is_variable(name) || !span_to_cstr(name, word, sizeof(word))) {
        diagnose_error(e->l->d, at, "'" SPAN_FMT "' is not the name of an environment variable",
                       SPAN_ARG(name));
        return false;
    }
    const char *value = e->l->env ? e->l->env(word) : NULL;
    bool empty = value == NULL || value[0] == 0;
    if (value == NULL && colon == SPAN_NOT_FOUND) {
        diagnose(e->l->d, &(struct finding){.at = at, .hint = "set it, or write ${NAME:-default}"},
                 "the environment has no variable '%s'", word);
        return false;
    }
    w_span(&e->out,
           empty && colon != SPAN_NOT_FOUND ? span_from(inside, colon + 2) : span_cstr(value));
    e->used += length + 3;
    return true;
}

static bool check_text(struct load *l, struct place at, struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!ascii_is_control(text.p[i]))
            continue;
        diagnose_error(l->d, at, "a value has no line ends, tabs or control characters");
        return false;
    }
    return true;
}

bool value_expand(struct load *l, const struct node *node, struct span *ret_text)
{
    size_t quotes = node->plain ? 0 : 2;
    struct expansion e = {
        .l = l,
        .at = node->at,
        .exact = node->at.length == node->text.n + quotes,
        .text = node->text,
    };
    e.at.column += e.exact ? (uint32_t)quotes / 2 : 0;
    if (node->text.n > CONFIG_VALUE_MAX) {
        diagnose_error(l->d, node->at, "a value is longer than %d bytes", CONFIG_VALUE_MAX);
        return false;
    }
    if (!check_text(l, node->at, node->text))
        return false;
    *ret_text = node->text;
    if (span_find_span(node->text, span_str("${")) == SPAN_NOT_FOUND)
        return true;
    char buf[CONFIG_VALUE_MAX];
    e.out = writer_of(buf, sizeof(buf));
    while (e.used < e.text.n) {
        struct span rest = span_from(e.text, e.used);
        if (span_starts(rest, span_str("$${"))) {
            w_str(&e.out, "${");
            e.used += 3;
        } else if (span_starts(rest, span_str("${"))) {
            if (!expand_variable(&e))
                return false;
        } else {
            w_u8(&e.out, rest.p[0]);
            e.used++;
        }
    }
    if (!w_ok(&e.out)) {
        diagnose_error(l->d, node->at, "with its variables the value is longer than %d bytes",
                       CONFIG_VALUE_MAX);
        return false;
    }
    if (!check_text(l, node->at, w_span_of_result(&e.out)))
        return false;
    ret_text->p = config_must(arena_strdup(&l->scratch, w_span_of_result(&e.out)));
    ret_text->n = w_len(&e.out);
    return true;
}

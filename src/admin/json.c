/* SPDX-License-Identifier: MIT */
#include "admin/json.h"

#include "base/check.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>

/* A byte takes at most six. */
#define ESCAPED_BYTES 6

/* Texts are escaped in pieces of so many bytes; a character is not cut. */
#define PIECE_BYTES 1024

/* ---- writing ---- */

static size_t piece_len(struct span s)
{
    size_t n = MIN(s.n, (size_t)PIECE_BYTES);
    for (size_t back = 0; n < s.n && back < 3 && (s.p[n] & 0xc0) == 0x80; back++)
        n--;
    return n;
}

static void quoted(struct text *out, struct span s)
{
    text_u8(out, '"');
    while (s.n > 0) {
        size_t n = piece_len(s);
        uint8_t *room = text_reserve(out, n * ESCAPED_BYTES);
        if (!room)
            return;
        struct writer w = writer_of(room, n * ESCAPED_BYTES);
        w_json_escaped(&w, span_sub(s, 0, n));
        CHECK(w_ok(&w));
        text_commit(out, w_len(&w));
        s = span_from(s, n);
    }
    text_u8(out, '"');
}

static void begin(struct json *j, const char *key)
{
    if (j->comma)
        text_u8(j->out, ',');
    j->comma = true;
    if (!key)
        return;
    quoted(j->out, span_cstr(key));
    text_u8(j->out, ':');
}

static void open_level(struct json *j, const char *key, char opener, char closer)
{
    CHECK(j->depth < JSON_NESTING_MAX);
    begin(j, key);
    text_u8(j->out, (uint8_t)opener);
    j->closers[j->depth++] = closer;
    j->comma = false;
}

void j_object(struct json *j, const char *key)
{
    open_level(j, key, '{', '}');
}

void j_array(struct json *j, const char *key)
{
    open_level(j, key, '[', ']');
}

void j_end(struct json *j)
{
    CHECK(j->depth > 0);
    text_u8(j->out, (uint8_t)j->closers[--j->depth]);
    j->comma = true;
}

void j_span(struct json *j, const char *key, struct span value)
{
    begin(j, key);
    quoted(j->out, value);
}

void j_str(struct json *j, const char *key, const char *value)
{
    if (value) {
        j_span(j, key, span_cstr(value));
        return;
    }
    begin(j, key);
    text_str(j->out, "null");
}

void j_u64(struct json *j, const char *key, uint64_t value)
{
    begin(j, key);
    text_u64(j->out, value);
}

void j_bool(struct json *j, const char *key, bool value)
{
    begin(j, key);
    text_str(j->out, value ? "true" : "false");
}

void j_number(struct json *j, const char *key, double value)
{
    char digits[64];
    begin(j, key);
    if (!isfinite(value) || fabs(value) > 1e15) {
        text_str(j->out, "null");
        return;
    }
    int n = snprintf(digits, sizeof(digits), "%.3f", value);
    CHECK(n > 0 && (size_t)n < sizeof(digits));
    while (digits[n - 1] == '0')
        n--;
    if (digits[n - 1] == '.')
        n--;
    text_add(j->out, digits, (size_t)n);
}

void j_time(struct json *j, const char *key, uint64_t wall_ms)
{
    char stamp[64];
    struct writer w = writer_of(stamp, sizeof(stamp));
    w_rfc3339_ms(&w, (int64_t)wall_ms);
    j_span(j, key, w_span_of_result(&w));
}

/* ---- reading ---- */

static json_t *fault(struct json_fault *f, const char *field, const char *message)
{
    snprintf(f->field, sizeof(f->field), "%s", field);
    snprintf(f->message, sizeof(f->message), "%s", message);
    return NULL;
}

/* The parser recurses: how deep is known before it is let in. */
static bool too_deep(struct span text)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if ((c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX) {
            return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static bool is_known(const char *key, const char *const *keys, size_t key_count)
{
    for (size_t i = 0; i < key_count; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

/* The key as it may be quoted: cut, and without bytes that steer a terminal. */
static void unknown_key(struct json_fault *f, const char *key, const char *const *keys, size_t n)
{
    char shown[sizeof(f->field)];
    struct writer w = writer_of(shown, sizeof(shown) - 1);
    struct span s = span_cstr(key);
    for (size_t i = 0; i < s.n && w_ok(&w); i++)
        w_escaped(&w, span_sub(s, i, 1));
    w.failed = false;
    w_cstr(&w);
    fault(f, shown, "");
    struct writer m = writer_of(f->message, sizeof(f->message));
    w_printf(&m, "there is no field '%s' here", shown);
    const char *near = suggest_closest(s, keys, n);
    if (near)
        w_printf(&m, "; did you mean '%s'?", near);
    for (size_t i = 0; !near && i < n; i++)
        w_printf(&m, "%s%s", i ? ", " : "; there are ", keys[i]);
    if (!near && n == 0)
        w_str(&m, "; it takes none");
    w_cstr(&m);
}

static bool is_blank(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!strchr(" \t\r\n", text.p[i]) || text.p[i] == 0)
            return false;
    return true;
}

json_t *j_read(struct span text, const char *const *keys, size_t key_count,
               struct json_fault *ret_fault)
{
    if (is_blank(text))
        return json_object();
    if (too_deep(text))
        return fault(ret_fault, "", "the body is nested too deeply");
    json_error_t error;
    json_t *root = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        snprintf(ret_fault->message, sizeof(ret_fault->message),
                 "the body is not JSON: line %d, column %d", error.line, error.column);
        ret_fault->field[0] = 0;
        return NULL;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return fault(ret_fault, "", "the body is not a JSON object");
    }
    for (void *at = json_object_iter(root); at; at = json_object_iter_next(root, at)) {
        const char *key = json_object_iter_key(at);
        if (is_known(key, keys, key_count))
            continue;
        unknown_key(ret_fault, key, keys, key_count);
        json_decref(root);
        return NULL;
    }
    return root;
}

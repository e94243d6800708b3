/* SPDX-License-Identifier: MIT */
#include "admin/verbs.h"

#include "base/check.h"
#include "base/str.h"

static const struct admin_verb_row rows[] = {
#define ADMIN_VERB(id, method, path, who, summary) \
    [ADMIN_VERB_##id] = {METHOD_##method, #method, path, ADMIN_##who, summary},
#include "admin/verbs.def"
#undef ADMIN_VERB
};

const struct admin_verb_row *admin_verb_row(enum admin_verb verb)
{
    CHECK((size_t)verb < ARRAY_LEN(rows));
    return &rows[verb];
}

/* Byte by byte; a {word} takes a segment that is not empty, the last possible one all the rest. */
static bool matches(struct span pattern, struct span path, struct span params[ADMIN_PARAMS_MAX])
{
    size_t count = 0;
    while (pattern.n > 0) {
        if (pattern.p[0] != '{') {
            if (path.n == 0 || path.p[0] != pattern.p[0])
                return false;
            pattern = span_from(pattern, 1);
            path = span_from(path, 1);
            continue;
        }
        CHECK(count < ADMIN_PARAMS_MAX);
        bool last = count + 1 == ADMIN_PARAMS_MAX;
        size_t n = last ? path.n : MIN(span_find(path, '/'), path.n);
        if (n == 0)
            return false;
        params[count++] = span_sub(path, 0, n);
        path = span_from(path, n);
        (void)span_cut(&pattern, '}');
    }
    return path.n == 0;
}

static bool row_matches(const struct admin_verb_row *row, struct span path,
                        struct span params[ADMIN_PARAMS_MAX])
{
    return matches(span_cstr(row->path), path, params);
}

static bool method_matches(const struct admin_verb_row *row, enum method method)
{
    return row->method == (method == METHOD_HEAD ? METHOD_GET : method);
}

enum admin_found admin_verb_find(enum method method, struct span path,
                                 struct admin_match *ret_match)
{
    bool path_is_there = false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct admin_match m = {.verb = (enum admin_verb)i};
        if (!row_matches(&rows[i], path, m.params))
            continue;
        path_is_there = true;
        if (!method_matches(&rows[i], method))
            continue;
        *ret_match = m;
        return ADMIN_FOUND;
    }
    return path_is_there ? ADMIN_NO_METHOD : ADMIN_NO_PATH;
}

void admin_verb_methods(struct span path, struct writer *w)
{
    const char *before = "";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span params[ADMIN_PARAMS_MAX];
        if (!row_matches(&rows[i], path, params))
            continue;
        w_str(w, before);
        w_str(w, rows[i].method_name);
        if (rows[i].method == METHOD_GET)
            w_str(w, ", HEAD");
        before = ", ";
    }
}

const char *admin_verb_suggest(struct span path)
{
    const char *fixed[ARRAY_LEN(rows)];
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!strchr(rows[i].path, '{'))
            fixed[count++] = rows[i].path;
    return suggest_closest(path, fixed, count);
}

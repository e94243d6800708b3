/* SPDX-License-Identifier: MIT */
#include "loaded.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>

const char *loaded_env(const char *name)
{
    static const char *const values[][2] = {
        {"TOKEN", "secret-token"}, {"PORT", "8881"},  {"EMPTY", ""},
        {"DOLLAR", "${PORT}"},     {"LINES", "a\nb"},
    };
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (strcmp(values[i][0], name) == 0)
            return values[i][1];
    return NULL;
}

struct loaded loaded_text(const char *text)
{
    struct loaded l = {0};
    int rc = config_load("t.yaml", span_cstr(text), loaded_env, &l.d, &l.s);
    assert_int_equal(rc, l.d.errors ? -1 : 0);
    assert_int_equal(rc == 0, l.s != NULL);
    return l;
}

struct loaded loaded_good(const char *text)
{
    struct loaded l = loaded_text(text);
    if (l.s == NULL)
        diagnostics_print(&l.d, stderr, false);
    assert_non_null(l.s);
    return l;
}

void loaded_fini(struct loaded *l)
{
    snapshot_unref(&l->s);
    assert_null(l->s);
    diagnostics_fini(&l->d);
}

char *printed_effective(const struct snapshot *s, bool comments)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    config_print_effective(s, out);
    assert_int_equal(fclose(out), 0);
    if (comments)
        return text;
    char *to = text;
    for (const char *from = text; *from;) {
        const char *line_end = strchr(from, '\n');
        const char *end = line_end;
        while (strncmp(end, " # ", 3) != 0)
            end--;
        while (end > from && end[-1] == ' ')
            end--;
        memmove(to, from, (size_t)(end - from));
        to += end - from;
        *to++ = '\n';
        from = line_end + 1;
    }
    *to = 0;
    return text;
}

char *printed_diagnostics(const struct diagnostics *d)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    diagnostics_print(d, out, false);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* SPDX-License-Identifier: MIT */
#include "admin/diagnostics.h"

struct finding_text {
    const char *level;
    uint64_t line, column;
    struct span message;
};

/* "file:LINE:COLUMN: error: message"; a file's name may have colons too. */
static bool read_finding(struct span text, struct finding_text *ret)
{
    static const struct {
        const char *level;
        struct span mark;
    } levels[] = {{"error", SPAN_INIT(": error: ")}, {"warning", SPAN_INIT(": warning: ")}};
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        size_t at = span_find_span(text, levels[i].mark);
        if (at == SPAN_NOT_FOUND)
            continue;
        struct span place = span_sub(text, 0, at);
        size_t colon = span_find_last(place, ':');
        struct span before = span_sub(place, 0, colon == SPAN_NOT_FOUND ? 0 : colon);
        size_t other = span_find_last(before, ':');
        *ret = (struct finding_text){.level = levels[i].level,
                                     .message = span_from(text, at + levels[i].mark.n)};
        return colon != SPAN_NOT_FOUND && other != SPAN_NOT_FOUND &&
               span_to_u64(span_from(place, colon + 1), &ret->column) &&
               span_to_u64(span_from(before, other + 1), &ret->line);
    }
    return false;
}

/* "     |     ^~~~ did you mean 'x'?": what stands behind the underline; empty when nothing does.
 */
static struct span read_hint(struct span text)
{
    size_t at = span_find(text, '^');
    struct span bar = span_trim(span_sub(text, 0, at));
    if (at == SPAN_NOT_FOUND || !span_eq(bar, span_str("|")))
        return (struct span){0};
    text = span_from(text, at + 1);
    while (text.n > 0 && text.p[0] == '~')
        text = span_from(text, 1);
    return span_trim(text);
}

void diagnostics_put(struct json *j, struct span printed)
{
    bool open = false;
    j_array(j, "diagnostics");
    while (printed.n > 0) {
        struct finding_text f;
        struct span line = span_cut(&printed, '\n');
        struct span hint = open ? read_hint(line) : (struct span){0};
        if (hint.n > 0)
            j_span(j, "hint", hint);
        if (!read_finding(line, &f))
            continue;
        if (open)
            j_end(j);
        open = true;
        j_object(j, NULL);
        j_str(j, "level", f.level);
        j_u64(j, "line", f.line);
        j_u64(j, "column", f.column);
        j_span(j, "message", f.message);
    }
    if (open)
        j_end(j);
    j_end(j);
}

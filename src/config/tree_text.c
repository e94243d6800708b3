/* SPDX-License-Identifier: MIT */
/*
 * Byte checks come first, so that libyaml sees only text it can read, and every line that it
 * counts is a line that an editor counts.
 */
#include "config/tree_text.h"

#include "base/limits.h"
#include "base/str.h"

#include <yaml.h>

size_t utf8_decode(struct span s, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (s.n == 0)
        return 0;
    uint8_t c = s.p[0];
    size_t n = c < 0x80 ? 1 : (c >> 5) == 6 ? 2 : (c >> 4) == 14 ? 3 : (c >> 3) == 30 ? 4 : 0;
    if (n == 0 || n > s.n)
        return 0;
    uint32_t code = n == 1 ? c : c & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s.p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s.p[i] & 0x3f);
    }
    if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    *ret_code = code;
    return n;
}

struct span text_line(struct span text, uint32_t number)
{
    struct span line = text;
    for (uint32_t i = 0; i < number; i++)
        line = span_cut(&text, '\n');
    return span_ends(line, span_str("\r")) ? span_sub(line, 0, line.n - 1) : line;
}

/* Why a character may not stand in a configuration, or NULL. */
static const char *why_refused(uint32_t code, bool lf_follows)
{
    if (code == 0)
        return "a NUL byte; this is not a text file";
    if (code == '\r')
        return lf_follows ? NULL
                          : "a carriage return without a line feed; end lines with LF or CR LF";
    if (code == '\t' || code == '\n')
        return NULL;
    if (code < 0x20 || (code >= 0x7f && code < 0xa0))
        return code == 0x85 ? "a NEL line separator; end lines with LF" : "a control character";
    if (code == 0x2028 || code == 0x2029)
        return "a Unicode line separator; end lines with LF";
    if (code == 0xfeff)
        return "a byte order mark in the middle of the text";
    if (code == 0xfffe || code == 0xffff)
        return "a character that Unicode does not assign";
    return NULL;
}

static bool too_large(struct span text, struct diagnostics *d)
{
    if (text.n <= CONFIG_FILE_BYTES_MAX)
        return false;
    diagnose_error(d, (struct place){0}, "the file is larger than %d MiB",
                   CONFIG_FILE_BYTES_MAX / (1024 * 1024));
    return true;
}

static bool utf16(struct span text, struct diagnostics *d)
{
    if (!span_starts(text, span_str("\xff\xfe")) && !span_starts(text, span_str("\xfe\xff")))
        return false;
    diagnose_error(d, (struct place){0}, "the file is UTF-16; save it as UTF-8");
    return true;
}

bool tree_text_check(struct span text, struct diagnostics *d)
{
    struct place at = {1, 1, 1};
    if (too_large(text, d) || utf16(text, d))
        return false;
    for (size_t i = 0; i < text.n;) {
        uint32_t code = 0;
        size_t n = utf8_decode(span_from(text, i), &code);
        if (n == 0) {
            diagnose_error(d, at, "the byte 0x%02x is not UTF-8; save the file as UTF-8",
                           text.p[i]);
            return false;
        }
        const char *why = why_refused(code, i + 1 < text.n && text.p[i + 1] == '\n');
        if (why) {
            diagnose_error(d, at, "%s", why);
            return false;
        }
        i += n;
        at.column++;
        if (code == '\n')
            at = (struct place){at.line + 1, 1, 1};
    }
    return true;
}

struct plain_words {
    const char *problem; /* libyaml's, as far as it must agree */
    bool at_context;     /* the place to show is where the broken thing began */
    const char *message;
};

static const struct plain_words plain_words[] = {
    {"mapping values are not allowed", false,
     "a ':' is not expected here; check the indentation, or put the value in quotes"},
    {"could not find expected ':'", false, "a ':' is missing after the key on the line above"},
    {"did not find expected key", false,
     "this line does not fit the block around it; check the indentation and the line above"},
    {"did not find expected '-' indicator", false,
     "this line does not fit the list around it; items begin with '- ', all in one column"},
    {"did not find expected ',' or '}'", false,
     "a ',' or '}' is missing here or on the line above"},
    {"did not find expected ',' or ']'", false,
     "a ',' or ']' is missing here or on the line above"},
    {"found unexpected end of stream", true, "the quote that begins here is never closed"},
    {"found unexpected document indicator", true, "the quote that begins here is never closed"},
    {"block sequence entries are not allowed", false,
     "a list item is not expected here; put '- ' on a line of its own, below its key"},
    {"block mapping entries are not allowed", false,
     "a key is not expected here; put it on a line of its own"},
    {"mapping keys are not allowed", false, "a key is not expected here"},
    {"found unknown escape character", false,
     "this escape is not known in double quotes; use single quotes, or '\\\\' for '\\'"},
    {"found undefined tag handle", false, "tags ('!') are not allowed; the key decides the type"},
    {"did not find expected <document start>", false,
     "the configuration ended above; check the indentation of this line"},
    {"did not find expected node content", false, "a value is missing here"},
    {"found extra document start indicator", false, "a configuration is one document"},
};

/* The character at a mark, or 0 at the end. */
static uint8_t byte_at(struct span text, yaml_mark_t mark)
{
    struct span line = text_line(text, (uint32_t)mark.line + 1);
    for (size_t i = 0; i < mark.column; i++) {
        uint32_t code;
        size_t n = utf8_decode(line, &code);
        if (n == 0)
            return 0;
        line = span_from(line, n);
    }
    return line.n ? line.p[0] : 0;
}

/* True where only white space stands before the mark on its line. */
static bool indents(struct span text, yaml_mark_t mark)
{
    struct span line = text_line(text, (uint32_t)mark.line + 1);
    return span_trim(span_sub(line, 0, mark.column)).n == 0;
}

static const struct plain_words *find_words(const char *problem)
{
    for (size_t i = 0; i < ARRAY_LEN(plain_words); i++)
        if (strncmp(problem, plain_words[i].problem, strlen(plain_words[i].problem)) == 0)
            return &plain_words[i];
    return NULL;
}

void tree_text_complain(const struct yaml_parser_s *parser, struct span text, struct diagnostics *d)
{
    const char *problem = parser->problem ? parser->problem : "the text cannot be read as YAML";
    const struct plain_words *words = find_words(problem);
    yaml_mark_t mark = words && words->at_context ? parser->context_mark : parser->problem_mark;
    struct place at = {(uint32_t)mark.line + 1, (uint32_t)mark.column + 1, 1};
    uint8_t byte = byte_at(text, mark);
    if (byte == '\t' && indents(text, mark))
        diagnose_error(d, at, "a tab cannot indent a line; use spaces");
    else if (words)
        diagnose_error(d, at, "%s", words->message);
    else if (strstr(problem, "cannot start any token") && ascii_is_printable(byte))
        diagnose_error(d, at, "a value cannot begin with '%c'; put it in quotes", byte);
    else
        diagnose_error(d, at, "not YAML: %s", problem);
}

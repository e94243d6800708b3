/* SPDX-License-Identifier: MIT */
/*
 * Heads as they nearly always are: whole lines of the usual shape, read in one pass without keeping
 * account of how far each has been looked at.
 *
 * This is a part of the grammar and nothing beside it. At the first line that is not complete, not
 * of that shape or wrong it stops, with the reader where that line begins, and the readers of
 * h1_start.c and h1_field.c, which know everything, say what it is. So nothing is accepted or
 * refused here that they would not accept or refuse, for the same reason; that the same bytes
 * byte by byte, which never come here, give the same events is what the tests compare.
 */
#include "codec/h1_priv.h"
#include "codec/scan.h"

#define VERSION_LEN 8  /* "HTTP/1.1" */
#define STATUS_LEN  12 /* "HTTP/1.1 200" */

static bool is_crlf(const uint8_t *p)
{
    return memcmp(p, "\r\n", 2) == 0;
}

/* HTTP/1.0 or HTTP/1.1 at `p`. */
static bool is_version(const uint8_t *p)
{
    return memcmp(p, "HTTP/1.", 7) == 0 && (p[7] == '0' || p[7] == '1');
}

/* ---- start lines ---- */

static struct range span_range(size_t from, size_t to)
{
    return (struct range){(uint32_t)from, (uint32_t)(to - from)};
}

static void start_line_done(struct h1_reader *r, size_t end)
{
    r->line_at = r->scanned = (uint16_t)(end + 2);
    r->phase = H1_PHASE_NAME;
}

/* A path that is canonical as it is, and perhaps a query: "/a/b.c?d=e". Its end, or in.n. */
static size_t usual_target(struct span in, size_t at, struct head *h)
{
    size_t end = scan_path(in, at + 1);
    h->target.off = (uint32_t)at;
    h->path = span_range(at, end);
    if (end < in.n && in.p[end] == '?') {
        size_t query = end + 1;
        end = scan_query(in, query);
        h->query = span_range(query, end);
        h->has_query = true;
    }
    h->target.len = (uint32_t)(end - at);
    return end;
}

void h1_usual_request_line(struct h1_reader *r, struct span in, struct head *h)
{
    size_t method = scan_name(in, 0), at = method + 1;
    if (method == 0 || method > HTTP_METHOD_MAX || in.n - method < 2 || in.p[method] != ' ' ||
        in.p[at] != '/')
        return;
    h->method = method_of(span_sub(in, 0, method));
    if (h->method == METHOD_CONNECT)
        return;
    size_t end = usual_target(in, at, h), version = end + 1, line_end = version + VERSION_LEN;
    bool usual = line_end + 2 <= in.n && line_end <= r->limits->line_bytes &&
                 h->path.len <= URI_PATH_MAX && in.p[end] == ' ' && is_version(in.p + version) &&
                 is_crlf(in.p + line_end);
    if (UNLIKELY(!usual)) {
        h->has_query = false;
        return;
    }
    h->method_text = span_range(0, method);
    h->version_minor = (uint8_t)(in.p[line_end - 1] - '0');
    start_line_done(r, line_end);
}

void h1_usual_status_line(struct h1_reader *r, struct span in, struct head *h)
{
    if (in.n < STATUS_LEN + 2 || !is_version(in.p) || in.p[8] != ' ' || in.p[STATUS_LEN] != ' ')
        return;
    unsigned hundreds = in.p[9] - (unsigned)'0', tens = in.p[10] - (unsigned)'0',
             ones = in.p[11] - (unsigned)'0';
    if (hundreds - 1 > 8 || tens > 9 || ones > 9)
        return;
    size_t end = scan_to_control(in, STATUS_LEN + 1);
    if (in.n - end < 2 || end > r->limits->line_bytes || !is_crlf(in.p + end))
        return;
    h->status = (uint16_t)(hundreds * 100 + tens * 10 + ones);
    h->version_minor = (uint8_t)(in.p[7] - '0');
    h->reason_phrase = span_range(STATUS_LEN + 1, end);
    start_line_done(r, end);
}

/* ---- field lines ---- */

/*
 * "Name: value CRLF" at `start`: a name of letters, digits and '-', at most one space in front of a
 * value that has neither HTAB nor white space around it. Its length, or 0.
 */
static size_t usual_line(struct span in, size_t start, struct field *f)
{
    size_t colon = scan_name(in, start), name_len = colon - start;
    if (UNLIKELY(in.n - colon < 2 || in.p[colon] != ':' || name_len - 1 >= HTTP_NAME_MAX))
        return 0;
    size_t value = colon + 1 + (in.p[colon + 1] == ' ');
    size_t end = scan_to_control(in, value);
    if (UNLIKELY(in.n - end < 2 || !is_crlf(in.p + end) || end == value || in.p[value] == ' ' ||
                 in.p[end - 1] == ' '))
        return 0;
    f->name_off = (uint32_t)start;
    f->value_off = (uint32_t)value;
    f->value_len = (uint16_t)(end - value);
    f->name_len = (uint8_t)name_len;
    f->line_off = (uint32_t)start;
    f->line_len = (uint32_t)(end + 2 - start);
    return end - start;
}

int h1_usual_fields(struct h1_reader *r, struct span in, struct head *h)
{
    size_t at = r->line_at;
    int rc = LINE_MORE;
    while (in.n - at >= 2) {
        if (is_crlf(in.p + at)) {
            rc = LINE_BLANK;
            break;
        }
        struct field *f = &h->fields[h->field_count];
        if (UNLIKELY(h->field_count >= r->limits->fields))
            break;
        size_t n = usual_line(in, at, f);
        if (UNLIKELY(n == 0 || n > r->limits->line_bytes))
            break;
        at += n + 2;
        f->id = (uint8_t)field_id_of(field_name(h, f));
        rc = h1_field_meaning(r, h, h->field_count);
        if (UNLIKELY(rc < 0))
            break;
        rc = LINE_MORE;
        h->known |= 1ULL << f->id;
        h->field_count++;
    }
    r->line_at = r->scanned = (uint16_t)at;
    return rc;
}

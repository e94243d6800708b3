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
#include "codec/field_id.h"
#include "codec/h1_priv.h"
#include "codec/scan.h"
#include "codec/target.h"

#define VERSION_LEN 8  /* "HTTP/1.1" */
#define STATUS_LEN  12 /* "HTTP/1.1 200" */

static bool is_crlf(const uint8_t *p)
{
    return memcmp(p, "\r\n", 2) == 0;
}

/* HTTP/1.0 or HTTP/1.1 at `p`: the two differ in the lowest bit of the last byte. */
static bool is_version(const uint8_t *p)
{
    uint8_t text[VERSION_LEN];
    memcpy(text, p, sizeof(text));
    text[VERSION_LEN - 1] &= 0xfe;
    return memcmp(text, "HTTP/1.0", VERSION_LEN) == 0;
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

/* The length of the method, which is followed by " /", or 0. */
static size_t usual_method(struct span in, struct head *h)
{
    if (LIKELY(in.n >= 5 && memcmp(in.p, "GET ", 4) == 0)) {
        h->method = METHOD_GET;
        return in.p[4] == '/' ? 3 : 0;
    }
    size_t n = scan_name(in, 0);
    if (n == 0 || n > HTTP_METHOD_MAX || in.n - n < 2 || in.p[n] != ' ' || in.p[n + 1] != '/')
        return 0;
    h->method = method_of(span_sub(in, 0, n));
    return h->method == METHOD_CONNECT ? 0 : n;
}

void h1_usual_request_line(struct h1_reader *r, struct span in, struct head *h)
{
    size_t method = usual_method(in, h), at = method + 1;
    if (UNLIKELY(method == 0))
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

/* The block at `at`, as far as there is one; `in` is longer than a block. */
static inline scan_block block_at(struct span in, size_t at)
{
    const uint8_t *p = in.p + at;
    return LIKELY(in.n - at >= SCAN_BLOCK) ? scan_load(p) : scan_load_end(p, in.p + in.n);
}

/*
 * "Name: value CRLF" at `at`: a known name or one of letters,
 * digits and '-', at most one space in front of a value that has neither HTAB nor white space
 * around it. Where its CR is, or 0.
 */
static inline size_t usual_line(struct span in, size_t at, struct field *f)
{
    scan_bits colons = scan_colons(block_at(in, at));
    size_t name = LIKELY(colons != 0) ? scan_first(colons) : scan_name(in, at) - at;
    if (UNLIKELY(name == 0 || at + name >= in.n - 1))
        return 0;
    enum field_id id = field_id_inline(span_of(in.p + at, name));
    if (UNLIKELY(id == FIELD_OTHER || colons == 0)) {
        size_t end = scan_name(in, at);
        if (end != at + name || in.p[end] != ':' || name > HTTP_NAME_MAX)
            return 0;
    }
    size_t value = at + name + 1 + (in.p[at + name + 1] == ' ');
    size_t cr = scan_to_control(in, value);
    if (UNLIKELY(cr >= in.n - 1 || !is_crlf(in.p + cr) || in.p[value] == ' ' ||
                 in.p[cr - 1] == ' '))
        return 0;
    f->name_off = (uint32_t)at;
    f->value_off = (uint32_t)value;
    f->line_len = (uint32_t)(cr + 2 - at);
    f->value_len = (uint16_t)(cr - value);
    f->name_len = (uint8_t)name;
    f->id = (uint8_t)id;
    return cr;
}

/* A host of letters, digits, '-' and '.', perhaps with a port, named once and nowhere else. False:
 * a case for the reader that knows all of them. */
static inline bool usual_host(struct span in, struct head *h, const struct field *f)
{
    size_t from = f->value_off, end = from + f->value_len, host = scan_host(in, from);
    if (UNLIKELY(head_has(h, FIELD_HOST) || h->absolute_form || host == from ||
                 f->value_len > HTTP_HOST_MAX))
        return false;
    bool port = host < end && in.p[host] == ':';
    if (UNLIKELY(port ? !target_port_ok(span_sub(in, host + 1, end - host - 1)) : host < end))
        return false;
    h->authority = (struct range){f->value_off, f->value_len};
    h->host = span_range(from, host);
    return true;
}

/* What a field means beside being there. 0 or a negative reason. */
static inline int usual_meaning(struct h1_reader *r, struct span in, struct head *h, unsigned index)
{
    const struct field *f = &h->fields[index];
    if (f->id == FIELD_HOST && r->role == H1_REQUESTS && usual_host(in, h, f))
        return 0;
    return h1_field_meaning(r, h, index);
}

NOINLINE int h1_usual_fields(struct h1_reader *r, struct span in, struct head *h)
{
    const size_t line_max = r->limits->line_bytes;
    unsigned count = h->field_count, room = r->limits->fields;
    size_t at = r->line_at;
    int rc = LINE_MORE;
    if (in.n <= SCAN_BLOCK)
        return LINE_MORE;
    while (in.n - at >= 2 && !is_crlf(in.p + at) && count < room) {
        struct field *f = &h->fields[count];
        size_t cr = usual_line(in, at, f);
        if (UNLIKELY(cr == 0 || cr - at > line_max))
            break;
        at = cr + 2;
        if (H1_FIELDS_WITH_MEANING >> f->id & 1 && f->id != FIELD_OTHER) {
            rc = usual_meaning(r, in, h, count);
            if (UNLIKELY(rc < 0))
                break;
            rc = LINE_MORE;
        }
        h->known |= 1ULL << f->id;
        count++;
    }
    if (rc == LINE_MORE && in.n - at >= 2 && is_crlf(in.p + at))
        rc = LINE_BLANK;
    h->field_count = (uint16_t)count;
    r->line_at = r->scanned = (uint16_t)at;
    return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * Start lines (RFC 9112 3 and 4). Each part is checked as soon as it is there, so that what is not
 * HTTP is refused at its first wrong byte. Reasons depend on the bytes alone, not on how they were
 * split: an error belongs to one position, and the limit of a line is passed at one position.
 */
#include "base/check.h"
#include "codec/h1_priv.h"
#include "codec/scan.h"
#include "codec/target.h"

#define VERSION_TEXT "HTTP/"
#define VERSION_LEN  8 /* "HTTP/1.1" */

static struct range range_of(size_t from, size_t to)
{
    return (struct range){(uint32_t)from, (uint32_t)(to - from)};
}

/* ---- request targets ---- */

/* Path and query: target bytes from `at` on, at least one, the first of them '/'. */
static int path_and_query(struct head *h, size_t at)
{
    size_t end = h->target.off + h->target.len;
    struct span rest = {h->base + at, end - at};
    size_t mark = span_find(rest, '?');
    struct span path = span_sub(rest, 0, mark);
    if (mark != SPAN_NOT_FOUND) {
        h->has_query = true;
        h->query = range_of(at + mark + 1, end);
        if (!target_query_ok(span_from(rest, mark + 1)))
            return -REASON_bad_target;
    }
    if (path.n > URI_PATH_MAX)
        return -REASON_target_too_long;
    h->path = range_of(at, at + path.n);
    if (LIKELY(target_path_is_canonical(path)))
        return 0;
    if (h->scratch_buf == NULL || h->scratch_cap < path.n)
        return -REASON_bad_path;
    size_t n = 0;
    int rc = target_path_canonical(path, h->scratch_buf, h->scratch_cap, &n);
    if (rc < 0)
        return rc;
    h->path = range_of(0, n);
    h->path_in_scratch = true;
    return 0;
}

/* Length of "http://" or "https://" in front of `target`, or 0. */
static size_t scheme_len(struct span target)
{
    static const struct span schemes[] = {SPAN_INIT("http://"), SPAN_INIT("https://")};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (span_eq_nocase(span_sub(target, 0, schemes[i].n), schemes[i]))
            return schemes[i].n;
    return 0;
}

/* The path of an absolute target that has none: "/", or "*" for OPTIONS (RFC 9112 3.2.4). */
static int empty_path(struct head *h, size_t slash)
{
    h->path = range_of(slash, slash + 1);
    if (h->method != METHOD_OPTIONS || h->has_query)
        return 0;
    if (h->scratch_buf == NULL || h->scratch_cap < 1)
        return -REASON_bad_path;
    h->scratch_buf[0] = '*';
    h->path = range_of(0, 1);
    h->path_in_scratch = true;
    return 0;
}

static int absolute_target(struct head *h, struct span target)
{
    size_t scheme = scheme_len(target);
    if (scheme == 0)
        return -REASON_bad_target;
    size_t end = scheme;
    while (end < target.n && target.p[end] != '/' && target.p[end] != '?')
        end++;
    struct span host;
    if (target_authority(span_sub(target, scheme, end - scheme), false, &host) < 0)
        return -REASON_bad_target;
    h->absolute_form = true;
    h->authority = range_of(h->target.off + scheme, h->target.off + end);
    h->host = range_of(h->target.off + scheme, h->target.off + scheme + host.n);
    if (end < target.n && target.p[end] == '/')
        return path_and_query(h, h->target.off + end);
    if (end < target.n) {
        h->has_query = true;
        h->query = range_of(h->target.off + end + 1, h->target.off + target.n);
        if (!target_query_ok(span_from(target, end + 1)))
            return -REASON_bad_target;
    }
    /* A '/' there is to point at: the last byte of "http://". */
    return empty_path(h, h->target.off + scheme - 1);
}

static int request_target(struct head *h)
{
    struct span target = head_span(h, h->target);
    if (LIKELY(target.p[0] == '/'))
        return path_and_query(h, h->target.off);
    if (span_eq(target, span_str("*"))) {
        h->path = h->target;
        return h->method == METHOD_OPTIONS ? 0 : -REASON_bad_target;
    }
    return absolute_target(h, target);
}

/* ---- request line ------------------------------------------------------------------------------
 */

/* One empty line in front is skipped (RFC 9112 2.2). */
static int request_first(struct h1_reader *r, struct span in)
{
    size_t i = 0;
    if (in.n == 0)
        return LINE_MORE;
    r->scanned = 1;
    if (in.p[0] == '\r') {
        int rc = h1_line_end(in, 0, REASON_bad_line_end);
        if (rc != LINE_DONE)
            return rc;
        i = 2;
    }
    r->line_at = (uint16_t)i;
    r->scanned = (uint16_t)i;
    r->phase = H1_PHASE_METHOD;
    return LINE_DONE;
}

static int request_method(struct h1_reader *r, struct span in, struct head *h)
{
    size_t i = scan_token(in, r->scanned);
    size_t n = i - r->line_at;
    if (n > HTTP_METHOD_MAX)
        return -REASON_bad_method;
    r->scanned = (uint16_t)i;
    if (i == in.n)
        return LINE_MORE;
    if (in.p[i] == '\n')
        return -REASON_bad_line_end;
    if (in.p[i] == '\r' || (in.p[i] == ' ' && n == 0))
        return -REASON_bad_request_line;
    if (in.p[i] != ' ')
        return -REASON_bad_method;
    h->method_text = range_of(r->line_at, i);
    h->method = method_of(span_sub(in, r->line_at, n));
    if (h->method == METHOD_CONNECT)
        return -REASON_connect_refused_method;
    r->scanned = (uint16_t)(i + 1);
    r->phase = H1_PHASE_TARGET;
    return LINE_DONE;
}

static int request_target_text(struct h1_reader *r, struct span in, struct head *h)
{
    size_t start = h->method_text.off + h->method_text.len + 1;
    size_t i = scan_visible(in, r->scanned);
    if (i - r->line_at > r->limits->line_bytes)
        return -REASON_target_too_long;
    r->scanned = (uint16_t)i;
    if (i == in.n)
        return LINE_MORE;
    if (in.p[i] == '\n')
        return -REASON_bad_line_end;
    if (in.p[i] == '\r' || i == start)
        return -REASON_bad_request_line;
    if (in.p[i] != ' ')
        return -REASON_bad_target;
    h->target = range_of(start, i);
    int rc = request_target(h);
    if (rc < 0)
        return rc;
    r->scanned = (uint16_t)(i + 1);
    r->phase = H1_PHASE_VERSION;
    return LINE_DONE;
}

/* How many bytes at `from` agree with "HTTP/" and go on with digits and dots. At most 8 are there
 * to be looked at, so an incomplete version is simply looked at again. */
static size_t version_text(struct span in, size_t from)
{
    struct span s = span_sub(in, from, VERSION_LEN);
    size_t n = 0;
    while (n < s.n && n < sizeof(VERSION_TEXT) - 1 && s.p[n] == (uint8_t)VERSION_TEXT[n])
        n++;
    if (n < sizeof(VERSION_TEXT) - 1)
        return n;
    while (n < s.n && (ascii_is_digit(s.p[n]) || s.p[n] == '.'))
        n++;
    SCAN_LOOKED(n);
    return n;
}

/* "HTTP/1.0" and "HTTP/1.1"; other text that names a version of HTTP is REASON_bad_version. */
static int version_value(struct span text, uint8_t *ret_minor)
{
    size_t prefix = sizeof(VERSION_TEXT) - 1;
    if (text.n <= prefix || text.p[prefix] == '.')
        return -REASON_bad_request_line;
    if (text.n != VERSION_LEN || text.p[5] != '1' || text.p[6] != '.' || text.p[7] > '1')
        return -REASON_bad_version;
    *ret_minor = (uint8_t)(text.p[7] - '0');
    return 0;
}

static int request_version(struct h1_reader *r, struct span in, struct head *h)
{
    size_t start = r->scanned;
    size_t i = start + version_text(in, start);
    if (i - r->line_at > r->limits->line_bytes)
        return -REASON_target_too_long;
    if (i == in.n)
        return LINE_MORE;
    if (in.p[i] != '\r')
        return h1_line_end(in, i, REASON_bad_request_line);
    int rc = version_value(span_sub(in, start, i - start), &h->version_minor);
    if (rc < 0)
        return rc;
    rc = h1_line_end(in, i, REASON_bad_request_line);
    if (rc != LINE_DONE)
        return rc;
    r->line_at = r->scanned = (uint16_t)(i + 2);
    r->phase = H1_PHASE_NAME;
    return LINE_DONE;
}

NOINLINE int h1_request_line(struct h1_reader *r, struct span in, struct head *h)
{
    int rc = LINE_DONE;
    while (rc == LINE_DONE && r->phase < H1_PHASE_NAME) {
        switch (r->phase) {
        case H1_PHASE_FIRST: rc = request_first(r, in); break;
        case H1_PHASE_METHOD: rc = request_method(r, in, h); break;
        case H1_PHASE_TARGET: rc = request_target_text(r, in, h); break;
        case H1_PHASE_VERSION: rc = request_version(r, in, h); break;
        default: CHECK_FAIL("a response's phase in a request");
        }
    }
    return rc;
}

/* ---- status line --------------------------------------------------------------------------------
 */

/* "HTTP/1.1 200" is short and looked at again while it is incomplete. */
#define STATUS_LEN 12

/* The first byte of `s` that does not fit "HTTP/d.d ddd", or s.n. */
static size_t status_text(struct span s)
{
    static const char shape[] = "HTTP/0.0 000";
    size_t i = 0;
    while (i < s.n && i < STATUS_LEN &&
           (shape[i] == '0' ? ascii_is_digit(s.p[i]) : s.p[i] == (uint8_t)shape[i]))
        i++;
    SCAN_LOOKED(i + 1);
    return i;
}

/* Version and code, or the first thing wrong with them. */
static int status_code(struct h1_reader *r, struct span in, struct head *h)
{
    size_t i = status_text(in);
    r->scanned = in.n > 0 ? 1 : 0;
    if (i >= VERSION_LEN) {
        if (in.p[5] != '1' || in.p[7] > '1')
            return -REASON_bad_version;
        h->version_minor = (uint8_t)(in.p[7] - '0');
    }
    if (i < in.n && i < STATUS_LEN)
        return i == 6 || i == 7 ? -REASON_bad_version : -REASON_bad_request_line;
    if (i < STATUS_LEN)
        return LINE_MORE;
    h->status = (uint16_t)((in.p[9] - '0') * 100 + (in.p[10] - '0') * 10 + (in.p[11] - '0'));
    if (h->status < 100)
        return -REASON_bad_request_line;
    if (in.n == STATUS_LEN)
        return LINE_MORE;
    if (in.p[STATUS_LEN] != ' ' && in.p[STATUS_LEN] != '\r')
        return h1_line_end(in, STATUS_LEN, REASON_bad_request_line);
    r->scanned = STATUS_LEN;
    r->phase = H1_PHASE_PHRASE;
    return LINE_DONE;
}

/* The phrase with the space in front of it. Servers that send no phrase often leave out the space,
 * which the grammar asks for; nobody reads that two ways. */
static int status_phrase(struct h1_reader *r, struct span in, struct head *h)
{
    size_t i = scan_text(in, r->scanned);
    if (i > r->limits->line_bytes)
        return -REASON_head_too_large;
    r->scanned = (uint16_t)i;
    if (i == in.n)
        return LINE_MORE;
    int rc = h1_line_end(in, i, REASON_bad_request_line);
    if (rc != LINE_DONE)
        return rc;
    h->reason_phrase = i > STATUS_LEN ? range_of(STATUS_LEN + 1, i) : range_of(i, i);
    r->line_at = r->scanned = (uint16_t)(i + 2);
    r->phase = H1_PHASE_NAME;
    return LINE_DONE;
}

NOINLINE int h1_status_line(struct h1_reader *r, struct span in, struct head *h)
{
    int rc = LINE_DONE;
    while (rc == LINE_DONE && r->phase < H1_PHASE_NAME) {
        switch (r->phase) {
        case H1_PHASE_FIRST: r->phase = H1_PHASE_STATUS; break;
        case H1_PHASE_STATUS: rc = status_code(r, in, h); break;
        case H1_PHASE_PHRASE: rc = status_phrase(r, in, h); break;
        default: CHECK_FAIL("a request's phase in a response");
        }
    }
    return rc;
}

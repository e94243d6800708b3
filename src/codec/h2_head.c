/* SPDX-License-Identifier: MIT */
/*
 * The text grows from the front of the buffer. What cannot be written as it comes is kept at its
 * end, growing downwards: values of pseudo-header fields until the start line can be made, and the
 * crumbs of Cookie, each followed by its length so that they are read from the first to the last.
 * What must stay true: nothing reaches the text that was not checked by the rules of HTTP/1.
 */
#include "codec/h2_head.h"

#include "base/check.h"
#include "codec/field_id.h"
#include "codec/h1_priv.h"
#include "codec/h1_write.h"
#include "codec/scan.h"
#include "codec/websocket.h"

enum pseudo {
    PSEUDO_METHOD = 1,
    PSEUDO_PATH = 2,
    PSEUDO_SCHEME = 4,
    PSEUDO_AUTHORITY = 8,
    PSEUDO_PROTOCOL = 16,
    PSEUDO_STATUS = 32,
};

/* What a request must have (RFC 9113 8.3.1). */
#define PSEUDO_NEEDED (PSEUDO_METHOD | PSEUDO_PATH | PSEUDO_SCHEME)

#define CRUMB_LEN 2

/* They speak of a connection, of which HTTP/2 has none (RFC 9113 8.2.2). */
#define OF_A_CONNECTION                                                                     \
    (H1_BIT(CONNECTION) | H1_BIT(PROXY_CONNECTION) | H1_BIT(KEEP_ALIVE) | H1_BIT(UPGRADE) | \
     H1_BIT(TRANSFER_ENCODING))

/* Fields that are not just written. */
#define SPECIAL                                                                              \
    (OF_A_CONNECTION | H1_BIT(TE) | H1_BIT(HOST) | H1_BIT(COOKIE) | H1_BIT(CONTENT_LENGTH) | \
     H1_BIT(SEC_WEBSOCKET_KEY) | H1_BIT(SEC_WEBSOCKET_ACCEPT))

static_assert(HTTP_LINE_MAX <= UINT16_MAX, "a crumb's length is 16 bits");

static bool is_request(const struct h2_head *b)
{
    return b->rules->kind == H2_HEAD_REQUEST;
}

static bool is_response(const struct h2_head *b)
{
    return b->rules->kind == H2_HEAD_RESPONSE;
}

static bool is_trailers(const struct h2_head *b)
{
    return b->rules->kind >= H2_HEAD_REQUEST_TRAILERS;
}

bool h2_head_is_websocket(const struct h2_head *b)
{
    return is_request(b) ? (b->pseudo & PSEUDO_PROTOCOL) != 0
                         : b->rules->websocket_key.n > 0 && b->status / 100 == 2;
}

/* Keeps the failure, in the words of who made it. */
static NOINLINE COLD int fail(struct h2_head *b, enum reason why)
{
    if (is_trailers(b) && why != REASON_head_too_large)
        why = REASON_bad_trailer;
    if (b->rules->kind == H2_HEAD_RESPONSE || b->rules->kind == H2_HEAD_RESPONSE_TRAILERS)
        why = h1_response_reason(why);
    b->failure = (uint16_t)why;
    return -(int)why;
}

void h2_head_begin(struct h2_head *b, const struct h2_head_rules *rules, uint8_t *buf, size_t cap)
{
    *b = (struct h2_head){
        .rules = rules, .buf = buf, .cap = (uint32_t)MIN(cap, (size_t)H2_HEAD_BYTES_MAX)};
}

void h2_head_move(struct h2_head *b, uint8_t *buf, size_t cap)
{
    CHECK(cap >= b->cap);
    uint32_t room = (uint32_t)MIN(cap, (size_t)H2_HEAD_BYTES_MAX);
    memcpy(buf, b->buf, b->used);
    if (b->kept > 0)
        memcpy(buf + room - b->kept, b->buf + b->cap - b->kept, b->kept);
    b->buf = buf;
    b->cap = room;
}

/* ---- room ---- */

static bool has_room(const struct h2_head *b, size_t n)
{
    return n <= b->cap - b->used - b->kept;
}

/* What to say when there is not enough: a larger buffer helps, or nothing does. */
static NOINLINE COLD int no_room(struct h2_head *b)
{
    return b->cap < H2_HEAD_BYTES_MAX ? H2_HEAD_ROOM : fail(b, REASON_head_too_large);
}

/* A writer of the text's next bytes, for which there is room. */
static struct writer text_writer(const struct h2_head *b)
{
    return writer_of(b->buf + b->used, b->cap - b->used - b->kept);
}

static void text_commit(struct h2_head *b, const struct writer *w)
{
    CHECK(w_ok(w));
    b->used += (uint32_t)w_len(w);
}

/* At the end of the buffer, below what is there. */
static bool keep(struct h2_head *b, struct span value, struct h2_kept *ret_kept)
{
    if (!has_room(b, value.n))
        return false;
    b->kept += (uint32_t)value.n;
    if (value.n > 0)
        memcpy(b->buf + b->cap - b->kept, value.p, value.n);
    *ret_kept = (struct h2_kept){b->kept, (uint32_t)value.n};
    return true;
}

static struct span kept_span(const struct h2_head *b, struct h2_kept k)
{
    return span_of(b->buf + b->cap - k.at, k.n);
}

/* ---- the start line ---- */

static bool is_visible(struct span s)
{
    return scan_visible(s, 0) == s.n;
}

static int method_value(struct h2_head *b, struct span value)
{
    if (value.n == 0 || value.n > HTTP_METHOD_MAX || scan_token(value, 0) != value.n)
        return fail(b, REASON_bad_method);
    b->connect = span_eq(value, span_str("CONNECT"));
    return keep(b, value, &b->method) ? 0 : no_room(b);
}

static int path_value(struct h2_head *b, struct span value)
{
    bool origin = value.n > 0 && value.p[0] == '/';
    if (value.n > b->rules->limits->line_bytes)
        return fail(b, REASON_target_too_long);
    if ((!origin && !span_eq(value, span_str("*"))) || !is_visible(value))
        return fail(b, REASON_bad_target);
    return keep(b, value, &b->path) ? 0 : no_room(b);
}

static int scheme_value(struct h2_head *b, struct span value)
{
    bool known =
        span_eq_nocase(value, span_str("https")) || span_eq_nocase(value, span_str("http"));
    return known ? 0 : fail(b, REASON_bad_target);
}

static int authority_value(struct h2_head *b, struct span value)
{
    if (value.n == 0 || value.n > HTTP_HOST_MAX || !is_visible(value))
        return fail(b, REASON_bad_host);
    return keep(b, value, &b->authority) ? 0 : no_room(b);
}

static int protocol_value(struct h2_head *b, struct span value)
{
    bool known = span_eq_nocase(value, span_str("websocket"));
    return known ? 0 : fail(b, REASON_connect_refused_method);
}

static int status_value(struct h2_head *b, struct span value)
{
    uint64_t status;
    if (value.n != 3 || !span_to_u64(value, &status) || status < 100)
        return fail(b, REASON_bad_request_line);
    if (status == 101)
        return fail(b, REASON_unexpected_upgrade);
    b->status = (uint16_t)status;
    return 0;
}

struct pseudo_kind {
    struct span name;
    uint8_t bit;
    bool request;
    int (*value)(struct h2_head *b, struct span value);
};

static const struct pseudo_kind pseudo_kinds[] = {
    {SPAN_INIT(":method"), PSEUDO_METHOD, true, method_value},
    {SPAN_INIT(":path"), PSEUDO_PATH, true, path_value},
    {SPAN_INIT(":scheme"), PSEUDO_SCHEME, true, scheme_value},
    {SPAN_INIT(":authority"), PSEUDO_AUTHORITY, true, authority_value},
    {SPAN_INIT(":status"), PSEUDO_STATUS, false, status_value},
    {SPAN_INIT(":protocol"), PSEUDO_PROTOCOL, true, protocol_value},
};

/* Known by kind, once, before all fields. */
static int add_pseudo(struct h2_head *b, struct span name, struct span value)
{
    if (b->started || is_trailers(b))
        return fail(b, REASON_bad_field_name);
    for (size_t i = 0; i < ARRAY_LEN(pseudo_kinds); i++) {
        const struct pseudo_kind *k = &pseudo_kinds[i];
        if (!span_eq(k->name, name))
            continue;
        if (k->request != is_request(b) || (b->pseudo & k->bit) != 0)
            break;
        int rc = k->value(b, value);
        if (rc == 0)
            b->pseudo |= k->bit;
        return rc;
    }
    return fail(b, REASON_bad_request_line);
}

static int request_line_check(struct h2_head *b)
{
    bool protocol = (b->pseudo & PSEUDO_PROTOCOL) != 0;
    if (b->connect && !protocol)
        return fail(b, REASON_connect_refused_method);
    if ((b->pseudo & PSEUDO_NEEDED) != PSEUDO_NEEDED || protocol != b->connect)
        return fail(b, REASON_bad_request_line);
    return 0;
}

/* More than what a start line has beside kept values. */
#define START_BYTES 160

static int start_request(struct h2_head *b)
{
    struct span path = kept_span(b, b->path), authority = kept_span(b, b->authority);
    int rc = request_line_check(b);
    if (rc < 0)
        return rc;
    if (!has_room(b, START_BYTES + path.n + authority.n))
        return no_room(b);
    struct writer w = text_writer(b);
    if (b->connect)
        w_str(&w, "GET");
    else
        w_span(&w, kept_span(b, b->method));
    w_u8(&w, ' ');
    w_span(&w, path);
    w_str(&w, " HTTP/1.1\r\n");
    if (authority.n > 0)
        h1_write_field(&w, span_str("host"), authority);
    if (b->connect)
        w_str(&w, "connection: upgrade\r\nupgrade: websocket\r\n");
    text_commit(b, &w);
    return 0;
}

static int start_response(struct h2_head *b)
{
    if (!(b->pseudo & PSEUDO_STATUS))
        return fail(b, REASON_bad_request_line);
    if (!has_room(b, START_BYTES))
        return no_room(b);
    struct writer w = text_writer(b);
    if (h2_head_is_websocket(b)) {
        uint8_t accept[WEBSOCKET_ACCEPT_BYTES];
        websocket_accept(b->rules->websocket_key, accept);
        w_str(&w, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
                  "upgrade: websocket\r\n");
        h1_write_field(&w, span_str("sec-websocket-accept"), span_of(accept, sizeof(accept)));
    } else {
        w_str(&w, "HTTP/1.1 ");
        w_u64_dec(&w, b->status);
        w_u8(&w, ' ');
        w_str(&w, h1_status_phrase(b->status));
        w_str(&w, "\r\n");
    }
    text_commit(b, &w);
    return 0;
}

static int start(struct h2_head *b)
{
    int rc = is_trailers(b) ? 0 : is_request(b) ? start_request(b) : start_response(b);
    if (rc == 0)
        b->started = true;
    return rc;
}

/* ---- fields ---- */

static bool name_is_lower(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (UNLIKELY(!char_is(name.p[i], CHAR_TOKEN) || (uint8_t)(name.p[i] - 'A') < 26))
            return false;
    return true;
}

/* A token without capitals, and its id. */
static bool name_ok(struct span name, enum field_id *ret_id)
{
    enum field_id id = field_id_inline(name);
    *ret_id = id;
    if (LIKELY(id != FIELD_OTHER) && memcmp(name.p, field_known[id].text, name.n) == 0)
        return true;
    return name.n <= HTTP_NAME_MAX && name_is_lower(name);
}

static int write_field(struct h2_head *b, struct span name, struct span value)
{
    if (UNLIKELY(!has_room(b, name.n + value.n + 4)))
        return no_room(b);
    uint8_t *at = b->buf + b->used;
    memcpy(at, name.p, name.n);
    at += name.n;
    *at++ = ':';
    *at++ = ' ';
    if (value.n > 0)
        memcpy(at, value.p, value.n);
    at += value.n;
    *at++ = '\r';
    *at++ = '\n';
    b->used = (uint32_t)(at - b->buf);
    return 0;
}

static int add_crumb(struct h2_head *b, struct span value)
{
    struct h2_kept length, text;
    uint16_t n = (uint16_t)value.n;
    if (!has_room(b, value.n + CRUMB_LEN))
        return no_room(b);
    if (b->crumbs == 0)
        b->crumbs_at = b->kept;
    CHECK(keep(b, span_of(&n, sizeof(n)), &length));
    CHECK(keep(b, value, &text));
    b->crumbs++;
    b->crumb_bytes += n;
    return 0;
}

/* Says the same as :authority, or stands for it. */
static int add_host(struct h2_head *b, struct span name, struct span value)
{
    struct span authority = kept_span(b, b->authority);
    if (b->host)
        return fail(b, REASON_bad_host);
    int rc = 0;
    if (authority.n == 0)
        rc = write_field(b, name, value);
    else if (!span_eq_nocase(value, authority))
        rc = fail(b, REASON_bad_host);
    if (rc == 0)
        b->host = true;
    return rc;
}

static bool is_zero(struct span digits)
{
    size_t i = 0;
    while (i < digits.n && digits.p[i] == '0')
        i++;
    return i == digits.n;
}

static int add_length(struct h2_head *b, struct span name, struct span value)
{
    if (h2_head_is_websocket(b)) /* RFC 9110 9.3.6: a request has no content, a response's … */
        return is_request(b) ? fail(b, REASON_bad_content_length) : 0; /* … length is ignored */
    int rc = write_field(b, name, value);
    if (rc == 0) {
        b->length = true;
        b->length_any |= !is_zero(value);
    }
    return rc;
}

static int add_special(struct h2_head *b, enum field_id id, struct span name, struct span value)
{
    switch (id) {
    case FIELD_TE:
        if (!span_eq_nocase(value, span_str("trailers")))
            return fail(b, REASON_bad_field_value);
        return write_field(b, name, value);
    case FIELD_HOST: return is_request(b) ? add_host(b, name, value) : write_field(b, name, value);
    case FIELD_COOKIE: return is_request(b) ? add_crumb(b, value) : write_field(b, name, value);
    case FIELD_CONTENT_LENGTH: return add_length(b, name, value);
    case FIELD_SEC_WEBSOCKET_KEY:
    case FIELD_SEC_WEBSOCKET_ACCEPT: /* HTTP/2 has none: ours stand for them */
        return h2_head_is_websocket(b) ? 0 : write_field(b, name, value);
    default: return fail(b, REASON_bad_field_name);
    }
}

static int add_field(struct h2_head *b, struct span name, struct span value)
{
    enum field_id id;
    if (UNLIKELY(!b->started)) {
        int rc = start(b);
        if (rc != 0)
            return rc;
    }
    if (UNLIKELY(!name_ok(name, &id)))
        return fail(b, REASON_bad_field_name);
    if (UNLIKELY(!h1_field_value_ok(value)))
        return fail(b, REASON_bad_field_value);
    if (UNLIKELY(is_trailers(b))) {
        if (!h1_trailer_name_ok(name))
            return fail(b, REASON_bad_trailer);
        return write_field(b, name, value);
    }
    if (SPECIAL >> id & 1)
        return add_special(b, id, name, value);
    if (UNLIKELY(b->connect) && span_eq(name, span_str("sec-websocket-version")))
        b->version13 = true;
    return write_field(b, name, value);
}

/* What this block may have in all. */
static bool within_limits(struct h2_head *b, uint32_t bytes, uint32_t fields)
{
    const struct h1_limits *l = b->rules->limits;
    uint32_t bytes_max = is_trailers(b) ? HTTP_TRAILER_BYTES_MAX : l->head_bytes;
    uint32_t fields_max = is_trailers(b) ? HTTP_TRAILER_FIELDS_MAX : l->fields;
    if (LIKELY(bytes <= bytes_max && fields <= fields_max))
        return true;
    fail(b, bytes > bytes_max || is_trailers(b) ? REASON_head_too_large : REASON_too_many_fields);
    return false;
}

int h2_head_add(struct h2_head *b, struct span name, struct span value)
{
    bool pseudo = name.n > 0 && name.p[0] == ':';
    uint32_t line = (uint32_t)MIN(name.n + value.n + 4, (size_t)UINT16_MAX);
    uint32_t bytes = MIN(b->bytes, UINT32_MAX - line) + line, fields = b->fields + !pseudo;
    int rc = -(int)b->failure;
    if (LIKELY(rc == 0)) {
        if (UNLIKELY(!within_limits(b, bytes, fields)))
            rc = -(int)b->failure;
        else if (pseudo)
            rc = add_pseudo(b, name, value);
        else if (UNLIKELY(name.n == 0))
            rc = fail(b, REASON_bad_field_name);
        else if (UNLIKELY(line > b->rules->limits->line_bytes))
            rc = fail(b, REASON_head_too_large);
        else
            rc = add_field(b, name, value);
    }
    if (LIKELY(rc != H2_HEAD_ROOM)) {
        b->bytes = bytes;
        b->fields = fields;
    }
    return rc;
}

/* ---- the end ---- */

static void write_cookie(const struct h2_head *b, struct writer *w)
{
    const uint8_t *top = b->buf + b->cap - b->crumbs_at;
    w_str(w, "cookie: ");
    for (uint32_t i = 0; i < b->crumbs; i++) {
        uint16_t n;
        memcpy(&n, top - CRUMB_LEN, CRUMB_LEN);
        top -= CRUMB_LEN + n;
        if (i > 0)
            w_str(w, "; ");
        w_span(w, span_of(top, n));
    }
    w_str(w, "\r\n");
}

static void write_key(const struct h2_head *b, struct rng *rng, struct writer *w)
{
    uint8_t key[WEBSOCKET_KEY_BYTES];
    websocket_key_make(rng, key);
    h1_write_field(w, span_str("sec-websocket-key"), span_of(key, sizeof(key)));
    if (!b->version13)
        w_str(w, "sec-websocket-version: 13\r\n");
}

/* Whether a message of that kind has no body, whatever its head says. */
static bool is_bodyless(const struct h2_head *b)
{
    if (h2_head_is_websocket(b))
        return true;
    return is_response(b) &&
           (b->status < 200 || b->status == 204 || b->status == 304 || b->rules->to_head);
}

static int write_framing(struct h2_head *b, bool end_stream, struct writer *w)
{
    if (is_response(b) && b->status < 200 && end_stream)
        return fail(b, REASON_bad_request_line); /* an interim response ends nothing */
    if (is_bodyless(b))
        return 0;
    if (end_stream && b->length_any)
        return fail(b, REASON_bad_content_length);
    if (!end_stream && !b->length)
        w_str(w, "transfer-encoding: chunked\r\n");
    if (end_stream && !b->length && is_response(b))
        w_str(w, "content-length: 0\r\n");
    return 0;
}

/* More than the fields made at the end. */
#define END_BYTES 160

int h2_head_end(struct h2_head *b, bool end_stream, struct rng *rng, struct span *ret_text)
{
    int rc = -(int)b->failure;
    if (rc == 0 && !b->started)
        rc = start(b);
    if (rc != 0)
        return rc;
    if (is_trailers(b)) {
        *ret_text = span_of(b->buf, b->used);
        return H2_HEAD_OK;
    }
    if (!has_room(b, END_BYTES + b->crumb_bytes + (size_t)2 * b->crumbs))
        return no_room(b);
    struct writer w = text_writer(b);
    if (b->crumbs > 0)
        write_cookie(b, &w);
    if (UNLIKELY(b->connect))
        write_key(b, rng, &w);
    rc = write_framing(b, end_stream, &w);
    if (rc < 0)
        return rc;
    w_str(&w, "\r\n");
    text_commit(b, &w);
    *ret_text = span_of(b->buf, b->used);
    return H2_HEAD_OK;
}

/* SPDX-License-Identifier: MIT */
#include "codec/h2_fields.h"

#include "base/check.h"
#include "codec/field_id.h"
#include "codec/h1_priv.h"
#include "codec/scan.h"

/* Where a request's pseudo-header fields stand; the first is there for a WebSocket only. */
enum { AT_PROTOCOL, AT_METHOD, AT_SCHEME, AT_AUTHORITY, AT_PATH, AT_FIELDS };

static_assert(HTTP_FIELDS_MAX + AT_FIELDS + 8 <= H2_FIELDS_MAX, "what request_build adds fits");

/* See h2_fields.h: different each time, or nobody else's business. */
#define NEVER_INDEXED                                                                            \
    (H1_BIT(AUTHORIZATION) | H1_BIT(PROXY_AUTHORIZATION) | H1_BIT(COOKIE) | H1_BIT(SET_COOKIE) | \
     H1_BIT(X_REQUEST_ID) | H1_BIT(X_FORWARDED_FOR) | H1_BIT(REFERER) | H1_BIT(CONTENT_RANGE))

/* The library's type has no const; it does not write. */
static uint8_t *unconst(const uint8_t *p)
{
    return (uint8_t *)(uintptr_t)p;
}

static uint8_t flags_of(bool borrow)
{
    return borrow ? NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE
                  : NGHTTP2_NV_FLAG_NONE;
}

static void set(nghttp2_nv *nv, struct span name, struct span value, uint8_t flags)
{
    *nv = (nghttp2_nv){
        .name = unconst(name.p),
        .value = unconst(value.p),
        .namelen = name.n,
        .valuelen = value.n,
        .flags = flags,
    };
}

/* A known name's text is constant. */
static struct span known_name(enum field_id id)
{
    return span_of(field_known[id].text, field_known[id].n);
}

static void add(struct h2_fields *f, enum field_id id, struct span name, struct span value,
                uint8_t flags)
{
    CHECK(f->count < H2_FIELDS_MAX);
    if (NEVER_INDEXED >> id & 1)
        flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    set(&f->room[f->count++], name, value, flags);
}

/* ---- lines ---- */

struct line {
    struct span name, value;
    enum field_id id;
    size_t end; /* where the next begins */
};

/* The field line at `at` of a text without a mistake. */
static inline struct line line_at(struct span text, size_t at)
{
    size_t colon = scan_token(text, at), cr = scan_text(text, colon);
    CHECK(colon > at && cr + 1 < text.n && text.p[colon] == ':' && text.p[cr] == '\r');
    struct span name = span_of(text.p + at, colon - at);
    return (struct line){
        .name = name,
        .value = span_trim(span_of(text.p + colon + 1, cr - colon - 1)),
        .id = field_id_inline(name),
        .end = cr + 2,
    };
}

static bool list_has(struct span list, struct span word)
{
    while (list.n > 0)
        if (span_eq_nocase(span_trim(span_cut(&list, ',')), word))
            return true;
    return false;
}

/* ---- requests ---- */

/* "GET /path HTTP/1.1 CRLF": where the first field line begins. */
static size_t request_line(struct span text, struct h2_fields *ret, struct span scheme,
                           uint8_t flags)
{
    size_t method = span_find(text, ' ');
    size_t path = scan_visible(text, method + 1);
    size_t end = path + sizeof(" HTTP/1.1\r\n") - 1;
    CHECK(method != SPAN_NOT_FOUND && end <= text.n && text.p[end - 1] == '\n');
    set(&ret->room[AT_METHOD], span_str(":method"), span_sub(text, 0, method), flags);
    set(&ret->room[AT_SCHEME], span_str(":scheme"), scheme, flags);
    set(&ret->room[AT_PATH], span_str(":path"), span_sub(text, method + 1, path - method - 1),
        flags);
    return end;
}

/* Fields that are not just passed on. */
#define REQUEST_SPECIAL (H1_HOP_FIELDS | H1_BIT(HOST) | H1_BIT(SEC_WEBSOCKET_KEY))

static void special_field(const struct line *line, bool websocket, uint8_t flags,
                          struct h2_fields *ret)
{
    switch (line->id) {
    case FIELD_HOST:
        set(&ret->room[AT_AUTHORITY], span_str(":authority"), line->value, flags);
        break;
    case FIELD_SEC_WEBSOCKET_KEY: ret->websocket_key = line->value; break;
    case FIELD_UPGRADE:
        ret->websocket = websocket && list_has(line->value, span_str("websocket"));
        break;
    case FIELD_TE:
        if (span_eq_nocase(line->value, span_str("trailers")))
            add(ret, FIELD_TE, known_name(FIELD_TE), line->value, flags);
        break;
    default: break;
    }
}

static void begin_list(struct h2_fields *ret, size_t first)
{
    ret->count = first;
    ret->websocket = false;
    ret->websocket_key = span_of(NULL, 0);
}

void h2_fields_request(uint8_t *text, size_t n, struct span scheme, bool websocket, bool borrow,
                       struct h2_fields *ret)
{
    const uint8_t flags = flags_of(borrow);
    struct span in = span_of(text, n);
    begin_list(ret, AT_FIELDS);
    ret->room[AT_AUTHORITY].namelen = 0;
    size_t at = request_line(in, ret, scheme, flags);
    websocket = websocket && span_starts(in, span_str("GET "));
    while (text[at] != '\r') {
        struct line line = line_at(in, at);
        if (UNLIKELY(REQUEST_SPECIAL >> line.id & 1)) {
            special_field(&line, websocket, flags, ret);
        } else if (line.id != FIELD_OTHER) {
            add(ret, line.id, known_name(line.id), line.value, flags);
        } else {
            ascii_lower_in_place(text + at, line.name.n);
            add(ret, FIELD_OTHER, line.name, line.value, flags);
        }
        at = line.end;
    }
    CHECK(ret->room[AT_AUTHORITY].namelen > 0);
    size_t first = AT_METHOD;
    if (ret->websocket) {
        first = AT_PROTOCOL;
        set(&ret->room[AT_PROTOCOL], span_str(":protocol"), span_str("websocket"), flags);
        ret->room[AT_METHOD].value = unconst((const uint8_t *)"CONNECT");
        ret->room[AT_METHOD].valuelen = sizeof("CONNECT") - 1;
    }
    ret->list = ret->room + first;
    ret->count -= first;
}

/* ---- responses and trailers ---- */

/* In lower case: where it is, or in scratch. */
static struct span lower_name(struct span name, uint8_t *scratch, size_t *used)
{
    size_t i = 0;
    while (i < name.n && (uint8_t)(name.p[i] - 'A') >= 26)
        i++;
    if (i == name.n)
        return name;
    CHECK(name.n <= H2_FIELDS_SCRATCH - *used);
    uint8_t *to = scratch + *used;
    memcpy(to, name.p, name.n);
    ascii_lower_in_place(to, name.n);
    *used += name.n;
    return span_of(to, name.n);
}

void h2_fields_response(const struct head *h, bool to_websocket, bool borrow,
                        uint8_t scratch[H2_FIELDS_SCRATCH], struct h2_fields *ret)
{
    const uint8_t flags = flags_of(borrow);
    const bool accepted = to_websocket && h->status == 101;
    unsigned status = accepted ? 200 : h->status;
    size_t used = 0;
    begin_list(ret, 0);
    CHECK(status >= 100 && status <= 999 && status != 101);
    for (unsigned i = 3; i-- > 0; status /= 10)
        ret->status[i] = (uint8_t)('0' + status % 10);
    uint8_t copied = flags & (uint8_t)~NGHTTP2_NV_FLAG_NO_COPY_VALUE; /* the next response's too */
    add(ret, FIELD_OTHER, span_str(":status"), span_of(ret->status, sizeof(ret->status)), copied);
    for (unsigned i = 0; i < h->field_count; i++) {
        const struct field *f = &h->fields[i];
        if (head_is_hop(h, i) || (accepted && f->id == FIELD_SEC_WEBSOCKET_ACCEPT))
            continue;
        struct span name =
            f->id != FIELD_OTHER ? known_name(f->id) : lower_name(field_name(h, f), scratch, &used);
        add(ret, f->id, name, field_value(h, f), flags);
    }
    ret->list = ret->room;
}

void h2_fields_trailers(struct span lines, bool borrow, uint8_t scratch[H2_FIELDS_SCRATCH],
                        struct h2_fields *ret)
{
    const uint8_t flags = flags_of(borrow);
    size_t used = 0;
    begin_list(ret, 0);
    for (size_t at = 0; at < lines.n;) {
        struct line line = line_at(lines, at);
        struct span name =
            line.id != FIELD_OTHER ? known_name(line.id) : lower_name(line.name, scratch, &used);
        add(ret, line.id, name, line.value, flags);
        at = line.end;
    }
    ret->list = ret->room;
}

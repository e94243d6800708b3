/* SPDX-License-Identifier: MIT */
/*
 * Fields of HTTP/2, whatever they are: what becomes text is one message to the HTTP/1 reader or is
 * refused by it, does not depend on the size of buffers, and comes back the same as fields again.
 */
#include "codec/h2_fields.h"
#include "codec/h2_head.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint8_t rooms[2][H2_HEAD_BYTES_MAX], copy[H2_HEAD_BYTES_MAX], scratch[H2_FIELDS_SCRATCH];
static uint8_t path_room[URI_PATH_MAX];
static struct head heads[2];
static struct h2_fields fields;
static const struct span key = SPAN_INIT("dGhlIHNhbXBsZSBub25jZQ==");

/* One field: how long its name and value are, and both. A length of 255 stands for 5000. */
static bool next_field(struct reader *in, struct span *ret_name, struct span *ret_value)
{
    if (r_left(in) < 2)
        return false;
    size_t name = r_u8(in), value = r_u8(in);
    *ret_name = r_bytes(in, MIN(name == 255 ? 5000 : name, r_left(in)));
    *ret_value = r_bytes(in, MIN(value == 255 ? 5000 : value, r_left(in)));
    return true;
}

static int add(struct h2_head *b, struct span name, struct span value)
{
    int rc = h2_head_add(b, name, value);
    if (rc == H2_HEAD_ROOM) {
        h2_head_move(b, rooms[1], sizeof(rooms[1]));
        rc = h2_head_add(b, name, value);
        CHECK(rc != H2_HEAD_ROOM);
    }
    return rc;
}

static int end(struct h2_head *b, bool end_stream, struct span *ret_text)
{
    struct rng rng = rng_seed(1);
    int rc = h2_head_end(b, end_stream, &rng, ret_text);
    if (rc == H2_HEAD_ROOM) {
        h2_head_move(b, rooms[1], sizeof(rooms[1]));
        rc = h2_head_end(b, end_stream, &rng, ret_text);
        CHECK(rc != H2_HEAD_ROOM);
    }
    return rc;
}

static int build(const struct h2_head_rules *rules, struct span in, size_t room, bool end_stream,
                 struct span *ret_text)
{
    struct h2_head b;
    struct span name, value;
    struct reader r = reader_of(in);
    h2_head_begin(&b, rules, rooms[0], room);
    while (next_field(&r, &name, &value))
        (void)!add(&b, name, value);
    return end(&b, end_stream, ret_text);
}

static int parse(const struct h2_head_rules *rules, struct span text, struct head *h)
{
    struct h1_reader r;
    struct h1_result res;
    bool request = rules->kind == H2_HEAD_REQUEST;
    head_init(h, path_room, sizeof(path_room));
    h1_reader_init(&r, request ? H1_REQUESTS : H1_RESPONSES, rules->limits);
    if (!request)
        h1_reader_expect(&r, rules->to_head ? METHOD_HEAD : METHOD_GET, rules->websocket_key.n > 0);
    int event = h1_reader_next(&r, text, h, &res);
    CHECK(event < 0 || (event == H1_HEAD && res.used == text.n && h->version_minor == 1));
    return event;
}

/* The next that goes through as it is; Host and a key of ours may change their place. */
static const struct field *next_kept(const struct head *h, unsigned *at)
{
    for (; *at < h->field_count; ++*at) {
        const struct field *f = &h->fields[*at];
        if (!head_is_hop(h, *at) && f->id != FIELD_HOST && f->id != FIELD_SEC_WEBSOCKET_KEY) {
            ++*at;
            return f;
        }
    }
    return NULL;
}

/* Everything that means something, in both. */
static void same(const struct head *a, const struct head *b)
{
    unsigned i = 0, k = 0;
    const struct field *f, *g;
    CHECK(a->status == b->status && a->framing == b->framing && a->upgrade == b->upgrade);
    CHECK(a->body_length == b->body_length && a->has_trailer_te == b->has_trailer_te);
    CHECK(a->method == b->method && span_eq(head_span(a, a->target), head_span(b, b->target)));
    CHECK(span_eq(head_span(a, a->authority), head_span(b, b->authority)));
    do {
        f = next_kept(a, &i);
        g = next_kept(b, &k);
        CHECK((f != NULL) == (g != NULL));
        CHECK(!f || span_eq(field_name(a, f), field_name(b, g)));
        CHECK(!f || span_eq(field_value(a, f), field_value(b, g)));
    } while (f);
}

/* As fields again, and back. */
static void round_trip(const struct h2_head_rules *rules, struct span text, bool end_stream)
{
    struct h2_head b;
    struct span again;
    memcpy(copy, text.p, text.n);
    if (rules->kind == H2_HEAD_REQUEST) {
        /* Lines that request_build does not write. */
        for (unsigned i = 0; i < heads[0].field_count; i++)
            if (head_is_hop(&heads[0], i) && heads[0].fields[i].id == FIELD_OTHER)
                return;
        h2_fields_request(copy, text.n, span_str("http"), true, false, &fields);
    } else {
        parse(rules, span_of(copy, text.n), &heads[0]);
        h2_fields_response(&heads[0], rules->websocket_key.n > 0, false, scratch, &fields);
    }
    parse(rules, span_of(copy, text.n), &heads[0]);
    h2_head_begin(&b, rules, rooms[0], sizeof(rooms[0]));
    for (size_t i = 0; i < fields.count; i++) {
        const nghttp2_nv *nv = &fields.list[i];
        if (add(&b, span_of(nv->name, nv->namelen), span_of(nv->value, nv->valuelen)) < 0)
            return; /* our own lines do not count before, and do now: limits */
    }
    if (end(&b, end_stream, &again) < 0 || parse(rules, again, &heads[1]) < 0)
        return;
    same(&heads[0], &heads[1]);
}

/* A trailer section is read as the same lines. */
static void trailers(const struct h2_head_rules *rules, struct span text)
{
    static const struct span before = SPAN_INIT("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"
                                                "\r\n0\r\n");
    struct h1_reader r;
    struct h1_result res;
    struct writer w = writer_of(copy, sizeof(copy));
    w_span(&w, before);
    w_span(&w, text);
    w_str(&w, "\r\n");
    struct span in = w_span_of_result(&w);
    head_init(&heads[0], NULL, 0);
    h1_reader_init(&r, H1_RESPONSES, rules->limits);
    CHECK(h1_reader_next(&r, in, &heads[0], &res) == H1_HEAD);
    CHECK(h1_reader_next(&r, span_from(in, res.used), &heads[0], &res) == H1_END);
    CHECK(span_eq(res.trailers, text));
    h2_fields_trailers(text, false, scratch, &fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    struct h2_head_rules rules = {
        .kind = (enum h2_head_kind)(data[0] & 3),
        .limits = &h1_limits_default,
        .to_head = (data[0] & 4) != 0,
        .websocket_key = (data[0] & 8) ? key : span_of(NULL, 0),
    };
    bool end_stream = (data[0] & 16) != 0;
    struct span in = span_of(data + 2, n - 2), text, other;
    int small = build(&rules, in, data[1] * 8u, end_stream, &other);
    if (small == 0) {
        memcpy(copy, other.p, other.n);
        other.p = copy;
    }
    int rc = build(&rules, in, sizeof(rooms[0]), end_stream, &text);
    CHECK(rc == small && (rc < 0 || span_eq(text, other)));
    if (rc < 0)
        return 0;
    if (rules.kind >= H2_HEAD_REQUEST_TRAILERS)
        trailers(&rules, text);
    else if (parse(&rules, text, &heads[0]) == H1_HEAD)
        round_trip(&rules, text, end_stream);
    return 0;
}

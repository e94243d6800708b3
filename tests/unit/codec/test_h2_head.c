/* SPDX-License-Identifier: MIT */
/* Fields of HTTP/2 become a head that the HTTP/1 reader takes, or are refused with the reason. */
#include "codec/h2_head.h"

#include "../base/unit.h"

static uint8_t buffer[H2_HEAD_BYTES_MAX], other[H2_HEAD_BYTES_MAX], path_room[URI_PATH_MAX];
static struct head head;
static struct rng rng;

/* "name=value" pairs; a name begins with ':' or not, and the first '=' behind it ends it. */
static struct span name_of(const char *pair)
{
    return span_of(pair, (size_t)(strchr(pair + 1, '=') - pair));
}

static struct span value_of(const char *pair)
{
    return span_cstr(strchr(pair + 1, '=') + 1);
}

struct play {
    enum h2_head_kind kind;
    bool to_head;
    const char *key;
    bool open; /* a body follows */
    size_t cap;
    const char *fields[16];
};

/* The text, or the reason. */
static int build(const struct play *p, struct span *ret_text)
{
    static struct h2_head_rules rules;
    struct h2_head b;
    rules = (struct h2_head_rules){p->kind, &h1_limits_default, p->to_head, span_cstr(p->key)};
    h2_head_begin(&b, &rules, buffer, p->cap ? p->cap : sizeof(buffer));
    for (size_t i = 0; p->fields[i]; i++) {
        int rc = h2_head_add(&b, name_of(p->fields[i]), value_of(p->fields[i]));
        if (rc == H2_HEAD_ROOM) {
            h2_head_move(&b, other, sizeof(other));
            rc = h2_head_add(&b, name_of(p->fields[i]), value_of(p->fields[i]));
        }
        if (rc < 0) {
            assert_int_equal(h2_head_add(&b, span_str("x"), span_str("y")), rc);
            assert_int_equal(h2_head_end(&b, true, &rng, ret_text), rc);
            return rc;
        }
        assert_int_equal(rc, H2_HEAD_OK);
    }
    int rc = h2_head_end(&b, !p->open, &rng, ret_text);
    if (rc == H2_HEAD_ROOM) {
        h2_head_move(&b, other, sizeof(other));
        rc = h2_head_end(&b, !p->open, &rng, ret_text);
    }
    return rc;
}

/* Through the HTTP/1 reader in one pass. */
static int parse(const struct play *p, struct span text)
{
    struct h1_reader r;
    struct h1_result res;
    bool request = p->kind == H2_HEAD_REQUEST;
    head_init(&head, path_room, sizeof(path_room));
    h1_reader_init(&r, request ? H1_REQUESTS : H1_RESPONSES, &h1_limits_default);
    if (!request)
        h1_reader_expect(&r, p->to_head ? METHOD_HEAD : METHOD_GET, p->key != NULL);
    int event = h1_reader_next(&r, text, &head, &res);
    if (event == H1_HEAD) {
        assert_int_equal(res.used, text.n);
        assert_int_equal(head.version_minor, 1);
    }
    return event;
}

static void gives(struct play p, const char *expected)
{
    struct span text;
    assert_int_equal(build(&p, &text), H2_HEAD_OK);
    if (!span_eq(text, span_cstr(expected)))
        fail_msg("got\n" SPAN_FMT "not\n%s", SPAN_ARG(text), expected);
    if (p.kind == H2_HEAD_REQUEST || p.kind == H2_HEAD_RESPONSE)
        assert_int_equal(parse(&p, text), H1_HEAD);
    /* The same in buffers that are too small at any place. */
    for (p.cap = 1; p.cap < 700; p.cap += 7) {
        assert_int_equal(build(&p, &text), H2_HEAD_OK);
        assert_true(span_eq(text, span_cstr(expected)));
    }
}

/* Refused while it is made, or by the reader of what was made. */
static void refused(struct play p, enum reason why)
{
    struct span text;
    int rc = build(&p, &text);
    if (rc == 0)
        rc = parse(&p, text);
    if (rc != -(int)why)
        fail_msg("%s: %d (%s), not %s", p.fields[0], rc,
                 rc < 0 ? reason_name((enum reason) - rc) : "", reason_name(why));
}

#define REQUEST(...) ((struct play){.kind = H2_HEAD_REQUEST, .fields = {__VA_ARGS__}})
#define UPLOAD(...)  ((struct play){.kind = H2_HEAD_REQUEST, .open = true, .fields = {__VA_ARGS__}})
#define GET          ":method=GET", ":scheme=https", ":path=/a?b=c", ":authority=example.com"
#define POST         ":method=POST", ":scheme=http", ":path=/", ":authority=h"

static void test_requests(void **state)
{
    (void)state;
    gives(REQUEST(GET), "GET /a?b=c HTTP/1.1\r\nhost: example.com\r\n\r\n");
    gives(REQUEST(GET, "accept=*/*", "x-a=", "x-b=1\t2"),
          "GET /a?b=c HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\nx-a: \r\nx-b: 1\t2\r\n\r\n");
    gives(REQUEST(":path=*", ":method=OPTIONS", ":scheme=http", "host=a:80"),
          "OPTIONS * HTTP/1.1\r\nhost: a:80\r\n\r\n");
    gives(REQUEST(GET, "host=EXAMPLE.com", "te=trailers"),
          "GET /a?b=c HTTP/1.1\r\nhost: example.com\r\nte: trailers\r\n\r\n");
    assert_true(head.has_trailer_te);
}

static void test_framing_of_requests(void **state)
{
    (void)state;
    gives(UPLOAD(POST), "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
    gives(UPLOAD(POST, "content-length=5"),
          "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n");
    gives(REQUEST(POST, "content-length=0"),
          "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
    gives(REQUEST(POST), "POST / HTTP/1.1\r\nhost: h\r\n\r\n");
    refused(REQUEST(POST, "content-length=5"), REASON_bad_content_length);
    refused(UPLOAD(POST, "content-length=5", "content-length=5"), REASON_bad_content_length);
    refused(UPLOAD(POST, "content-length=+5"), REASON_bad_content_length);
    refused(UPLOAD(POST, "content-length=5, 5"), REASON_bad_content_length);
    refused(UPLOAD(POST, "transfer-encoding=chunked"), REASON_bad_field_name);
}

static void test_cookies(void **state)
{
    (void)state;
    gives(REQUEST(GET, "cookie=a=1", "x=y", "cookie=b=2", "cookie=", "z=1"),
          "GET /a?b=c HTTP/1.1\r\nhost: example.com\r\nx: y\r\nz: 1\r\n"
          "cookie: a=1; b=2; \r\n\r\n");
    gives(REQUEST(GET, "cookie=a=1; b=2"),
          "GET /a?b=c HTTP/1.1\r\nhost: example.com\r\ncookie: a=1; b=2\r\n\r\n");
    refused(REQUEST(GET, "cookie=a\rb"), REASON_bad_field_value);
}

/* Nothing of this may reach a backend that reads lines. */
static void test_hostile_requests(void **state)
{
    (void)state;
    refused(REQUEST(":method=GET", ":scheme=http", ":authority=h"), REASON_bad_request_line);
    refused(REQUEST(":method=GET", ":path=/", ":authority=h"), REASON_bad_request_line);
    refused(REQUEST(":scheme=http", ":path=/", ":authority=h"), REASON_bad_request_line);
    refused(REQUEST(":method=GET", ":scheme=http", ":path=/"), REASON_missing_host);
    refused(REQUEST(GET, ":path=/b"), REASON_bad_request_line);
    refused(REQUEST(GET, ":status=200"), REASON_bad_request_line);
    refused(REQUEST(GET, ":other=1"), REASON_bad_request_line);
    refused(REQUEST(":method=GET", "a=b", ":path=/", ":scheme=http"), REASON_bad_request_line);
    refused(REQUEST(GET, "a=b", ":other=/"), REASON_bad_field_name);
    refused(REQUEST(":method=GE T", ":path=/"), REASON_bad_method);
    refused(REQUEST(":method=", ":path=/"), REASON_bad_method);
    refused(REQUEST(":method=GET / HTTP/1.1\r\nx:", ":path=/"), REASON_bad_method);
    refused(REQUEST(":path="), REASON_bad_target);
    refused(REQUEST(":path=a"), REASON_bad_target);
    refused(REQUEST(":path=http://evil/"), REASON_bad_target);
    refused(REQUEST(":path=/ HTTP/1.1\r\nx: y"), REASON_bad_target);
    refused(REQUEST(":path=/\n"), REASON_bad_target);
    refused(REQUEST(":path=/\x80"), REASON_bad_target);
    refused(REQUEST(":method=GET", ":scheme=http", ":path=/#a", ":authority=h"), REASON_bad_target);
    refused(REQUEST(":method=GET", ":scheme=http", ":path=/%00", ":authority=h"), REASON_bad_path);
    refused(REQUEST(":method=GET", ":scheme=http", ":path=*", ":authority=h"), REASON_bad_target);
    refused(REQUEST(":scheme=ftp"), REASON_bad_target);
    refused(REQUEST(":authority="), REASON_bad_host);
    refused(REQUEST(":authority=a b"), REASON_bad_host);
    refused(REQUEST(":authority=a\r\nb"), REASON_bad_host);
    refused(REQUEST(":method=GET", ":scheme=http", ":path=/", ":authority=a@b"), REASON_bad_host);
    refused(REQUEST(":method=GET", ":scheme=http", ":path=/", ":authority=a,b"), REASON_bad_host);
    refused(REQUEST(GET, "host=other"), REASON_bad_host);
    refused(REQUEST(GET, "host="), REASON_bad_host);
    refused(REQUEST(GET, "host=example.com", "host=example.com"), REASON_bad_host);
    refused(REQUEST(":method=GET", ":scheme=http", ":path=/", "host=a", "host=a"), REASON_bad_host);
}

static void test_hostile_fields(void **state)
{
    (void)state;
    refused(REQUEST(GET, "Accept=1"), REASON_bad_field_name);
    refused(REQUEST(GET, "x-Y=1"), REASON_bad_field_name);
    refused(REQUEST(GET, "x y=1"), REASON_bad_field_name);
    refused(REQUEST(GET, "x:y=1"), REASON_bad_field_name);
    refused(REQUEST(GET, "x\r\ny=1"), REASON_bad_field_name);
    refused(REQUEST(GET, "x\x80=1"), REASON_bad_field_name);
    refused(REQUEST(GET, "x=a\r\nb: c"), REASON_bad_field_value);
    refused(REQUEST(GET, "x=a\nb"), REASON_bad_field_value);
    refused(REQUEST(GET, "x=a\rb"), REASON_bad_field_value);
    refused(REQUEST(GET, "x=a\x7f"), REASON_bad_field_value);
    refused(REQUEST(GET, "x= a"), REASON_bad_field_value);
    refused(REQUEST(GET, "x=a\t"), REASON_bad_field_value);
    refused(REQUEST(GET, "connection=close"), REASON_bad_field_name);
    refused(REQUEST(GET, "keep-alive=1"), REASON_bad_field_name);
    refused(REQUEST(GET, "proxy-connection=close"), REASON_bad_field_name);
    refused(REQUEST(GET, "upgrade=websocket"), REASON_bad_field_name);
    refused(REQUEST(GET, "te=gzip"), REASON_bad_field_value);
    refused(REQUEST(GET, "te=trailers, gzip"), REASON_bad_field_value);
}

/* Names and values with NUL, which text here cannot say. */
static void test_nul_and_empty(void **state)
{
    (void)state;
    static const struct {
        struct span name, value;
        enum reason why;
    } cases[] = {
        {SPAN_INIT("x"), SPAN_INIT("a\0b"), REASON_bad_field_value},
        {SPAN_INIT("x\0y"), SPAN_INIT("a"), REASON_bad_field_name},
        {{NULL, 0}, SPAN_INIT("a"), REASON_bad_field_name},
        {SPAN_INIT(":"), SPAN_INIT("a"), REASON_bad_request_line},
        {SPAN_INIT(":path"), SPAN_INIT("/\0"), REASON_bad_target},
        {SPAN_INIT(":method"), SPAN_INIT("G\0T"), REASON_bad_method},
        {SPAN_INIT(":authority"), SPAN_INIT("a\0b"), REASON_bad_host},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct h2_head_rules rules = {H2_HEAD_REQUEST, &h1_limits_default, false, {NULL, 0}};
        struct h2_head b;
        h2_head_begin(&b, &rules, buffer, sizeof(buffer));
        if (cases[i].name.n == 0 || cases[i].name.p[0] != ':') {
            assert_int_equal(h2_head_add(&b, span_str(":method"), span_str("GET")), 0);
            assert_int_equal(h2_head_add(&b, span_str(":path"), span_str("/")), 0);
            assert_int_equal(h2_head_add(&b, span_str(":scheme"), span_str("http")), 0);
        }
        assert_int_equal(h2_head_add(&b, cases[i].name, cases[i].value), -(int)cases[i].why);
    }
}

#define CONNECT(path) ":method=CONNECT", ":scheme=https", ":path=" path, ":authority=h"

static void test_connect(void **state)
{
    (void)state;
    struct span text;
    struct play p = UPLOAD(":protocol=websocket", CONNECT("/chat"), "sec-websocket-version=13",
                           "sec-websocket-key=theirs", "origin=o");
    assert_int_equal(build(&p, &text), H2_HEAD_OK);
    assert_int_equal(parse(&p, text), H1_HEAD);
    assert_true(head.upgrade);
    assert_int_equal(head.method, METHOD_GET);
    assert_int_equal(head.framing, BODY_NONE);
    unsigned at = 0;
    const struct field *key = head_find(&head, FIELD_SEC_WEBSOCKET_KEY, &at);
    assert_int_equal(key->value_len, 24);
    assert_null(head_find(&head, FIELD_SEC_WEBSOCKET_KEY, &at));
    p = UPLOAD(":protocol=websocket", CONNECT("/"));
    assert_int_equal(build(&p, &text), H2_HEAD_OK);
    assert_int_not_equal(span_find_span(text, span_str("sec-websocket-version: 13\r\n")),
                         SPAN_NOT_FOUND);

    refused(UPLOAD(":method=CONNECT", ":authority=h:80"), REASON_connect_refused_method);
    refused(UPLOAD(CONNECT("/")), REASON_connect_refused_method);
    refused(UPLOAD(CONNECT("/"), ":protocol=connect-udp"), REASON_connect_refused_method);
    refused(REQUEST(GET, ":protocol=websocket"), REASON_bad_request_line);
    refused(UPLOAD(":method=CONNECT", ":protocol=websocket", ":authority=h"),
            REASON_bad_request_line);
    refused(UPLOAD(":protocol=websocket", CONNECT("/"), "content-length=0"),
            REASON_bad_content_length);
}

#define RESPONSE(...) ((struct play){.kind = H2_HEAD_RESPONSE, .fields = {__VA_ARGS__}})
#define STREAM(...) \
    ((struct play){ \
        .kind = H2_HEAD_RESPONSE, .to_head = false, .open = true, .fields = {__VA_ARGS__}})
#define TO_HEAD(...) \
    ((struct play){.kind = H2_HEAD_RESPONSE, .to_head = true, .fields = {__VA_ARGS__}})

static void test_responses(void **state)
{
    (void)state;
    gives(STREAM(":status=200", "content-type=a"),
          "HTTP/1.1 200 OK\r\ncontent-type: a\r\ntransfer-encoding: chunked\r\n\r\n");
    gives(STREAM(":status=200", "content-length=3"),
          "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n");
    gives(RESPONSE(":status=404"), "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    gives(RESPONSE(":status=299", "content-length=0"),
          "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n");
    gives(TO_HEAD(":status=200", "content-length=7"),
          "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
    gives(TO_HEAD(":status=200"), "HTTP/1.1 200 OK\r\n\r\n");
    gives(RESPONSE(":status=304", "content-length=9"),
          "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n");
    gives(RESPONSE(":status=204"), "HTTP/1.1 204 No Content\r\n\r\n");
    gives(STREAM(":status=204"), "HTTP/1.1 204 No Content\r\n\r\n");
    gives(STREAM(":status=103", "link=x"), "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
    gives(STREAM(":status=200", "set-cookie=a", "set-cookie=b", "cookie=c"),
          "HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\ncookie: c\r\n"
          "transfer-encoding: chunked\r\n\r\n");
}

static void test_hostile_responses(void **state)
{
    (void)state;
    refused(RESPONSE("a=b"), REASON_bad_status_line);
    refused(RESPONSE(":status=20"), REASON_bad_status_line);
    refused(RESPONSE(":status=2000"), REASON_bad_status_line);
    refused(RESPONSE(":status=2 0"), REASON_bad_status_line);
    refused(RESPONSE(":status=099"), REASON_bad_status_line);
    refused(RESPONSE(":status=200", ":status=200"), REASON_bad_status_line);
    refused(RESPONSE(":path=/"), REASON_bad_status_line);
    refused(STREAM(":status=101"), REASON_unexpected_upgrade);
    refused(RESPONSE(":status=100"), REASON_bad_status_line);
    refused(RESPONSE(":status=200", "content-length=1"), REASON_bad_response_length);
    refused(STREAM(":status=204", "content-length=1"), REASON_bad_response_length);
    refused(RESPONSE(":status=200", "content-length=x"), REASON_bad_response_length);
    refused(RESPONSE(":status=200", "connection=close"), REASON_bad_response_field);
    refused(RESPONSE(":status=200", "X=y"), REASON_bad_response_field);
    refused(RESPONSE(":status=200", "x=a\r\ny: z"), REASON_bad_response_field);
}

static void test_websocket_responses(void **state)
{
    (void)state;
    struct play p = STREAM(":status=200", "sec-websocket-protocol=chat", "content-length=0");
    p.key = "dGhlIHNhbXBsZSBub25jZQ==";
    gives(p, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
             "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
             "sec-websocket-protocol: chat\r\n\r\n");
    assert_int_equal(head.framing, BODY_TUNNEL);
    p = RESPONSE(":status=403");
    p.key = "dGhlIHNhbXBsZSBub25jZQ==";
    gives(p, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
}

#define TRAILERS(...) ((struct play){.kind = H2_HEAD_REQUEST_TRAILERS, .fields = {__VA_ARGS__}})

static void test_trailers(void **state)
{
    (void)state;
    gives(TRAILERS("grpc-status=0", "x="), "grpc-status: 0\r\nx: \r\n");
    struct span text;
    static const char *const bad[] = {
        ":path=/",     "content-length=1",  "transfer-encoding=a", "Host=a",      "host=a",
        "x=a\r\nb: c", "x_forwarded_for=1", "te=trailers",         "connection=a"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct play p = TRAILERS(bad[i]);
        assert_int_equal(build(&p, &text), -REASON_bad_trailer);
        p.kind = H2_HEAD_RESPONSE_TRAILERS;
        assert_int_equal(build(&p, &text), -REASON_bad_response_field);
    }
}

/* ---- limits ---- */

static void begin_get(struct h2_head *b, const struct h2_head_rules *rules)
{
    h2_head_begin(b, rules, buffer, sizeof(buffer));
    assert_int_equal(h2_head_add(b, span_str(":method"), span_str("GET")), 0);
    assert_int_equal(h2_head_add(b, span_str(":path"), span_str("/")), 0);
    assert_int_equal(h2_head_add(b, span_str(":scheme"), span_str("http")), 0);
    assert_int_equal(h2_head_add(b, span_str(":authority"), span_str("h")), 0);
}

/* Adds the same until it is refused; how often it was taken. */
static unsigned fill(struct h2_head *b, struct span name, struct span value, enum reason why)
{
    unsigned taken = 0;
    int rc;
    while ((rc = h2_head_add(b, name, value)) == 0)
        taken++;
    assert_int_equal(rc, -(int)why);
    return taken;
}

static void test_limits(void **state)
{
    (void)state;
    static uint8_t large[70000];
    memset(large, 'a', sizeof(large));
    struct h2_head_rules rules = {H2_HEAD_REQUEST, &h1_limits_default, false, {NULL, 0}};
    struct h2_head b;
    begin_get(&b, &rules);
    assert_int_equal(fill(&b, span_str("a"), span_str("b"), REASON_too_many_fields),
                     HTTP_FIELDS_MAX);
    begin_get(&b, &rules); /* crumbs count, the empty ones too */
    assert_int_equal(fill(&b, span_str("cookie"), span_str(""), REASON_too_many_fields),
                     HTTP_FIELDS_MAX);
    begin_get(&b, &rules);
    assert_int_equal(fill(&b, span_str("cookie"), span_of(large, 8000), REASON_head_too_large), 4);
    begin_get(&b, &rules);
    assert_int_equal(fill(&b, span_str("a"), span_of(large, 8000), REASON_head_too_large), 4);
    begin_get(&b, &rules);
    assert_int_equal(fill(&b, span_str("a"), span_of(large, HTTP_LINE_MAX), REASON_head_too_large),
                     0);
    begin_get(&b, &rules);
    assert_int_equal(fill(&b, span_of(large, 256), span_str("a"), REASON_bad_field_name), 0);
    begin_get(&b, &rules);
    assert_int_equal(fill(&b, span_str("a"), span_of(large, 65535), REASON_head_too_large), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(h2_head_add(&b, span_str("a"), span_of(large, 60000)),
                         -REASON_head_too_large);
    assert_true(h2_head_bytes(&b) > 101 * 60000u);
    large[0] = '/';
    h2_head_begin(&b, &rules, buffer, sizeof(buffer));
    assert_int_equal(
        fill(&b, span_str(":path"), span_of(large, HTTP_LINE_MAX + 1), REASON_target_too_long), 0);
}

/* Whatever fills the budget, the largest buffer has room for its text. */
static void test_room_is_enough(void **state)
{
    (void)state;
    static uint8_t large[8000];
    memset(large, 'a', sizeof(large));
    struct h2_head_rules rules = {H2_HEAD_REQUEST, &h1_limits_default, false, {NULL, 0}};
    for (unsigned cookies = 0; cookies <= 50; cookies++) {
        struct h2_head b;
        struct span text;
        begin_get(&b, &rules);
        for (unsigned i = 0; i < 90; i++)
            assert_int_equal(h2_head_add(&b, i < cookies ? span_str("cookie") : span_str("x"),
                                         span_of(large, i < cookies ? 150 : 350 - cookies)),
                             0);
        assert_int_equal(h2_head_end(&b, true, &rng, &text), 0);
        assert_int_equal(parse(&REQUEST(NULL), text), H1_HEAD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),          cmocka_unit_test(test_framing_of_requests),
        cmocka_unit_test(test_cookies),           cmocka_unit_test(test_hostile_requests),
        cmocka_unit_test(test_hostile_fields),    cmocka_unit_test(test_nul_and_empty),
        cmocka_unit_test(test_connect),           cmocka_unit_test(test_responses),
        cmocka_unit_test(test_hostile_responses), cmocka_unit_test(test_websocket_responses),
        cmocka_unit_test(test_trailers),          cmocka_unit_test(test_limits),
        cmocka_unit_test(test_room_is_enough),
    };
    rng = rng_seed(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

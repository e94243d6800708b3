/* SPDX-License-Identifier: MIT */
/* HTTP/1 heads as the fields of HTTP/2. */
#include "codec/h2_fields.h"

#include "../base/unit.h"
#include "codec/h1.h"

static struct h2_fields fields;
static uint8_t scratch[H2_FIELDS_SCRATCH], out[65536];
static struct head head;

/* "name=value|name=value|", a '!' in front of what is never indexed. */
static const char *shown(void)
{
    struct writer w = writer_of(out, sizeof(out));
    for (size_t i = 0; i < fields.count; i++) {
        const nghttp2_nv *nv = &fields.list[i];
        if (nv->flags & NGHTTP2_NV_FLAG_NO_INDEX)
            w_u8(&w, '!');
        w_span(&w, span_of(nv->name, nv->namelen));
        w_u8(&w, '=');
        w_span(&w, span_of(nv->value, nv->valuelen));
        w_u8(&w, '|');
    }
    return w_cstr(&w);
}

static void request(const char *text, bool websocket, const char *expected)
{
    static char copy[4096];
    size_t n = strlen(text);
    memcpy(copy, text, n);
    h2_fields_request((uint8_t *)copy, n, span_str("http"), websocket, true, &fields);
    assert_string_equal(shown(), expected);
}

static void test_requests(void **state)
{
    (void)state;
    request("GET / HTTP/1.1\r\nHost: h\r\n\r\n", false,
            ":method=GET|:scheme=http|:authority=h|:path=/|");
    assert_int_equal(fields.list[0].flags,
                     NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
    request("OPTIONS * HTTP/1.1\r\nX-Own: A b \t\r\nhost:h:80\r\nCookie: a\r\nACCEPT:  */*\r\n"
            "Empty:\r\nX-Request-Id: 1\r\n\r\n",
            false,
            ":method=OPTIONS|:scheme=http|:authority=h:80|:path=*|x-own=A b|!cookie=a|accept=*/*|"
            "empty=|!x-request-id=1|");
    request("POST /a?b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
            "TE: trailers\r\nTrailer: x\r\nContent-Length: 1\r\n\r\n",
            false,
            ":method=POST|:scheme=http|:authority=h|:path=/a?b|te=trailers|trailer=x|"
            "content-length=1|");
}

static void test_websocket(void **state)
{
    (void)state;
    static const char text[] = "GET /c HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: k\r\n"
                               "Sec-WebSocket-Version: 13\r\nConnection: upgrade\r\n"
                               "Upgrade: foo, WebSocket\r\n\r\n";
    request(text, true,
            ":protocol=websocket|:method=CONNECT|:scheme=http|:authority=h|:path=/c|"
            "sec-websocket-version=13|");
    assert_true(fields.websocket);
    assert_true(span_eq(fields.websocket_key, span_str("k")));
    request(text, false,
            ":method=GET|:scheme=http|:authority=h|:path=/c|sec-websocket-version=13|");
    assert_false(fields.websocket);
    request("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n", true,
            ":method=GET|:scheme=http|:authority=h|:path=/|");
    request("PUT / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", true,
            ":method=PUT|:scheme=http|:authority=h|:path=/|");
}

static void response(const char *text, bool to_websocket, const char *expected)
{
    struct h1_reader r;
    struct h1_result res;
    head_init(&head, NULL, 0);
    h1_reader_init(&r, H1_RESPONSES, &h1_limits_default);
    h1_reader_expect(&r, METHOD_GET, to_websocket);
    assert_int_equal(h1_reader_next(&r, span_cstr(text), &head, &res), H1_HEAD);
    h2_fields_response(&head, to_websocket, false, scratch, &fields);
    assert_string_equal(shown(), expected);
}

static void test_responses(void **state)
{
    (void)state;
    response("HTTP/1.1 200 OK\r\nServer: a\r\nX-A: b\r\nx-c: d\r\nSet-Cookie: e\r\n"
             "Connection: close, x-c\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
             false, ":status=200|server=a|x-a=b|!set-cookie=e|");
    response("HTTP/1.0 404\r\nContent-Length: 0\r\n\r\n", false, ":status=404|content-length=0|");
    response("HTTP/1.1 100 Continue\r\n\r\n", false, ":status=100|");
    response("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Accept: a\r\nSec-WebSocket-Protocol: p\r\n\r\n",
             true, ":status=200|sec-websocket-protocol=p|");
}

static void test_trailers(void **state)
{
    (void)state;
    h2_fields_trailers(span_str("Grpc-Status: 0\r\ngrpc-message:\r\nETag: \"a\" \r\n"), false,
                       scratch, &fields);
    assert_string_equal(shown(), "grpc-status=0|grpc-message=|etag=\"a\"|");
    h2_fields_trailers(span_of(NULL, 0), false, scratch, &fields);
    assert_int_equal(fields.count, 0);
}

/* As many fields as a head may have, all with names to be put into lower case. */
static void test_full(void **state)
{
    (void)state;
    static uint8_t text[HTTP_HEAD_MAX];
    struct writer w = writer_of(text, sizeof(text));
    w_str(&w, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++) {
        for (unsigned k = 0; k < 250; k++)
            w_u8(&w, 'X');
        w_str(&w, ": y\r\n");
    }
    w_str(&w, "\r\n");
    struct h1_reader r;
    struct h1_result res;
    head_init(&head, NULL, 0);
    h1_reader_init(&r, H1_RESPONSES, &h1_limits_default);
    assert_int_equal(h1_reader_next(&r, w_span_of_result(&w), &head, &res), H1_HEAD);
    h2_fields_response(&head, false, true, scratch, &fields);
    assert_int_equal(fields.count, HTTP_FIELDS_MAX + 1);
    for (unsigned i = 1; i <= HTTP_FIELDS_MAX; i++)
        assert_int_equal(fields.list[i].name[249], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),  cmocka_unit_test(test_websocket),
        cmocka_unit_test(test_responses), cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

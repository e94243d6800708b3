/* SPDX-License-Identifier: MIT */
#include "h1_cases.h"

/* R: answers a GET. H: answers a HEAD. U: answers a request to upgrade. K: answers a CONNECT. */
#define ROW(method, upgrade, bytes, expected) \
    {.line = __LINE__,                        \
     .in = bytes,                             \
     .in_len = sizeof(bytes) - 1,             \
     .expect = expected,                      \
     .asked = method,                         \
     .asked_upgrade = upgrade},
#define R(bytes, expected)           ROW(METHOD_GET, false, bytes, expected)
#define H(bytes, expected)           ROW(METHOD_HEAD, false, bytes, expected)
#define U(bytes, expected)           ROW(METHOD_GET, true, bytes, expected)
#define K(bytes, expected)           ROW(METHOD_CONNECT, false, bytes, expected)
#define F(fields_and_body, expected) R("HTTP/1.1 200 OK\r\n" fields_and_body, expected)
#define C(body, expected) \
    F("Transfer-Encoding: chunked\r\n\r\n" body, "200 OK chunked keep|" expected)

/* clang-format off */
const struct h1_case h1_response_cases[] = {
    /* ---- status line ---- */
    R("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 OK length=0 keep|end|")
    R("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "200 OK length=0|end|")
    R("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200  length=0 keep|end|")
    R("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200  length=0 keep|end|")
    R("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404 Not Found length=0 keep|end|")
    R("HTTP/1.1 200  a\tb\xe9 \r\nContent-Length: 0\r\n\r\n", "200  a\\tb\\xe9  length=0 keep|end|")
    R("HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", "999 x length=0 keep|end|")
    R("HTTP/1.1 600 x\r\nContent-Length: 0\r\n\r\n", "600 x length=0 keep|end|")
    R("HTTP/1.1 099 x\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1 000 x\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1 20 OK\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1 2000 OK\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1 2x0 OK\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1 -20 OK\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1  200 OK\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1\t200 OK\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1 200\tOK\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1 200OK\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1 200 O\0K\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1 200 O\x7fK\r\n\r\n", "!bad_status_line")
    R("HTTP/1.1 200 OK\n\n", "!bad_response_line_end")
    R("HTTP/1.1 200\n\n", "!bad_response_line_end")
    R("HTTP/1.1 200 OK\rX", "!bad_response_line_end")
    R("HTTP/1.1 200\rX", "!bad_response_line_end")
    R("HTTP/1.2 200 OK\r\n\r\n", "!bad_response_version")
    R("HTTP/2.0 200 OK\r\n\r\n", "!bad_response_version")
    R("HTTP/2 200 OK\r\n\r\n", "!bad_response_version")
    R("HTTP/0.9 200 OK\r\n\r\n", "!bad_response_version")
    R("http/1.1 200 OK\r\n\r\n", "!bad_status_line")
    R("ICY 200 OK\r\n\r\n", "!bad_status_line")
    R("\r\nHTTP/1.1 200 OK\r\n\r\n", "!bad_status_line")
    R("<html>", "!bad_status_line")
    R("\x15\x03\x03\x00\x02\x02\x46", "!bad_status_line")
    R("", "")
    R("H", "eof:!backend_closed")
    R("HTTP/1.1 200 OK\r\nContent-Le", "eof:!backend_closed")

    /* ---- fields, in the words for backends ---- */
    F("A : b\r\n\r\n", "!bad_response_field")
    F(": b\r\n\r\n", "!bad_response_field")
    F("A b\r\n\r\n", "!bad_response_field")
    F("A: \x01\r\n\r\n", "!bad_response_field")
    F("A: b\r\n c\r\n\r\n", "!bad_response_field")
    F("A: b\n\r\n", "!bad_response_line_end")
    F("A: b\rc\r\n\r\n", "!bad_response_line_end")
    F("Connection: a b\r\n\r\n", "!bad_response_field")
    F("Host: a, b\r\nHost: c\r\nContent-Length: 0\r\n\r\n", "200 OK length=0 keep|end|")
    F("Expect: x\r\nContent-Length: 0\r\n\r\n", "200 OK length=0 keep|end|")
    F("Upgrade: h2,h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
      "200 OK length=0 keep|end|")

    /* ---- framing ---- */
    F("Content-Length: 5\r\n\r\nhello", "200 OK length=5 keep|body:hello|end|")
    F("Content-Length: 5\r\n\r\nhel", "200 OK length=5 keep|body:hel|eof:!backend_closed")
    F("Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "!bad_response_length")
    F("Content-Length: 5, 5\r\n\r\n", "!bad_response_length")
    F("Content-Length: -1\r\n\r\n", "!bad_response_length")
    F("Content-Length:\r\n\r\n", "!bad_response_length")
    F("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "!bad_response_length")
    F("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "!bad_response_length")
    F("Transfer-Encoding: gzip\r\n\r\n", "!bad_response_coding")
    F("Transfer-Encoding: gzip, chunked\r\n\r\n", "!bad_response_coding")
    F("Transfer-Encoding: chunked, gzip\r\n\r\n", "!bad_response_coding")
    F("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "!bad_response_coding")
    F("Transfer-Encoding: identity\r\n\r\n", "!bad_response_coding")
    R("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!bad_response_coding")
    F("\r\n", "200 OK close|eof:end|")
    F("\r\nhello", "200 OK close|body:hello|eof:end|")
    F("Connection: keep-alive\r\n\r\nhello", "200 OK close|body:hello|eof:end|")
    R("HTTP/1.0 200 OK\r\n\r\nhello", "200 OK close|body:hello|eof:end|")
    R("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
      "200 OK length=1 keep|body:x|end|")
    F("Connection: close\r\nContent-Length: 1\r\n\r\nx", "200 OK length=1|body:x|end|")
    C("0\r\n\r\n", "end|")
    C("5\r\nhello\r\n0\r\n\r\n", "body:hello|end|")
    C("5\r\nhello\r\n0\r\nA: b\r\n\r\n", "body:hello|end trailers=A: b\\r\\n|")
    C("5\r\nhello\r\n0\r\nContent-Length: 1\r\n\r\n", "body:hello|!bad_response_field")
    C("5\r\nhello\r\n0\r\nA\r\n\r\n", "body:hello|!bad_response_field")
    C("x\r\n", "!bad_response_chunk")
    C("5\r\nhelloX", "body:hello|!bad_response_chunk")
    C("5\r\nhel", "body:hel|eof:!backend_closed")
    C("5\r\nhello\r\n", "body:hello|eof:!backend_closed")
    C("5\r\nhello\r\n0\r\n", "body:hello|eof:!backend_closed")

    /* ---- no body by code or method ---- */
    R("HTTP/1.1 204 No Content\r\n\r\n", "204 No Content none keep|end|")
    R("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204 No Content none keep|end|")
    R("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", "!bad_response_length")
    R("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "!bad_response_coding")
    R("HTTP/1.1 205 x\r\nContent-Length: 0\r\n\r\n", "205 x length=0 keep|end|")
    R("HTTP/1.1 205 x\r\nContent-Length: 1\r\n\r\nx", "!bad_response_length")
    R("HTTP/1.1 205 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "205 x chunked keep|end|")
    R("HTTP/1.1 205 x\r\n\r\n", "205 x close|eof:end|")
    R("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", "304 x none keep|end|")
    R("HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", "304 x none keep|end|")
    R("HTTP/1.1 304 x\r\n\r\n", "304 x none keep|end|")
    R("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nhello", "304 x none keep|end|!bad_status_line")
    H("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 OK none keep|end|")
    H("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK none keep|end|")
    H("HTTP/1.1 200 OK\r\n\r\n", "200 OK none keep|end|")
    H("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "!bad_response_length")

    /* ---- interim ---- */
    R("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
      "100 Continue none keep|end|200 OK length=1 keep|body:x|end|")
    R("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
      "103 Early Hints none keep|end|204 x none keep|end|")
    H("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
      "100 Continue none keep|end|200 OK none keep|end|")
    R("HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n", "100 Continue none keep|end|")
    R("HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\nx", "!bad_response_length")
    R("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", "!bad_response_coding")

    /* ---- switching protocols ---- */
    R("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "!unexpected_upgrade")
    U("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
      "101 x tunnel upgrade|eof:end|")
    U("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 \x01",
      "101 x tunnel upgrade|body:HTTP/1.1 \\x01|eof:end|")
    U("HTTP/1.1 101 x\r\n\r\nab", "101 x tunnel|body:ab|eof:end|")
    U("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: a b\r\n\r\n", "!bad_response_field")
    U("HTTP/1.0 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "!unexpected_upgrade")
    U("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "200 OK length=1 keep|body:x|end|")
    U("HTTP/1.1 426 x\r\nUpgrade: a\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
      "426 x length=0 keep|end|")
    K("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "200 OK tunnel|body:ab|eof:end|")
    K("HTTP/1.1 403 x\r\nContent-Length: 1\r\n\r\nx", "403 x length=1 keep|body:x|end|")
};
/* clang-format on */

const size_t h1_response_case_count = sizeof(h1_response_cases) / sizeof(h1_response_cases[0]);

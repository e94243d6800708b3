/* SPDX-License-Identifier: MIT */
/* Probes over HTTP/2 (of gRPC and of HTTP) against backends that behave in every way there is. */
#include "rig.h"

#include "base/str.h"
#include "health/health_priv.h"

static struct rig rig;
static struct dialer dialer;
static struct probe probe;
static enum reason result;
static uint32_t results;

static void done(struct probe *p, enum reason r)
{
    assert_false(probe_running(p));
    result = r;
    results++;
}

static bool has_result(struct rig *r)
{
    (void)r;
    return results > 0;
}

static enum reason probe_with(enum health_type type, const char *script, const char *service,
                              uint32_t timeout_ms)
{
    struct server s;
    server_start(&s, NULL, script);
    results = 0;
    rig_init(&rig, type, 1, s.port);
    rig.f.pool_conf.protocol = PROTOCOL_HTTP2;
    rig.f.pool_conf.health.service = service;
    rig.f.pool_conf.health.timeout_ms = timeout_ms;
    dialer_init(&dialer, rig.loop, NULL);
    struct dial what = {
        .to = &rig.f.backends[0].address, .conf = &rig.f.pool_conf, .backend = &rig.f.backends[0]};
    probe_init(&probe, &dialer, &rig.f.pool_conf, &rig.f.backends[0], done);
    assert_int_equal(probe_begin(&probe, &what), 0);
    rig_until(&rig, has_result);
    assert_int_equal(results, 1);
    dialer_fini(&dialer);
    loop_free(&rig.loop);
    fixture_fini(&rig.f);
    server_stop(&s);
    return result;
}

/* ---- what a backend says, in hex ---- */

static char script[1 << 20];
static size_t used;

static void add(const char *hex)
{
    size_t n = strlen(hex);
    assert_true(used + n < sizeof(script));
    memcpy(script + used, hex, n + 1);
    used += n;
}

static void frame(unsigned type, unsigned flags, unsigned id, const char *payload)
{
    char head[32];
    (void)snprintf(head, sizeof(head), "%06zx%02x%02x%08x", strlen(payload) / 2, type, flags, id);
    add(head);
    add(payload);
}

enum {
    DATA = 0,
    HEADERS = 1,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    CONTINUATION = 9
};
enum { END_STREAM = 1, END_HEADERS = 4 };

/* Begins a backend that reads the preface and says its settings. */
static void begin(void)
{
    used = 0;
    add("<#");
    frame(SETTINGS, 0, 0, "");
}

static enum reason ask(enum health_type type)
{
    return probe_with(type, script, NULL, 5000);
}

/* Bytes as hex behind what is there. */
static void put(struct writer *w, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w_hex(w, ((const uint8_t *)bytes)[i], 2);
}

/* A literal field that is not indexed. */
static const char *field(const char *name, const char *value)
{
    static char text[8][600];
    static unsigned next;
    char *t = text[next++ % 8];
    struct writer w = writer_of((uint8_t *)t, sizeof(text[0]));
    const uint8_t name_len[] = {0, (uint8_t)strlen(name)}, value_len[] = {(uint8_t)strlen(value)};
    put(&w, name_len, sizeof(name_len));
    put(&w, name, strlen(name));
    put(&w, value_len, sizeof(value_len));
    put(&w, value, strlen(value));
    w_u8(&w, '\0');
    assert_true(w_ok(&w));
    return t;
}

static const char *fields(const char *a, const char *b, const char *c)
{
    static char text[2][2000];
    static unsigned next;
    char *t = text[next++ % 2];
    (void)snprintf(t, sizeof(text[0]), "%s%s%s", a, b, c);
    return t;
}

#define STATUS_200 "88"
#define STATUS_500 "8e"
#define STATUS_204 "89"

static const char *grpc_head(void)
{
    return fields(STATUS_200, field("content-type", "application/grpc+proto"), "");
}

/* A whole answer: message and status in the trailers. */
static enum reason answer(const char *message, const char *status)
{
    begin();
    frame(HEADERS, END_HEADERS, 1, grpc_head());
    if (*message)
        frame(DATA, 0, 1, message);
    frame(HEADERS, END_HEADERS | END_STREAM, 1, field("grpc-status", status));
    return ask(HEALTH_GRPC);
}

/* ---- gRPC ---- */

static void test_serving(void **state)
{
    (void)state;
    assert_int_equal(answer("00000000020801", "0"), REASON_ok);
    /* fields of a later version of the message are passed over; the last status counts */
    assert_int_equal(answer("000000000e"
                            "1205"
                            "68656c6c6f"
                            "0802"
                            "0801"
                            "1807"
                            "",
                            "0"),
                     REASON_probe_bad_answer); /* (its length is wrong) */
    assert_int_equal(answer("000000000d"
                            "1205"
                            "68656c6c6f"
                            "0802"
                            "0801"
                            "1807",
                            "0"),
                     REASON_ok);
    assert_int_equal(answer("0000000010"
                            "0801"
                            "150a0b0c0d"
                            "191122334455667788",
                            "0"),
                     REASON_ok);
}

/* In pieces of every size. */
static void test_in_pieces(void **state)
{
    (void)state;
    begin();
    frame(HEADERS, 0, 1, STATUS_200);
    frame(CONTINUATION, END_HEADERS, 1, field("content-type", "application/grpc"));
    frame(DATA, 0, 1, "00");
    frame(DATA, 0, 1, "000000");
    frame(PING, 0, 0, "0102030405060708");
    frame(DATA, 0, 1, "0208");
    frame(DATA, 0, 1, "01");
    frame(HEADERS, END_HEADERS | END_STREAM, 1, field("grpc-status", "0"));
    assert_int_equal(ask(HEALTH_GRPC), REASON_ok);
}

static void test_not_serving(void **state)
{
    (void)state;
    assert_int_equal(answer("00000000020802", "0"), REASON_probe_not_serving);
    assert_int_equal(answer("00000000020803", "0"), REASON_probe_not_serving);
    assert_int_equal(answer("00000000020800", "0"), REASON_probe_not_serving);
    assert_int_equal(answer("0000000000", "0"), REASON_probe_not_serving);
}

static void test_statuses(void **state)
{
    (void)state;
    assert_int_equal(answer("", "12"), REASON_probe_unimplemented);
    assert_int_equal(answer("", "5"), REASON_probe_unknown_service);
    assert_int_equal(answer("", "14"), REASON_probe_status);
    assert_int_equal(answer("00000000020801", "13"), REASON_probe_status);
    begin(); /* trailers only */
    frame(
        HEADERS, END_HEADERS | END_STREAM, 1,
        fields(STATUS_200, field("content-type", "application/grpc"), field("grpc-status", "12")));
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_unimplemented);
    begin();
    frame(HEADERS, END_HEADERS | END_STREAM, 1, STATUS_500);
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_status);
}

static void test_bad_messages(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",                 /* none */
        "00000000",         /* a piece of a prefix */
        "0000000002",       /* no message */
        "000000000208",     /* a piece of one */
        "0000000002080101", /* more than one */
        "01000000020801",   /* compressed */
        "ff000000020801",
        "00ffffffff0801",
        "000000000b"
        "08ffffffffffffffffffff", /* an endless number */
        "0000000002"
        "0880",
        "0000000003"
        "12ff01", /* a text longer than the message */
        "0000000002"
        "0b01", /* wire types that are not */
        "0000000002"
        "0f01",
        "0000000002"
        "1501", /* cut off */
        "0000000002"
        "1901",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (answer(bad[i], "0") != REASON_probe_bad_answer)
            fail_msg("\"%s\": %s", bad[i], reason_name(result));
    assert_int_equal(answer("00000000020801", "0x0"), REASON_probe_bad_answer);
    assert_int_equal(answer("00000000020801", ""), REASON_probe_bad_answer);
    begin(); /* no content type */
    frame(HEADERS, END_HEADERS, 1, STATUS_200);
    frame(DATA, 0, 1, "00000000020801");
    frame(HEADERS, END_HEADERS | END_STREAM, 1, field("grpc-status", "0"));
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
    begin(); /* no trailers */
    frame(HEADERS, END_HEADERS, 1, grpc_head());
    frame(DATA, END_STREAM, 1, "00000000020801");
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
}

/* ---- HTTP ---- */

static void test_http(void **state)
{
    (void)state;
    begin(); /* the head is enough */
    frame(HEADERS, END_HEADERS, 1, fields(STATUS_200, field("content-length", "100000"), ""));
    assert_int_equal(ask(HEALTH_HTTP), REASON_ok);
    begin();
    frame(HEADERS, END_HEADERS | END_STREAM, 1, STATUS_204);
    assert_int_equal(ask(HEALTH_HTTP), REASON_ok);
    begin();
    frame(HEADERS, END_HEADERS | END_STREAM, 1, STATUS_500);
    assert_int_equal(ask(HEALTH_HTTP), REASON_probe_status);
    begin(); /* after an interim response */
    frame(HEADERS, END_HEADERS, 1, field(":status", "103"));
    frame(HEADERS, END_HEADERS | END_STREAM, 1, STATUS_500);
    assert_int_equal(ask(HEALTH_HTTP), REASON_probe_status);
    begin();
    for (int i = 0; i < 40; i++)
        frame(HEADERS, END_HEADERS, 1, field(":status", "103"));
    assert_int_equal(ask(HEALTH_HTTP), REASON_probe_bad_answer);
    begin();
    frame(HEADERS, END_HEADERS | END_STREAM, 1, field("a", "no status"));
    assert_int_equal(ask(HEALTH_HTTP), REASON_probe_bad_answer);
    begin(); /* neither interim nor final */
    frame(HEADERS, END_HEADERS | END_STREAM, 1, field(":status", "099"));
    assert_int_equal(ask(HEALTH_HTTP), REASON_probe_bad_answer);
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
}

/* ---- other ends ---- */

static void test_not_http2(void **state)
{
    (void)state;
    assert_int_equal(probe_with(HEALTH_GRPC, "<>HTTP/1.1 400 Bad Request\r\n\r\n", NULL, 5000),
                     REASON_backend_no_http2);
    assert_int_equal(probe_with(HEALTH_HTTP, "<>HTTP/1.1 200 OK\r\n\r\n", NULL, 5000),
                     REASON_backend_no_http2);
    assert_int_equal(probe_with(HEALTH_GRPC, "<.SSH-2.0-OpenSSH_9.2\r\n", NULL, 5000),
                     REASON_backend_no_http2);
    assert_int_equal(probe_with(HEALTH_GRPC, "<", NULL, 5000), REASON_probe_closed);
    assert_int_equal(probe_with(HEALTH_GRPC, "<~", NULL, 20), REASON_probe_timeout);
    assert_int_equal(probe_with(HEALTH_GRPC, "<!", NULL, 5000), REASON_backend_reset);
}

static void test_resets(void **state)
{
    (void)state;
    begin();
    frame(RST_STREAM, 0, 1, "00000007");
    assert_int_equal(ask(HEALTH_GRPC), REASON_stream_refused);
    begin();
    frame(RST_STREAM, 0, 1, "00000002");
    assert_int_equal(ask(HEALTH_GRPC), REASON_backend_stream_reset);
    begin();
    frame(HEADERS, END_HEADERS, 1, grpc_head());
    frame(RST_STREAM, 0, 1, "00000000");
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
    begin();
    frame(GOAWAY, 0, 0, "0000000000000000");
    assert_int_equal(ask(HEALTH_GRPC), REASON_stream_refused);
}

static void test_broken_rules(void **state)
{
    (void)state;
    begin(); /* a frame for a stream that is not there */
    frame(DATA, 0, 3, "00");
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
    begin(); /* fields that cannot be decoded */
    frame(HEADERS, END_HEADERS, 1, "ffffffffffffff");
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
    begin(); /* a frame larger than allowed */
    add("ffffff000000000001");
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
}

/* Whatever it sends without end has one. */
static void test_floods(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 8000; i++)
        frame(PING, 0, 0, "0000000000000000");
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
    begin();
    for (int i = 0; i < 8000; i++)
        frame(SETTINGS, 0, 0, "");
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
    begin(); /* a large field in the table, and then one byte for each time it is meant */
    char bomb[12000];
    struct writer w = writer_of((uint8_t *)bomb, sizeof(bomb));
    w_str(&w, STATUS_200 "4001617f01"); /* "a" with 128 bytes */
    for (int i = 0; i < 128; i++)
        w_str(&w, "62");
    for (int i = 0; i < 1000; i++)
        w_str(&w, "be");
    w_u8(&w, '\0');
    assert_true(w_ok(&w));
    frame(HEADERS, END_HEADERS, 1, bomb);
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
    begin();
    frame(HEADERS, 0, 1, STATUS_200);
    for (int i = 0; i < 2000; i++)
        frame(CONTINUATION, 0, 1, field("a", "b"));
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
    begin();
    frame(HEADERS, END_HEADERS, 1, grpc_head());
    for (int i = 0; i < 2000; i++)
        frame(DATA, 0, 1, "0000000000000000");
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
    begin(); /* data for nothing */
    frame(HEADERS, END_HEADERS, 1, grpc_head());
    for (int i = 0; i < 30000; i++)
        frame(DATA, 0, 1, "");
    assert_int_equal(ask(HEALTH_GRPC), REASON_probe_bad_answer);
}

/* The longest name there may be. */
static void test_long_service(void **state)
{
    (void)state;
    char name[262];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    begin();
    frame(HEADERS, END_HEADERS, 1, grpc_head());
    frame(DATA, 0, 1, "00000000020801");
    frame(HEADERS, END_HEADERS | END_STREAM, 1, field("grpc-status", "0"));
    assert_int_equal(probe_with(HEALTH_GRPC, script, name, 5000), REASON_ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serving),      cmocka_unit_test(test_in_pieces),
        cmocka_unit_test(test_not_serving),  cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_bad_messages), cmocka_unit_test(test_http),
        cmocka_unit_test(test_not_http2),    cmocka_unit_test(test_resets),
        cmocka_unit_test(test_broken_rules), cmocka_unit_test(test_floods),
        cmocka_unit_test(test_long_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

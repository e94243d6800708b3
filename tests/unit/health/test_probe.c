/* SPDX-License-Identifier: MIT */
/* One probe at a time against backends that behave in every way there is. */
#include "rig.h"

#include "health/health_priv.h"

#include <unistd.h>

static struct rig rig;
static struct probe probe;
static struct dialer dialer;
static enum reason result;
static uint32_t results;

static void done(struct probe *p, enum reason r)
{
    assert_ptr_equal(p, &probe);
    assert_false(probe_running(p));
    result = r;
    results++;
}

static bool has_result(struct rig *r)
{
    (void)r;
    return results > 0;
}

static void probe_setup(enum health_type type, uint16_t port)
{
    results = 0;
    rig_init(&rig, type, 1, port);
    dialer_init(&dialer, rig.loop, NULL);
    probe_init(&probe, &dialer, &rig.f.pool_conf, &rig.f.backends[0], done);
}

static int begin(const struct address *to)
{
    struct dial what = {.to = to, .conf = &rig.f.pool_conf, .backend = &rig.f.backends[0]};
    return probe_begin(&probe, &what);
}

static enum reason probe_once(void)
{
    assert_int_equal(begin(&rig.f.backends[0].address), 0);
    assert_int_equal(results, 0); /* nothing is called from inside */
    rig_until(&rig, has_result);
    assert_int_equal(results, 1);
    dialer_fini(&dialer);
    loop_free(&rig.loop);
    fixture_fini(&rig.f);
    return result;
}

static void expect(enum health_type type, const char *script, enum reason wanted)
{
    struct server s;
    server_start(&s, NULL, script);
    probe_setup(type, s.port);
    enum reason got = probe_once();
    server_stop(&s);
    if (got != wanted)
        fail_msg("\"%s\": %s, expected %s", script, reason_name(got), reason_name(wanted));
}

static void test_tcp(void **state)
{
    (void)state;
    expect(HEALTH_TCP, "", REASON_ok);
    expect(HEALTH_TCP, "~", REASON_ok);
    probe_setup(HEALTH_TCP, port_nobody());
    assert_int_equal(probe_once(), REASON_connect_refused);
}

static void test_http_statuses(void **state)
{
    (void)state;
    expect(HEALTH_HTTP, "<>HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", REASON_ok);
    expect(HEALTH_HTTP, "<>HTTP/1.0 204 No Content\r\n\r\n", REASON_ok);
    expect(HEALTH_HTTP, "<>HTTP/1.1 399 \r\nContent-Length: 0\r\n\r\n", REASON_ok);
    expect(HEALTH_HTTP, "<>HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
           REASON_probe_status);
    expect(HEALTH_HTTP, "<>HTTP/1.1 503 Service Unavailable\r\n\r\n", REASON_probe_status);
    expect(HEALTH_HTTP, "<>HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", REASON_ok);
    expect(HEALTH_HTTP, "<>HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 500 Oh\r\n\r\n",
           REASON_probe_status);
    expect(HEALTH_HTTP, "<.HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n",
           REASON_ok);
}

/* The head is enough: the body may be missing, endless, or of any coding. */
static void test_http_body_is_not_awaited(void **state)
{
    (void)state;
    expect(HEALTH_HTTP, "<>HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", REASON_ok);
    expect(HEALTH_HTTP, "<>HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff", REASON_ok);
}

static void test_http_bad_answers(void **state)
{
    (void)state;
    expect(HEALTH_HTTP, "<>SSH-2.0-OpenSSH_9.2\r\n\r\n", REASON_probe_bad_answer);
    expect(HEALTH_HTTP, "<>HTTP/1.1 200 OK\nContent-Length: 0\n\n", REASON_probe_bad_answer);
    expect(HEALTH_HTTP, "<>HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
           REASON_probe_bad_answer);
    expect(HEALTH_HTTP, "<>HTTP/2.0 200 OK\r\n\r\n", REASON_probe_bad_answer);
    expect(HEALTH_HTTP,
           "<>HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
           "Upgrade: x\r\n\r\n",
           REASON_probe_bad_answer);
}

static void test_http_endless_heads(void **state)
{
    (void)state;
    static char many[70000], interim[4000];
    size_t n = (size_t)snprintf(many, sizeof(many), "<>HTTP/1.1 200 OK\r\n");
    while (n + 20 < sizeof(many))
        n += (size_t)snprintf(many + n, sizeof(many) - n, "A: bcdefghijklmn\r\n");
    expect(HEALTH_HTTP, many, REASON_probe_bad_answer);
    n = (size_t)snprintf(interim, sizeof(interim), "<>");
    for (int i = 0; i < 40; i++)
        n += (size_t)snprintf(interim + n, sizeof(interim) - n, "HTTP/1.1 102 Wait\r\n\r\n");
    expect(HEALTH_HTTP, interim, REASON_probe_bad_answer);
}

static void test_http_ends_early(void **state)
{
    (void)state;
    expect(HEALTH_HTTP, "<", REASON_probe_closed);
    expect(HEALTH_HTTP, "<>HTTP/1.1 200 OK\r\nA: b\r\n", REASON_probe_closed);
    expect(HEALTH_HTTP, "<!", REASON_backend_reset);
}

static void test_http_timeout(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, "~");
    probe_setup(HEALTH_HTTP, s.port);
    rig.f.pool_conf.health.timeout_ms = 20;
    assert_int_equal(probe_once(), REASON_probe_timeout);
    server_stop(&s);
}

static void test_http_request(void **state)
{
    (void)state;
    struct server s;
    char wanted[300];
    server_start(&s, NULL, "<>HTTP/1.1 200 OK\r\n\r\n");
    probe_setup(HEALTH_HTTP, s.port);
    assert_int_equal(probe_once(), REASON_ok);
    (void)snprintf(wanted, sizeof(wanted),
                   "GET /health HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: poise-health/%s\r\n"
                   "Accept: */*\r\nConnection: close\r\n\r\n",
                   s.port, POISE_VERSION);
    server_stop(&s);
    assert_string_equal(s.request, wanted);
}

/* Host and port of the check are not those of the traffic. */
static void test_http_host_and_port(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, "<>HTTP/1.1 200 OK\r\n\r\n");
    probe_setup(HEALTH_HTTP, port_nobody());
    rig.f.pool_conf.health.port = s.port;
    rig.f.pool_conf.health.host = "app.example";
    assert_int_equal(probe_once(), REASON_ok);
    server_stop(&s);
    assert_non_null(strstr(s.request, "\r\nHost: app.example\r\n"));
}

/* A backend known by name is asked by that name. */
static void test_http_host_of_a_name(void **state)
{
    (void)state;
    struct server s;
    char wanted[64];
    server_start(&s, NULL, "<>HTTP/1.1 200 OK\r\n\r\n");
    probe_setup(HEALTH_HTTP, s.port);
    struct address resolved = rig.f.backends[0].address;
    rig.f.backends[0].address =
        (struct address){.kind = ADDRESS_NAME, .port = s.port, .text = "db.example"};
    assert_int_equal(begin(&resolved), 0);
    rig_until(&rig, has_result);
    assert_int_equal(result, REASON_ok);
    (void)snprintf(wanted, sizeof(wanted), "\r\nHost: db.example:%u\r\n", s.port);
    dialer_fini(&dialer);
    loop_free(&rig.loop);
    fixture_fini(&rig.f);
    server_stop(&s);
    assert_non_null(strstr(s.request, wanted));
}

static void test_unix_socket(void **state)
{
    (void)state;
    struct server s;
    char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/poise-test-health.%d", (int)getpid());
    server_start(&s, path, "<>HTTP/1.1 200 OK\r\n\r\n");
    probe_setup(HEALTH_HTTP, 0);
    rig.f.backends[0].address = (struct address){.kind = ADDRESS_UNIX, .text = path};
    assert_int_equal(probe_once(), REASON_ok);
    server_stop(&s);
    assert_non_null(strstr(s.request, "\r\nHost: localhost\r\n"));
}

static bool always(struct rig *r)
{
    (void)r;
    return true;
}

static void test_cancel(void **state)
{
    (void)state;
    struct server s;
    server_start(&s, NULL, "~");
    probe_setup(HEALTH_HTTP, s.port);
    probe_cancel(&probe); /* none is under way */
    assert_int_equal(begin(&rig.f.backends[0].address), 0);
    rig_until(&rig, always);
    probe_cancel(&probe);
    assert_false(probe_running(&probe));
    rig_until(&rig, always);
    assert_int_equal(results, 0);
    dialer_fini(&dialer);
    loop_free(&rig.loop);
    fixture_fini(&rig.f);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_http_statuses),
        cmocka_unit_test(test_http_body_is_not_awaited),
        cmocka_unit_test(test_http_bad_answers),
        cmocka_unit_test(test_http_endless_heads),
        cmocka_unit_test(test_http_ends_early),
        cmocka_unit_test(test_http_timeout),
        cmocka_unit_test(test_http_request),
        cmocka_unit_test(test_http_host_and_port),
        cmocka_unit_test(test_http_host_of_a_name),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

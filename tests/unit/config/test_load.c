/* SPDX-License-Identifier: MIT */
/* Good texts and the snapshots they make. */
#include "loaded.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

/* The whole language at once, as the manual shows it. */
static const char full[] =
    "admin:     {listen: 127.0.0.1:9900, socket: /run/poise/admin.sock, token: \"${TOKEN}\"}\n"
    "log:       {level: debug, file: load_balancer.log, format: json}   # events\n"
    "access_log: {file: access.log, format: combined}\n"
    "workers: 3\n"
    "engine: epoll\n"
    "drain: {deadline: 45s}\n"
    "listeners:\n"
    "  - name: web\n"
    "    listen: \":8080\"\n"
    "    protocol: http            # http | tcp\n"
    "    pool: app                 # where no route matches\n"
    "    max_connections: 10000\n"
    "    trusted: [10.0.0.0/8, \"::1\"]\n"
    "    timeouts: {request: 1s, body: 2s, send: 3s, idle: 4s, tunnel: 5m}\n"
    "    limits: {body: 10MB, line: 4KiB, head: 16KiB, fields: 50}\n"
    "    routes:\n"
    "      - {match: {host: API.example.com, path_prefix: /v1, method: [GET, HEAD], headers: "
    "{X-Beta: "
    "\"1\", x-any: \"*\"}}, pool: api}\n"
    "      - {name: login, match: {host: [a.example, '*.b.example'], path: /login, method: "
    "POST}, pool: "
    "api}\n"
    "  - name: db\n"
    "    listen: [127.0.0.1:5432, 'unix:/run/db.sock']\n"
    "    protocol: tcp\n"
    "    pool: postgres\n"
    "pools:\n"
    "  - name: app\n"
    "    balance: least_connections\n"
    "    protocol: http\n"
    "    health: {type: http, path: /health, host: app.example, expect: [200-299, 304], port: 81, "
    "interval: 3s, timeout: 500ms, rise: 4, fall: 5}\n"
    "    passive_health: {failures: 6, window: 7s, eject_for: 8s}\n"
    "    retries: {attempts: 1, on: connect_failure}\n"
    "    timeouts: {connect: 100ms, response: 9s, idle: 10s}\n"
    "    keepalive: {max_idle: 11, idle: 12s}\n"
    "    max_connections: 13\n"
    "    queue: {max: 14, timeout: 15s}\n"
    "    backends:\n"
    "      - {name: B1, address: 127.0.0.1:8881, weight: 2, backup: true}\n"
    "      - address: \"[::1]:${PORT}\"\n"
    "      - app.example:80\n"
    "  - {name: api, backends: [\"127.0.0.1:${NONE:-99}\"]}\n"
    "  - {name: postgres, balance: source_hash, backends: [\"unix:/run/pg\"]}\n";

static void check_top(const struct snapshot *s)
{
    assert_true(s->admin.enabled);
    assert_int_equal(s->admin.address.port, 9900);
    assert_string_equal(s->admin.socket, "/run/poise/admin.sock");
    assert_string_equal(s->admin.token, "secret-token");
    assert_int_equal(s->log.level, LOG_LEVEL_DEBUG);
    assert_string_equal(s->log.file, "load_balancer.log");
    assert_int_equal(s->log.format, LOG_FORMAT_JSON);
    assert_string_equal(s->access_log.file, "access.log");
    assert_int_equal(s->access_log.format, ACCESS_COMBINED);
    assert_int_equal(s->workers, 3);
    assert_int_equal(s->engine, 1);
    assert_int_equal(s->drain_ms, 45000);
    assert_string_equal(s->source, "t.yaml");
    assert_int_equal(s->listener_count, 2);
    assert_int_equal(s->pool_count, 3);
}

static void check_web(const struct listener_conf *web)
{
    struct address inside = {.kind = ADDRESS_V4, .ip = {10, 200, 0, 1}};
    assert_string_equal(web->name, "web");
    assert_int_equal(web->address_count, 1);
    assert_int_equal(web->addresses[0].kind, ADDRESS_V6);
    assert_int_equal(web->addresses[0].port, 8080);
    assert_int_equal(web->protocol, PROTOCOL_HTTP);
    assert_int_equal(web->pool, 0);
    assert_int_equal(web->max_connections, 10000);
    assert_int_equal(web->trusted_count, 2);
    assert_true(address_block_has(&web->trusted[0], &inside));
    assert_false(address_block_has(&web->trusted[1], &inside));
    assert_int_equal(web->request_ms, 1000);
    assert_int_equal(web->body_ms, 2000);
    assert_int_equal(web->send_ms, 3000);
    assert_int_equal(web->idle_ms, 4000);
    assert_int_equal(web->tunnel_ms, 300000);
    assert_int_equal(web->body_bytes_max, 10000000);
    assert_int_equal(web->line_bytes_max, 4096);
    assert_int_equal(web->head_bytes_max, 16384);
    assert_int_equal(web->fields_max, 50);
    assert_int_equal(web->origin.line, 8);
    assert_int_equal(web->origin.column, 5);
    assert_int_equal(web->route_count, 2);
}

static void check_routes(const struct route_conf *r)
{
    assert_string_equal(r[0].name, "web[0]");
    assert_int_equal(r[0].host_count, 1);
    assert_string_equal(r[0].hosts[0], "api.example.com");
    assert_null(r[0].path);
    assert_string_equal(r[0].path_prefix, "/v1");
    assert_int_equal(r[0].method_count, 2);
    assert_string_equal(r[0].methods[1], "HEAD");
    assert_int_equal(r[0].field_count, 2);
    assert_string_equal(r[0].fields[0].name, "x-beta");
    assert_string_equal(r[0].fields[0].value, "1");
    assert_string_equal(r[0].fields[1].name, "x-any");
    assert_null(r[0].fields[1].value);
    assert_int_equal(r[0].pool, 1);
    assert_int_equal(r[0].origin.line, 17);
    assert_string_equal(r[1].name, "login");
    assert_string_equal(r[1].hosts[1], "*.b.example");
    assert_string_equal(r[1].path, "/login");
    assert_int_equal(r[1].method_count, 1);
}

static void check_pool(const struct pool_conf *p)
{
    assert_string_equal(p->name, "app");
    assert_int_equal(p->balance, BALANCE_LEAST_CONNECTIONS);
    assert_int_equal(p->protocol, PROTOCOL_HTTP);
    assert_int_equal(p->health.type, HEALTH_HTTP);
    assert_string_equal(p->health.path, "/health");
    assert_string_equal(p->health.host, "app.example");
    assert_int_equal(p->health.expect_count, 2);
    assert_int_equal(p->health.expect[0].low, 200);
    assert_int_equal(p->health.expect[0].high, 299);
    assert_int_equal(p->health.expect[1].high, 304);
    assert_int_equal(p->health.port, 81);
    assert_int_equal(p->health.interval_ms, 3000);
    assert_int_equal(p->health.timeout_ms, 500);
    assert_int_equal(p->health.rise, 4);
    assert_int_equal(p->health.fall, 5);
    assert_int_equal(p->passive.failures, 6);
    assert_int_equal(p->passive.window_ms, 7000);
    assert_int_equal(p->passive.eject_for_ms, 8000);
    assert_int_equal(p->retry_attempts, 1);
    assert_int_equal(p->retry_on, RETRY_ON_CONNECT_FAILURE);
    assert_int_equal(p->connect_ms, 100);
    assert_int_equal(p->response_ms, 9000);
    assert_int_equal(p->idle_ms, 10000);
    assert_int_equal(p->keepalive_max_idle, 11);
    assert_int_equal(p->keepalive_idle_ms, 12000);
    assert_int_equal(p->max_connections, 13);
    assert_int_equal(p->queue_max, 14);
    assert_int_equal(p->queue_ms, 15000);
}

static void check_backends(const struct pool_conf *p)
{
    const struct backend_conf *b = p->backends;
    assert_int_equal(p->backend_count, 3);
    assert_string_equal(b[0].name, "B1");
    assert_int_equal(b[0].address.kind, ADDRESS_V4);
    assert_int_equal(b[0].address.port, 8881);
    assert_int_equal(b[0].weight, 2);
    assert_true(b[0].backup);
    assert_int_equal(b[0].origin.line, 35);
    assert_string_equal(b[1].name, "[::1]:8881");
    assert_int_equal(b[1].weight, 1);
    assert_false(b[1].backup);
    assert_int_equal(b[2].address.kind, ADDRESS_NAME);
    assert_string_equal(b[2].address.text, "app.example");
}

static void test_full(void **state)
{
    (void)state;
    struct loaded l = loaded_good(full);
    check_top(l.s);
    check_web(&l.s->listeners[0]);
    check_routes(l.s->listeners[0].routes);
    check_pool(&l.s->pools[0]);
    check_backends(&l.s->pools[0]);
    const struct listener_conf *db = &l.s->listeners[1];
    assert_int_equal(db->address_count, 2);
    assert_string_equal(db->addresses[1].text, "/run/db.sock");
    assert_int_equal(db->pool, 2);
    assert_int_equal(l.s->pools[1].backends[0].address.port, 99);
    assert_int_equal(l.s->pools[2].protocol, PROTOCOL_TCP); /* as its listener */
    loaded_fini(&l);
}

static void test_minimal(void **state)
{
    (void)state;
    struct loaded l = loaded_good("listeners: [{name: web, listen: ':80', pool: app}]\n"
                                  "pools: [{name: app, backends: [127.0.0.1:8881]}]");
    const struct snapshot *s = l.s;
    const struct listener_conf *web = &s->listeners[0];
    const struct pool_conf *app = &s->pools[0];
    assert_int_equal(l.d.count, 0);
    assert_false(s->admin.enabled);
    assert_int_equal(s->log.level, LOG_LEVEL_INFO);
    assert_null(s->log.file);
    assert_int_equal(s->access_log.format, ACCESS_NONE);
    assert_int_equal(s->workers, 0);
    assert_int_equal(s->engine, 0);
    assert_int_equal(s->drain_ms, 30000);
    assert_int_equal(web->max_connections, 0);
    assert_int_equal(web->request_ms, 10000);
    assert_int_equal(web->body_ms, 30000);
    assert_int_equal(web->send_ms, 30000);
    assert_int_equal(web->idle_ms, 60000);
    assert_int_equal(web->tunnel_ms, 3600000);
    assert_int_equal(web->body_bytes_max, 0);
    assert_int_equal(web->line_bytes_max, 8192);
    assert_int_equal(web->head_bytes_max, 32768);
    assert_int_equal(web->fields_max, 100);
    assert_int_equal(web->route_count, 0);
    assert_int_equal(app->balance, BALANCE_ROUND_ROBIN);
    assert_int_equal(app->health.type, HEALTH_TCP);
    assert_string_equal(app->health.path, "/");
    assert_int_equal(app->health.expect[0].low, 200);
    assert_int_equal(app->health.expect[0].high, 399);
    assert_int_equal(app->health.interval_ms, 2000);
    assert_int_equal(app->health.timeout_ms, 1000);
    assert_int_equal(app->health.rise, 2);
    assert_int_equal(app->health.fall, 3);
    assert_int_equal(app->passive.failures, 5);
    assert_int_equal(app->passive.window_ms, 10000);
    assert_int_equal(app->passive.eject_for_ms, 10000);
    assert_int_equal(app->retry_attempts, 2);
    assert_int_equal(app->retry_on, RETRY_ON_CONNECT_FAILURE | RETRY_ON_RESET_BEFORE_RESPONSE);
    assert_int_equal(app->connect_ms, 2000);
    assert_int_equal(app->response_ms, 30000);
    assert_int_equal(app->idle_ms, 60000);
    assert_int_equal(app->keepalive_max_idle, 256);
    assert_int_equal(app->keepalive_idle_ms, 60000);
    assert_int_equal(app->max_connections, 0);
    assert_int_equal(app->backends[0].weight, 1);
    loaded_fini(&l);
}

static void test_json(void **state)
{
    (void)state;
    struct loaded l = loaded_good(
        "{\"workers\": 2, \"listeners\": [{\"name\": \"web\", \"listen\": [\":80\"], "
        "\"pool\": \"app\"}],\n"
        "\t\"pools\": [{\"name\": \"app\", \"backends\": [{\"address\": \"127.0.0.1:1\", "
        "\"backup\": false},\n"
        "\t\t\"127.0.0.1:2\"]}]}\n");
    assert_int_equal(l.s->workers, 2);
    assert_int_equal(l.s->pools[0].backend_count, 2);
    loaded_fini(&l);
}

#define BASE                                               \
    "listeners: [{name: web, listen: ':80', pool: app}]\n" \
    "pools: [{name: app, backends: ['127.0.0.1:1']}]\n"

static void test_variables(void **state)
{
    static const struct {
        const char *written, *read;
    } files[] = {
        {"\"a${PORT}b\"", "a8881b"},
        {"a$b", "a$b"},
        {"\"$${PORT}\"", "${PORT}"},
        {"\"${DOLLAR}\"", "${PORT}"},
        {"\"x${EMPTY}\"", "x"},
        {"\"${EMPTY:-y}\"", "y"},
        {"\"${NONE:-}z\"", "z"},
        {"\"${NONE:-a b}\"", "a b"},
        {"'${PORT}'", "8881"},
        {"\"${NONE:-$}{\"", "${"},
        {"\"$$\"", "$$"},
        {"${PORT}", "8881"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text), BASE "log:\n  file: %s\n", files[i].written);
        struct loaded l = loaded_good(text);
        assert_string_equal(l.s->log.file, files[i].read);
        loaded_fini(&l);
    }
}

static void test_access_log(void **state)
{
    static const struct {
        const char *text, *file;
        enum access_format format;
    } cases[] = {
        {BASE "access_log: {file: a.log}\n", "a.log", ACCESS_JSON},
        {BASE "access_log: {format: combined}\n", "-", ACCESS_COMBINED},
        {BASE "access_log: {}\n", NULL, ACCESS_NONE},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct loaded l = loaded_good(cases[i].text);
        assert_int_equal(l.s->access_log.format, cases[i].format);
        if (cases[i].file)
            assert_string_equal(l.s->access_log.file, cases[i].file);
        else
            assert_null(l.s->access_log.file);
        loaded_fini(&l);
    }
}

static void test_texts_of_all_systems(void **state)
{
    (void)state;
    struct loaded l = loaded_good(
        "\xef\xbb\xbfworkers: 2\r\nlisteners: [{name: web, listen: ':80', pool: app}]\r\n"
        "pools: [{name: app, backends: ['127.0.0.1:1']}] # \xc3\xa4\r\n");
    assert_int_equal(l.s->workers, 2);
    loaded_fini(&l);
    l = loaded_text("\xef\xbb\xbfworkres: 2\r\n" BASE);
    assert_int_equal(l.d.items[0].column, 1);
    loaded_fini(&l);
}

/* Port 0 is another port each time, so it may be there twice. */
static void test_port_zero(void **state)
{
    (void)state;
    struct loaded l =
        loaded_good("listeners: [{name: a, listen: ['127.0.0.1:0', '127.0.0.1:0'], pool: app}]\n"
                    "pools: [{name: app, backends: ['127.0.0.1:1']}]\n");
    assert_int_equal(l.s->listeners[0].address_count, 2);
    loaded_fini(&l);
}

static void test_references(void **state)
{
    (void)state;
    struct loaded l = loaded_good(BASE);
    const struct snapshot *second = snapshot_ref(l.s);
    loaded_fini(&l);
    assert_string_equal(second->pools[0].name, "app"); /* the other reference keeps it */
    snapshot_unref(&second);
    assert_null(second);
    snapshot_unref(&second);
}

static void test_ten_thousand_backends(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    (void)fprintf(
        out,
        "listeners: [{name: web, listen: ':80', pool: app}]\npools:\n- name: app\n  backends:\n");
    for (int i = 0; i < 10000; i++)
        (void)fprintf(out, "  - {name: b%d, address: 10.0.%d.%d:80, weight: %d}\n", i, i / 250,
                      i % 250, i % 256);
    (void)fclose(out);
    struct loaded l = loaded_good(text);
    assert_int_equal(l.s->pools[0].backend_count, 10000);
    assert_string_equal(l.s->pools[0].backends[9999].name, "b9999");
    assert_int_equal(l.s->pools[0].backends[9999].address.ip[2], 39);
    assert_int_equal(l.s->pools[0].backends[9999].origin.line, 10004);
    loaded_fini(&l);
    free(text);
}

static void test_files(void **state)
{
    char path[] = "/tmp/poise-test-XXXXXX";
    char why[256] = "";
    char *text = NULL;
    size_t n = 0;
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "workers: 2\n", 11), 11);
    assert_int_equal(close(fd), 0);
    assert_int_equal(config_read_file(path, &text, &n, why, sizeof(why)), 0);
    assert_int_equal(n, 11);
    assert_string_equal(text, "workers: 2\n");
    free(text);
    assert_int_equal(unlink(path), 0);
    assert_true(config_read_file("/nowhere/poise.yaml", &text, &n, why, sizeof(why)) < 0);
    assert_string_equal(why, "/nowhere/poise.yaml: no such file");
    assert_true(config_read_file("/", &text, &n, why, sizeof(why)) < 0);
    assert_string_equal(why, "/: it is a directory");
}

static void test_admin_where_nothing_is_said(void **state)
{
    static const struct {
        const char *text;
        uint16_t port; /* 0 = no address */
        const char *socket;
    } cases[] = {
        {"admin: {}", ADMIN_PORT, NULL},
        {"admin: {token: 12345678}", ADMIN_PORT, NULL},
        {"admin: {socket: /s}", 0, "/s"},
        {"admin: {listen: '[::1]:7', socket: /s}", 7, "/s"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 "listeners: [{name: web, listen: ':80', pool: app}]\n"
                 "pools: [{name: app, backends: [127.0.0.1:8881]}]\n%s\n",
                 cases[i].text);
        struct loaded l = loaded_good(text);
        const struct admin_conf *a = &l.s->admin;
        assert_true(a->enabled);
        assert_int_equal(l.d.count, 0);
        assert_int_equal(a->address.port, cases[i].port);
        assert_int_equal(a->address.kind == ADDRESS_NONE, cases[i].port == 0);
        assert_int_equal(a->socket != NULL, cases[i].socket != NULL);
        loaded_fini(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admin_where_nothing_is_said),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_minimal),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_access_log),
        cmocka_unit_test(test_texts_of_all_systems),
        cmocka_unit_test(test_port_zero),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_ten_thousand_backends),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

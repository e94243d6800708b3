/* SPDX-License-Identifier: MIT */
/*
 * /metrics: lines, labels, pieces, and the document made from the table. After a change of the
 * table run this test with POISE_UPDATE_DOCS=1 in the environment: it then writes the document.
 */
#include "admin/metrics.h"
#include "base/limits.h"
#include "traffic.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct traffic t;
static const char *document;

static char *taken(struct text *out)
{
    size_t n;
    text_u8(out, 0);
    char *text = (char *)text_take(out, &n);
    assert_non_null(text);
    return text;
}

static char *written(void)
{
    struct text out;
    text_init(&out, 64u << 20);
    metrics_write(&t.view, NULL, &out);
    return taken(&out);
}

static void assert_line(const char *text, const char *line)
{
    char whole[512];
    (void)snprintf(whole, sizeof(whole), "\n%s\n", line);
    if (!strstr(text, whole))
        fail_msg("not there: %s", line);
}

static void what_was_counted_is_told(void **state)
{
    (void)state;
    traffic_init(&t, "[{name: B1, address: '127.0.0.1:1'}, {name: B2, address: '127.0.0.1:2'}]");
    traffic_flow(&t, 0, 0, 200, 300, 2);
    traffic_flow(&t, 1, 0, 503, 100, 1);
    account_connection(t.accounts[0], &t.front.key);
    account_call(t.accounts[0], &t.front.key, &t.pools[0]->key, RECORD_GRPC(14));
    account_call(t.accounts[1], &t.front.key, &t.pools[0]->key, RECORD_GRPC(14));
    account_call(t.accounts[1], &t.front.key, NULL, RECORD_GRPC_NONE);
    account_left(t.accounts[0], &t.pools[0]->backends[1].key,
                 &(struct account_left){.failure = REASON_connect_refused});
    account_retried(t.accounts[0], &t.pools[0]->backends[1].key);
    account_count(t.accounts[0], &(struct account_count){.status = 400,
                                                         .method = BOARD_METHOD_NONE,
                                                         .reason = REASON_bad_method,
                                                         .listener = &t.front.key});
    (void)backend_state_change(&t.pools[0]->backends[1], BACKEND_DOWN, 0);
    char *text = written();
    assert_line(text, "poise_build_info{version=\"" POISE_VERSION "\",engine=\"epoll\"} 1");
    assert_line(text, "poise_config_last_reload_timestamp_seconds 1.250");
    assert_line(text, "poise_listener_connections_total{listener=\"web\"} 1");
    assert_line(text, "poise_listener_connections_max{listener=\"web\"} 9");
    assert_line(text, "poise_bytes_total{listener=\"web\",direction=\"in\"} 9");
    assert_line(
        text, "poise_requests_total{listener=\"web\",pool=\"app\",code=\"200\",method=\"GET\"} 2");
    assert_line(text,
                "poise_requests_total{listener=\"web\",pool=\"\",code=\"400\",method=\"none\"} 1");
    assert_line(text, "poise_request_duration_seconds_bucket{listener=\"web\",pool=\"app\",le=\"0."
                      "0001\"} 1");
    assert_line(text, "poise_request_duration_seconds_bucket{listener=\"web\",pool=\"app\",le=\"0."
                      "0005\"} 3");
    assert_line(text, "poise_request_duration_seconds_bucket{listener=\"web\",pool=\"app\",le=\"+"
                      "Inf\"} 3");
    assert_line(
        text, "poise_grpc_requests_total{listener=\"web\",pool=\"app\",status=\"UNAVAILABLE\"} 2");
    assert_line(text, "poise_grpc_requests_total{listener=\"web\",pool=\"\",status=\"none\"} 1");
    assert_line(text, "poise_request_duration_seconds_count{listener=\"web\",pool=\"app\"} 3");
    assert_line(text, "poise_backend_requests_total{pool=\"app\",backend=\"B1\",code=\"503\"} 1");
    assert_line(text, "poise_backend_requests_total{pool=\"app\",backend=\"B2\",code=\"none\"} 1");
    assert_line(text, "poise_backend_up{pool=\"app\",backend=\"B1\"} 1");
    assert_line(text, "poise_backend_up{pool=\"app\",backend=\"B2\"} 0");
    assert_line(text, "poise_backend_failures_total{pool=\"app\",backend=\"B2\"} 1");
    assert_line(text, "poise_backend_retries_total{pool=\"app\",backend=\"B2\"} 1");
    assert_line(text, "poise_backend_connect_errors_total{pool=\"app\",backend=\"B2\",reason="
                      "\"connect_refused\"} 1");
    assert_line(text, "poise_pool_backends_up{pool=\"app\"} 1");
    assert_line(text, "poise_exchange_ends_total{reason=\"bad_method\"} 1");
    assert_line(text, "poise_worker_exchanges_total{worker=\"1\"} 1");
    assert_null(strstr(text, "poise_backend_request_duration_seconds_count{pool=\"other\""));
    free(text);
    traffic_fini(&t);
}

static void names_are_escaped(void **state)
{
    (void)state;
    traffic_init(&t, "[\"unix:/run/a\\\"b\\\\c\"]");
    char *text = written();
    assert_line(text, "poise_backend_up{pool=\"app\",backend=\"unix:/run/a\\\"b\\\\c\"} 1");
    free(text);
    traffic_fini(&t);
}

/* One family after the other, each once, with its heading. */
static void families_are_whole(void **state)
{
    (void)state;
    traffic_init(&t, "['127.0.0.1:1', '127.0.0.1:2']");
    traffic_flow(&t, 0, 0, 200, 300, 2);
    char *text = written();
    const char *at = text;
    for (size_t i = 0; i < metrics_count(); i++) {
        const struct metric *m = metrics_get(i);
        char head[512];
        (void)snprintf(head, sizeof(head), "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help,
                       m->name, m->type);
        assert_int_equal(strncmp(at, head, strlen(head)), 0);
        at += strlen(head);
        while (*at && *at != '#') {
            assert_int_equal(strncmp(at, m->name, strlen(m->name)), 0);
            at = strchr(at, '\n');
            assert_non_null(at);
            at++;
        }
        bool counts = strcmp(m->type, "counter") == 0;
        size_t n = strlen(m->name);
        assert_true(counts == (n > 6 && strcmp(m->name + n - 6, "_total") == 0));
    }
    assert_int_equal(*at, 0);
    free(text);
    traffic_fini(&t);
}

/* However small, pieces make the same text; after a reload in between it begins anew. */
static void pieces_make_the_same(void **state)
{
    (void)state;
    traffic_init(&t, "['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:4']");
    traffic_flow(&t, 0, 1, 200, 300, 2);
    t.view.fronts = t.front_list;
    for (uint32_t piece = 1; piece < 20; piece += 3) {
        struct metrics_at at = {0};
        struct text out;
        text_init(&out, 1u << 20);
        int steps = 0;
        while (metrics_step(&at, &t.view, &out, piece)) {
            if (++steps == 10)
                t.view.generation++;
        }
        assert_true(steps > 10 || piece > 1);
        char *pieced = taken(&out), *whole = written();
        /* what the process uses differs between the two */
        *strstr(pieced, "# HELP process_") = 0;
        *strstr(whole, "# HELP process_") = 0;
        assert_string_equal(pieced, whole);
        free(pieced);
        free(whole);
    }
    traffic_fini(&t);
}

static void what_does_not_fit_fails(void **state)
{
    (void)state;
    traffic_init(&t, "['127.0.0.1:1']");
    struct text out;
    text_init(&out, 5000);
    metrics_write(&t.view, NULL, &out);
    assert_false(text_ok(&out));
    text_fini(&out);
    traffic_fini(&t);
}

static void put_row(FILE *out, const struct metric *m)
{
    (void)fprintf(out, "| `%s` | %s | ", m->name, m->type);
    for (const char *c = m->labels; *c; c++)
        (void)fputc(*c, out);
    (void)fprintf(out, " | %s |\n", m->help);
}

/* The rows of the document between its head and the next empty line. */
static void the_document_is_current(void **state)
{
    (void)state;
    static const char head[] = "| metric | type | labels | what it is |\n|---|---|---|---|\n";
    if (!document)
        skip();
    FILE *in = fopen(document, "re");
    assert_non_null(in);
    static char kept[65536];
    size_t n = fread(kept, 1, sizeof(kept) - 1, in);
    kept[n] = 0;
    assert_int_equal(fclose(in), 0);
    char *begin = strstr(kept, head);
    assert_non_null(begin);
    char *rest = strstr(begin, "\n\n");
    assert_non_null(rest);
    char *now = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&now, &size);
    assert_non_null(out);
    (void)fwrite(kept, 1, (size_t)(begin - kept), out);
    (void)fputs(head, out);
    for (size_t i = 0; i < metrics_count(); i++)
        put_row(out, metrics_get(i));
    (void)fputs(rest + 1, out);
    assert_int_equal(fclose(out), 0);
    if (getenv("POISE_UPDATE_DOCS")) {
        FILE *to = fopen(document, "we");
        assert_non_null(to);
        (void)fputs(now, to);
        assert_int_equal(fclose(to), 0);
    } else {
        assert_string_equal(kept, now);
    }
    free(now);
}

int main(int argc, char **argv)
{
    document = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_counted_is_told), cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(families_are_whole),       cmocka_unit_test(pieces_make_the_same),
        cmocka_unit_test(what_does_not_fit_fails),  cmocka_unit_test(the_document_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

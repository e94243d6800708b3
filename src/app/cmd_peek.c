/* SPDX-License-Identifier: MIT */
/* Verbs that show a running balancer and change nothing: status, pools, health, sessions, and the
 * list of `backends`. */
#include "app/cmd_backends.h"
#include "app/exit_code.h"
#include "app/expiry.h"
#include "app/peek.h"
#include "app/term.h"
#include "base/bytes.h"
#include "codec/grpc.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- status ---- */

struct ailing {
    size_t count;
    bool colour;
};

static void put_ailing(void *user, const json_t *pool, const json_t *backend)
{
    struct ailing *a = user;
    const char *state = peek_text(backend, "state");
    char age[PEEK_TEXT_MAX];
    if (strcmp(state, "up") == 0)
        return;
    a->count++;
    bool bad = peek_tone(state) == TONE_BAD;
    printf("  %s%s/%s %s%s for %s", a->colour ? (bad ? "\033[31m" : "\033[33m") : "",
           peek_text(pool, "name"), peek_text(backend, "name"), state, a->colour ? "\033[0m" : "",
           peek_since(age, backend, "since"));
    if (peek_has(backend, "reason_text"))
        printf(". %s", peek_text(backend, "reason_text"));
    putchar('\n');
}

static void put_process(const json_t *s)
{
    char age[PEEK_TEXT_MAX];
    printf("Poise %s, %s for %s, generation %.0f\n", peek_text(s, "version"), peek_text(s, "state"),
           peek_age(age, peek_number(s, "uptime_ms")), peek_number(s, "generation"));
    printf("configuration  %s\n", peek_text(s, "config"));
    printf("process        pid %.0f, engine %s (pid %.0f), %.0f worker%s\n", peek_number(s, "pid"),
           peek_text(s, "engine"), peek_number(s, "engine_pid"), peek_number(s, "workers"),
           peek_number(s, "workers") == 1 ? "" : "s");
    if (peek_has(s, "last_reload.ok") && !json_is_true(peek_at(s, "last_reload.ok")))
        printf("last reload    refused: %s\n", peek_text(s, "last_reload.message"));
}

static void put_traffic(const json_t *s)
{
    char rate[PEEK_TEXT_MAX], p50[PEEK_TEXT_MAX], p99[PEEK_TEXT_MAX], most[PEEK_TEXT_MAX];
    printf("requests       %s/s, %.0f in all, %.0f under way, %.0f clients\n",
           peek_rate(rate, peek_number(s, "requests_per_second")), peek_number(s, "requests"),
           peek_number(s, "in_flight"), peek_number(s, "clients"));
    printf("latency        p50 %s, p99 %s, longest %s (of the last 10 s)\n",
           peek_ms(p50, s, "latency_ms.p50"), peek_ms(p99, s, "latency_ms.p99"),
           peek_ms(most, s, "latency_ms.max"));
    fputs("answers       ", stdout);
    const char *class;
    json_t *n;
    double all = 0;
    json_object_foreach((json_t *)(uintptr_t)peek_at(s, "codes"), class, n)
    {
        if (json_number_value(n) > 0)
            printf(" %s %.0f,", class, json_number_value(n));
        all += json_number_value(n);
    }
    printf("%s retries %.0f\n", all > 0 ? "" : " none yet,", peek_number(s, "retries"));
}

/* Those that end soon. */
static void put_certificates(const json_t *listeners)
{
    size_t i, k;
    json_t *listener, *certificate;
    json_array_foreach(json_object_get(listeners, "listeners"), i, listener)
    {
        json_array_foreach(peek_at(listener, "tls.certificates"), k, certificate)
        {
            int64_t now_s = time(NULL), end_s;
            char when[EXPIRY_TEXT_MAX];
            if (peek_time(certificate, "not_after", &end_s) &&
                expiry_of(end_s, now_s) != EXPIRY_FAR)
                printf("certificate    %s of listener %s %s\n", peek_text(certificate, "file"),
                       peek_text(listener, "name"), expiry_text(end_s, now_s, when));
        }
    }
}

static int show_status(struct control *c, bool json)
{
    json_t *s = NULL, *pools = NULL, *listeners = NULL;
    int code = control_json(c, "GET", "/api/v1/status", NULL, &s);
    if (code == EXIT_OK && !json)
        code = control_json(c, "GET", "/api/v1/pools", NULL, &pools);
    if (code == EXIT_OK && !json)
        code = control_json(c, "GET", "/api/v1/listeners", NULL, &listeners);
    if (code == EXIT_OK && json)
        peek_print(s);
    if (code == EXIT_OK && !json) {
        struct ailing ailing = {.colour = term_colour(stdout)};
        put_process(s);
        put_traffic(s);
        put_certificates(listeners);
        printf("backends       %.0f of %.0f up\n", peek_number(s, "backends.up"),
               peek_number(s, "backends.total"));
        peek_backends(pools, put_ailing, &ailing);
    }
    json_decref(s);
    json_decref(pools);
    json_decref(listeners);
    return code;
}

int cmd_status(const struct cli_args *args)
{
    struct control *c;
    int code = control_open(args, &c);
    if (code == EXIT_OK)
        code = show_status(c, cli_has(args, OPT_status_json));
    control_close(&c);
    return code;
}

/* ---- pools ---- */

static void add_pool(struct table *t, const json_t *pool)
{
    char text[PEEK_TEXT_MAX];
    double up = peek_number(pool, "backends_up"), total = peek_number(pool, "backends_total");
    table_cell(t, TONE_PLAIN, peek_text(pool, "name"));
    table_cell(t, TONE_PLAIN, peek_text(pool, "protocol"));
    table_cell(t, TONE_PLAIN, peek_text(pool, "balance"));
    table_cellf(t, up == total ? TONE_GOOD : up > 0 ? TONE_WARN : TONE_BAD, "%.0f/%.0f", up, total);
    table_cell(t, TONE_PLAIN, peek_count(text, peek_number(pool, "requests")));
    table_cell(t, TONE_PLAIN, peek_rate(text, peek_number(pool, "requests_per_second")));
    table_cell(t, TONE_PLAIN, peek_ms(text, pool, "latency_ms.p50"));
    table_cell(t, TONE_PLAIN, peek_ms(text, pool, "latency_ms.p99"));
    table_cell(t, TONE_PLAIN, peek_count(text, peek_number(pool, "waiting")));
    table_cell(t, TONE_PLAIN, peek_text(pool, "at"));
}

static void put_pools(const json_t *answer)
{
    static const char *const columns[] = {"POOL",   "PROTOCOL", "BALANCE", ">UP",      ">REQUESTS",
                                          ">REQ/S", ">P50",     ">P99",    ">WAITING", "AT"};
    struct table *t = table_new(columns, ARRAY_LEN(columns));
    json_t *pools = json_object_get(answer, "pools");
    size_t i;
    json_t *pool;
    if (!pools)
        add_pool(t, answer);
    json_array_foreach(pools, i, pool) add_pool(t, pool);
    table_print(t, stdout, "There is no pool.");
    table_free(&t);
}

int cmd_pools(const struct cli_args *args)
{
    char path[PEEK_PATH_MAX];
    json_t *answer;
    int code = peek_get(args, peek_pools_path(path, args->operands[0]), &answer);
    if (code == EXIT_OK && cli_has(args, OPT_pools_json))
        peek_print(answer);
    else if (code == EXIT_OK)
        put_pools(answer);
    json_decref(answer);
    return code;
}

/* ---- backends ---- */

static void add_backend(void *user, const json_t *pool, const json_t *backend)
{
    struct table *t = user;
    char text[PEEK_TEXT_MAX];
    const char *state = peek_text(backend, "state");
    table_cell(t, TONE_PLAIN, peek_text(pool, "name"));
    table_cell(t, TONE_PLAIN, peek_text(backend, "name"));
    table_cell(t, TONE_PLAIN, peek_text(backend, "address"));
    table_cell(t, peek_tone(state), state);
    table_cellf(t, TONE_PLAIN, "%.0f%s", peek_number(backend, "weight"),
                json_is_true(peek_at(backend, "backup")) ? " backup" : "");
    table_cell(t, TONE_PLAIN, peek_count(text, peek_number(backend, "in_flight")));
    table_cell(t, TONE_PLAIN, peek_count(text, peek_number(backend, "requests")));
    table_cell(t, TONE_PLAIN, peek_rate(text, peek_number(backend, "requests_per_second")));
    table_cell(t, TONE_PLAIN, peek_ms(text, backend, "latency_ms.p50"));
    table_cell(t, TONE_PLAIN, peek_ms(text, backend, "latency_ms.p99"));
    table_cell(t, peek_number(backend, "failures") > 0 ? TONE_WARN : TONE_PLAIN,
               peek_count(text, peek_number(backend, "failures")));
    table_cell(t, TONE_PLAIN, peek_text(backend, "reason_text"));
}

int backends_show(const struct cli_args *args, const char *pool)
{
    static const char *const columns[] = {"POOL",    "BACKEND",    "ADDRESS",   "STATE",
                                          ">WEIGHT", ">IN FLIGHT", ">REQUESTS", ">REQ/S",
                                          ">P50",    ">P99",       ">FAILED",   "WHY"};
    char path[PEEK_PATH_MAX];
    json_t *answer;
    int code = peek_get(args, peek_pools_path(path, pool), &answer);
    if (code == EXIT_OK && cli_text_named(args, "json")) {
        peek_print(answer);
    } else if (code == EXIT_OK) {
        struct table *t = table_new(columns, ARRAY_LEN(columns));
        peek_backends(answer, add_backend, t);
        table_print(t, stdout, "There is no backend.");
        table_free(&t);
    }
    json_decref(answer);
    return code;
}

/* ---- health ---- */

static void add_check(void *user, const json_t *pool, const json_t *backend)
{
    struct table *t = user;
    char text[PEEK_TEXT_MAX], why[256];
    const char *state = peek_text(backend, "state");
    bool checked = peek_has(backend, "last_check.at");
    bool ok = json_is_true(peek_at(backend, "last_check.ok"));
    table_cell(t, TONE_PLAIN, peek_text(pool, "name"));
    table_cell(t, TONE_PLAIN, peek_text(backend, "name"));
    table_cell(t, peek_tone(state), state);
    table_cell(t, TONE_PLAIN, peek_since(text, backend, "since"));
    table_cell(t, TONE_PLAIN, peek_text(pool, "health.type"));
    table_cell(t,
               !checked ? TONE_PLAIN
               : ok     ? TONE_GOOD
                        : TONE_BAD,
               !checked ? "-"
               : ok     ? "passed"
                        : peek_text(backend, "last_check.reason"));
    table_cell(t, TONE_PLAIN, peek_since(text, backend, "last_check.at"));
    table_cell(t, TONE_PLAIN, peek_ms(text, backend, "last_check.ms"));
    const char *detail = peek_text(backend, "last_check.detail");
    (void)snprintf(why, sizeof(why), "%s%s%s%s", peek_text(backend, "reason_text"),
                   detail[0] ? " (" : "", detail, detail[0] ? ")" : "");
    table_cell(t, TONE_PLAIN, why);
}

static bool some_pool_is_dark(const json_t *answer)
{
    const json_t *pools = json_object_get(answer, "pools");
    size_t i;
    json_t *pool;
    if (!pools)
        return peek_number(answer, "backends_up") == 0;
    json_array_foreach((json_t *)(uintptr_t)pools, i, pool)
    {
        if (peek_number(pool, "backends_up") == 0)
            return true;
    }
    return false;
}

int cmd_health(const struct cli_args *args)
{
    static const char *const columns[] = {"POOL",   "BACKEND", "STATE", ">SINCE", "CHECK",
                                          "RESULT", ">AGO",    ">TOOK", "WHY"};
    char path[PEEK_PATH_MAX];
    json_t *answer;
    int code = peek_get(args, peek_pools_path(path, args->operands[0]), &answer);
    if (code == EXIT_OK && cli_has(args, OPT_health_json)) {
        peek_print(answer);
    } else if (code == EXIT_OK) {
        struct table *t = table_new(columns, ARRAY_LEN(columns));
        peek_backends(answer, add_check, t);
        table_print(t, stdout, "There is no backend.");
        table_free(&t);
    }
    if (code == EXIT_OK && some_pool_is_dark(answer))
        code = EXIT_RUNTIME;
    json_decref(answer);
    return code;
}

/* ---- sessions ---- */

/* What their table has; the columns of TLS are there where a row has any. */
struct session_table {
    struct table *table;
    bool recent;
    bool tls, backend_tls;
    const char *columns[TABLE_COLUMNS_MAX];
};

/* What there is of version, cipher and name, one after another. */
static void add_tls(struct table *t, const json_t *tls)
{
    static const char *const parts[] = {"version", "cipher", "sni"};
    char text[512];
    struct writer w = writer_of(text, sizeof(text));
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (peek_has(tls, parts[i]))
            w_printf(&w, "%s%s", w_len(&w) > 0 ? " " : "", peek_text(tls, parts[i]));
    }
    table_cell(t, TONE_PLAIN, w_cstr(&w));
}

/* Of a call of gRPC its own status says more. */
static void add_status(struct table *t, const json_t *s)
{
    const json_t *grpc = json_object_get(s, "grpc_status");
    long long status = json_is_integer(grpc) ? json_integer_value(grpc) : -1;
    if (status < 0)
        table_cellf(t, TONE_PLAIN, "%.0f", peek_number(s, "status"));
    else
        table_cellf(t, status == GRPC_OK ? TONE_PLAIN : TONE_WARN, "%.0f %s",
                    peek_number(s, "status"), grpc_status_name((unsigned)status));
}

static void add_session(const struct session_table *st, const json_t *s)
{
    struct table *t = st->table;
    char text[PEEK_TEXT_MAX];
    table_cell(t, TONE_PLAIN, peek_text(s, "client"));
    table_cell(t, TONE_PLAIN, peek_text(s, "listener"));
    table_cell(t, TONE_PLAIN, peek_text(s, "client_protocol"));
    if (st->tls)
        add_tls(t, json_object_get(s, "tls"));
    table_cell(t, TONE_PLAIN, peek_text(s, "pool"));
    table_cell(t, TONE_PLAIN, peek_text(s, "backend"));
    table_cell(t, TONE_PLAIN, peek_text(s, "backend_protocol"));
    if (st->backend_tls)
        add_tls(t, json_object_get(s, "backend_tls"));
    table_cellf(t, TONE_PLAIN, "%s %s", peek_text(s, "method"), peek_text(s, "target"));
    if (st->recent) {
        bool fine = strcmp(peek_text(s, "reason"), "ok") == 0;
        add_status(t, s);
        table_cell(t, TONE_PLAIN, peek_ms(text, s, "total_ms"));
        table_cell(t, fine ? TONE_PLAIN : TONE_WARN, fine ? "" : peek_text(s, "reason_text"));
    } else {
        table_cell(t, TONE_PLAIN, peek_text(s, "state"));
        table_cell(t, TONE_PLAIN, peek_age(text, peek_number(s, "age_ms")));
        table_cellf(t, TONE_PLAIN, "%.0f", peek_number(s, "bytes_out"));
    }
}

static void begin_sessions(struct session_table *st)
{
    const char **columns = st->columns;
    size_t n = 0;
    columns[n++] = "CLIENT";
    columns[n++] = "LISTENER";
    columns[n++] = "PROTOCOL";
    if (st->tls)
        columns[n++] = "TLS";
    columns[n++] = "POOL";
    columns[n++] = "BACKEND";
    columns[n++] = "UPSTREAM";
    if (st->backend_tls)
        columns[n++] = "UPSTREAM TLS";
    columns[n++] = "REQUEST";
    columns[n++] = st->recent ? ">STATUS" : "STATE";
    columns[n++] = st->recent ? ">TOOK" : ">AGE";
    columns[n++] = st->recent ? "WHY" : ">BYTES";
    st->table = table_new(columns, n);
}

static void put_sessions(const json_t *answer, bool recent, size_t most)
{
    struct session_table st = {.recent = recent};
    json_t *sessions = json_object_get(answer, "sessions"), *s;
    size_t i;
    json_array_foreach(sessions, i, s)
    {
        st.tls |= i < most && json_object_get(s, "tls");
        st.backend_tls |= i < most && json_object_get(s, "backend_tls");
    }
    begin_sessions(&st);
    json_array_foreach(sessions, i, s)
    {
        if (i < most)
            add_session(&st, s);
    }
    table_print(st.table, stdout, recent ? "Nothing has ended yet." : "Nothing is under way.");
    size_t shown = MIN(json_array_size(sessions), most);
    if (peek_number(answer, "total") > (double)shown)
        printf("%zu of %.0f are shown.\n", shown, peek_number(answer, "total"));
    table_free(&st.table);
}

int cmd_sessions(const struct cli_args *args)
{
    char path[PEEK_PATH_MAX];
    bool recent = cli_has(args, OPT_sessions_recent);
    unsigned long long count = cli_number(args, OPT_sessions_count, 100);
    struct writer w = writer_of(path, sizeof(path));
    w_str(&w, "/api/v1/sessions");
    if (recent)
        w_printf(&w, "?recent=%llu", count);
    (void)w_cstr(&w);
    json_t *answer;
    int code = peek_get(args, path, &answer);
    if (code == EXIT_OK && cli_has(args, OPT_sessions_json))
        peek_print(answer);
    else if (code == EXIT_OK)
        put_sessions(answer, recent, (size_t)count);
    json_decref(answer);
    return code;
}

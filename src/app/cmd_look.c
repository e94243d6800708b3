/* SPDX-License-Identifier: MIT */
/* Verbs that show a running balancer and change nothing: status, pools, health, sessions, and the
 * list of `backends`. */
#include "app/cmd_backends.h"
#include "app/exit_code.h"
#include "app/look.h"
#include "app/term.h"

#include <stdio.h>
#include <string.h>

/* ---- status ---- */

struct ailing {
    size_t count;
    bool colour;
};

static void put_ailing(void *user, const json_t *pool, const json_t *backend)
{
    struct ailing *a = user;
    const char *state = look_text(backend, "state");
    char age[LOOK_TEXT_MAX];
    if (strcmp(state, "up") == 0)
        return;
    a->count++;
    bool bad = look_tone(state) == TONE_BAD;
    printf("  %s%s/%s %s%s for %s", a->colour ? (bad ? "\033[31m" : "\033[33m") : "",
           look_text(pool, "name"), look_text(backend, "name"), state, a->colour ? "\033[0m" : "",
           look_since(age, backend, "since"));
    if (look_has(backend, "reason_text"))
        printf(": %s", look_text(backend, "reason_text"));
    putchar('\n');
}

static void put_process(const json_t *s)
{
    char age[LOOK_TEXT_MAX];
    printf("Poise %s, %s for %s, generation %.0f\n", look_text(s, "version"), look_text(s, "state"),
           look_age(age, look_number(s, "uptime_ms")), look_number(s, "generation"));
    printf("configuration  %s\n", look_text(s, "config"));
    printf("process        pid %.0f, engine %s (pid %.0f), %.0f worker%s\n", look_number(s, "pid"),
           look_text(s, "engine"), look_number(s, "engine_pid"), look_number(s, "workers"),
           look_number(s, "workers") == 1 ? "" : "s");
    if (look_has(s, "last_reload.ok") && !json_is_true(look_at(s, "last_reload.ok")))
        printf("last reload    refused: %s\n", look_text(s, "last_reload.message"));
}

static void put_traffic(const json_t *s)
{
    char rate[LOOK_TEXT_MAX], p50[LOOK_TEXT_MAX], p99[LOOK_TEXT_MAX], most[LOOK_TEXT_MAX];
    printf("requests       %s/s, %.0f in all, %.0f under way, %.0f clients\n",
           look_rate(rate, look_number(s, "requests_per_second")), look_number(s, "requests"),
           look_number(s, "in_flight"), look_number(s, "clients"));
    printf("latency        p50 %s, p99 %s, longest %s (of the last 10 s)\n",
           look_ms(p50, s, "latency_ms.p50"), look_ms(p99, s, "latency_ms.p99"),
           look_ms(most, s, "latency_ms.max"));
    fputs("answers       ", stdout);
    const char *class;
    json_t *n;
    json_object_foreach((json_t *)(uintptr_t)look_at(s, "codes"), class, n)
        printf(" %s %.0f", class, json_number_value(n));
    printf(", retries %.0f\n", look_number(s, "retries"));
}

static int show_status(struct control *c, bool json)
{
    json_t *s = NULL, *pools = NULL;
    int code = control_json(c, "GET", "/api/v1/status", NULL, &s);
    if (code == EXIT_OK && !json)
        code = control_json(c, "GET", "/api/v1/pools", NULL, &pools);
    if (code == EXIT_OK && json)
        look_print(s);
    if (code == EXIT_OK && !json) {
        struct ailing ailing = {.colour = term_colour(stdout)};
        put_process(s);
        put_traffic(s);
        printf("backends       %.0f of %.0f up\n", look_number(s, "backends.up"),
               look_number(s, "backends.total"));
        look_backends(pools, put_ailing, &ailing);
    }
    json_decref(s);
    json_decref(pools);
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
    char text[LOOK_TEXT_MAX];
    double up = look_number(pool, "backends_up"), total = look_number(pool, "backends_total");
    table_cell(t, TONE_PLAIN, look_text(pool, "name"));
    table_cell(t, TONE_PLAIN, look_text(pool, "protocol"));
    table_cell(t, TONE_PLAIN, look_text(pool, "balance"));
    table_cellf(t, up == total ? TONE_GOOD : up > 0 ? TONE_WARN : TONE_BAD, "%.0f/%.0f", up, total);
    table_cell(t, TONE_PLAIN, look_count(text, look_number(pool, "requests")));
    table_cell(t, TONE_PLAIN, look_rate(text, look_number(pool, "requests_per_second")));
    table_cell(t, TONE_PLAIN, look_ms(text, pool, "latency_ms.p50"));
    table_cell(t, TONE_PLAIN, look_ms(text, pool, "latency_ms.p99"));
    table_cell(t, TONE_PLAIN, look_count(text, look_number(pool, "waiting")));
    table_cell(t, TONE_PLAIN, look_text(pool, "at"));
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
    char path[LOOK_PATH_MAX];
    json_t *answer;
    int code = look_get(args, look_pools_path(path, args->operands[0]), &answer);
    if (code == EXIT_OK && cli_has(args, OPT_pools_json))
        look_print(answer);
    else if (code == EXIT_OK)
        put_pools(answer);
    json_decref(answer);
    return code;
}

/* ---- backends ---- */

static void add_backend(void *user, const json_t *pool, const json_t *backend)
{
    struct table *t = user;
    char text[LOOK_TEXT_MAX];
    const char *state = look_text(backend, "state");
    table_cell(t, TONE_PLAIN, look_text(pool, "name"));
    table_cell(t, TONE_PLAIN, look_text(backend, "name"));
    table_cell(t, TONE_PLAIN, look_text(backend, "address"));
    table_cell(t, look_tone(state), state);
    table_cellf(t, TONE_PLAIN, "%.0f%s", look_number(backend, "weight"),
                json_is_true(look_at(backend, "backup")) ? " backup" : "");
    table_cell(t, TONE_PLAIN, look_count(text, look_number(backend, "in_flight")));
    table_cell(t, TONE_PLAIN, look_count(text, look_number(backend, "requests")));
    table_cell(t, TONE_PLAIN, look_rate(text, look_number(backend, "requests_per_second")));
    table_cell(t, TONE_PLAIN, look_ms(text, backend, "latency_ms.p50"));
    table_cell(t, TONE_PLAIN, look_ms(text, backend, "latency_ms.p99"));
    table_cell(t, look_number(backend, "failures") > 0 ? TONE_WARN : TONE_PLAIN,
               look_count(text, look_number(backend, "failures")));
    table_cell(t, TONE_PLAIN, look_text(backend, "reason_text"));
}

int backends_show(const struct cli_args *args, const char *pool)
{
    static const char *const columns[] = {"POOL",    "BACKEND",    "ADDRESS",   "STATE",
                                          ">WEIGHT", ">IN FLIGHT", ">REQUESTS", ">REQ/S",
                                          ">P50",    ">P99",       ">FAILED",   "WHY"};
    char path[LOOK_PATH_MAX];
    json_t *answer;
    int code = look_get(args, look_pools_path(path, pool), &answer);
    if (code == EXIT_OK && cli_text_named(args, "json")) {
        look_print(answer);
    } else if (code == EXIT_OK) {
        struct table *t = table_new(columns, ARRAY_LEN(columns));
        look_backends(answer, add_backend, t);
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
    char text[LOOK_TEXT_MAX];
    const char *state = look_text(backend, "state");
    bool checked = look_has(backend, "last_check.at");
    bool ok = json_is_true(look_at(backend, "last_check.ok"));
    table_cell(t, TONE_PLAIN, look_text(pool, "name"));
    table_cell(t, TONE_PLAIN, look_text(backend, "name"));
    table_cell(t, look_tone(state), state);
    table_cell(t, TONE_PLAIN, look_since(text, backend, "since"));
    table_cell(t, TONE_PLAIN, look_text(pool, "health.type"));
    table_cell(t,
               !checked ? TONE_PLAIN
               : ok     ? TONE_GOOD
                        : TONE_BAD,
               !checked ? "-"
               : ok     ? "passed"
                        : look_text(backend, "last_check.reason"));
    table_cell(t, TONE_PLAIN, look_since(text, backend, "last_check.at"));
    table_cell(t, TONE_PLAIN, look_ms(text, backend, "last_check.ms"));
    table_cell(t, TONE_PLAIN, look_text(backend, "reason_text"));
}

static bool some_pool_is_dark(const json_t *answer)
{
    const json_t *pools = json_object_get(answer, "pools");
    size_t i;
    json_t *pool;
    if (!pools)
        return look_number(answer, "backends_up") == 0;
    json_array_foreach((json_t *)(uintptr_t)pools, i, pool)
    {
        if (look_number(pool, "backends_up") == 0)
            return true;
    }
    return false;
}

int cmd_health(const struct cli_args *args)
{
    static const char *const columns[] = {"POOL",   "BACKEND", "STATE", ">SINCE", "CHECK",
                                          "RESULT", ">AGO",    ">TOOK", "WHY"};
    char path[LOOK_PATH_MAX];
    json_t *answer;
    int code = look_get(args, look_pools_path(path, args->operands[0]), &answer);
    if (code == EXIT_OK && cli_has(args, OPT_health_json)) {
        look_print(answer);
    } else if (code == EXIT_OK) {
        struct table *t = table_new(columns, ARRAY_LEN(columns));
        look_backends(answer, add_check, t);
        table_print(t, stdout, "There is no backend.");
        table_free(&t);
    }
    if (code == EXIT_OK && some_pool_is_dark(answer))
        code = EXIT_RUNTIME;
    json_decref(answer);
    return code;
}

/* ---- sessions ---- */

static void add_session(struct table *t, const json_t *s, bool recent)
{
    char text[LOOK_TEXT_MAX];
    table_cell(t, TONE_PLAIN, look_text(s, "client"));
    table_cell(t, TONE_PLAIN, look_text(s, "listener"));
    table_cell(t, TONE_PLAIN, look_text(s, "pool"));
    table_cell(t, TONE_PLAIN, look_text(s, "backend"));
    table_cellf(t, TONE_PLAIN, "%s %s", look_text(s, "method"), look_text(s, "target"));
    if (recent) {
        bool fine = strcmp(look_text(s, "reason"), "ok") == 0;
        table_cell(t, TONE_PLAIN, look_count(text, look_number(s, "status")));
        table_cell(t, TONE_PLAIN, look_ms(text, s, "total_ms"));
        table_cell(t, fine ? TONE_PLAIN : TONE_WARN, fine ? "" : look_text(s, "reason_text"));
    } else {
        table_cell(t, TONE_PLAIN, look_text(s, "state"));
        table_cell(t, TONE_PLAIN, look_age(text, look_number(s, "age_ms")));
        table_cellf(t, TONE_PLAIN, "%.0f", look_number(s, "bytes_out"));
    }
}

static void put_sessions(const json_t *answer, bool recent)
{
    static const char *const now[] = {"CLIENT",  "LISTENER", "POOL", "BACKEND",
                                      "REQUEST", "STATE",    ">AGE", ">BYTES"};
    static const char *const ended[] = {"CLIENT",  "LISTENER", "POOL",  "BACKEND",
                                        "REQUEST", ">STATUS",  ">TOOK", "WHY"};
    struct table *t = table_new(recent ? ended : now, ARRAY_LEN(now));
    json_t *sessions = json_object_get(answer, "sessions"), *s;
    size_t i;
    json_array_foreach(sessions, i, s) add_session(t, s, recent);
    table_print(t, stdout, recent ? "Nothing has ended yet." : "Nothing is under way.");
    size_t shown = json_array_size(sessions);
    if (look_number(answer, "total") > (double)shown)
        printf("%zu of %.0f are shown.\n", shown, look_number(answer, "total"));
    table_free(&t);
}

int cmd_sessions(const struct cli_args *args)
{
    char path[LOOK_PATH_MAX];
    bool recent = cli_has(args, OPT_sessions_recent);
    unsigned long long count = cli_number(args, OPT_sessions_count, 100);
    if (recent)
        (void)snprintf(path, sizeof(path), "/api/v1/sessions?recent=%llu", count);
    else
        (void)snprintf(path, sizeof(path), "/api/v1/sessions?limit=%llu", count);
    json_t *answer;
    int code = look_get(args, path, &answer);
    if (code == EXIT_OK && cli_has(args, OPT_sessions_json))
        look_print(answer);
    else if (code == EXIT_OK)
        put_sessions(answer, recent);
    json_decref(answer);
    return code;
}

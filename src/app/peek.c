/* SPDX-License-Identifier: MIT */
#include "app/peek.h"

#include "app/exit_code.h"
#include "base/bytes.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const json_t *peek_at(const json_t *v, const char *path)
{
    struct span rest = span_cstr(path);
    while (v && !span_empty(rest)) {
        char name[PEEK_TEXT_MAX];
        if (!span_to_cstr(span_cut(&rest, '.'), name, sizeof(name)))
            return NULL;
        v = json_object_get(v, name);
    }
    return v;
}

const char *peek_text(const json_t *v, const char *path)
{
    const char *text = json_string_value(peek_at(v, path));
    return text ? text : "";
}

double peek_number(const json_t *v, const char *path)
{
    return json_number_value(peek_at(v, path));
}

bool peek_has(const json_t *v, const char *path)
{
    const json_t *found = peek_at(v, path);
    return found && !json_is_null(found);
}

const char *peek_rate(char out[PEEK_TEXT_MAX], double per_second)
{
    if (per_second >= 1e6)
        (void)snprintf(out, PEEK_TEXT_MAX, "%.2fM", per_second / 1e6);
    else if (per_second >= 1e5)
        (void)snprintf(out, PEEK_TEXT_MAX, "%.0fk", per_second / 1e3);
    else if (per_second >= 1e4)
        (void)snprintf(out, PEEK_TEXT_MAX, "%.1fk", per_second / 1e3);
    else
        (void)snprintf(out, PEEK_TEXT_MAX, per_second >= 100 ? "%.0f" : "%.1f", per_second);
    return out;
}

const char *peek_ms(char out[PEEK_TEXT_MAX], const json_t *v, const char *path)
{
    double ms = peek_number(v, path);
    if (!peek_has(v, path))
        (void)snprintf(out, PEEK_TEXT_MAX, "-");
    else if (ms >= 1000)
        (void)snprintf(out, PEEK_TEXT_MAX, "%.2f s", ms / 1000);
    else
        (void)snprintf(out, PEEK_TEXT_MAX, ms >= 10 ? "%.0f ms" : "%.2f ms", ms);
    return out;
}

const char *peek_count(char out[PEEK_TEXT_MAX], double n)
{
    (void)snprintf(out, PEEK_TEXT_MAX, "%.0f", n);
    return out;
}

const char *peek_age(char out[PEEK_TEXT_MAX], double ms)
{
    double s = ms < 0 ? 0 : ms / 1000;
    if (s < 120)
        (void)snprintf(out, PEEK_TEXT_MAX, "%.0fs", s);
    else if (s < 7200)
        (void)snprintf(out, PEEK_TEXT_MAX, "%.0fm", s / 60);
    else if (s < 172800)
        (void)snprintf(out, PEEK_TEXT_MAX, "%.0fh", s / 3600);
    else
        (void)snprintf(out, PEEK_TEXT_MAX, "%.0fd", s / 86400);
    return out;
}

bool peek_time(const json_t *v, const char *path, int64_t *ret_s)
{
    struct tm then = {0};
    if (!strptime(peek_text(v, path), "%Y-%m-%dT%H:%M:%S", &then))
        return false;
    *ret_s = timegm(&then);
    return true;
}

const char *peek_since(char out[PEEK_TEXT_MAX], const json_t *v, const char *path)
{
    int64_t then_s;
    if (!peek_time(v, path, &then_s)) {
        (void)snprintf(out, PEEK_TEXT_MAX, "-");
        return out;
    }
    return peek_age(out, 1000 * (double)(time(NULL) - then_s));
}

enum table_tone peek_tone(const char *state)
{
    if (strcmp(state, "up") == 0)
        return TONE_GOOD;
    if (strcmp(state, "down") == 0 || strcmp(state, "ejected") == 0 ||
        strcmp(state, "unresolved") == 0)
        return TONE_BAD;
    return TONE_WARN;
}

int peek_get(const struct cli_args *args, const char *path, json_t **ret_value)
{
    struct control *c;
    int code = control_open(args, &c);
    *ret_value = NULL;
    if (code != EXIT_OK)
        return code;
    code = control_json(c, "GET", path, NULL, ret_value);
    control_close(&c);
    return code;
}

void peek_print(const json_t *v)
{
    json_dumpf(v, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
}

const char *peek_pools_path(char out[PEEK_PATH_MAX], const char *pool)
{
    char segment[PEEK_PATH_MAX - 32];
    if (pool)
        (void)snprintf(out, PEEK_PATH_MAX, "/api/v1/pools/%s",
                       control_segment(segment, sizeof(segment), pool));
    else
        (void)snprintf(out, PEEK_PATH_MAX, "/api/v1/pools");
    return out;
}

static void backends_of(const json_t *pool, peek_backend_fn *each, void *user)
{
    size_t i;
    json_t *backend;
    json_array_foreach(json_object_get(pool, "backends"), i, backend) each(user, pool, backend);
}

void peek_backends(const json_t *answer, peek_backend_fn *each, void *user)
{
    const json_t *pools = json_object_get(answer, "pools");
    size_t i;
    json_t *pool;
    if (!pools) {
        backends_of(answer, each, user);
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)pools, i, pool) backends_of(pool, each, user);
}

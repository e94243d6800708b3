/* SPDX-License-Identifier: MIT */
/* Verbs that pass on what a running balancer writes: metrics, logs. */
#include "app/exit_code.h"
#include "app/peek.h"
#include "app/term.h"
#include "base/bytes.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- metrics ---- */

static int metrics_json(struct control *c)
{
    static const char *const parts[] = {"status", "listeners", "pools"};
    json_t *all = json_object();
    int code = EXIT_OK;
    for (size_t i = 0; i < ARRAY_LEN(parts) && code == EXIT_OK; i++) {
        char path[64];
        json_t *part;
        (void)snprintf(path, sizeof(path), "/api/v1/%s", parts[i]);
        code = control_json(c, "GET", path, NULL, &part);
        json_t *inner = json_object_get(part, parts[i]);
        json_object_set(all, parts[i], inner ? inner : part);
        json_decref(part);
    }
    if (code == EXIT_OK)
        peek_print(all);
    json_decref(all);
    return code;
}

static int metrics_text(struct control *c)
{
    struct control_answer a;
    control_ask(c, "GET", "/metrics", NULL, &a);
    int code = EXIT_OK;
    if (a.status == 200)
        (void)fwrite(a.body, 1, a.len, stdout);
    else
        code = control_complain(c, &a);
    control_answer_fini(&a);
    return code;
}

int cmd_metrics(const struct cli_args *args)
{
    struct control *c;
    int code = control_open(args, &c);
    if (code == EXIT_OK)
        code = cli_has(args, OPT_metrics_json) ? metrics_json(c) : metrics_text(c);
    control_close(&c);
    return code;
}

/* ---- logs ---- */

struct follower {
    bool json, colour;
    bool broken; /* standard output takes no more */
    char event[32];
    size_t len;
    char line[4 * LOG_LINE_MAX]; /* of the stream of events, so far */
};

static const char *level_colour(const char *level)
{
    if (strcmp(level, "error") == 0)
        return "\033[31m";
    return strcmp(level, "warn") == 0 ? "\033[33m" : "";
}

/* What a line holds may come from outside, and the terminal obeys some bytes. */
static void put_escaped(const char *text)
{
    uint8_t escaped[4 * LOG_LINE_MAX];
    struct writer w = writer_of(escaped, sizeof(escaped));
    w_escaped(&w, span_of(text, strnlen(text, LOG_LINE_MAX)));
    (void)fwrite(escaped, 1, w_len(&w), stdout);
}

static void put_text(const json_t *line)
{
    const char *name;
    json_t *value;
    put_escaped(peek_text(line, "message"));
    json_object_foreach((json_t *)(uintptr_t)peek_at(line, "fields"), name, value)
    {
        putchar(' ');
        put_escaped(name);
        putchar('=');
        put_escaped(json_is_string(value) ? json_string_value(value) : "");
    }
    putchar('\n');
}

static void put_line(struct follower *f, const json_t *line)
{
    const char *level = peek_text(line, "level");
    const char *colour = f->colour ? level_colour(level) : "";
    if (f->json) {
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        printf("%s %s%-5s%s %-7s ", peek_text(line, "at"), colour, level,
               colour[0] ? "\033[0m" : "", peek_text(line, "area"));
        put_text(line);
    }
    f->broken = fflush(stdout) != 0;
}

static void take_line(struct follower *f, struct span line)
{
    struct span rest = line, name = span_cut(&rest, ':');
    rest = span_trim(rest);
    if (span_eq(name, span_str("event"))) {
        if (!span_to_cstr(rest, f->event, sizeof(f->event)))
            f->event[0] = '\0';
    } else if (span_eq(name, span_str("data")) && strcmp(f->event, "log") == 0) {
        json_t *data = json_loadb((const char *)rest.p, rest.n, 0, NULL);
        if (data)
            put_line(f, data);
        json_decref(data);
    }
}

/* Events come in any pieces; a line longer than ours is none of the log and is passed over. */
static bool on_piece(void *user, struct span piece)
{
    struct follower *f = user;
    for (size_t i = 0; i < piece.n && !f->broken; i++) {
        uint8_t c = piece.p[i];
        if (c != '\n') {
            if (f->len < sizeof(f->line))
                f->line[f->len++] = (char)c;
            continue;
        }
        if (f->len < sizeof(f->line))
            take_line(f, span_of(f->line, f->len));
        f->len = 0;
    }
    return !f->broken;
}

static int put_last(struct control *c, struct follower *f, unsigned long long count)
{
    char path[64];
    json_t *answer, *line;
    size_t i;
    if (count == 0)
        return EXIT_OK;
    (void)snprintf(path, sizeof(path), "/api/v1/logs?limit=%llu", count);
    int code = control_json(c, "GET", path, NULL, &answer);
    json_array_foreach(json_object_get(answer, "lines"), i, line) put_line(f, line);
    json_decref(answer);
    return code;
}

static int follow(struct control *c, struct follower *f)
{
    struct control_answer a;
    control_follow(c, "/api/v1/events", on_piece, f, &a);
    int code = a.status == 200 ? EXIT_OK : control_complain(c, &a);
    control_answer_fini(&a);
    return code;
}

int cmd_logs(const struct cli_args *args)
{
    struct control *c;
    struct follower *f = calloc(1, sizeof(*f));
    int code = control_open(args, &c);
    if (code == EXIT_OK && f) {
        f->json = cli_has(args, OPT_logs_json);
        f->colour = term_colour(stdout);
        code = put_last(c, f, cli_number(args, OPT_logs_count, 20));
        if (code == EXIT_OK && cli_has(args, OPT_logs_follow))
            code = follow(c, f);
    }
    free(f);
    control_close(&c);
    return code;
}

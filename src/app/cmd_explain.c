/* SPDX-License-Identifier: MIT */
/* `poise explain`: the decision comes as JSON, whoever made it, and is printed from that. */
#include "admin/explain.h"
#include "app/cli.h"
#include "app/config_path.h"
#include "app/control.h"
#include "app/exit_code.h"
#include "app/explain_text.h"
#include "app/term.h"
#include "config/load.h"

#include <stdlib.h>

#define ANSWER_BYTES_MAX (16u << 20)

static int fail(int code, const char *why)
{
    fprintf(stderr, "poise: %s\n", why);
    return code;
}

static bool take(const struct cli_args *args, enum option_id option, struct span *texts, size_t max,
                 size_t *ret_count)
{
    size_t n = 0;
    const char *const *values = cli_texts(args, option, &n);
    for (size_t i = 0; i < n && i < max; i++)
        texts[(*ret_count)++] = span_cstr(values[i]);
    return n <= max;
}

static const char *question_of(const struct cli_args *args, struct explain_question *q)
{
    *q = (struct explain_question){
        .request = span_cstr(args->operands[0]),
        .from = span_cstr(cli_text(args, OPT_explain_from)),
        .listener = span_cstr(cli_text(args, OPT_explain_listener)),
    };
    if (!take(args, OPT_explain_header, q->fields, EXPLAIN_FIELDS_MAX, &q->field_count))
        return "there are more headers than a request may have";
    if (!take(args, OPT_explain_tls, q->tls, EXPLAIN_TLS_MAX, &q->tls_count))
        return "there are more facts about TLS than can be asked about";
    return NULL;
}

/* Prints what the object says; the exit status. */
static int show(const struct cli_args *args, struct span answer)
{
    json_t *e = json_loadb((const char *)answer.p, answer.n, 0, NULL);
    if (!e)
        return fail(EXIT_RUNTIME, "out of memory");
    if (cli_has(args, OPT_explain_json))
        printf(SPAN_FMT "\n", SPAN_ARG(answer));
    else
        explain_print(e, stdout, term_colour(stdout));
    int code = explain_served(e) ? EXIT_OK : EXIT_RUNTIME;
    json_decref(e);
    return code;
}

static int by_snapshot(const struct cli_args *args, const struct explain_question *q,
                       const struct snapshot *s)
{
    struct explain_world world = {.snapshot = s};
    struct explain_fault fault;
    struct explanation *e = explain(&world, q, &fault);
    if (!e)
        return fail(fault.field ? EXIT_USAGE : EXIT_RUNTIME, fault.message);
    struct text out;
    text_init(&out, ANSWER_BYTES_MAX);
    struct json j = j_of(&out);
    explain_json(&j, NULL, &world, e);
    int code = text_ok(&out) ? show(args, text_span(&out)) : fail(EXIT_RUNTIME, "out of memory");
    text_fini(&out);
    explain_free(&e);
    return code;
}

static int by_file(const struct cli_args *args, const struct explain_question *q, const char *path)
{
    char why[512];
    char *text;
    size_t len;
    if (config_read_file(path, &text, &len, why, sizeof(why)) != 0)
        return fail(EXIT_OPEN, why);
    struct diagnostics d;
    const struct snapshot *s = NULL;
    int code = EXIT_CONFIG;
    if (config_load(path, span_of(text, len), config_process_env, &d, &s) == 0) {
        code = by_snapshot(args, q, s);
        snapshot_unref(&s);
    } else {
        diagnostics_print(&d, stderr, term_colour(stderr));
    }
    diagnostics_fini(&d);
    free(text);
    return code;
}

static void set_text(json_t *o, const char *key, struct span value)
{
    if (value.n > 0)
        json_object_set_new(o, key, json_stringn((const char *)value.p, value.n));
}

static void set_list(json_t *o, const char *key, const struct span *texts, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_stringn((const char *)texts[i].p, texts[i].n));
    json_object_set_new(o, key, list);
}

static char *body_of(const struct explain_question *q)
{
    json_t *o = json_object();
    set_text(o, "request", q->request);
    set_text(o, "from", q->from);
    set_text(o, "listener", q->listener);
    set_list(o, "headers", q->fields, q->field_count);
    if (q->tls_count > 0) /* a balancer of before knows no such key */
        set_list(o, "tls", q->tls, q->tls_count);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static int by_balancer(const struct cli_args *args, const struct explain_question *q)
{
    struct control *c;
    struct control_answer a = {0};
    int code = control_open(args, &c);
    char *body = code == EXIT_OK ? body_of(q) : NULL;
    if (body) {
        control_ask(c, "POST", "/api/v1/explain", body, &a);
        code = a.status == 200 ? show(args, span_of(a.body, a.len)) : control_complain(c, &a);
    }
    free(body);
    control_answer_fini(&a);
    control_close(&c);
    return code;
}

int cmd_explain(const struct cli_args *args)
{
    struct explain_question q;
    const char *fault = question_of(args, &q);
    if (fault)
        return fail(EXIT_USAGE, fault);
    if (q.request.n == 0 && q.listener.n == 0)
        return fail(EXIT_USAGE, "say which request: poise explain 'GET http://example.com/path'");
    if (cli_has(args, OPT_explain_live))
        return by_balancer(args, &q);
    const char *path = config_path_find(cli_text(args, OPT_explain_config));
    if (!path)
        return fail(EXIT_OPEN, config_path_none);
    return by_file(args, &q, path);
}

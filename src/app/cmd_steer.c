/* SPDX-License-Identifier: MIT */
/* Verbs that steer a running balancer as a whole: reload, stop, upgrade. */
#include "app/exit_code.h"
#include "app/peek.h"

#include <stdio.h>
#include <stdlib.h>

static void put_changes(const json_t *answer, bool plan)
{
    static const char *const columns[] = {"WHAT", "NAME", "CHANGE", "DETAIL", "TOUCHES"};
    struct table *t = table_new(columns, plan ? 5 : 4);
    json_t *changes = json_object_get(answer, "changes"), *change;
    size_t i;
    json_array_foreach(changes, i, change)
    {
        table_cell(t, TONE_PLAIN, peek_text(change, "what"));
        table_cell(t, TONE_PLAIN, peek_text(change, "name"));
        table_cell(t, TONE_PLAIN, peek_text(change, "change"));
        table_cell(t, TONE_PLAIN, peek_text(change, "detail"));
        if (plan)
            table_cell(t, TONE_PLAIN, peek_text(change, "touches"));
    }
    if (json_array_size(changes) > 0)
        table_print(t, stdout, "");
    table_free(&t);
}

static int post(const struct cli_args *args, const char *path, json_t *body, json_t **ret_answer)
{
    struct control *c;
    int code = control_open(args, &c);
    *ret_answer = NULL;
    if (code == EXIT_OK) {
        char *text = json_dumps(body, JSON_COMPACT);
        code = control_json(c, "POST", path, text ? text : "{}", ret_answer);
        free(text);
    }
    control_close(&c);
    json_decref(body);
    return code;
}

/* What a change of the whole answered: its message, or all of it as JSON. */
static int tell(const struct cli_args *args, int code, json_t *answer, bool changes, bool plan)
{
    if (code == EXIT_OK && cli_text_named(args, "json")) {
        peek_print(answer);
    } else if (code == EXIT_OK) {
        if (changes)
            put_changes(answer, plan);
        puts(peek_text(answer, "message"));
    }
    json_decref(answer);
    return code;
}

int cmd_reload(const struct cli_args *args)
{
    bool plan = cli_has(args, OPT_reload_plan);
    json_t *answer;
    int code = post(args, "/api/v1/reload", json_pack("{s:b}", "plan", plan), &answer);
    return tell(args, code, answer, true, plan);
}

int cmd_stop(const struct cli_args *args)
{
    json_t *answer;
    bool now = cli_has(args, OPT_stop_now);
    int code = post(args, "/api/v1/stop", json_pack("{s:b}", "now", now), &answer);
    return tell(args, code, answer, false, false);
}

int cmd_upgrade(const struct cli_args *args)
{
    json_t *answer;
    int code = post(args, "/api/v1/upgrade", json_object(), &answer);
    return tell(args, code, answer, false, false);
}

/* SPDX-License-Identifier: MIT */
/*
 * Changes of backends of a running balancer: `backends add` and the like, and the same as verbs of
 * their own.
 */
#include "app/cmd_backends.h"

#include "app/exit_code.h"
#include "app/peek.h"
#include "base/bytes.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_EVERY_MS 200

/* ---- the request ---- */

static void backend_path(char out[PEEK_PATH_MAX], const char *pool, const char *name)
{
    char a[PEEK_PATH_MAX / 3], b[PEEK_PATH_MAX / 3];
    (void)snprintf(out, PEEK_PATH_MAX, "/api/v1/pools/%s/backends%s%s",
                   control_segment(a, sizeof(a), pool), name ? "/" : "",
                   name ? control_segment(b, sizeof(b), name) : "");
}

static int send_change(struct control *c, const struct cli_args *args, const char *method,
                       const char *path, json_t *body, json_t **ret_answer)
{
    if (cli_text_named(args, "save"))
        json_object_set_new(body, "save", json_true());
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    int code = control_json(c, method, path, text ? text : "{}", ret_answer);
    free(text);
    return code;
}

/* Gone, or with nothing under way? Negative: an exit code, that could not be found out. */
static int at_rest(struct control *c, const char *path, bool gone)
{
    struct control_answer a;
    control_ask(c, "GET", path, NULL, &a);
    int rest = 0;
    if (a.status == 404 && gone) {
        rest = 1;
    } else if (a.status != 200) {
        rest = -control_complain(c, &a);
    } else {
        json_t *b = json_loadb(a.body, a.len, 0, NULL);
        rest = !gone && strcmp(peek_text(b, "state"), "draining") != 0 &&
               peek_number(b, "in_flight") == 0;
        json_decref(b);
    }
    control_answer_fini(&a);
    return rest;
}

static int wait_for_rest(struct control *c, const struct cli_args *args, const char *path,
                         bool gone)
{
    const char *limit = cli_text_named(args, "timeout");
    uint64_t limit_ms = UINT64_MAX;
    if (limit && !parse_duration_ms(span_cstr(limit), &limit_ms))
        limit_ms = UINT64_MAX;
    for (uint64_t waited = 0;; waited += WAIT_EVERY_MS) {
        int rest = at_rest(c, path, gone);
        if (rest)
            return rest < 0 ? -rest : EXIT_OK;
        if (waited >= limit_ms) {
            fputs("poise: something still runs there; it goes on draining\n", stderr);
            return EXIT_RUNTIME;
        }
        struct timespec pause = {.tv_nsec = WAIT_EVERY_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
}

static void tell(const struct cli_args *args, const char *done, const char *pool, const char *name,
                 json_t *answer)
{
    if (cli_text_named(args, "json")) {
        peek_print(answer);
        return;
    }
    const char *state = peek_text(answer, "state");
    printf("%s/%s %s", pool, name, done);
    if (state[0])
        printf(": it is %s, weight %.0f, %.0f under way", state, peek_number(answer, "weight"),
               peek_number(answer, "in_flight"));
    puts(json_is_true(peek_at(answer, "saved")) ? "; saved" : "");
}

/* ---- the changes ---- */

enum change {
    CHANGE_ADD,
    CHANGE_REMOVE,
    CHANGE_DRAIN,
    CHANGE_ENABLE,
    CHANGE_DISABLE,
    CHANGE_WEIGHT
};

static const struct change_row {
    const char *word, *usage, *method, *state, *done;
    size_t words; /* after the word of the change itself */
} changes[] = {
    [CHANGE_ADD] = {"add", "add POOL ADDR[,weight=N][,name=X][,backup]", "POST", NULL, "added", 2},
    [CHANGE_REMOVE] = {"remove", "remove POOL NAME", "DELETE", NULL, "removed", 2},
    [CHANGE_DRAIN] = {"drain", "drain POOL NAME", "PATCH", "drain", "takes nothing new", 2},
    [CHANGE_ENABLE] = {"enable", "enable POOL NAME", "PATCH", "ready", "enabled", 2},
    [CHANGE_DISABLE] = {"disable", "disable POOL NAME", "PATCH", "disabled", "disabled", 2},
    [CHANGE_WEIGHT] = {"weight", "weight POOL NAME N", "PATCH", NULL, "changed", 3},
};

static int usage(const char *form)
{
    fprintf(stderr, "poise: it is 'poise backends %s'\nTry 'poise help backends'.\n", form);
    return EXIT_USAGE;
}

/* "ADDR[,weight=N][,name=X][,backup]" as fields; NULL after having said what is wrong. */
static json_t *backend_of_words(const char *words)
{
    json_t *b = json_object();
    struct span rest = span_cstr(words), address = span_cut(&rest, ',');
    json_object_set_new(b, "address", json_stringn((const char *)address.p, address.n));
    while (!span_empty(rest)) {
        struct span value = span_cut(&rest, ','), word = span_cut(&value, '=');
        uint64_t weight;
        if (span_eq(word, span_str("name"))) {
            json_object_set_new(b, "name", json_stringn((const char *)value.p, value.n));
        } else if (span_eq(word, span_str("backup"))) {
            json_object_set_new(b, "backup", json_true());
        } else if (span_eq(word, span_str("weight")) && span_to_u64(value, &weight)) {
            json_object_set_new(b, "weight",
                                json_integer((json_int_t)MIN(weight, (uint64_t)1000000)));
        } else {
            fprintf(stderr, "poise: '" SPAN_FMT "' is none of weight=N, name=X and backup\n",
                    SPAN_ARG(word));
            json_decref(b);
            return NULL;
        }
    }
    return b;
}

static json_t *body_of(enum change change, const char *const *words)
{
    uint64_t weight;
    if (change == CHANGE_ADD)
        return backend_of_words(words[1]);
    if (changes[change].state)
        return json_pack("{s:s}", "state", changes[change].state);
    if (change != CHANGE_WEIGHT)
        return json_object();
    if (!span_to_u64(span_cstr(words[2]), &weight) || weight > 1000000) {
        fprintf(stderr, "poise: '%s' is no weight\n", words[2]);
        return NULL;
    }
    return json_pack("{s:I}", "weight", (json_int_t)weight);
}

static int change_backend(const struct cli_args *args, enum change change, const char *const *words,
                          size_t count)
{
    const struct change_row *row = &changes[change];
    if (count != row->words)
        return usage(row->usage);
    json_t *body = body_of(change, words), *answer = NULL;
    if (!body)
        return EXIT_USAGE;
    struct control *c;
    int code = control_open(args, &c);
    if (code != EXIT_OK) {
        json_decref(body);
        return code;
    }
    char path[PEEK_PATH_MAX];
    backend_path(path, words[0], change == CHANGE_ADD ? NULL : words[1]);
    code = send_change(c, args, row->method, path, body, &answer);
    bool waits = cli_text_named(args, "wait") != NULL;
    if (code == EXIT_OK && waits)
        code = wait_for_rest(c, args, path, change == CHANGE_REMOVE);
    if (code == EXIT_OK) {
        const char *name = peek_text(answer, "name");
        tell(args, waits ? "is at rest" : row->done, words[0], name[0] ? name : words[1], answer);
    }
    json_decref(answer);
    control_close(&c);
    return code;
}

int cmd_backends(const struct cli_args *args)
{
    const char *word = args->operands[0];
    for (size_t i = 0; word && i < ARRAY_LEN(changes); i++) {
        if (strcmp(word, changes[i].word) == 0)
            return change_backend(args, (enum change)i, args->operands + 1,
                                  args->operand_count - 1);
    }
    if (args->operand_count > 1) {
        fprintf(stderr,
                "poise: 'backends' knows add, remove, drain, enable, disable and weight, "
                "not '%s'\n",
                word);
        return EXIT_USAGE;
    }
    return backends_show(args, word);
}

int cmd_drain(const struct cli_args *args)
{
    return change_backend(args, CHANGE_DRAIN, args->operands, args->operand_count);
}

int cmd_remove(const struct cli_args *args)
{
    return change_backend(args, CHANGE_REMOVE, args->operands, args->operand_count);
}

int cmd_enable(const struct cli_args *args)
{
    return change_backend(args, CHANGE_ENABLE, args->operands, args->operand_count);
}

int cmd_disable(const struct cli_args *args)
{
    return change_backend(args, CHANGE_DISABLE, args->operands, args->operand_count);
}

int cmd_weight(const struct cli_args *args)
{
    return change_backend(args, CHANGE_WEIGHT, args->operands, args->operand_count);
}

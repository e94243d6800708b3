/* SPDX-License-Identifier: MIT */
#include "app/control.h"

#include "app/config_path.h"
#include "app/control_priv.h"
#include "app/exit_code.h"
#include "app/resolve.h"
#include "base/check.h"
#include "config/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* $POISE_ADMIN and the options come before these. */
#define SOCKET_USUAL  "/run/poise/admin.sock"
#define ADDRESS_USUAL "127.0.0.1:9900"

/* ---- where to ---- */

struct target {
    char text[ADDRESS_TEXT_MAX]; /* as address_parse takes it */
    char token[CONTROL_TOKEN_MAX];
};

static void set_text(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text ? text : "");
}

static void set_socket(struct target *t, const char *path)
{
    (void)snprintf(t->text, sizeof(t->text), "unix:%s", path);
}

/* What the configuration says about the admin; a file that is not there or not good says nothing.
 */
static void from_configuration(const char *given, struct target *t)
{
    const char *path = config_path_find(given);
    char why[512], *text;
    size_t len;
    if (!path || config_read_file(path, &text, &len, why, sizeof(why)) < 0)
        return;
    struct diagnostics found;
    const struct snapshot *s = NULL;
    if (config_load(path, span_of(text, len), config_process_env, &found, &s) == 0 &&
        s->admin.enabled) {
        if (!t->text[0] && s->admin.socket)
            set_socket(t, s->admin.socket);
        else if (!t->text[0])
            address_format(&s->admin.address, t->text);
        if (!t->token[0])
            set_text(t->token, sizeof(t->token), s->admin.token);
    }
    if (s)
        snapshot_unref(&s);
    diagnostics_fini(&found);
    free(text);
}

static void find_target(const struct cli_args *args, struct target *t)
{
    const char *socket = cli_text_named(args, "socket"), *admin = cli_text_named(args, "admin");
    *t = (struct target){0};
    set_text(t->token, sizeof(t->token), cli_text_named(args, "token"));
    if (!t->token[0])
        set_text(t->token, sizeof(t->token), getenv("POISE_TOKEN"));
    if (socket)
        set_socket(t, socket);
    else if (admin)
        set_text(t->text, sizeof(t->text), admin);
    else if (getenv("POISE_ADMIN"))
        set_text(t->text, sizeof(t->text), getenv("POISE_ADMIN"));
    if (!t->text[0] || !t->token[0])
        from_configuration(cli_text_named(args, "config"), t);
    if (!t->text[0])
        set_text(t->text, sizeof(t->text),
                 access(SOCKET_USUAL, F_OK) == 0 ? "unix:" SOCKET_USUAL : ADDRESS_USUAL);
}

/* Where a path or a name is kept for as long as the address is needed. */
static int resolve_target(struct control *c, const struct target *t)
{
    const char *why = "";
    char failure[256];
    if (address_parse(span_cstr(t->text), address_keep, c->kept, &c->address, &why) < 0) {
        fprintf(stderr, "poise: '%s' is no address of an admin API: %s\n", t->text, why);
        return EXIT_USAGE;
    }
    if (c->address.kind == ADDRESS_NAME &&
        resolve_host(c->loop, c->kept, c->address.port, &c->address, failure, sizeof(failure)) <
            0) {
        fprintf(stderr, "poise: %s\n", failure);
        return EXIT_RUNTIME;
    }
    return EXIT_OK;
}

int control_open(const struct cli_args *args, struct control **ret_control)
{
    struct target target;
    struct control *c = calloc(1, sizeof(*c));
    CHECK(c);
    find_target(args, &target);
    set_text(c->place, sizeof(c->place), target.text);
    set_text(c->token, sizeof(c->token), target.token);
    int code = EXIT_RUNTIME;
    if (loop_new(&(struct loop_options){.engine = LOOP_ENGINE_EPOLL}, &c->loop) < 0)
        fputs("poise: no event loop can be had\n", stderr);
    else
        code = resolve_target(c, &target);
    if (code != EXIT_OK)
        control_close(&c);
    *ret_control = c;
    return code;
}

void control_close(struct control **control)
{
    struct control *c = *control;
    if (!c)
        return;
    if (c->loop)
        loop_free(&c->loop);
    explicit_bzero(c->token, sizeof(c->token));
    free(c);
    *control = NULL;
}

const char *control_place(const struct control *c)
{
    return c->place;
}

/* ---- answers ---- */

static const char *hint(const struct control *c, const struct control_answer *a)
{
    if (a->status == 401)
        return c->token[0] ? "; that is not the token of its configuration"
                           : "; give it with --token TOKEN or in $POISE_TOKEN, or use the socket";
    return "";
}

int control_complain(const struct control *c, const struct control_answer *a)
{
    if (a->status == 0) {
        fprintf(stderr,
                "poise: no balancer answers at %s: %s\n"
                "Does it run, and has its configuration an 'admin:' block? Name another place with "
                "--admin ADDR or --socket PATH.\n",
                c->place, a->why);
        return EXIT_RUNTIME;
    }
    json_error_t broken;
    json_t *body = json_loadb(a->body, a->len, 0, &broken);
    const char *message = NULL, *reason = "";
    (void)json_unpack(body, "{s:{s?s,s?s}}", "error", "message", &message, "reason", &reason);
    size_t n = message ? strlen(message) : 0;
    bool whole_lines = n > 0 && message[n - 1] == '\n'; /* as `poise check` prints them */
    if (message)
        fprintf(stderr, whole_lines ? "%s" : "poise: %s%s\n", message, hint(c, a));
    else
        fprintf(stderr, "poise: %s answered %d, which this program does not understand\n", c->place,
                a->status);
    int code = strcmp(reason, "config_invalid") == 0 ? EXIT_CONFIG
               : a->status == 400                    ? EXIT_USAGE
                                                     : EXIT_RUNTIME;
    json_decref(body);
    return code;
}

int control_json(struct control *c, const char *method, const char *path, const char *body,
                 json_t **ret_value)
{
    struct control_answer a;
    control_ask(c, method, path, body, &a);
    int code = EXIT_OK;
    *ret_value = NULL;
    if (a.status < 200 || a.status > 299) {
        code = control_complain(c, &a);
    } else {
        json_error_t broken;
        *ret_value = json_loadb(a.body, a.len, 0, &broken);
        if (!*ret_value) {
            fprintf(stderr, "poise: %s sent no JSON: %s\n", c->place, broken.text);
            code = EXIT_RUNTIME;
        }
    }
    control_answer_fini(&a);
    return code;
}

void control_answer_fini(struct control_answer *a)
{
    free(a->body);
    a->body = NULL;
}

const char *control_segment(char *out, size_t out_size, const char *text)
{
    struct writer w = writer_of(out, out_size);
    for (const char *p = text; *p; p++) {
        uint8_t c = (uint8_t)*p;
        if (ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            w_u8(&w, c);
        } else {
            w_u8(&w, '%');
            w_hex(&w, c, 2);
        }
    }
    return w_cstr(&w);
}

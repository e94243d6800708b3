/* SPDX-License-Identifier: MIT */
/*
 * `poise top`: the backends of a running balancer, looked at again and again, and changed with a
 * key. The screen is ncurses'; what is shown comes from the same calls as `status` and `backends`.
 */
#include "app/exit_code.h"
#include "app/peek.h"
#include "app/top_screen.h"
#include "base/bytes.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_MS_MIN 100

struct top {
    struct control *control;
    struct top_screen *screen;
    json_t *status, *pools;
    uint64_t interval_ms, looked_ms;
    bool paused;
};

static uint64_t now_ms(void)
{
    return clock_mono_ns() / NS_PER_MS;
}

static json_t *ask(struct top *t, const char *path)
{
    struct control_answer a;
    json_t *v = NULL;
    control_ask(t->control, "GET", path, NULL, &a);
    if (a.status == 200)
        v = json_loadb(a.body, a.len, 0, NULL);
    else if (a.status)
        top_screen_say(t->screen, true, "%s answered %d", control_place(t->control), a.status);
    else
        top_screen_say(t->screen, true, "%s: %s", control_place(t->control), a.why);
    control_answer_fini(&a);
    return v;
}

/* What was known stays on the screen while the balancer does not answer. */
static void look(struct top *t)
{
    json_t *status = ask(t, "/api/v1/status");
    json_t *pools = status ? ask(t, "/api/v1/pools") : NULL;
    t->looked_ms = now_ms();
    if (!pools) {
        json_decref(status);
        return;
    }
    json_decref(t->status);
    json_decref(t->pools);
    t->status = status;
    t->pools = pools;
    top_screen_feed(t->screen, status, pools);
}

static void change(struct top *t, const char *body, const char *done)
{
    char path[PEEK_PATH_MAX], pool[PEEK_PATH_MAX / 3], name[PEEK_PATH_MAX / 3];
    const char *in_pool, *backend;
    if (!top_screen_chosen(t->screen, &in_pool, &backend))
        return;
    (void)snprintf(path, sizeof(path), "/api/v1/pools/%s/backends/%s",
                   control_segment(pool, sizeof(pool), in_pool),
                   control_segment(name, sizeof(name), backend));
    struct control_answer a;
    control_ask(t->control, "PATCH", path, body, &a);
    if (a.status == 200) {
        top_screen_say(t->screen, false, "%s/%s %s", in_pool, backend, done);
    } else {
        json_t *why = a.body ? json_loadb(a.body, a.len, 0, NULL) : NULL;
        const char *message = peek_text(why, "error.message");
        top_screen_say(t->screen, true, "%s", message[0] ? message : a.why);
        json_decref(why);
    }
    control_answer_fini(&a);
    look(t);
}

static void change_weight(struct top *t, int by)
{
    char body[64];
    double weight = top_screen_weight(t->screen) + by;
    if (weight < 0)
        return;
    (void)snprintf(body, sizeof(body), "{\"weight\": %.0f}", weight);
    change(t, body, "has another weight");
}

/* False: that was enough. */
static bool act(struct top *t, enum top_key key)
{
    switch (key) {
    case TOP_KEY_QUIT: return false;
    case TOP_KEY_DRAIN: change(t, "{\"state\": \"drain\"}", "takes nothing new"); break;
    case TOP_KEY_ENABLE: change(t, "{\"state\": \"ready\"}", "is enabled"); break;
    case TOP_KEY_DISABLE: change(t, "{\"state\": \"disabled\"}", "is disabled"); break;
    case TOP_KEY_HEAVIER: change_weight(t, 1); break;
    case TOP_KEY_LIGHTER: change_weight(t, -1); break;
    case TOP_KEY_PAUSE:
        t->paused = !t->paused;
        top_screen_say(t->screen, false, t->paused ? "paused; p goes on" : "");
        break;
    case TOP_KEY_NONE: break;
    }
    return true;
}

static void run(struct top *t)
{
    do {
        if (!t->paused && now_ms() - t->looked_ms >= t->interval_ms)
            look(t);
    } while (act(t, top_screen_key(t->screen)));
}

int cmd_top(const struct cli_args *args)
{
    struct top t = {.interval_ms = cli_number(args, OPT_top_interval, 1000)};
    t.interval_ms = MAX(t.interval_ms, (uint64_t)INTERVAL_MS_MIN);
    int code = control_open(args, &t.control);
    if (code == EXIT_OK) /* so that what is wrong stands on the terminal, not on the screen */
        code = control_json(t.control, "GET", "/api/v1/status", NULL, &t.status);
    if (code == EXIT_OK && cli_has(args, OPT_top_json)) {
        peek_print(t.status);
    } else if (code == EXIT_OK && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))) {
        fputs("poise: top needs a terminal; 'poise status' and 'poise backends' do not\n", stderr);
        code = EXIT_USAGE;
    } else if (code == EXIT_OK && !top_screen_open(&t.screen)) {
        fputs("poise: this terminal cannot be used ($TERM); try 'poise backends'\n", stderr);
        code = EXIT_RUNTIME;
    } else if (code == EXIT_OK) {
        run(&t);
        top_screen_close(&t.screen);
    }
    json_decref(t.status);
    json_decref(t.pools);
    control_close(&t.control);
    return code;
}

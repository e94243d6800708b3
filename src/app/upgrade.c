/* SPDX-License-Identifier: MIT */
/*
 * The exchange of the program for the one now on disk. At each step the engine before it serves on,
 * and a failure leaves everything as it was.
 *
 *   CHECKING   the new program reads the configuration (`check`)
 *   STARTING   it runs as a second engine, and has not said READY
 *   PROBATION  both serve; the new one has to live for a while
 *   (done)     the engine before it drains, and the supervisor becomes the new program too
 */
#include "account/reason.h"
#include "app/door_wire.h"
#include "app/handover.h"
#include "app/supervisor_priv.h"
#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_MS_MAX 30000
#define START_MS_MAX 30000
#define PROBATION_MS 2000

static void forget(struct supervisor *s)
{
    struct upgrade *u = &s->upgrade;
    if (u->program >= 0)
        (void)close(u->program);
    if (u->output >= 0)
        (void)close(u->output);
    claims_unref(&u->claims);
    *u = (struct upgrade){.program = -1, .output = -1};
}

static void fail(struct supervisor *s, const char *why)
{
    supervisor_log(s, LOG_LEVEL_ERROR, "no upgrade; the engine before it serves on: %s", why);
    if (s->current)
        engine_tell(s->current, WIRE_UPGRADED, -1, why);
    if (s->upgrade.check > 0)
        (void)kill(-s->upgrade.check, SIGKILL); /* and what it has started */
    struct engine_slot *trial = s->upgrade.trial;
    forget(s);
    if (!trial || trial->state == ENGINE_FREE)
        return;
    bool has_served = trial->state == ENGINE_SERVING;
    trial->state = ENGINE_RETIRED;
    if (s->stopping)
        return; /* it is told with the others */
    if (has_served)
        engine_tell(trial, WIRE_RETIRE, 0, why);
    else
        (void)kill(trial->pid, SIGKILL);
}

void upgrade_cancel(struct supervisor *s, const char *why)
{
    if (s->upgrade.state != UPGRADE_NONE)
        fail(s, why);
}

/* ---- checking ---- */

static int start_check(struct supervisor *s)
{
    int ends[2];
    const char *argv[] = {"poise", "check", "-c", s->origin.path, NULL};
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return errno;
    s->upgrade.check = program_start(s, s->upgrade.program, argv, NULL, 0, ends[1]);
    int err = s->upgrade.check < 0 ? errno : 0;
    (void)close(ends[1]);
    s->upgrade.output = ends[0];
    return err;
}

void upgrade_on_check_output(struct supervisor *s)
{
    struct upgrade *u = &s->upgrade;
    char surplus[512];
    size_t room = sizeof(u->text) - 1 - u->text_len;
    ssize_t n = room > 0 ? read(u->output, u->text + u->text_len, room)
                         : read(u->output, surplus, sizeof(surplus));
    if (n > 0 && room > 0)
        u->text_len += (size_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        (void)close(u->output);
        u->output = -1;
    }
}

/* ---- starting ---- */

static struct claims *read_claims(const struct supervisor *s, char *ret_why, size_t why_size)
{
    char *text;
    size_t len;
    if (!s->origin.path)
        return claims_ref(s->claims);
    if (config_read_file(s->origin.path, &text, &len, ret_why, why_size) < 0)
        return NULL;
    /* The words of this, the older program: what only the new one knows it cannot start with. */
    struct claims *c = claims_of_text(s->origin.path, span_of(text, len), &s->origin.overrides);
    if (!c)
        (void)snprintf(ret_why, why_size,
                       "%s says something that the running program does not know; restart instead",
                       s->origin.path);
    free(text);
    return c;
}

static void start_trial(struct supervisor *s)
{
    struct upgrade *u = &s->upgrade;
    char why[DOOR_WHY_MAX] = "";
    u->claims = read_claims(s, why, sizeof(why));
    if (u->claims)
        u->trial = engine_start(s, u->program, u->claims, why, sizeof(why));
    if (!u->trial) {
        fail(s, why);
        return;
    }
    u->state = UPGRADE_STARTING;
    u->due_ms = supervisor_now_ms() + START_MS_MAX;
}

static void without_line_ends(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
}

void upgrade_on_check_ended(struct supervisor *s, int wait_status)
{
    struct upgrade *u = &s->upgrade;
    char end[64], why[DOOR_WHY_MAX];
    u->check = 0;
    while (u->output >= 0) {
        size_t before = u->text_len;
        upgrade_on_check_output(s);
        if (u->text_len == before)
            break;
    }
    u->text[u->text_len] = '\0';
    without_line_ends(u->text);
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) {
        start_trial(s);
        return;
    }
    (void)snprintf(why, sizeof(why), "the new program does not accept the configuration: %s%s%s",
                   engine_end_text(wait_status, end), u->text_len ? ": " : "", u->text);
    fail(s, why);
}

int upgrade_begin(struct supervisor *s, char *ret_why, size_t why_size)
{
    struct upgrade *u = &s->upgrade;
    if (s->stopping || !s->current || s->current->state != ENGINE_SERVING) {
        (void)snprintf(ret_why, why_size, "no engine serves");
        return -(int)REASON_shutting_down;
    }
    if (u->state != UPGRADE_NONE) {
        (void)snprintf(ret_why, why_size, "an upgrade is under way");
        return -(int)REASON_overload;
    }
    u->program = open(s->program_path, O_PATH | O_CLOEXEC);
    int err = u->program < 0 ? errno : 0;
    if (!err && s->origin.path)
        err = start_check(s);
    if (err) {
        (void)snprintf(ret_why, why_size, "%s: %s", s->program_path, strerror(err));
        forget(s);
        return -(int)REASON_system_error;
    }
    supervisor_log(s, LOG_LEVEL_INFO, "upgrade begins program=%s", s->program_path);
    u->state = UPGRADE_CHECKING;
    u->due_ms = supervisor_now_ms() + CHECK_MS_MAX;
    if (!s->origin.path)
        start_trial(s);
    return 0;
}

/* ---- on trial ---- */

void upgrade_on_trial_ended(struct supervisor *s, int wait_status)
{
    char end[64], why[128];
    (void)snprintf(why, sizeof(why), "the new engine died %s", engine_end_text(wait_status, end));
    s->upgrade.trial = NULL;
    fail(s, why);
}

void upgrade_on_ready(struct supervisor *s)
{
    CHECK(s->upgrade.state == UPGRADE_STARTING);
    s->upgrade.state = UPGRADE_PROBATION;
    s->upgrade.due_ms = supervisor_now_ms() + PROBATION_MS;
}

static void succeed(struct supervisor *s)
{
    struct upgrade *u = &s->upgrade;
    struct engine_slot *before = s->current, *now = u->trial;
    supervisor_log(s, LOG_LEVEL_INFO, "upgraded engine=%d before=%d", (int)now->pid,
                   before ? (int)before->pid : 0);
    s->current = now;
    s->restart_at_ms = 0;
    claims_unref(&s->claims);
    s->claims = claims_ref(now->runs);
    supervisor_open_log(s);
    if (before) {
        before->state = ENGINE_RETIRED;
        engine_tell(before, WIRE_UPGRADED, 0, "the program now on disk serves");
        engine_tell(before, WIRE_RETIRE, 0, "a new engine has taken over");
    }
    holdings_close_others(&s->holdings, engine_slot_index(s, now));
    if (s->program >= 0)
        (void)close(s->program);
    s->program = u->program;
    u->program = -1;
    bool can_adopt = now->handover_version == HANDOVER_VERSION;
    forget(s);
    service_ready(&s->service);
    if (can_adopt)
        handover_exec(s, s->program);
    else
        supervisor_log(s, LOG_LEVEL_WARN,
                       "the supervisor stays the program it was: the new one is too different");
}

void upgrade_on_due(struct supervisor *s)
{
    switch (s->upgrade.state) {
    case UPGRADE_NONE: break;
    case UPGRADE_CHECKING: fail(s, "the new program did not end its check in time"); break;
    case UPGRADE_STARTING: fail(s, "the new engine was not ready in time"); break;
    case UPGRADE_PROBATION: succeed(s); break;
    }
}

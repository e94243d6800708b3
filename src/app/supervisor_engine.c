/* SPDX-License-Identifier: MIT */
/* Engines as processes: how they begin and how they end. */
#include "app/door_wire.h"
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

/* After fork: this process has one thread, yet only what is needed is done here. Signals stay
 * blocked, so that none is lost before the engine waits for them. */
NORETURN static void become(int program, const char *path, char *const *argv, const int *keep,
                            size_t keep_count, int output)
{
    /* Ctrl-C is for the supervisor, which passes it on. */
    (void)setpgid(0, 0);
    for (size_t i = 0; i < keep_count; i++)
        (void)fcntl(keep[i], F_SETFD, 0);
    if (output >= 0) {
        sigset_t none;
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)dup2(output, STDOUT_FILENO);
        (void)dup2(output, STDERR_FILENO);
    }
    if (program >= 0)
        (void)execveat(program, "", argv, environ, AT_EMPTY_PATH);
    if (program < 0 || errno == ENOENT || errno == ENOSYS)
        (void)execv(path, argv);
    dprintf(STDERR_FILENO, "poise: cannot execute %s: %s\n", path, strerror(errno));
    _exit(127);
}

pid_t program_start(const struct supervisor *s, int program, const char *const *argv,
                    const int *keep, size_t keep_count, int output)
{
    union {
        const char *const *in;
        char *const *out;
    } words = {.in = argv}; /* exec changes nothing */
    pid_t pid = fork();
    if (pid == 0)
        become(program, s->program_path, words.out, keep, keep_count, output);
    return pid;
}

static struct engine_slot *free_slot(struct supervisor *s)
{
    for (size_t i = 0; i < ENGINES_MAX; i++) {
        if (s->engines[i].state == ENGINE_FREE)
            return &s->engines[i];
    }
    return NULL;
}

static void close_pair(const int ends[2])
{
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static int start_process(const struct supervisor *s, int program, struct engine_slot *e)
{
    int questions[2], news[2];
    int r = channel_pair(questions);
    if (r < 0)
        return -r;
    r = channel_pair(news);
    if (r < 0) {
        close_pair(questions);
        return -r;
    }
    char first[16], second[16];
    (void)snprintf(first, sizeof(first), "%d", questions[1]);
    (void)snprintf(second, sizeof(second), "%d", news[1]);
    const char *argv[] = {"poise", "engine", first, second, NULL};
    const int keep[] = {questions[1], news[1]};
    e->pid = program_start(s, program, argv, keep, ARRAY_LEN(keep), -1);
    int err = e->pid < 0 ? errno : 0;
    (void)close(questions[1]);
    (void)close(news[1]);
    e->questions = questions[0];
    e->news = news[0];
    if (err) {
        (void)close(questions[0]);
        (void)close(news[0]);
    }
    return err;
}

struct engine_slot *engine_start(struct supervisor *s, int program, struct claims *claims,
                                 char *ret_why, size_t why_size)
{
    struct engine_slot *e = free_slot(s);
    if (!e) {
        (void)snprintf(ret_why, why_size, "too many engines are still draining");
        return NULL;
    }
    *e = (struct engine_slot){};
    int err = start_process(s, program, e);
    if (err) {
        (void)snprintf(ret_why, why_size, "cannot start a process: %s", strerror(err));
        return NULL;
    }
    e->state = ENGINE_STARTING;
    e->runs = claims_ref(claims);
    e->started_ms = supervisor_now_ms();
    return e;
}

void engine_free_slot(struct supervisor *s, struct engine_slot *e)
{
    CHECK(e->state != ENGINE_FREE);
    holdings_forget(&s->holdings, engine_slot_index(s, e));
    (void)close(e->questions);
    (void)close(e->news);
    claims_unref(&e->runs);
    claims_unref(&e->offered);
    *e = (struct engine_slot){};
    if (s->current == e)
        s->current = NULL;
}

void engine_tell(struct engine_slot *e, uint16_t type, int32_t status, const char *why)
{
    struct channel_message m;
    wire_begin(&m, type, status, 0, 0);
    (void)!wire_put(&m, why);
    (void)!channel_send(e->news, &m, 0);
}

const char *engine_end_text(int wait_status, char out[64])
{
    if (WIFSIGNALED(wait_status))
        (void)snprintf(out, 64, "signal=%d (%s)", WTERMSIG(wait_status),
                       strsignal(WTERMSIG(wait_status)));
    else
        (void)snprintf(out, 64, "status=%d", WEXITSTATUS(wait_status));
    return out;
}

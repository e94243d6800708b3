/* SPDX-License-Identifier: MIT */
/*
 * One loop over poll: signals, what engines ask and tell, the output of a check, and the times when
 * something is due. The supervisor writes its few log lines itself, without a thread, because it
 * forks.
 */
#include "app/supervisor.h"

#include "account/reason.h"
#include "app/announce.h"
#include "app/door_wire.h"
#include "app/engine.h"
#include "app/exit_code.h"
#include "app/handover.h"
#include "app/supervisor_priv.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/logwriter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

uint64_t supervisor_now_ms(void)
{
    return clock_mono_ns() / NS_PER_MS;
}

/* ---- the log ---- */

void supervisor_log(struct supervisor *s, enum log_level level, const char *format, ...)
{
    char message[LOG_LINE_MAX], line[LOG_LINE_MAX];
    va_list args;
    if (level > s->claims->log_level)
        return;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    size_t n = log_format_line(line, sizeof(line), s->claims->log_format, clock_wall_ms(), level,
                               "supervisor", span_cstr(message));
    ssize_t written = write(s->log_file >= 0 ? s->log_file : STDERR_FILENO, line, n);
    (void)written; /* nobody is left to tell */
}

void supervisor_open_log(struct supervisor *s)
{
    const char *path = s->claims->log_file;
    int fd;
    if (!path || strcmp(path, "stderr") == 0)
        fd = -1;
    else if (strcmp(path, "-") == 0 || strcmp(path, "stdout") == 0)
        fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    else
        fd = logwriter_open_file(path);
    if (s->log_file >= 0)
        (void)close(s->log_file);
    s->log_file = fd;
}

/* ---- engines ---- */

static void announce(struct supervisor *s)
{
    const struct holding *g;
    s->announced = true;
    list_each(g, &s->holdings.all, link) {
        const struct address *a = listener_address(g->listener);
        if (strcmp(g->owner, DOOR_ADMIN) != 0)
            announce_address(a);
        else if (a->kind != ADDRESS_UNIX)
            announce_admin(a);
    }
}

/* What only an engine had asked for that is no more: clients would wait there for nobody. */
static void close_unserved(struct supervisor *s)
{
    const struct engine_slot *e = s->current;
    if (e && e->state == ENGINE_SERVING && s->upgrade.state == UPGRADE_NONE)
        holdings_close_others(&s->holdings, engine_slot_index(s, e));
}

void supervisor_on_ready(struct supervisor *s, struct engine_slot *e)
{
    e->state = ENGINE_SERVING;
    if (e == s->upgrade.trial) {
        upgrade_on_ready(s);
        return;
    }
    close_unserved(s);
    if (s->served)
        supervisor_log(s, LOG_LEVEL_INFO, "engine serves again engine=%d after=%llums", (int)e->pid,
                       (unsigned long long)(supervisor_now_ms() - e->started_ms));
    s->served = true;
    if (!s->announced)
        announce(s);
    service_ready(&s->service);
}

static void end_with(struct supervisor *s, int code)
{
    s->stopping = true;
    s->code = code;
}

static void start_current(struct supervisor *s)
{
    char why[256];
    s->restart_at_ms = 0;
    s->current = engine_start(s, s->program, s->claims, why, sizeof(why));
    if (s->current)
        return;
    supervisor_log(s, LOG_LEVEL_ERROR, "engine cannot be started: %s", why);
    if (s->served)
        s->restart_at_ms = supervisor_now_ms() + CRASH_PAUSE_MS_MAX;
    else
        end_with(s, EXIT_RUNTIME);
}

/* How long to wait before the next start: not at all, unless engines die too often. */
static uint32_t pause_after_crash(struct supervisor *s)
{
    uint64_t now_ms = supervisor_now_ms();
    uint64_t oldest_ms = s->crashes_ms[s->crash_count % CRASHES_MAX];
    s->crashes_ms[s->crash_count++ % CRASHES_MAX] = now_ms;
    bool often = s->crash_count >= CRASHES_MAX + 1 && now_ms - oldest_ms < CRASH_WINDOW_MS;
    if (!often)
        s->crash_pause_ms = 0;
    else if (s->crash_pause_ms == 0)
        s->crash_pause_ms = CRASH_PAUSE_MS;
    else
        s->crash_pause_ms = MIN(2 * s->crash_pause_ms, (uint32_t)CRASH_PAUSE_MS_MAX);
    return s->crash_pause_ms;
}

static void on_crash(struct supervisor *s, pid_t pid, int wait_status)
{
    char end[64];
    uint32_t pause_ms = pause_after_crash(s);
    if (pause_ms == 0) {
        supervisor_log(s, LOG_LEVEL_ERROR, "engine died; starting it again engine=%d %s", (int)pid,
                       engine_end_text(wait_status, end));
        start_current(s);
        return;
    }
    supervisor_log(s, LOG_LEVEL_ERROR,
                   "engine died too often; starting it again later engine=%d %s pause=%us",
                   (int)pid, engine_end_text(wait_status, end), pause_ms / MS_PER_S);
    s->restart_at_ms = supervisor_now_ms() + pause_ms;
}

/* One that cannot start at all ends us too; where one has served, what keeps the next from starting
 * (a key that is just being renewed) may pass, and clients wait meanwhile. */
static void on_current_ended(struct supervisor *s, const struct engine_slot *was, int wait_status)
{
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : EXIT_RUNTIME;
    char end[64];
    if (s->stopping || was->stopping) {
        end_with(s, code);
    } else if (!s->served) {
        if (WIFSIGNALED(wait_status))
            supervisor_log(s, LOG_LEVEL_ERROR, "engine died before it served engine=%d %s",
                           (int)was->pid, engine_end_text(wait_status, end));
        end_with(s, code);
    } else {
        on_crash(s, was->pid, wait_status);
    }
}

static void on_engine_ended(struct supervisor *s, struct engine_slot *e, int wait_status)
{
    struct engine_slot was = *e;
    bool current = e == s->current, trial = e == s->upgrade.trial;
    engine_free_slot(s, e);
    if (trial)
        upgrade_on_trial_ended(s, wait_status);
    else if (current)
        on_current_ended(s, &was, wait_status);
    else
        supervisor_log(s, LOG_LEVEL_INFO, "engine before this one has ended engine=%d",
                       (int)was.pid);
    close_unserved(s);
}

static void reap(struct supervisor *s)
{
    int wait_status;
    pid_t pid;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        if (pid == s->upgrade.check) {
            upgrade_on_check_ended(s, wait_status);
            continue;
        }
        for (size_t i = 0; i < ENGINES_MAX; i++) {
            struct engine_slot *e = &s->engines[i];
            if (e->state != ENGINE_FREE && e->pid == pid) {
                on_engine_ended(s, e, wait_status);
                break;
            }
        }
    }
}

/* ---- signals ---- */

static void pass_on(struct supervisor *s, int number)
{
    for (size_t i = 0; i < ENGINES_MAX; i++) {
        if (s->engines[i].state != ENGINE_FREE)
            (void)kill(s->engines[i].pid, number);
    }
}

static void on_stop(struct supervisor *s, int number)
{
    bool again = s->stopping;
    if (!again)
        service_stopping(&s->service);
    for (size_t i = 0; i < ENGINES_MAX; i++) {
        const struct engine_slot *e = &s->engines[i];
        /* One that drains already would take it for the second signal, and end at once. */
        if (e->state != ENGINE_FREE && (again || e->state != ENGINE_RETIRED))
            (void)kill(e->pid, number);
    }
    s->stopping = true;
    upgrade_cancel(s, "the balancer is told to stop");
    s->restart_at_ms = 0;
}

static void on_upgrade_signal(struct supervisor *s)
{
    char why[DOOR_WHY_MAX];
    if (upgrade_begin(s, why, sizeof(why)) < 0)
        supervisor_log(s, LOG_LEVEL_WARN, "no upgrade: %s", why);
}

static void on_signal(struct supervisor *s, int number)
{
    switch (number) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT: on_stop(s, number); break;
    case SIGHUP:
        if (!s->current)
            break;
        service_reloading(&s->service);
        (void)kill(s->current->pid, SIGHUP);
        break;
    case SIGUSR1:
        supervisor_open_log(s);
        pass_on(s, SIGUSR1);
        break;
    case SIGUSR2: on_upgrade_signal(s); break;
    case SIGCHLD: reap(s); break;
    default: break;
    }
}

static void on_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        on_signal(s, (int)info.ssi_signo);
}

/* ---- what engines tell ---- */

/* Told so by somebody else than us: it ends for good, and nobody takes over. */
static void on_current_stopping(struct supervisor *s)
{
    service_stopping(&s->service);
    upgrade_cancel(s, "the balancer is told to stop");
}

/* A successor on trial started with the configuration of before. */
static void on_current_reloaded(struct supervisor *s, bool ok)
{
    service_ready(&s->service);
    if (ok && s->upgrade.trial)
        (void)kill(s->upgrade.trial->pid, SIGHUP);
}

/* False: it has closed its end. */
static bool on_news(struct supervisor *s, struct engine_slot *e)
{
    struct channel_message m;
    struct wire_head head;
    enum channel_result r = channel_receive(e->news, &m, 0);
    if (r == CHANNEL_OK)
        channel_close_fds(&m, 0);
    if (r != CHANNEL_OK || !wire_head(&m, &head))
        return r == CHANNEL_NOTHING;
    switch (head.type) {
    case WIRE_READY:
        if (e->state == ENGINE_STARTING)
            supervisor_on_ready(s, e);
        break;
    case WIRE_ALIVE:
        e->alive = true;
        if (e == s->current)
            service_alive(&s->service);
        break;
    case WIRE_STOPPING:
        e->stopping = true;
        if (e == s->current)
            on_current_stopping(s);
        break;
    case WIRE_RELOADED:
        if (e == s->current)
            on_current_reloaded(s, head.status == 0);
        break;
    default: break;
    }
    return true;
}

/* An engine that serves says twice within a look that it is alive. */
static void look_whether_alive(struct supervisor *s)
{
    struct engine_slot *e = s->current;
    s->look_at_ms = supervisor_now_ms() + LOOK_MS;
    if (!e || e->state != ENGINE_SERVING)
        return;
    e->silent = e->alive ? 0 : e->silent + 1;
    e->alive = false;
    if (e->silent < SILENT_MAX)
        return;
    supervisor_log(s, LOG_LEVEL_ERROR, "engine hangs; ending it engine=%d", (int)e->pid);
    (void)kill(e->pid, e->silent == SILENT_MAX ? SIGABRT : SIGKILL);
}

/* ---- the loop ---- */

#define POLL_MAX (2 + 2 * ENGINES_MAX)

/* Who is behind a descriptor that is waited for. */
struct waited {
    struct pollfd fds[POLL_MAX];
    struct engine_slot *engines[POLL_MAX];
    nfds_t count;
};

static void wait_also(struct waited *w, int fd, struct engine_slot *e)
{
    w->fds[w->count] = (struct pollfd){.fd = fd, .events = POLLIN};
    w->engines[w->count++] = e;
}

static int patience_ms(const struct supervisor *s)
{
    uint64_t due_ms = s->look_at_ms;
    if (s->restart_at_ms)
        due_ms = MIN(due_ms, s->restart_at_ms);
    if (s->upgrade.state != UPGRADE_NONE)
        due_ms = MIN(due_ms, s->upgrade.due_ms);
    uint64_t now_ms = supervisor_now_ms();
    return due_ms <= now_ms ? 0 : (int)MIN(due_ms - now_ms, (uint64_t)INT_MAX);
}

/* An engine that has closed its end of a channel is about to end, and is not listened to any more.
 */
static void on_engine_event(struct supervisor *s, struct engine_slot *e, int fd)
{
    if (e->state == ENGINE_FREE || e->closed)
        return;
    bool goes_on = fd == e->news ? on_news(s, e) : doorkeeper_answer(s, e);
    e->closed = !goes_on && e->state != ENGINE_FREE;
}

static void serve_events(struct supervisor *s, const struct waited *w)
{
    /* Engines first: what one said last counts before its death. */
    for (nfds_t i = 1; i < w->count; i++) {
        if (w->fds[i].revents && w->engines[i])
            on_engine_event(s, w->engines[i], w->fds[i].fd);
        else if (w->fds[i].revents && w->fds[i].fd == s->upgrade.output)
            upgrade_on_check_output(s);
    }
    if (w->fds[0].revents)
        on_signals(s);
    uint64_t now_ms = supervisor_now_ms();
    if (now_ms >= s->look_at_ms)
        look_whether_alive(s);
    if (s->restart_at_ms && now_ms >= s->restart_at_ms)
        start_current(s);
    if (s->upgrade.state != UPGRADE_NONE && now_ms >= s->upgrade.due_ms)
        upgrade_on_due(s);
}

static void turn(struct supervisor *s)
{
    struct waited w = {};
    wait_also(&w, s->signals, NULL);
    for (size_t i = 0; i < ENGINES_MAX; i++) {
        struct engine_slot *e = &s->engines[i];
        if (e->state == ENGINE_FREE)
            continue;
        if (!e->closed)
            wait_also(&w, e->questions, e);
        if (!e->closed)
            wait_also(&w, e->news, e);
    }
    if (s->upgrade.output >= 0)
        wait_also(&w, s->upgrade.output, NULL);
    int n = poll(w.fds, w.count, patience_ms(s));
    if (n >= 0 || errno == EINTR)
        serve_events(s, &w);
}

static bool engines_left(const struct supervisor *s)
{
    for (size_t i = 0; i < ENGINES_MAX; i++) {
        if (s->engines[i].state != ENGINE_FREE)
            return true;
    }
    return false;
}

static void run(struct supervisor *s)
{
    while (!s->stopping || engines_left(s))
        turn(s);
}

/* ---- beginning and end ---- */

static int open_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        (void)sigaddset(&set, numbers[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* The file we were started from. "…/poise (deleted)" was replaced meanwhile. */
static char *find_program(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0)
        return strdup("poise");
    path[n] = '\0';
    char *gone = strstr(path, " (deleted)");
    if (gone && gone[10] == '\0')
        *gone = '\0';
    return strdup(path);
}

/* Sockets of all shards of all listeners pass through here, and many at a time on their way. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool begin(struct supervisor *s)
{
    s->program_path = find_program();
    s->signals = open_signals();
    raise_file_limit();
    service_init(&s->service);
    return s->program_path && s->signals >= 0;
}

static void end(struct supervisor *s)
{
    holdings_fini(&s->holdings);
    claims_unref(&s->claims);
    free(s->program_path);
    if (s->program >= 0)
        (void)close(s->program);
    if (s->log_file >= 0)
        (void)close(s->log_file);
    if (s->signals >= 0)
        (void)close(s->signals);
}

static int complain(const char *text, int code)
{
    (void)fprintf(stderr, "poise: %s\n", text);
    return code;
}

/* In the order of the configuration, for the engine in the slot that will be the first. */
static int bind_all(struct supervisor *s, const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->listener_count; i++) {
        const struct listener_conf *conf = &snapshot->listeners[i];
        for (size_t k = 0; k < conf->address_count; k++) {
            struct listener_options o = {
                .address = conf->addresses[k],
                .shards = s->workers,
                .defer_accept = conf->protocol == PROTOCOL_HTTP,
            };
            char sentence[LISTENER_WHY_MAX], why[LISTENER_WHY_MAX + NAME_MAX_LEN + 16];
            const struct holding *g;
            if (holdings_get(&s->holdings, conf->name, &o, 0, &g, sentence) < 0) {
                (void)snprintf(why, sizeof(why), "listener %s: %s", conf->name, sentence);
                return complain(why, EXIT_OPEN);
            }
        }
    }
    holdings_forget(&s->holdings, 0);
    return EXIT_OK;
}

int supervisor_run(const struct door_origin *origin, const struct snapshot *snapshot,
                   struct claims *claims, bool *ret_served)
{
    struct supervisor s = {
        .origin = *origin,
        .claims = claims,
        .workers = engine_workers(snapshot),
        .program = open("/proc/self/exe", O_PATH | O_CLOEXEC),
        .log_file = -1,
        .upgrade = {.program = -1, .output = -1},
    };
    holdings_init(&s.holdings);
    s.code = begin(&s) ? EXIT_OK : complain("the system gives no more of something", EXIT_RUNTIME);
    s.holdings.inherited.count = service_sockets(&s.holdings.inherited.fds);
    if (s.code == EXIT_OK)
        s.code = bind_all(&s, snapshot);
    if (s.code == EXIT_OK) {
        supervisor_open_log(&s);
        start_current(&s);
        run(&s);
    }
    *ret_served = s.served;
    end(&s);
    return s.code;
}

int supervisor_adopt(int argc, char *const *argv)
{
    struct supervisor s = {.program = -1, .log_file = -1, .upgrade = {.program = -1, .output = -1}};
    struct handover_texts texts;
    holdings_init(&s.holdings);
    if (argc != 1 || !handover_take(&s, argv[0], &texts))
        return complain("'adopt' is not for people", EXIT_USAGE);
    s.signals = open_signals();
    raise_file_limit();
    service_init(&s.service);
    supervisor_open_log(&s);
    supervisor_log(&s, LOG_LEVEL_INFO, "supervisor goes on version=%s engine=%d", POISE_VERSION,
                   s.current ? (int)s.current->pid : 0);
    reap(&s); /* signals that came on the way are still pending, but one may stand for several */
    run(&s);
    end(&s);
    handover_texts_free(&texts);
    return s.code;
}

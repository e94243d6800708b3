/* SPDX-License-Identifier: MIT */
/*
 * Who owns whom: the engine owns generations, pools, fronts and the crew; workers own connections;
 * health writes states of backends and asks the engine to publish views. Views that were replaced
 * are freed after a round through the workers (app/crew.h).
 */
#include "app/engine.h"

#include "account/account.h"
#include "account/board.h"
#include "app/challenges.h"
#include "app/engine_priv.h"
#include "app/exit_code.h"
#include "app/pools.h"
#include "app/reload.h"
#include "app/sessions.h"
#include "app/steer.h"
#include "app/watchdog.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/logwriter.h"
#include "io/signals.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

/* Descriptors that are not clients' or backends': logs, loops, listeners, probes, and the admin
 * server's. */
#define FILES_RESERVE (128 + ADMIN_CONNECTIONS_MAX)

/* A client and its upstream connection; the two ends of a pipe. */
#define FILES_PER_CLIENT 2
#define FILES_PER_PIPE   2

/* One in so many of a worker's descriptors may be a pipe's, up to PIPES_MAX pipes. */
#define PIPES_SHARE 8

/* Of a worker that has none, being stepped: enough that no limit of this machine is simulated. */
#define FILES_STEPPED (UINT64_C(1) << 20)

/* Per worker: fewer deserve a warning. */
#define CLIENTS_FEW 100

/* How often the supervisor is told that the control loop turns. */
#define ALIVE_MS 2000

static void on_rotation_changed(void *user, struct pool *pool)
{
    struct engine *e = user;
    steer_rotation_changed(e->steer);
    rotation_changed(e->rotation, pool);
}

static void on_report(void *user, struct backend *b, enum reason result, uint64_t now_ms)
{
    struct engine *e = user;
    if (e->health)
        health_report(e->health, b, result, now_ms);
}

/* ---- the drain ---- */

static void on_deadline(struct timer *t)
{
    struct engine *e = container_of(t, struct engine, deadline);
    log_warn("engine", "the drain deadline has passed; closing what is left");
    crew_kill(e->crew);
}

static void drain(struct engine *e, const char *signal_name, bool with_deadline)
{
    if (e->draining && !e->patient) {
        log_info("engine", "stopping at once signal=%s", signal_name);
        crew_kill(e->crew);
        return;
    }
    bool first = !e->draining;
    if (first)
        door_stopping(e->door);
    relief_stop(&e->relief);
    e->draining = true;
    e->patient = !with_deadline;
    log_info("engine", "draining signal=%s deadline=%s", signal_name,
             with_deadline ? "yes" : "none");
    if (first)
        crew_drain(e->crew);
    if (with_deadline)
        loop_timer_set(e->loop, &e->deadline, engine_snapshot(e)->drain_ms);
}

static void on_door(void *user, enum door_event event, const char *why)
{
    struct engine *e = user;
    switch (event) {
    case DOOR_GONE:
    case DOOR_RETIRE:
        log_info("engine", "%s", why);
        if (!e->draining)
            drain(e, "none", true);
        break;
    case DOOR_UPGRADED:
    case DOOR_UPGRADE_FAILED: upgrade_request_event(&e->upgrade, event, why); break;
    }
}

static void on_alive_due(struct timer *t)
{
    struct engine *e = container_of(t, struct engine, alive);
    door_alive(e->door);
    loop_timer_set(e->loop, &e->alive, ALIVE_MS);
}

/* The log has it all. */
static void on_reloaded(void *user, const struct steer_result *result,
                        const struct steer_change *changes, size_t change_count)
{
    struct engine *e = user;
    e->reload_waits = false;
    (void)result;
    (void)changes;
    (void)change_count;
}

static void reload_by_signal(struct engine *e)
{
    log_info("reload", "asked for by HUP");
    if (e->reload_waits)
        return;
    e->reload_waits = reload_begin(e->reload, false, on_reloaded, e);
    if (!e->reload_waits)
        log_error("reload", "out of memory");
}

static void on_signal(struct signals *signals, int number, void *user)
{
    (void)signals;
    struct engine *e = user;
    switch (number) {
    case SIGTERM: drain(e, "TERM", true); break;
    case SIGINT: drain(e, "INT", true); break;
    case SIGQUIT: drain(e, "QUIT", false); break;
    case SIGUSR1:
        logwriter_reopen(e->logs);
        if (e->access_log)
            access_log_reopen(e->access_log);
        log_info("engine", "log files reopened");
        break;
    case SIGHUP: reload_by_signal(e); break;
    default: break;
    }
}

static void on_worker_ended(void *user, uint32_t index)
{
    struct engine *e = user;
    watchdog_forget(e->watchdog, index);
}

static void on_workers_ended(void *user)
{
    struct engine *e = user;
    loop_stop(e->loop);
}

static void on_workers_shut(void *user)
{
    struct engine *e = user;
    fronts_close(e->fronts);
}

/* ---- building ---- */

static enum engine_failure fail(char *why, size_t why_size, const char *text, int reason)
{
    snprintf(why, why_size, "%s: %s", text, reason_sentence((enum reason) - reason));
    return ENGINE_FAILED;
}

bool engine_start_log(struct engine *e, const struct snapshot *s, char *ret_why, size_t why_size)
{
    if (e->stepped)
        return true;
    const char *path = s->log.file ? s->log.file : "stderr";
    int r = log_start(e->logs, path, s->log.format);
    if (r < 0)
        snprintf(ret_why, why_size, "cannot open the log file %s: %s", path, strerror(-r));
    return r == 0;
}

bool engine_open_access_log(const struct snapshot *s, struct access_log **ret_log, char *ret_why,
                            size_t why_size)
{
    static const enum access_log_format formats[] = {
        [ACCESS_JSON] = ACCESS_LOG_JSON,
        [ACCESS_COMBINED] = ACCESS_LOG_COMBINED,
        [ACCESS_CLF] = ACCESS_LOG_CLF,
        [ACCESS_HAPROXY] = ACCESS_LOG_HAPROXY,
    };
    if (s->access_log.format == ACCESS_NONE)
        return true;
    const char *path = s->access_log.file ? s->access_log.file : "-";
    return access_log_open(path, formats[s->access_log.format], ret_log, ret_why, why_size) == 0;
}

static enum engine_failure open_logs(struct engine *e, const struct snapshot *s, char *why,
                                     size_t why_size)
{
    if (e->stepped)
        return ENGINE_OK;
    if (logwriter_new(&e->logs) < 0) {
        snprintf(why, why_size, "cannot start the log writer");
        return ENGINE_FAILED;
    }
    if (!engine_start_log(e, s, why, why_size))
        return ENGINE_CANNOT_BIND;
    log_set_level(s->log.level);
    return engine_open_access_log(s, &e->access_log, why, why_size) ? ENGINE_OK
                                                                    : ENGINE_CANNOT_BIND;
}

void engine_generation_gone(void *engine, struct generation *g)
{
    struct engine *e = engine;
    uint64_t number = g->number;
    list_del(&g->link);
    pools_release(e, g);
    generation_free(&g);
    log_info("reload", "a configuration is out of use generation=%llu live=%zu",
             (unsigned long long)number, list_len(&e->former) + 1);
}

static bool make_generation(struct engine *e, const struct snapshot *s)
{
    struct generation *g = generation_new(s, 1, e->crew, engine_generation_gone, e);
    if (!g || pools_prepare(e, g) < 0) {
        generation_free(&g);
        return false;
    }
    e->generation = g;
    return true;
}

static enum engine_failure take_certificates(struct engine *e, char *why, size_t why_size)
{
    struct certificates_refusal refusal;
    struct secrets *secrets;
    if (certificates_prepare(e->certificates, engine_snapshot(e), &secrets, &refusal) < 0) {
        snprintf(why, why_size, "%s", refusal.text);
        return refusal.invalid ? ENGINE_INVALID : ENGINE_CANNOT_BIND;
    }
    generation_take_secrets(e->generation, secrets);
    certificates_enable(e->generation);
    certificates_commit(e->certificates, e->generation);
    return ENGINE_OK;
}

static void no_generation_before(void *user)
{
    (void)user;
}

/* Everything that clients meet, before the workers run. */
static enum engine_failure open_listeners(struct engine *e, char *why, size_t why_size)
{
    struct fronts_change *change;
    e->fronts = fronts_new(e->crew, e->loop, e->door);
    if (!e->fronts)
        return fail(why, why_size, "listeners", -(int)REASON_overload);
    if (fronts_prepare(e->fronts, engine_snapshot(e), &change, why, why_size) < 0)
        return ENGINE_CANNOT_BIND;
    fronts_commit(e->fronts, &change, e->generation, no_generation_before, NULL);
    return ENGINE_OK;
}

/* What a worker may open at once. */
struct share {
    uint32_t clients;
    uint32_t pipes;
};

/* Clients never go without for the sake of pipes: each kind has descriptors of its own. */
static struct share divide(uint64_t files)
{
    uint64_t pipes = MIN(files / PIPES_SHARE / FILES_PER_PIPE, (uint64_t)PIPES_MAX);
    pipes = MAX(pipes, UINT64_C(1));
    uint64_t left = files - MIN(files, pipes * FILES_PER_PIPE);
    uint64_t clients = MIN(left / FILES_PER_CLIENT, (uint64_t)CLIENTS_MAX);
    return (struct share){.clients = (uint32_t)MAX(clients, UINT64_C(1)), .pipes = (uint32_t)pipes};
}

/* As many descriptors as the system lets us have, and what they are for. */
static struct share share_per_worker(uint32_t workers)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return divide(UINT64_C(1024) * FILES_PER_CLIENT);
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    uint64_t reserve = MIN((uint64_t)FILES_RESERVE, limit.rlim_cur / 4);
    struct share each = divide((limit.rlim_cur - reserve) / workers);
    if (each.clients < CLIENTS_FEW)
        log_warn(
            "engine",
            "only %llu clients fit the limit of open files files=%llu; raise it with ulimit -n",
            (unsigned long long)each.clients * workers, (unsigned long long)limit.rlim_cur);
    return each;
}

static int make_crew(struct engine *e, const struct snapshot *s, struct share each)
{
    struct crew_options o = {
        .loop = e->loop,
        .count = e->worker_count,
        .worker =
            {
                .engine = (enum loop_engine)s->engine,
                .clients_max = each.clients,
                .pipes_max = each.pipes,
                .access_log = e->access_log,
                .stepped = e->stepped,
                .report = on_report,
                .report_user = e,
                .challenge = challenges_ask,
                .challenge_user = e->challenges,
            },
        .seed = e->seed,
        .shut = on_workers_shut,
        .worker_ended = on_worker_ended,
        .ended = on_workers_ended,
        .user = e,
    };
    e->board = board_new(e->worker_count);
    int r = e->board ? crew_new(&o, &e->crew) : -(int)REASON_overload;
    for (uint32_t i = 0; i < e->worker_count && r == 0; i++)
        board_add(e->board, worker_account(crew_workers(e->crew)[i]));
    return r;
}

int engine_failure_code(enum engine_failure failure)
{
    static const int codes[] = {[ENGINE_OK] = EXIT_OK,
                                [ENGINE_CANNOT_BIND] = EXIT_OPEN,
                                [ENGINE_INVALID] = EXIT_CONFIG,
                                [ENGINE_FAILED] = EXIT_RUNTIME};
    return codes[failure];
}

uint32_t engine_workers(const struct snapshot *s)
{
    if (s->workers)
        return s->workers;
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (uint32_t)n;
}

/* Before anything is bound: the reason of a loop that cannot be made would not say what to do. */
static enum engine_failure check_loops(const struct snapshot *s, char *why, size_t why_size)
{
    const char *obstacle = NULL;
    if (loop_engine_try((enum loop_engine)s->engine, &obstacle) == 0)
        return ENGINE_OK;
    snprintf(why, why_size, "engine: uring cannot be used: %s; choose engine: auto", obstacle);
    return ENGINE_FAILED;
}

static int watch_signals(struct engine *e)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGHUP};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        sigaddset(&set, numbers[i]);
    return signals_open(e->loop, &set, on_signal, e, &e->signals);
}

static int open_control(struct engine *e, const struct snapshot *s)
{
    struct loop_options o = {.engine = (enum loop_engine)s->engine};
    int r = loop_new(&o, &e->loop);
    if (r < 0)
        return r;
    upgrade_request_init(&e->upgrade, e->door, e->loop);
    if (!e->stepped)
        r = watch_signals(e);
    return r < 0 ? r : door_watch(e->door, e->loop, on_door, e);
}

static int make_sessions(struct engine *e)
{
    struct sessions_options o = {.loop = e->loop,
                                 .graces = crew_graces(e->crew),
                                 .workers = crew_workers(e->crew),
                                 .worker_count = e->worker_count};
    e->sessions = sessions_new(&o);
    return e->sessions ? 0 : -(int)REASON_overload;
}

static int make_parts(struct engine *e, const struct snapshot *s, struct share each)
{
    int r = open_control(e, s);
    if (r == 0 && !(e->challenges = challenges_new(e->loop, e->door)))
        r = -(int)REASON_overload;
    if (r == 0)
        r = make_crew(e, s, each);
    if (r == 0)
        r = rotation_new(e->loop, crew_graces(e->crew), &e->rotation);
    if (r == 0)
        r = make_sessions(e);
    if (r < 0)
        return r;
    e->reload = reload_new(e);
    e->certificates = certificates_new(e->crew, e->door);
    bool made = e->reload && e->certificates && make_generation(e, s);
    return made ? 0 : -(int)REASON_overload;
}

static enum engine_failure build(struct engine *e, const struct snapshot *s, char *why,
                                 size_t why_size)
{
    struct share each = e->stepped ? divide(FILES_STEPPED) : share_per_worker(e->worker_count);
    enum engine_failure failure = open_logs(e, s, why, why_size);
    if (failure == ENGINE_OK)
        failure = check_loops(s, why, why_size);
    if (failure != ENGINE_OK)
        return failure;
    int r = make_parts(e, s, each);
    failure = r < 0 ? fail(why, why_size, "workers", r) : take_certificates(e, why, why_size);
    if (failure == ENGINE_OK)
        failure = open_listeners(e, why, why_size);
    e->started_wall_ms = failure == ENGINE_OK ? loop_wall_ms(e->loop) : 0;
    return failure == ENGINE_OK ? steer_open(e, &s->admin, &e->steer, why, why_size) : failure;
}

static int open_file(void *user, const char *path)
{
    return door_file(user, path);
}

static enum engine_failure make(const struct snapshot *s, struct door *door, bool stepped,
                                uint64_t seed, struct engine **ret_engine, char *ret_why,
                                size_t why_size)
{
    struct engine *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(ret_why, why_size, "engine", -(int)REASON_overload);
    e->stepped = stepped;
    e->seed = seed;
    list_init(&e->former);
    list_init(&e->retiring);
    ids_init(&e->backend_ids);
    ids_init(&e->pool_ids);
    e->door = door;
    logwriter_open_with(open_file, door);
    e->worker_count = door_workers(door);
    if (!e->worker_count)
        e->worker_count = engine_workers(s);
    timer_init(&e->deadline, on_deadline);
    timer_init(&e->alive, on_alive_due);
    enum engine_failure failure = build(e, s, ret_why, why_size);
    if (failure != ENGINE_OK) {
        engine_free(&e);
        return failure;
    }
    *ret_engine = e;
    return ENGINE_OK;
}

enum engine_failure engine_new(const struct snapshot *s, struct door *door,
                               struct engine **ret_engine, char *ret_why, size_t why_size)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = 1;
    return make(s, door, false, seed, ret_engine, ret_why, why_size);
}

enum engine_failure engine_new_stepped(const struct snapshot *s, struct door *door, uint64_t seed,
                                       struct engine **ret_engine, char *ret_why, size_t why_size)
{
    return make(s, door, true, seed, ret_engine, ret_why, why_size);
}

void engine_upgrade(struct engine *e, steer_done_fn *done, void *user)
{
    upgrade_request_begin(&e->upgrade, done, user);
}

const struct address *engine_address(const struct engine *e, size_t index)
{
    return fronts_address(e->fronts, index);
}

const struct address *engine_admin_address(const struct engine *e)
{
    return steer_address(e->steer);
}

void engine_stop(struct engine *e, bool now)
{
    if (!e->draining)
        drain(e, "admin", true);
    if (now)
        crew_kill(e->crew);
}

struct loop *engine_loop(struct engine *e)
{
    return e->loop;
}

struct membership *engine_membership(struct engine *e)
{
    return e->membership;
}

const struct account_board *engine_board(const struct engine *e)
{
    return e->board;
}

struct crew *engine_crew(struct engine *e)
{
    return e->crew;
}

bool engine_reload(struct engine *e, steer_done_fn *done, void *user)
{
    return reload_begin(e->reload, false, done, user);
}

struct sessions *engine_sessions(struct engine *e)
{
    return e->sessions;
}

struct pool *engine_pool(struct engine *e, size_t index)
{
    const struct generation *g = e->generation;
    return index < g->snapshot->pool_count ? g->pools[index] : NULL;
}

static void on_member_changed(void *user, const char *what, const char *name, const char *change,
                              const char *detail)
{
    const struct engine *e = user;
    struct steer_change told = {.what = what, .name = name, .change = change, .detail = detail};
    steer_changed(e->steer, &told);
}

static int start_membership(struct engine *e)
{
    struct membership_options o = {
        .loop = e->loop,
        .graces = crew_graces(e->crew),
        .rotation = e->rotation,
        .health = e->health,
        .changed = on_member_changed,
        .user = e,
    };
    return membership_new(&o, &e->membership);
}

bool engine_begin(struct engine *e)
{
    const struct generation *g = e->generation;
    int r = health_start(e->loop, g->pools, g->snapshot->pool_count, e->seed, on_rotation_changed,
                         e, &e->health);
    if (r == 0)
        r = start_membership(e);
    if (r < 0) {
        log_error("engine", "health checks cannot start reason=%s", reason_name((enum reason) - r));
        return false;
    }
    r = crew_start(e->crew);
    if (r < 0) {
        log_error("engine", "a worker cannot start reason=%s", reason_name((enum reason) - r));
    } else {
        log_info("engine", "started version=%s engine=%s workers=%u listeners=%zu pools=%zu",
                 POISE_VERSION, loop_engine_name(e->loop), e->worker_count,
                 fronts_address_count(e->fronts), g->snapshot->pool_count);
    }
    return r == 0;
}

/* What looks after threads. */
static void guard_workers(struct engine *e)
{
    if (relief_start(e->loop, crew_workers(e->crew), e->worker_count, fronts_inlets(e->fronts),
                     &e->relief) < 0)
        log_warn("engine", "out of memory: a worker that stalls will not be relieved");
    if (watchdog_start(e->loop, crew_workers(e->crew), e->worker_count, &e->watchdog) < 0)
        log_warn("engine", "out of memory: a worker that hangs will not be noticed");
    door_ready(e->door);
    loop_timer_set(e->loop, &e->alive, ALIVE_MS);
}

bool engine_run(struct engine *e)
{
    bool begun = engine_begin(e);
    if (begun)
        guard_workers(e);
    if (crew_alive(e->crew) > 0)
        loop_run(e->loop);
    crew_join(e->crew);
    log_info("engine", "stopped");
    return begun;
}

static void free_generations(struct engine *e)
{
    struct list *link;
    while ((link = list_pop(&e->former)) != NULL) {
        struct generation *g = container_of(link, struct generation, link);
        pools_free(g);
        generation_free(&g);
    }
    if (e->generation)
        pools_free(e->generation);
    generation_free(&e->generation);
}

void engine_free(struct engine **engine)
{
    struct engine *e = *engine;
    if (!e)
        return;
    steer_close(&e->steer);
    reload_free(&e->reload);
    relief_stop(&e->relief);
    crew_free(&e->crew);
    challenges_free(&e->challenges);
    sessions_free(&e->sessions);
    board_free(&e->board);
    watchdog_stop(&e->watchdog); /* its messages may have waited in a mailbox */
    e->ended = true;
    membership_free(&e->membership);
    if (e->health)
        health_stop(&e->health);
    pools_free_retiring(e);
    rotation_free(&e->rotation);
    fronts_free(&e->fronts);
    free_generations(e);
    certificates_free(&e->certificates);
    ids_fini(&e->backend_ids);
    ids_fini(&e->pool_ids);
    signals_close(&e->signals);
    if (e->loop) {
        door_unwatch(e->door);
        upgrade_request_fini(&e->upgrade);
        loop_timer_stop(e->loop, &e->alive);
        loop_timer_stop(e->loop, &e->deadline);
        loop_free(&e->loop);
    }
    access_log_close(&e->access_log);
    if (e->logs) {
        log_stop();
        logwriter_stop(&e->logs);
    }
    logwriter_open_with(NULL, NULL);
    free(e);
    *engine = NULL;
}

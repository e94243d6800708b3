/* SPDX-License-Identifier: MIT */
/*
 * Who owns whom: the engine owns pools, fronts, listeners and workers; workers own connections;
 * health writes states of backends and asks for new views (app/rotation.h).
 */
#include "app/engine.h"

#include "account/account.h"
#include "account/board.h"
#include "admin/steer.h"
#include "app/grace.h"
#include "app/membership.h"
#include "app/relief.h"
#include "app/rotation.h"
#include "app/sessions.h"
#include "app/steer.h"
#include "app/worker.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/logwriter.h"
#include "forward/queue.h"
#include "health/health.h"
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

/* Per worker: fewer deserve a warning. */
#define CLIENTS_FEW 100

/* What a worker tells the control loop. */
struct news {
    struct message message;
    struct engine *engine;
};

struct engine {
    const struct snapshot *snapshot;
    struct logwriter *logs;
    struct access_log *access_log;
    struct loop *loop; /* the control loop */
    struct signals *signals;
    struct pool **pools;
    uint32_t pool_count;
    struct front *fronts;              /* by listener of the snapshot */
    struct front **front_list;         /* the same, for those who look */
    struct worker_listener *listeners; /* by address */
    size_t listener_count;
    struct worker **workers;
    struct account_board *board; /* their counters */
    struct news *shut, *ended;   /* by worker */
    uint32_t worker_count, workers_alive, workers_shut;
    struct health *health;
    struct relief *relief;
    struct steer *steer; /* the admin server, or NULL */
    uint64_t started_wall_ms;
    struct timer deadline;
    bool draining;
    bool patient; /* … without a deadline so far */
    uint64_t seed;
    struct ids backend_ids;
    struct graces *graces;
    struct sessions *sessions;
    struct rotation *rotation;
    struct membership *membership;
};

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

static void kill_workers(struct engine *e)
{
    for (uint32_t i = 0; i < e->worker_count; i++)
        worker_kill(e->workers[i]);
}

static void on_deadline(struct timer *t)
{
    struct engine *e = container_of(t, struct engine, deadline);
    log_warn("engine", "the drain deadline has passed; closing what is left");
    kill_workers(e);
}

static void drain(struct engine *e, const char *signal_name, bool with_deadline)
{
    if (e->draining && !e->patient) {
        log_info("engine", "stopping at once signal=%s", signal_name);
        kill_workers(e);
        return;
    }
    bool first = !e->draining;
    relief_stop(&e->relief);
    e->draining = true;
    e->patient = !with_deadline;
    log_info("engine", "draining signal=%s deadline=%s", signal_name,
             with_deadline ? "yes" : "none");
    for (uint32_t i = 0; first && i < e->worker_count; i++)
        worker_drain(e->workers[i]);
    if (with_deadline)
        loop_timer_set(e->loop, &e->deadline, e->snapshot->drain_ms);
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
    case SIGHUP:
        log_warn("engine",
                 "HUP ignored: reload is not part of this version; restart to apply changes");
        break;
    default: break;
    }
}

static void on_worker_ended(struct loop *loop, struct message *m)
{
    const struct news *news = container_of(m, struct news, message);
    struct engine *e = news->engine;
    graces_worker_ended(e->graces, (uint32_t)(news - e->ended));
    if (--e->workers_alive == 0)
        loop_stop(loop);
}

static void close_listeners(struct engine *e)
{
    for (size_t i = 0; i < e->listener_count; i++)
        listener_close(&e->listeners[i].listener);
}

/* When no worker accepts any more, new clients are refused at once and a successor may listen. */
static void on_worker_shut(struct loop *loop, struct message *m)
{
    (void)loop;
    struct engine *e = container_of(m, struct news, message)->engine;
    if (++e->workers_shut == e->worker_count)
        close_listeners(e);
}

/* On the worker's thread. */
static void tell(struct engine *e, struct worker *w, struct news *news)
{
    for (uint32_t i = 0; i < e->worker_count; i++) {
        if (e->workers[i] == w)
            loop_post(e->loop, &news[i].message);
    }
}

static void worker_shut(void *user, struct worker *w)
{
    struct engine *e = user;
    tell(e, w, e->shut);
}

static void worker_ended(void *user, struct worker *w)
{
    struct engine *e = user;
    tell(e, w, e->ended);
}

/* ---- building ---- */

static enum engine_failure fail(char *why, size_t why_size, const char *text, int reason)
{
    snprintf(why, why_size, "%s: %s", text, reason_sentence((enum reason) - reason));
    return ENGINE_FAILED;
}

static enum engine_failure open_logs(struct engine *e, char *why, size_t why_size)
{
    const struct snapshot *s = e->snapshot;
    if (logwriter_new(&e->logs) < 0) {
        snprintf(why, why_size, "cannot start the log writer");
        return ENGINE_FAILED;
    }
    const char *path = s->log.file ? s->log.file : "stderr";
    int r = log_start(e->logs, path, s->log.format);
    if (r < 0) {
        snprintf(why, why_size, "cannot open the log file %s: %s", path, strerror(-r));
        return ENGINE_CANNOT_BIND;
    }
    log_set_level(s->log.level);
    if (s->access_log.format == ACCESS_NONE)
        return ENGINE_OK;
    static const enum access_log_format formats[] = {
        [ACCESS_JSON] = ACCESS_LOG_JSON,
        [ACCESS_COMBINED] = ACCESS_LOG_COMBINED,
        [ACCESS_CLF] = ACCESS_LOG_CLF,
        [ACCESS_HAPROXY] = ACCESS_LOG_HAPROXY,
    };
    enum access_log_format format = formats[s->access_log.format];
    path = s->access_log.file ? s->access_log.file : "-";
    if (access_log_open(path, format, &e->access_log, why, why_size) < 0)
        return ENGINE_CANNOT_BIND;
    return ENGINE_OK;
}

static bool make_pools(struct engine *e)
{
    const struct snapshot *s = e->snapshot;
    e->pools = calloc(s->pool_count ? s->pool_count : 1, sizeof(e->pools[0]));
    if (!e->pools)
        return false;
    for (size_t i = 0; i < s->pool_count; i++) {
        e->pools[i] = pool_new(s, (uint32_t)i, &e->backend_ids);
        if (!e->pools[i])
            return false;
        e->pools[i]->key = board_key((uint32_t)i);
        e->pool_count++;
        if (s->pools[i].max_connections && !queue_attach(e->pools[i]))
            return false;
    }
    return true;
}

static bool make_fronts(struct engine *e)
{
    const struct snapshot *s = e->snapshot;
    size_t n = s->listener_count ? s->listener_count : 1;
    e->fronts = aligned_alloc(64, n * sizeof(e->fronts[0]));
    e->front_list = calloc(n, sizeof(e->front_list[0]));
    if (!e->fronts || !e->front_list)
        return false;
    memset(e->fronts, 0, n * sizeof(e->fronts[0]));
    for (size_t i = 0; i < s->listener_count; i++) {
        const struct listener_conf *conf = &s->listeners[i];
        e->front_list[i] = &e->fronts[i];
        e->fronts[i].snapshot = s;
        e->fronts[i].conf = conf;
        e->fronts[i].pools = e->pools;
        e->fronts[i].key = board_key((uint32_t)i);
        e->fronts[i].limits = (struct h1_limits){
            .line_bytes = conf->line_bytes_max,
            .head_bytes = conf->head_bytes_max,
            .fields = (uint16_t)conf->fields_max,
        };
    }
    return true;
}

static enum engine_failure open_listeners(struct engine *e, char *why, size_t why_size)
{
    const struct snapshot *s = e->snapshot;
    size_t total = 0;
    for (size_t i = 0; i < s->listener_count; i++)
        total += s->listeners[i].address_count;
    e->listeners = calloc(total ? total : 1, sizeof(e->listeners[0]));
    if (!e->listeners)
        return fail(why, why_size, "listeners", -(int)REASON_overload);
    for (size_t i = 0; i < s->listener_count; i++) {
        const struct listener_conf *conf = &s->listeners[i];
        for (size_t k = 0; k < conf->address_count; k++) {
            struct listener_options o = {
                .address = conf->addresses[k],
                .shards = e->worker_count,
                .defer_accept = conf->protocol == PROTOCOL_HTTP,
            };
            char sentence[LISTENER_WHY_MAX];
            struct worker_listener *l = &e->listeners[e->listener_count];
            if (listener_open(&o, &l->listener, sentence) < 0) {
                snprintf(why, why_size, "listener %s: %s", conf->name, sentence);
                return ENGINE_CANNOT_BIND;
            }
            l->front = &e->fronts[i];
            e->listener_count++;
        }
    }
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

static int make_workers(struct engine *e, struct share each)
{
    e->workers = calloc(e->worker_count, sizeof(e->workers[0]));
    e->ended = calloc(e->worker_count, sizeof(e->ended[0]));
    e->shut = calloc(e->worker_count, sizeof(e->shut[0]));
    e->board = board_new(e->worker_count);
    if (!e->workers || !e->ended || !e->shut || !e->board)
        return -(int)REASON_overload;
    for (uint32_t i = 0; i < e->worker_count; i++) {
        struct worker_options o = {
            .index = i,
            .count = e->worker_count,
            .engine = (enum loop_engine)e->snapshot->engine,
            .clients_max = each.clients,
            .pipes_max = each.pipes,
            .seed = e->seed ^ (0x9e3779b97f4a7c15u * (i + 1)),
            .access_log = e->access_log,
            .report = on_report,
            .report_user = e,
            .shut = worker_shut,
            .ended = worker_ended,
            .user = e,
        };
        e->shut[i] = (struct news){.message.fn = on_worker_shut, .engine = e};
        e->ended[i] = (struct news){.message.fn = on_worker_ended, .engine = e};
        int r = worker_new(&o, e->listeners, e->listener_count, &e->workers[i]);
        if (r < 0)
            return r;
        board_add(e->board, worker_account(e->workers[i]));
    }
    return 0;
}

static uint32_t cpus_allowed(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (uint32_t)n;
}

/* Before anything is bound: the reason of a loop that cannot be made would not say what to do. */
static enum engine_failure check_loops(const struct engine *e, char *why, size_t why_size)
{
    const char *obstacle = NULL;
    if (loop_engine_try((enum loop_engine)e->snapshot->engine, &obstacle) == 0)
        return ENGINE_OK;
    snprintf(why, why_size, "engine: uring cannot be used: %s; choose engine: auto", obstacle);
    return ENGINE_FAILED;
}

static int open_control(struct engine *e)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGHUP};
    struct loop_options o = {.engine = (enum loop_engine)e->snapshot->engine};
    int r = loop_new(&o, &e->loop);
    if (r < 0)
        return r;
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        sigaddset(&set, numbers[i]);
    return signals_open(e->loop, &set, on_signal, e, &e->signals);
}

static int make_sessions(struct engine *e)
{
    struct sessions_options o = {.loop = e->loop,
                                 .graces = e->graces,
                                 .workers = e->workers,
                                 .worker_count = e->worker_count};
    e->sessions = sessions_new(&o);
    return e->sessions ? 0 : -(int)REASON_overload;
}

static enum engine_failure build(struct engine *e, char *why, size_t why_size)
{
    const struct snapshot *s = e->snapshot;
    struct share each = share_per_worker(e->worker_count);
    enum engine_failure failure = open_logs(e, why, why_size);
    if (failure != ENGINE_OK)
        return failure;
    failure = check_loops(e, why, why_size);
    if (failure != ENGINE_OK)
        return failure;
    if (!make_pools(e) || !make_fronts(e))
        return fail(why, why_size, "pools", -(int)REASON_overload);
    failure = open_listeners(e, why, why_size);
    if (failure != ENGINE_OK)
        return failure;
    int r = open_control(e);
    if (r == 0)
        r = make_workers(e, each);
    if (r == 0)
        r = graces_new(e->loop, e->workers, e->worker_count, &e->graces);
    if (r == 0)
        r = rotation_new(e->loop, e->graces, &e->rotation);
    if (r == 0)
        r = make_sessions(e);
    if (r < 0)
        return fail(why, why_size, "workers", r);
    e->started_wall_ms = loop_wall_ms(e->loop);
    return steer_open(e, e->loop, &s->admin, &e->steer, why, why_size);
}

enum engine_failure engine_new(const struct snapshot *s, struct engine **ret_engine, char *ret_why,
                               size_t why_size)
{
    struct engine *e = calloc(1, sizeof(*e));
    if (!e)
        return fail(ret_why, why_size, "engine", -(int)REASON_overload);
    e->snapshot = snapshot_ref(s);
    e->worker_count = s->workers ? s->workers : cpus_allowed();
    ids_init(&e->backend_ids);
    timer_init(&e->deadline, on_deadline);
    if (getrandom(&e->seed, sizeof(e->seed), 0) != (ssize_t)sizeof(e->seed))
        e->seed = 1;
    enum engine_failure failure = build(e, ret_why, why_size);
    if (failure != ENGINE_OK) {
        engine_free(&e);
        return failure;
    }
    *ret_engine = e;
    return ENGINE_OK;
}

const struct address *engine_address(const struct engine *e, size_t index)
{
    return index < e->listener_count ? listener_address(e->listeners[index].listener) : NULL;
}

const struct address *engine_admin_address(const struct engine *e)
{
    return steer_address(e->steer);
}

void engine_view(const struct engine *e, struct steer_view *ret_view)
{
    *ret_view = (struct steer_view){
        .snapshot = e->snapshot,
        .generation = 1,
        .pools = e->pools,
        .pool_count = e->pool_count,
        .fronts = e->front_list,
        .front_count = e->snapshot->listener_count,
        .health = e->health,
        .board = e->board,
        .config_path = e->snapshot->source,
        .engine_name = loop_engine_name(e->loop),
        .worker_count = e->worker_count,
        .started_wall_ms = e->started_wall_ms,
        .draining = e->draining,
        .reload_ok = true,
        .reload_wall_ms = e->started_wall_ms,
    };
}

void engine_stop(struct engine *e, bool now)
{
    if (!e->draining)
        drain(e, "admin", true);
    if (now)
        kill_workers(e);
}

struct loop *engine_loop(struct engine *e)
{
    return e->loop;
}

struct membership *engine_membership(struct engine *e)
{
    return e->membership;
}

struct sessions *engine_sessions(struct engine *e)
{
    return e->sessions;
}

struct pool *engine_pool(struct engine *e, size_t index)
{
    return index < e->pool_count ? e->pools[index] : NULL;
}

static void join(struct engine *e, uint32_t index)
{
    const struct worker *w = e->workers[index];
    worker_join(e->workers[index]);
    log_info("worker", "stopped worker=%u accepted=%llu relieved=%llu", index,
             (unsigned long long)worker_accepted(w), (unsigned long long)worker_relieved(w));
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
        .graces = e->graces,
        .rotation = e->rotation,
        .health = e->health,
        .changed = on_member_changed,
        .user = e,
    };
    return membership_new(&o, &e->membership);
}

bool engine_run(struct engine *e)
{
    int r =
        health_start(e->loop, e->pools, e->pool_count, e->seed, on_rotation_changed, e, &e->health);
    if (r < 0) {
        log_error("engine", "health checks cannot start reason=%s", reason_name((enum reason) - r));
        return false;
    }
    r = start_membership(e);
    for (uint32_t i = 0; i < e->worker_count && r == 0; i++) {
        r = worker_start(e->workers[i]);
        if (r == 0)
            e->workers_alive++;
    }
    if (r < 0) {
        log_error("engine", "a worker cannot start reason=%s", reason_name((enum reason) - r));
        kill_workers(e);
    } else {
        log_info("engine", "started version=%s engine=%s workers=%u listeners=%zu pools=%u",
                 POISE_VERSION, loop_engine_name(e->loop), e->worker_count, e->listener_count,
                 e->pool_count);
    }
    if (r == 0 && relief_start(e->loop, e->workers, e->worker_count, e->listeners,
                               e->listener_count, &e->relief) < 0)
        log_warn("engine", "out of memory: a worker that stalls will not be relieved");
    if (e->workers_alive > 0)
        loop_run(e->loop);
    for (uint32_t i = 0; i < e->worker_count; i++)
        join(e, i);
    log_info("engine", "stopped");
    return r == 0;
}

void engine_free(struct engine **engine)
{
    struct engine *e = *engine;
    if (!e)
        return;
    steer_close(&e->steer);
    graces_free(&e->graces);
    sessions_free(&e->sessions);
    membership_free(&e->membership);
    if (e->health)
        health_stop(&e->health);
    rotation_free(&e->rotation);
    relief_stop(&e->relief);
    for (uint32_t i = 0; e->workers && i < e->worker_count; i++)
        worker_free(&e->workers[i]);
    board_free(&e->board);
    close_listeners(e);
    for (uint32_t i = 0; i < e->pool_count; i++) {
        queue_detach(e->pools[i]);
        pool_free(&e->pools[i]);
    }
    signals_close(&e->signals);
    if (e->loop) {
        loop_timer_stop(e->loop, &e->deadline);
        loop_free(&e->loop);
    }
    access_log_close(&e->access_log);
    if (e->logs) {
        log_stop();
        logwriter_stop(&e->logs);
    }
    free(e->pools);
    free(e->fronts);
    free(e->front_list);
    free(e->listeners);
    free(e->workers);
    free(e->shut);
    free(e->ended);
    snapshot_unref(&e->snapshot);
    ids_fini(&e->backend_ids);
    free(e);
    *engine = NULL;
}

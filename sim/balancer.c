/* SPDX-License-Identifier: MIT */
/*
 * While a turn of one of its loops runs, `running` says whose log lines are made: the log is one
 * for the process.
 */
#include "sim/balancer.h"

#include "app/config_path.h"
#include "app/crew.h"
#include "app/door_priv.h"
#include "app/engine.h"
#include "app/exit_code.h"
#include "app/membership.h"
#include "base/log.h"
#include "sim/simulable.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct balancer {
    struct world *world;
    struct balancer_options options;
    struct door door;
    struct span text; /* what the door gives out */
    const struct snapshot *snapshot;
    struct machine *machine;
    struct engine *engine;
    bool begun, stopped;
};

/* An operator's order on its way to the control loop. */
struct errand {
    struct message message;
    struct balancer *balancer;
    struct balancer_order order;
    struct steer_result result;
};

static struct balancer *running;
static unsigned alive; /* balancers there are */

/* ---- the door ---- */

static void sim_free(struct door *d)
{
    (void)d;
}

static int sim_config(struct door *d, char **ret_text, size_t *ret_len, char *ret_why,
                      size_t why_size)
{
    (void)ret_why;
    (void)why_size;
    const struct balancer *b = container_of(d, struct balancer, door);
    *ret_text = world_must(malloc(b->text.n + 1));
    memcpy(*ret_text, b->text.p, b->text.n);
    (*ret_text)[b->text.n] = 0;
    *ret_len = b->text.n;
    return 0;
}

static int sim_bind(struct door *d, const char *owner, const struct listener_options *options,
                    struct listener **ret_listener, char ret_why[LISTENER_WHY_MAX])
{
    (void)d;
    (void)owner;
    (void)ret_why;
    *ret_listener = world_must(listener_imagine(options));
    return 0;
}

static void sim_unbind(struct door *d, struct listener **listener)
{
    (void)d;
    listener_close(listener);
}

static int no_file(struct door *d, const char *path)
{
    (void)d;
    (void)path;
    return -ENOENT;
}

static int no_challenge(struct door *d, const char *folder, const char *token)
{
    (void)d;
    (void)folder;
    (void)token;
    return -ENOENT;
}

static int no_challenges(struct door *d, const char *folder, char **ret_names, size_t *ret_len)
{
    (void)d;
    (void)folder;
    (void)ret_names;
    (void)ret_len;
    return -ENOENT;
}

static int no_tls_file(struct door *d, const char *path, struct tls_file *ret_file,
                       char ret_why[TLS_FILE_WHY_MAX])
{
    (void)d;
    (void)path;
    (void)ret_file;
    (void)snprintf(ret_why, TLS_FILE_WHY_MAX, "the simulator reads no keys");
    return -(int)REASON_system_error;
}

static bool no_tls_look(struct door *d, const char *path, uint64_t *ret_stamp)
{
    (void)d;
    (void)path;
    (void)ret_stamp;
    return false;
}

static int no_save(struct door *d, struct span text, char *ret_why, size_t why_size)
{
    (void)d;
    (void)text;
    (void)snprintf(ret_why, why_size, "a simulation saves nothing");
    return -(int)REASON_system_error;
}

static int no_upgrade(struct door *d, char *ret_why, size_t why_size)
{
    (void)d;
    (void)snprintf(ret_why, why_size, "a simulation is not upgraded");
    return -(int)REASON_system_error;
}

static const struct door_ops sim_ops = {
    .free = sim_free,
    .config = sim_config,
    .bind = sim_bind,
    .unbind = sim_unbind,
    .file = no_file,
    .challenge = no_challenge,
    .challenges = no_challenges,
    .tls_file = no_tls_file,
    .tls_look = no_tls_look,
    .save = no_save,
    .upgrade = no_upgrade,
};

/* ---- running ---- */

static void on_line(void *user, int64_t wall_ms, enum log_level level, const char *area,
                    struct span message)
{
    (void)user;
    (void)wall_ms;
    if (running)
        running->options.log(running->options.user, running, level, area, message);
}

static void on_turning(void *user, bool begins)
{
    running = begins ? user : NULL;
}

static void on_loop_stopped(void *user, struct loop *loop)
{
    struct balancer *b = user;
    struct crew *crew = engine_crew(b->engine);
    for (uint32_t i = 0; i < crew_count(crew); i++) {
        if (worker_loop(crew_worker(crew, i)) == loop)
            worker_finish(crew_worker(crew, i));
    }
    b->stopped |= loop == engine_loop(b->engine);
}

static int load(struct balancer *b, char *why, size_t why_size)
{
    struct diagnostics found;
    int r = config_load(b->options.source, b->text, config_process_env, &found, &b->snapshot);
    if (r < 0) {
        FILE *out = fmemopen(why, why_size, "w");
        if (out) {
            diagnostics_print(&found, out, false);
            (void)fclose(out);
        }
    }
    diagnostics_fini(&found);
    if (r < 0)
        return EXIT_CONFIG;
    if (!config_override(&b->snapshot, &b->door.overrides, why, why_size))
        return EXIT_USAGE;
    return simulable(b->snapshot, why, why_size) ? EXIT_OK : EXIT_CONFIG;
}

static int start(struct balancer *b, char *why, size_t why_size)
{
    const struct balancer_options *o = &b->options;
    b->door.workers = o->workers ? o->workers : MAX(b->snapshot->workers, 1u);
    struct machine_options m = {
        .network = o->network,
        .address = network_resolve(o->network, o->name, 0),
        .index = o->index,
        .stopped = on_loop_stopped,
        .turning = on_turning,
        .user = b,
    };
    if (machine_new(b->world, &m, &b->machine) < 0)
        return EXIT_RUNTIME;
    running = b;
    loop_provide(loop_sim_make, b->machine);
    enum engine_failure failure =
        engine_new_stepped(b->snapshot, &b->door, o->seed, &b->engine, why, why_size);
    loop_provide(NULL, NULL);
    b->begun = failure == ENGINE_OK && engine_begin(b->engine);
    running = NULL;
    if (failure != ENGINE_OK)
        return engine_failure_code(failure);
    return b->begun ? EXIT_OK : EXIT_RUNTIME;
}

int balancer_new(struct world *w, const struct balancer_options *o, struct balancer **ret_balancer,
                 char *ret_why, size_t why_size)
{
    struct balancer *b = world_must(calloc(1, sizeof(*b)));
    b->world = w;
    b->options = *o;
    b->text = o->text;
    b->door = (struct door){
        .ops = &sim_ops,
        .path = o->source,
        .overrides = {.balance = o->balance, .inward = true},
    };
    if (alive++ == 0)
        log_divert(on_line, NULL);
    int code = load(b, ret_why, why_size);
    if (code == EXIT_OK)
        code = start(b, ret_why, why_size);
    if (code != EXIT_OK) {
        balancer_free(&b);
        return code;
    }
    *ret_balancer = b;
    return EXIT_OK;
}

static void on_stop(struct loop *loop, struct message *m)
{
    (void)loop;
    struct errand *e = container_of(m, struct errand, message);
    engine_stop(e->balancer->engine, true);
    free(e);
}

void balancer_stop(struct balancer *b)
{
    struct errand *e = world_must(calloc(1, sizeof(*e)));
    e->message.fn = on_stop;
    e->balancer = b;
    loop_post(engine_loop(b->engine), &e->message);
}

bool balancer_stopped(const struct balancer *b)
{
    return b->stopped;
}

void balancer_free(struct balancer **balancer)
{
    struct balancer *b = *balancer;
    if (!b)
        return;
    running = b;
    engine_free(&b->engine);
    running = NULL;
    if (--alive == 0)
        log_divert(NULL, NULL);
    machine_free(&b->machine);
    snapshot_unref(&b->snapshot);
    free(b);
    *balancer = NULL;
}

/* ---- to look at ---- */

const char *balancer_name(const struct balancer *b)
{
    return b->options.name;
}

const struct snapshot *balancer_snapshot(const struct balancer *b)
{
    return b->snapshot;
}

struct machine *balancer_machine(struct balancer *b)
{
    return b->machine;
}

const struct account_board *balancer_board(const struct balancer *b)
{
    return engine_board(b->engine);
}

uint64_t balancer_in_flight(const struct balancer *b)
{
    uint64_t sum = 0;
    const struct pool *pool;
    for (size_t i = 0; (pool = engine_pool(b->engine, i)) != NULL; i++) {
        for (uint32_t slot = 0; slot < pool_backend_count(pool); slot++)
            sum += atomic_load(&pool->backends[slot].in_flight);
    }
    return sum;
}

/* ---- orders ---- */

/* Without a name the first that has the backend, or may get it. */
static struct pool *find_pool(struct balancer *b, const struct balancer_order *o)
{
    struct pool *pool;
    for (size_t i = 0; (pool = engine_pool(b->engine, i)) != NULL; i++) {
        if (o->pool && strcmp(pool_conf(pool)->name, o->pool) != 0)
            continue;
        if (o->pool || o->act == ACT_ADD || pool_find(pool, span_cstr(o->backend)))
            return pool;
    }
    return NULL;
}

static void run_order(struct errand *e, struct pool *pool, struct backend *backend)
{
    struct membership *m = engine_membership(e->balancer->engine);
    const struct balancer_order *o = &e->order;
    const struct steer_backend added = {.name = span_cstr(o->backend),
                                        .address =
                                            o->address ? span_cstr(o->address) : span_cstr(""),
                                        .weight = o->weight};
    switch (o->act) {
    case ACT_ADD: membership_add(m, pool, &added, &e->result); break;
    case ACT_REMOVE: membership_remove(m, backend, &e->result); break;
    case ACT_DRAIN: membership_set_state(m, backend, ADMIN_DRAIN, &e->result); break;
    case ACT_DISABLE: membership_set_state(m, backend, ADMIN_DISABLED, &e->result); break;
    case ACT_ENABLE: membership_set_state(m, backend, ADMIN_READY, &e->result); break;
    case ACT_WEIGHT: membership_set_weight(m, backend, o->weight, &e->result); break;
    case ACT_RELOAD: break;
    }
    if (e->result.code != STEER_OK)
        log_error("sim", "refused: %s", e->result.message);
}

static void on_order(struct loop *loop, struct message *m)
{
    (void)loop;
    struct errand *e = container_of(m, struct errand, message);
    struct pool *pool = find_pool(e->balancer, &e->order);
    struct backend *backend = pool ? pool_find(pool, span_cstr(e->order.backend)) : NULL;
    if (!pool)
        log_error("sim", "refused: there is no such pool, or none has a backend of that name");
    else if (!backend && e->order.act != ACT_ADD)
        log_error("sim", "refused: the pool has no backend of that name");
    else
        run_order(e, pool, backend);
    free(e);
}

static void on_reloaded(void *user, const struct steer_result *result,
                        const struct steer_change *changes, size_t change_count)
{
    (void)user;
    (void)result; /* the log has it */
    (void)changes;
    (void)change_count;
}

static void on_reload(struct loop *loop, struct message *m)
{
    (void)loop;
    struct errand *e = container_of(m, struct errand, message);
    e->balancer->text = e->order.text;
    if (!engine_reload(e->balancer->engine, on_reloaded, NULL))
        log_error("sim", "out of memory");
    free(e);
}

void balancer_do(struct balancer *b, const struct balancer_order *order)
{
    struct errand *e = world_must(calloc(1, sizeof(*e)));
    e->message.fn = order->act == ACT_RELOAD ? on_reload : on_order;
    e->balancer = b;
    e->order = *order;
    loop_post(engine_loop(b->engine), &e->message);
}

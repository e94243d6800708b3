/* SPDX-License-Identifier: MIT */
/*
 * The simulation owns everything in its world and frees it in the order in which who uses what: the
 * product first, then the models, the network, and time last.
 */
#include "sim/simulation.h"

#include "app/config_path.h"
#include "app/crew.h"
#include "app/exit_code.h"
#include "base/check.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)

/* In what steps is looked whether all have ended, and how long that may take at most. */
#define STEP_NS    (NS_PER_S / 4)
#define STOP_STEPS 400
#define SETTLE_NS  (2 * NS_PER_S)

struct model {
    struct server *server;
    char *pool, *name;
    bool again; /* another name of a server that an earlier one has */
};

/* An event of the timeline on its way. */
struct fate {
    struct simulation *simulation;
    const struct scenario_event *event;
};

struct simulation {
    struct scenario *scenario;
    const char *balance;
    struct world *world;
    struct network *network;
    struct window measured;
    struct balancer **balancers;
    char (*names)[16];
    struct board_sum *before; /* by balancer: what was counted in the warm-up */
    size_t balancer_count;
    struct model *models;
    size_t model_count;
    struct crowd **crowds;
    struct fate *fates;
    struct outcome *outcome;
};

/* ---- log ---- */

static void keep_line(struct simulation *s, const char *who, enum log_level level, const char *area,
                      struct span message)
{
    struct outcome *o = s->outcome;
    if (o->line_count == SIM_LOG_LINES_MAX) {
        o->lines_dropped++;
        return;
    }
    if (!o->lines)
        o->lines = world_must(calloc(SIM_LOG_LINES_MAX, sizeof(o->lines[0])));
    struct outcome_line *line = &o->lines[o->line_count++];
    line->at_ns = world_now(s->world);
    line->level = level;
    (void)snprintf(line->who, sizeof(line->who), "%s", who);
    (void)snprintf(line->area, sizeof(line->area), "%s", area);
    line->message = world_must(strndup((const char *)message.p, message.n));
}

static void on_log(void *user, const struct balancer *b, enum log_level level, const char *area,
                   struct span message)
{
    keep_line(user, balancer_name(b), level, area, message);
}

/* ---- backends ---- */

static struct model *new_model(struct simulation *s, const char *pool, const char *name)
{
    struct model *m;
    s->models = world_must(realloc(s->models, (s->model_count + 1) * sizeof(s->models[0])));
    m = &s->models[s->model_count++];
    *m = (struct model){.pool = world_must(strdup(pool)), .name = world_must(strdup(name))};
    return m;
}

/* A backend at an address where there is one already: it is that by another name. */
static void name_again(struct simulation *s, const char *pool, const char *name,
                       const struct address *at)
{
    struct server *server = NULL;
    for (size_t i = 0; i < s->model_count; i++) {
        const struct model *m = &s->models[i];
        if (!address_equal(server_address(m->server), at))
            continue;
        if (strcmp(m->pool, pool) == 0 && strcmp(m->name, name) == 0)
            return;
        server = m->server;
    }
    if (!server)
        return;
    struct model *m = new_model(s, pool, name);
    m->server = server;
    m->again = true;
}

static void add_model(struct simulation *s, const struct pool_conf *pool, const char *name,
                      const struct address *a)
{
    struct address at =
        a->kind == ADDRESS_NAME ? network_resolve(s->network, a->text, a->port) : *a;
    if (network_find(s->network, &at)) {
        name_again(s, pool->name, name, &at);
        return;
    }
    struct server_conf conf;
    scenario_model(s->scenario, pool->name, name, &conf);
    struct model *m = new_model(s, pool->name, name);
    conf.name = m->name;
    conf.tcp = pool->protocol == PROTOCOL_TCP;
    m->server = world_must(server_new(s->world, s->network, &conf, &at, s->measured));
}

static void add_models(struct simulation *s, const struct snapshot *config)
{
    for (size_t i = 0; i < config->pool_count; i++) {
        const struct pool_conf *pool = &config->pools[i];
        for (size_t k = 0; k < pool->backend_count; k++)
            add_model(s, pool, pool->backends[k].name, &pool->backends[k].address);
    }
}

static const char *keep_text(void *keeper, struct span text)
{
    struct scenario *s = keeper;
    return config_must(arena_strdup(&s->arena, text));
}

/* What the timeline brings: backends of later configurations, and those added by the operator. */
static void add_later_models(struct simulation *s, const struct snapshot *config)
{
    for (size_t i = 0; i < s->scenario->event_count; i++) {
        const struct scenario_event *e = &s->scenario->events[i];
        struct diagnostics found;
        const struct snapshot *later;
        struct address a;
        const char *why;
        if (e->act == 1 + ACT_RELOAD && config_load(e->config.source, e->config.text,
                                                    config_process_env, &found, &later) == 0) {
            add_models(s, later);
            snapshot_unref(&later);
            diagnostics_fini(&found);
        } else if (e->act == 1 + ACT_RELOAD) {
            diagnostics_fini(&found);
        }
        if (e->act != 1 + ACT_ADD ||
            address_parse(span_cstr(e->address), keep_text, s->scenario, &a, &why) < 0)
            continue;
        for (size_t k = 0; k < config->pool_count; k++) {
            if (!e->pool || strcmp(config->pools[k].name, e->pool) == 0) {
                add_model(s, &config->pools[k], e->backend, &a);
                break;
            }
        }
    }
}

/* ---- the timeline ---- */

static void befall(struct simulation *s, struct server *server, const struct scenario_event *e)
{
    char text[512];
    static const char *const words[] = {"",
                                        "is dead",
                                        "is alive again",
                                        "refuses connections",
                                        "is a black hole",
                                        "fails its health checks",
                                        "is slow"};
    switch ((enum becomes)e->becomes) {
    case BECOMES_NOTHING: return;
    case BECOMES_DEAD: server_die(server); break;
    case BECOMES_ALIVE: server_recover(server); break;
    case BECOMES_REFUSING: server_refuse(server); break;
    case BECOMES_BLACK_HOLE: server_black_hole(server); break;
    case BECOMES_SICK: server_sick(server); break;
    case BECOMES_SLOW: server_slow(server, e->factor); break;
    }
    int n = snprintf(text, sizeof(text), "backend=%.256s %s", e->backend, words[e->becomes]);
    keep_line(s, "timeline", LOG_LEVEL_INFO, "backend", span_of(text, (size_t)n));
}

static void on_fate(void *what, uint64_t argument)
{
    (void)argument;
    const struct fate *f = what;
    struct simulation *s = f->simulation;
    const struct scenario_event *e = f->event;
    for (size_t i = 0; e->becomes != BECOMES_NOTHING && i < s->model_count; i++) {
        const struct model *m = &s->models[i];
        if (strcmp(m->name, e->backend) == 0 && (!e->pool || strcmp(m->pool, e->pool) == 0))
            befall(s, m->server, e);
    }
    if (!e->act)
        return;
    struct balancer_order order = {.act = (enum balancer_act)(e->act - 1),
                                   .pool = e->pool,
                                   .backend = e->backend,
                                   .address = e->address,
                                   .weight = (uint32_t)e->weight,
                                   .text = e->config.text};
    for (size_t i = 0; i < s->balancer_count; i++) {
        if (!e->balancer || e->balancer == i + 1)
            balancer_do(s->balancers[i], &order);
    }
}

static void plan_timeline(struct simulation *s)
{
    const struct scenario *sc = s->scenario;
    s->fates = world_must(calloc(sc->event_count + 1, sizeof(s->fates[0])));
    for (size_t i = 0; i < sc->event_count; i++) {
        s->fates[i] = (struct fate){s, &sc->events[i]};
        world_at(s->world, sc->events[i].at_ns, on_fate, &s->fates[i], 0);
    }
}

/* ---- clients ---- */

static const struct listener_conf *find_listener(const struct snapshot *config, const char *name)
{
    for (size_t i = 0; name && i < config->listener_count; i++) {
        if (strcmp(config->listeners[i].name, name) == 0)
            return &config->listeners[i];
    }
    return &config->listeners[0];
}

static void add_crowd(struct simulation *s, size_t index, struct crowd_target *targets)
{
    const struct scenario_clients *c = &s->scenario->clients[index];
    const struct snapshot *config = balancer_snapshot(s->balancers[0]);
    const struct listener_conf *listener = find_listener(config, c->listener);
    struct crowd_conf conf = c->conf;
    conf.tcp = listener->protocol == PROTOCOL_TCP;
    for (size_t i = 0; i < s->balancer_count; i++)
        targets[i] = (struct crowd_target){machine_host(balancer_machine(s->balancers[i])),
                                           listener->addresses[0]};
    s->crowds[index] = world_must(
        crowd_new(s->world, s->network, &conf, targets, s->balancer_count, index, s->measured));
}

static void add_crowds(struct simulation *s)
{
    struct crowd_target *targets = world_must(calloc(s->balancer_count, sizeof(targets[0])));
    s->crowds = world_must(calloc(s->scenario->client_count, sizeof(s->crowds[0])));
    for (size_t i = 0; i < s->scenario->client_count; i++)
        add_crowd(s, i, targets);
    free(targets);
}

/* ---- balancers ---- */

static int add_balancers(struct simulation *s, char *why, size_t why_size)
{
    const struct scenario *sc = s->scenario;
    s->balancers = world_must(calloc(sc->balancers, sizeof(s->balancers[0])));
    s->names = world_must(calloc(sc->balancers, sizeof(s->names[0])));
    s->before = world_must(calloc(sc->balancers, sizeof(s->before[0])));
    for (size_t i = 0; i < sc->balancers; i++) {
        (void)snprintf(s->names[i], sizeof(s->names[i]), "lb%u", (unsigned)(i + 1));
        struct rng seeds = world_rng(s->world, "balancer", i);
        struct balancer_options o = {.network = s->network,
                                     .name = s->names[i],
                                     .index = i,
                                     .seed = rng_u64(&seeds),
                                     .text = sc->config.text,
                                     .source = sc->config.source,
                                     .balance = s->balance,
                                     .workers = (uint32_t)sc->workers,
                                     .log = on_log,
                                     .user = s};
        int code = balancer_new(s->world, &o, &s->balancers[i], why, why_size);
        if (code != EXIT_OK)
            return code;
        s->balancer_count++;
    }
    return EXIT_OK;
}

static void read_board(const struct balancer *b, struct board_sum *ret_sum)
{
    uint64_t classes[BOARD_CLASSES] = {0};
    *ret_sum = (struct board_sum){0};
    board_process(balancer_board(b), ret_sum, classes);
}

static void on_warm(void *what, uint64_t argument)
{
    (void)argument;
    struct simulation *s = what;
    for (size_t i = 0; i < s->balancer_count; i++)
        read_board(s->balancers[i], &s->before[i]);
}

/* ---- the run ---- */

static uint64_t waiting(const struct simulation *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->scenario->client_count; i++)
        sum += crowd_waiting(s->crowds[i]);
    return sum;
}

static bool all_stopped(const struct simulation *s)
{
    for (size_t i = 0; i < s->balancer_count; i++) {
        if (!balancer_stopped(s->balancers[i]))
            return false;
    }
    return true;
}

static void stop_balancers(struct simulation *s)
{
    for (size_t i = 0; i < s->balancer_count; i++)
        balancer_stop(s->balancers[i]);
    for (unsigned i = 0; i < STOP_STEPS && !all_stopped(s); i++)
        world_run(s->world, world_now(s->world) + STEP_NS);
    CHECK(all_stopped(s));
}

static void run(struct simulation *s)
{
    world_at(s->world, s->measured.from_ns, on_warm, s, 0);
    for (size_t i = 0; i < s->scenario->client_count; i++)
        crowd_begin(s->crowds[i]);
    world_run(s->world, s->measured.until_ns);
    while (waiting(s) > 0)
        world_run(s->world, world_now(s->world) + STEP_NS);
    for (size_t i = 0; i < s->scenario->client_count; i++)
        crowd_leave(s->crowds[i]);
    world_run(s->world, world_now(s->world) + SETTLE_NS);
    for (size_t i = 0; i < s->balancer_count; i++)
        s->outcome->stuck += balancer_in_flight(s->balancers[i]);
}

/* ---- the outcome ---- */

static void add_crowd_stats(struct crowd_stats *total, const struct crowd_stats *one)
{
    total->requests += one->requests;
    total->ok += one->ok;
    total->failed += one->failed;
    total->resent += one->resent;
    total->connections += one->connections;
    total->response_bytes += one->response_bytes;
    for (size_t i = 0; i < CROWD_FAILURES; i++)
        total->failures[i] += one->failures[i];
    histogram_merge(&total->latency, &one->latency);
}

static void take_clients(const struct simulation *s, struct outcome *o)
{
    o->client_count = s->scenario->client_count;
    o->clients = world_must(calloc(o->client_count, sizeof(o->clients[0])));
    for (size_t i = 0; i < o->client_count; i++) {
        struct outcome_clients *c = &o->clients[i];
        (void)snprintf(c->name, sizeof(c->name), "%s", crowd_conf(s->crowds[i])->name);
        add_crowd_stats(&c->stats, crowd_stats(s->crowds[i]));
        add_crowd_stats(&o->total, crowd_stats(s->crowds[i]));
    }
}

static void take_backends(const struct simulation *s, struct outcome *o)
{
    o->backends = world_must(calloc(s->model_count + 1, sizeof(o->backends[0])));
    for (size_t i = 0; i < s->model_count; i++) {
        if (s->models[i].again)
            continue;
        struct outcome_backend *b = &o->backends[o->backend_count++];
        (void)snprintf(b->name, sizeof(b->name), "%s", s->models[i].name);
        (void)snprintf(b->pool, sizeof(b->pool), "%s", s->models[i].pool);
        address_format(server_address(s->models[i].server), b->address);
        b->stats = *server_stats(s->models[i].server);
        b->slots = server_conf(s->models[i].server)->slots;
    }
}

static void take_balancers(const struct simulation *s, struct outcome *o)
{
    o->balancers = world_must(calloc(s->balancer_count + 1, sizeof(o->balancers[0])));
    o->balancer_count = s->balancer_count;
    for (size_t i = 0; i < s->balancer_count; i++) {
        struct outcome_balancer *b = &o->balancers[i];
        struct board_sum sum;
        read_board(s->balancers[i], &sum);
        memcpy(b->name, s->names[i], sizeof(b->name));
        b->exchanges = sum.requests - s->before[i].requests;
        b->retries = sum.retries - s->before[i].retries;
        b->workers = board_accounts(balancer_board(s->balancers[i]));
        o->retries += b->retries;
        o->turns += machine_turns(balancer_machine(s->balancers[i]));
    }
}

static void name_balance(const struct simulation *s, struct outcome *o)
{
    const struct snapshot *config = balancer_snapshot(s->balancers[0]);
    bool same = true;
    for (size_t i = 1; i < config->pool_count; i++)
        same &= config->pools[i].balance == config->pools[0].balance;
    const char *name = config->pool_count == 0 ? "none" : balance_name(config->pools[0].balance);
    (void)snprintf(o->balance, sizeof(o->balance), "%s", same ? name : "by pool");
}

static void take_outcome(const struct simulation *s)
{
    struct outcome *o = s->outcome;
    o->seed = s->scenario->seed;
    o->measured_ns = s->measured.until_ns - s->measured.from_ns;
    o->events = world_events(s->world);
    o->virtual_ns = world_now(s->world);
    take_clients(s, o);
    /* Whoever asked has been told, one way or the other. */
    CHECK(o->total.requests == o->total.ok + o->total.failed);
    name_balance(s, o);
    take_backends(s, o);
    take_balancers(s, o);
}

void outcome_free(struct outcome **outcome)
{
    struct outcome *o = *outcome;
    if (!o)
        return;
    for (size_t i = 0; i < o->line_count; i++)
        free(o->lines[i].message);
    free(o->lines);
    free(o->clients);
    free(o->backends);
    free(o->balancers);
    free(o);
    *outcome = NULL;
}

static void clean_up(struct simulation *s)
{
    for (size_t i = 0; i < s->balancer_count; i++)
        balancer_free(&s->balancers[i]);
    for (size_t i = 0; s->crowds && i < s->scenario->client_count; i++)
        crowd_free(&s->crowds[i]);
    for (size_t i = 0; i < s->model_count; i++) {
        if (!s->models[i].again)
            server_free(&s->models[i].server);
        free(s->models[i].pool);
        free(s->models[i].name);
    }
    free(s->models);
    free(s->crowds);
    free(s->fates);
    free(s->balancers);
    free(s->names);
    free(s->before);
    network_free(&s->network);
    world_free(&s->world);
}

int simulation_run(const struct simulation_options *options, struct outcome **ret_outcome,
                   char *ret_why, size_t why_size)
{
    struct scenario *sc = options->scenario;
    struct simulation s = {.scenario = sc, .balance = options->balance};
    s.measured = (struct window){sc->warm_up_ns, sc->duration_ns};
    s.world = world_must(world_new(sc->seed));
    s.network = world_must(network_new(s.world, sc->latency_ns, sc->jitter_ns));
    s.outcome = world_must(calloc(1, sizeof(*s.outcome)));
    int code = add_balancers(&s, ret_why, why_size);
    if (code == EXIT_OK) {
        const struct snapshot *config = balancer_snapshot(s.balancers[0]);
        add_models(&s, config);
        add_later_models(&s, config);
        add_crowds(&s);
        plan_timeline(&s);
        run(&s);
        take_outcome(&s);
        stop_balancers(&s);
    }
    clean_up(&s);
    if (code != EXIT_OK)
        outcome_free(&s.outcome);
    *ret_outcome = s.outcome;
    return code;
}

/* SPDX-License-Identifier: MIT */
#include "sim/scenario.h"

#include "app/exit_code.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/str.h"
#include "config/load.h"
#include "config/tree.h"
#include "sim/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS   UINT64_C(1000000)
#define NS_PER_S    UINT64_C(1000000000)
#define TIME_NS_MAX (UINT64_C(7) * 86400 * NS_PER_S)
#define RATE_MAX    10000000
#define ARENA_MAX   ((size_t)1 << 30)

static const char *const arrivals_words[] = {"poisson", "even", NULL};
/* From 1, as enum becomes and enum balancer_act + 1. */
static const char *const becomes_words[] = {[BECOMES_DEAD - 1] = "dead",
                                            [BECOMES_ALIVE - 1] = "alive",
                                            [BECOMES_REFUSING - 1] = "refusing",
                                            [BECOMES_BLACK_HOLE - 1] = "black_hole",
                                            [BECOMES_SICK - 1] = "sick",
                                            [BECOMES_SLOW - 1] = "slow",
                                            NULL};
static const char *const act_words[] = {[ACT_ADD] = "add",       [ACT_REMOVE] = "remove",
                                        [ACT_DRAIN] = "drain",   [ACT_DISABLE] = "disable",
                                        [ACT_ENABLE] = "enable", [ACT_WEIGHT] = "weight",
                                        [ACT_RELOAD] = "reload", NULL};
static const char *const metric_names[] = {
    [EXPECT_REQUESTS] = "requests", [EXPECT_OK] = "ok",
    [EXPECT_FAILED] = "failed",     [EXPECT_RETRIES] = "retries",
    [EXPECT_MEAN] = "mean",         [EXPECT_P50] = "p50",
    [EXPECT_P90] = "p90",           [EXPECT_P99] = "p99",
    [EXPECT_P999] = "p99.9",        [EXPECT_MAX] = "max"};

const char *expect_metric_name(size_t metric)
{
    CHECK(metric < EXPECT_METRICS);
    return metric_names[metric];
}

/* ---- the configuration ---- */

static struct span dup_text(struct arena *a, struct span text)
{
    struct span copy = arena_dup(a, text);
    (void)config_must(copy.p ? a : NULL);
    return copy;
}

/* Relative to the folder of the scenario. */
static const char *beside(struct reading *r, const char *name)
{
    const char *slash = strrchr(r->path, '/');
    if (name[0] == '/' || !slash)
        return name;
    return config_must(arena_printf(r->arena, "%.*s/%s", (int)(slash - r->path), r->path, name));
}

static bool read_config_file(struct reading *r, const struct node *node,
                             struct scenario_config *ret)
{
    char why[512];
    char *text;
    size_t len;
    const char *name = config_must(arena_strdup(r->arena, node->text));
    ret->path = ret->source = beside(r, name);
    if (config_read_file(ret->path, &text, &len, why, sizeof(why)) != 0) {
        diagnose_error(r->d, node->at, "%s", why);
        return false;
    }
    ret->text = dup_text(r->arena, span_of(text, len));
    free(text);
    return true;
}

/* The bytes before a place of the file. */
static size_t bytes_before(struct span text, struct place at)
{
    size_t i = 0;
    for (uint32_t line = 1; line < at.line && i < text.n; i++)
        line += text.p[i] == '\n';
    for (uint32_t column = 1; column < at.column && i < text.n; i++)
        column += (i + 1 == text.n) || (text.p[i + 1] & 0xc0) != 0x80;
    return i;
}

/*
 * What is written in the scenario is the scenario's own text with everything else blanked out: so
 * all that is said of it has the right line and column.
 */
static bool cut_config(struct reading *r, const struct node *node, struct scenario_config *ret)
{
    size_t from = bytes_before(r->text, node->at);
    size_t until = node->next ? bytes_before(r->text, node->next->key->at) : r->text.n;
    uint8_t *text = config_must(arena_alloc(r->arena, r->text.n + 1, 1));
    for (size_t i = 0; i < r->text.n; i++) {
        bool blank = i < from || i >= until;
        text[i] = blank && r->text.p[i] != '\n' ? ' ' : r->text.p[i];
    }
    text[r->text.n] = 0;
    ret->path = NULL;
    ret->source = r->path;
    ret->text = span_of(text, r->text.n);
    return true;
}

static bool read_config(struct reading *r, const struct shape *shape, const struct node *node,
                        void *target)
{
    struct scenario_config *c = target;
    c->at = node->at;
    if (node->kind == NODE_SCALAR && node->text.n > 0)
        return read_config_file(r, node, c);
    if (node->kind == NODE_MAP && r->text.n > 0 && node->key->at.column == 1)
        return cut_config(r, node, c);
    if (node->kind != NODE_BROKEN)
        diagnose_error(r->d, node->at, "'%s' is a file, or a configuration in block style, not %s",
                       shape->name, node->kind == NODE_MAP ? "in {}" : node_kind_name(node));
    return false;
}

/* ---- clients ---- */

static bool read_arrivals(struct reading *r, const struct shape *shape, const struct node *node,
                          void *target)
{
    uint32_t word;
    if (!shape_word(r, shape, node, &word))
        return false;
    *(bool *)target = word == 1;
    return true;
}

#define CLIENT(key, how, member, low, high)                                                        \
    {                                                                                              \
        .name = key, .read = how, .offset = offsetof(struct scenario_clients, member), .min = low, \
        .max = high                                                                                \
    }

static const struct shape client_shapes[] = {
    CLIENT("name", shape_text, conf.name, 0, 0),
    {.name = "listener",
     .read = shape_text,
     .offset = offsetof(struct scenario_clients, listener),
     .place_offset = offsetof(struct scenario_clients, listener_at)},
    CLIENT("rate", shape_rate, conf.rate_per_s, 0, RATE_MAX),
    {.name = "arrivals",
     .read = read_arrivals,
     .offset = offsetof(struct scenario_clients, conf.even),
     .words = arrivals_words},
    CLIENT("connections", shape_count32, conf.connections, 1, SIM_VISITS_MAX),
    CLIENT("think", shape_spread, conf.think, 0, 0),
    CLIENT("timeout", shape_duration, conf.timeout_ns, NS_PER_MS, TIME_NS_MAX),
    CLIENT("keep_alive", shape_bool, conf.keep_alive, 0, 0),
    CLIENT("path", shape_text, conf.path, 0, 0),
    CLIENT("host", shape_text, conf.host, 0, 0),
    CLIENT("body", shape_size, conf.body_bytes, 0, 1u << 30),
    CLIENT("addresses", shape_count32, conf.addresses, 1, 1u << 18),
};

static const struct crowd_conf client_default = {
    .name = "clients",
    .timeout_ns = 30 * NS_PER_S,
    .keep_alive = true,
    .path = "/",
    .host = "sim.example",
    .addresses = 1000,
};

static bool check_clients(struct reading *r, const struct scenario_clients *c)
{
    if ((c->conf.rate_per_s > 0) != (c->conf.connections > 0))
        return true;
    diagnose(r->d,
             &(struct finding){.at = c->at,
                               .note = "rate: 500/s is an open loop, connections: 64 a closed one"},
             "clients have either 'rate' or 'connections'");
    return false;
}

static bool read_clients(struct reading *r, const struct shape *shape, const struct node *node,
                         void *target)
{
    struct scenario *s = target;
    const struct node *item = shape_items(r, node, shape->name, SIM_CROWDS_MAX);
    if (!item)
        return false;
    s->clients = config_must(arena_new_array(r->arena, struct scenario_clients, node->count));
    bool good = true;
    for (; item; item = item->next) {
        struct scenario_clients *c = &s->clients[s->client_count++];
        *c = (struct scenario_clients){.at = item->at, .conf = client_default};
        if (!shape_block(r, item, client_shapes, ARRAY_LEN(client_shapes), c))
            good = false;
        else
            good &= check_clients(r, c);
    }
    return good;
}

/* ---- backends ---- */

#define BACKEND(key, how, member, low, high)                                                       \
    {                                                                                              \
        .name = key, .read = how, .offset = offsetof(struct scenario_backend, member), .min = low, \
        .max = high                                                                                \
    }

static const struct shape backend_shapes[] = {
    {.name = "name",
     .read = shape_text,
     .offset = offsetof(struct scenario_backend, name),
     .place_offset = offsetof(struct scenario_backend, name_at)},
    BACKEND("pool", shape_text, pool, 0, 0),
    BACKEND("service", shape_spread, conf.service, 0, 0),
    BACKEND("slots", shape_count32, conf.slots, 1, 1000000),
    BACKEND("queue", shape_count32, conf.queue_max, 0, SIM_BACKEND_QUEUE_MAX),
    BACKEND("error_rate", shape_share, conf.error_rate, 0, 0),
    BACKEND("body", shape_size, conf.body_bytes, 0, 1u << 30),
    BACKEND("latency", shape_duration, conf.latency_ns, 0, 10 * NS_PER_S),
};

static const struct server_conf server_default = {
    .service = {.kind = SPREAD_CONSTANT, .mean_ns = 5e6},
    .queue_max = SIM_BACKEND_QUEUE_MAX,
    .body_bytes = 1024,
};

static bool has_name(const struct node *item)
{
    const struct node *child = item->kind == NODE_MAP ? item->first : NULL;
    while (child && !span_eq(child->key->text, span_str("name")))
        child = child->next;
    return child != NULL;
}

/* First the one for all, so that others differ from it only in what they say. */
static bool read_backends(struct reading *r, const struct shape *shape, const struct node *node,
                          void *target)
{
    struct scenario *s = target;
    const struct node *items = shape_items(r, node, shape->name, BACKENDS_MAX);
    struct server_conf common = server_default;
    if (!items)
        return false;
    s->backends = config_must(arena_new_array(r->arena, struct scenario_backend, node->count));
    bool good = true;
    for (int named = 0; named < 2; named++) {
        for (const struct node *item = items; item; item = item->next) {
            if (has_name(item) != (named == 1))
                continue;
            struct scenario_backend *b = &s->backends[s->backend_count++];
            *b = (struct scenario_backend){.at = item->at, .conf = common};
            good &= shape_block(r, item, backend_shapes, ARRAY_LEN(backend_shapes), b);
            if (!named && !b->pool)
                common = b->conf;
        }
    }
    return good;
}

void scenario_model(const struct scenario *s, const char *pool, const char *backend,
                    struct server_conf *ret_conf)
{
    const struct scenario_backend *best = NULL;
    unsigned best_fit = 0;
    for (size_t i = 0; i < s->backend_count; i++) {
        const struct scenario_backend *b = &s->backends[i];
        if ((b->name && strcmp(b->name, backend) != 0) || (b->pool && strcmp(b->pool, pool) != 0))
            continue;
        unsigned fit = 1 + 2 * (b->name != NULL) + (b->pool != NULL);
        if (fit > best_fit) {
            best = b;
            best_fit = fit;
        }
    }
    *ret_conf = best ? best->conf : server_default;
    if (s->trace && !(best && best->name) &&
        trace_spread(s->trace, pool, backend, &ret_conf->service))
        ret_conf->slots = 0; /* its times hold the waiting */
}

/* ---- events ---- */

#define EVENT(key, how, member, low, high)                                                       \
    {                                                                                            \
        .name = key, .read = how, .offset = offsetof(struct scenario_event, member), .min = low, \
        .max = high                                                                              \
    }

static const struct shape event_shapes[] = {
    {.name = "at",
     .read = shape_duration,
     .offset = offsetof(struct scenario_event, at_ns),
     .max = TIME_NS_MAX,
     .required = true},
    {.name = "backend",
     .read = shape_text,
     .offset = offsetof(struct scenario_event, backend),
     .place_offset = offsetof(struct scenario_event, backend_at)},
    EVENT("pool", shape_text, pool, 0, 0),
    {.name = "becomes",
     .read = shape_word,
     .offset = offsetof(struct scenario_event, becomes),
     .min = 1,
     .words = becomes_words},
    EVENT("factor", shape_factor, factor, 0, 0),
    {.name = "do",
     .read = shape_word,
     .offset = offsetof(struct scenario_event, act),
     .min = 1,
     .words = act_words},
    EVENT("address", shape_text, address, 0, 0),
    EVENT("weight", shape_count, weight, 0, BACKEND_WEIGHT_MAX),
    EVENT("balancer", shape_count, balancer, 1, SIM_BALANCERS_MAX),
    EVENT("config", read_config, config, 0, 0),
};

static const char *event_lacks(const struct scenario_event *e)
{
    bool reload = e->act == 1 + ACT_RELOAD;
    if ((e->becomes != BECOMES_NOTHING) == (e->act != 0))
        return "an event says either what a backend 'becomes' or what the operator does ('do')";
    if (!reload && !e->backend)
        return "'backend' is missing: its name";
    if (e->becomes == BECOMES_SLOW && e->factor <= 0)
        return "'factor' is missing: how many times slower it becomes";
    if (e->act == 1 + ACT_ADD && !e->address)
        return "'address' is missing: where the backend is added";
    if (reload && !e->config.text.p)
        return "'config' is missing: the file that is then read";
    if (e->balancer && e->becomes != BECOMES_NOTHING)
        return "'balancer' says who is told to do something; a backend is the same for all";
    return NULL;
}

static bool read_events(struct reading *r, const struct shape *shape, const struct node *node,
                        void *target)
{
    struct scenario *s = target;
    const struct node *item = shape_items(r, node, shape->name, SIM_TIMELINE_MAX);
    if (!item)
        return false;
    s->events = config_must(arena_new_array(r->arena, struct scenario_event, node->count));
    bool good = true;
    for (; item; item = item->next) {
        struct scenario_event *e = &s->events[s->event_count++];
        *e = (struct scenario_event){.at = item->at, .weight = 1};
        bool read = shape_block(r, item, event_shapes, ARRAY_LEN(event_shapes), e);
        const char *lacks = read ? event_lacks(e) : NULL;
        if (lacks)
            diagnose_error(r->d, item->at, "%s", lacks);
        good &= read && !lacks;
    }
    return good;
}

/* ---- expectations ---- */

static bool is_time(size_t metric)
{
    return metric >= EXPECT_MEAN;
}

static enum expect_relation take_relation(struct span *text)
{
    static const struct {
        const char *sign;
        enum expect_relation relation;
    } signs[] = {{"<=", EXPECT_UP_TO},
                 {"<", EXPECT_BELOW},
                 {">=", EXPECT_AT_LEAST},
                 {">", EXPECT_ABOVE},
                 {"=", EXPECT_EQUAL}};
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        struct span sign = span_cstr(signs[i].sign);
        if (span_starts(*text, sign)) {
            *text = span_trim(span_from(*text, sign.n));
            return signs[i].relation;
        }
    }
    return EXPECT_EQUAL;
}

static bool take_value(struct span text, size_t metric, struct scenario_expect *e)
{
    uint64_t number;
    if (is_time(metric)) {
        bool good = shape_parse_duration(text, &number);
        e->value = good ? (double)number : 0;
        return good;
    }
    if (text.n > 1 && text.p[text.n - 1] == '%') {
        e->share = true;
        bool good = shape_parse_decimal(span_sub(text, 0, text.n - 1), &e->value);
        e->value /= 100;
        return good;
    }
    bool good = span_to_u64(text, &number);
    e->value = good ? (double)number : 0;
    return good;
}

static bool read_expect(struct reading *r, const struct shape *shape, const struct node *node,
                        void *target)
{
    struct scenario_expect *e = target;
    struct span text = span_trim(node->text);
    size_t metric = 0;
    while (metric_names[metric] != shape->name)
        metric++;
    e->given = true;
    e->relation = take_relation(&text);
    if (node->kind == NODE_SCALAR && take_value(text, metric, e)) {
        e->text = config_must(arena_strdup(r->arena, node->text));
        return true;
    }
    diagnose(r->d,
             &(struct finding){.at = node->at,
                               .note = is_time(metric) ? "such as \"<50ms\" or \"<=1s\""
                                                       : "such as 0, \"<100\" or \"<0.1%\""},
             "'%s' expects a relation and a value", shape->name);
    return false;
}

static bool read_expects(struct reading *r, const struct shape *shape, const struct node *node,
                         void *target)
{
    struct shape shapes[EXPECT_METRICS];
    (void)shape;
    for (size_t i = 0; i < EXPECT_METRICS; i++)
        shapes[i] = (struct shape){.name = metric_names[i],
                                   .read = read_expect,
                                   .offset = i * sizeof(struct scenario_expect)};
    return shape_block(r, node, shapes, EXPECT_METRICS, target);
}

/* ---- the whole ---- */

#define NETWORK(key, member)                                                              \
    {                                                                                     \
        .name = key, .read = shape_duration, .offset = offsetof(struct scenario, member), \
        .max = 10 * NS_PER_S                                                              \
    }

static bool read_network(struct reading *r, const struct shape *shape, const struct node *node,
                         void *target)
{
    static const struct shape shapes[] = {NETWORK("latency", latency_ns),
                                          NETWORK("jitter", jitter_ns)};
    (void)shape;
    return shape_block(r, node, shapes, ARRAY_LEN(shapes), target);
}

#define ROOT(key, how, member, low, high)                                                  \
    {                                                                                      \
        .name = key, .read = how, .offset = offsetof(struct scenario, member), .min = low, \
        .max = high                                                                        \
    }

static const struct shape root_shapes[] = {
    {.name = "config",
     .read = read_config,
     .offset = offsetof(struct scenario, config),
     .required = true},
    ROOT("seed", shape_count, seed, 0, INT64_MAX),
    {.name = "duration",
     .read = shape_duration,
     .offset = offsetof(struct scenario, duration_ns),
     .min = NS_PER_MS,
     .max = TIME_NS_MAX},
    ROOT("warm_up", shape_duration, warm_up_ns, 0, TIME_NS_MAX),
    ROOT("balancers", shape_count, balancers, 1, SIM_BALANCERS_MAX),
    ROOT("workers", shape_count, workers, 1, WORKERS_MAX),
    {.name = "network", .read = read_network},
    {.name = "clients", .read = read_clients},
    {.name = "backends", .read = read_backends},
    {.name = "events", .read = read_events},
    ROOT("expect", read_expects, expects, 0, 0),
};

static void check_whole(struct reading *r, const struct scenario *s, const struct node *root,
                        bool traced)
{
    double requests = 0;
    if (!s->client_count && !traced)
        diagnose_error(r->d, root->at, "'clients' is missing");
    if (!s->duration_ns && !traced)
        diagnose_error(r->d, root->at, "'duration' is missing");
    for (size_t i = 0; i < s->client_count; i++)
        requests += s->clients[i].conf.rate_per_s * (double)s->duration_ns / 1e9;
    if (requests > (double)SIM_REQUESTS_MAX)
        diagnose_error(r->d, root->at, "that would be more than %llu requests",
                       (unsigned long long)SIM_REQUESTS_MAX);
    for (size_t i = 0; i < s->client_count; i++) {
        const struct scenario_clients *c = &s->clients[i];
        if (c->conf.connections && spread_mean_ns(&c->conf.think) < 1 && s->latency_ns == 0)
            diagnose_error(r->d, c->at,
                           "without latency in the network, clients of a closed loop need a "
                           "'think' time, or no time might ever pass");
    }
    for (size_t i = 0; i < s->event_count; i++) {
        if (s->duration_ns && s->events[i].at_ns > s->duration_ns)
            diagnose_error(r->d, s->events[i].at, "this would be after 'duration' is over");
    }
    if (s->duration_ns && s->warm_up_ns >= s->duration_ns)
        diagnose_error(r->d, root->at, "'warm_up' is no shorter than 'duration'");
}

static void read_whole(struct reading *r, struct scenario *s, bool traced)
{
    struct arena nodes;
    bool whole;
    arena_init(&nodes, 65536, ARENA_MAX);
    const struct node *root = tree_read(r->text, &nodes, r->d, &whole);
    if (!root && r->d->errors == 0)
        diagnose(r->d, &(struct finding){.note = "docs/simulator.md shows one"},
                 "there is no scenario in it");
    if (root && whole && shape_block(r, root, root_shapes, ARRAY_LEN(root_shapes), s))
        check_whole(r, s, root, traced);
    arena_fini(&nodes);
}

static struct scenario *scenario_new(const char *path)
{
    struct scenario *s = config_must(calloc(1, sizeof(*s)));
    arena_init(&s->arena, 65536, ARENA_MAX);
    s->path = config_must(arena_strdup(&s->arena, span_cstr(path)));
    s->seed = 1;
    s->balancers = 1;
    s->latency_ns = 250000;
    return s;
}

int scenario_of_config(const char *path, struct scenario **ret_scenario, char *ret_why,
                       size_t why_size)
{
    char *text;
    size_t len;
    *ret_scenario = NULL;
    if (config_read_file(path, &text, &len, ret_why, why_size) != 0)
        return EXIT_OPEN;
    struct scenario *s = scenario_new(path);
    s->config.path = s->config.source = s->path;
    s->config.text = dup_text(&s->arena, span_of(text, len));
    free(text);
    *ret_scenario = s;
    return EXIT_OK;
}

void scenario_take_trace(struct scenario *s, const struct trace *t)
{
    struct scenario_clients *c = config_must(arena_new(&s->arena, struct scenario_clients));
    uint64_t end_ns = t->records[t->count - 1].at_ns + NS_PER_MS;
    *c = (struct scenario_clients){.conf = client_default};
    if (s->client_count > 0)
        *c = s->clients[0];
    c->conf.trace = t;
    c->conf.rate_per_s = 0;
    c->conf.connections = 0;
    s->trace = t;
    s->clients = c;
    s->client_count = 1;
    s->duration_ns = s->duration_ns ? MIN(s->duration_ns, end_ns) : end_ns;
    s->warm_up_ns = MIN(s->warm_up_ns, s->duration_ns);
}

int scenario_parse(const char *path, struct span text, bool traced,
                   struct diagnostics *ret_diagnostics, struct scenario **ret_scenario)
{
    struct scenario *s = scenario_new(path);
    struct reading r = {.d = ret_diagnostics,
                        .arena = &s->arena,
                        .text = dup_text(&s->arena, text),
                        .path = s->path};
    diagnostics_init(ret_diagnostics, s->path, r.text);
    read_whole(&r, s, traced);
    diagnostics_sort(ret_diagnostics);
    *ret_scenario = s;
    return ret_diagnostics->errors ? EXIT_CONFIG : EXIT_OK;
}

int scenario_read(const char *path, bool traced, struct diagnostics *ret_diagnostics,
                  struct scenario **ret_scenario, char *ret_why, size_t why_size)
{
    char *text;
    size_t len;
    *ret_scenario = NULL;
    diagnostics_init(ret_diagnostics, path, span_of(NULL, 0));
    if (config_read_file(path, &text, &len, ret_why, why_size) != 0)
        return EXIT_OPEN;
    diagnostics_fini(ret_diagnostics);
    int code = scenario_parse(path, span_of(text, len), traced, ret_diagnostics, ret_scenario);
    free(text);
    return code;
}

void scenario_free(struct scenario **scenario)
{
    struct scenario *s = *scenario;
    if (!s)
        return;
    arena_fini(&s->arena);
    free(s);
    *scenario = NULL;
}

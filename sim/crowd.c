/* SPDX-License-Identifier: MIT */
/*
 * A guest is a client's connection with at most one request. Requests that wait are listed in the
 * order in which they came, which is that of their timeouts: one event looks after the first.
 */
#include "sim/crowd.h"

#include "base/check.h"
#include "base/limits.h"
#include "codec/h1.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S         1e9
#define REQUEST_HEAD_MAX 8192

enum guest_state { GUEST_IDLE, GUEST_WAITS };

struct guest {
    struct crowd *crowd;
    size_t target;
    struct cable_end *end; /* NULL: none */
    enum guest_state state;
    struct list link;   /* idle at its target, or among those that wait, or gone */
    struct list listed; /* all */
    uint64_t number;    /* of all there have been */
    uint64_t asked;     /* requests */
    uint64_t came_ns;
    uint64_t luck;
    const struct trace_record *record; /* what it asks, or NULL */
    bool opened, used, resent, answered, thinking;
    uint16_t status;
    uint32_t why; /* of an answer of 400 or more */
    uint32_t upload_left;
    struct h1_reader reader;
};

struct crowd {
    struct world *world;
    struct network *network;
    struct crowd_conf conf;
    struct crowd_target *targets;
    struct list *idle; /* by target */
    size_t target_count, next_target;
    struct rng arrivals, origins, thoughts;
    uint64_t luck; /* what that of all requests is made of */
    struct window measured;
    struct list all, waiting, gone;
    uint64_t waiting_count;
    size_t guest_count;
    uint64_t guests, came;   /* guests and requests there have been */
    size_t expected;         /* records that were waited for */
    uint64_t timeout_due_ns; /* UINT64_MAX: no event is */
    double next_ns;          /* of the next arrival */
    uint32_t ports;
    uint64_t index;
    bool leaving;
    struct crowd_stats stats;
    struct head head;
};

static const uint8_t filler[16384];

static void send_request(struct guest *g);
static void think(struct guest *g);

const char *crowd_failure_name(size_t failure)
{
    static const char *const names[] = {
        [CROWD_TIMEOUT - REASON_COUNT] = "client_timeout",
        [CROWD_LOST - REASON_COUNT] = "connection_lost",
        [CROWD_REFUSED - REASON_COUNT] = "balancer_unreachable",
        [CROWD_STATUS - REASON_COUNT] = "backend_status",
        [CROWD_OVERLOAD - REASON_COUNT] = "client_overload",
    };
    return failure < REASON_COUNT ? reason_name((enum reason)failure)
                                  : names[failure - REASON_COUNT];
}

static bool counts(const struct guest *g)
{
    return (g->luck & SERVER_COUNTS) != 0;
}

/* ---- guests ---- */

static void bury(struct crowd *c)
{
    for (struct list *link; (link = list_pop(&c->gone));)
        free(list_entry(link, struct guest, link));
}

static void guest_free(struct guest *g)
{
    CHECK(!g->end);
    list_del(&g->link);
    list_del(&g->listed);
    list_add_tail(&g->crowd->gone, &g->link);
    g->crowd->guest_count--;
}

static struct guest *guest_new(struct crowd *c, size_t target)
{
    struct guest *g = world_must(calloc(1, sizeof(*g)));
    g->crowd = c;
    g->target = target;
    g->number = c->guests++;
    list_init(&g->link);
    list_init(&g->listed);
    list_add_tail(&c->all, &g->listed);
    c->guest_count++;
    return g;
}

static void hang_up(struct guest *g, bool reset)
{
    cable_close(&g->end, reset);
    g->opened = false;
}

/* ---- the end of a request ---- */

static void rest(struct guest *g)
{
    struct crowd *c = g->crowd;
    g->state = GUEST_IDLE;
    if (c->conf.connections > 0)
        think(g);
    else if (g->end)
        list_add_head(&c->idle[g->target], &g->link); /* the one used last is used next */
    else
        guest_free(g);
}

static void end_request(struct guest *g)
{
    CHECK(g->state == GUEST_WAITS && g->crowd->waiting_count > 0);
    list_del(&g->link);
    g->crowd->waiting_count--;
}

static void fail(struct guest *g, size_t why)
{
    struct crowd_stats *stats = &g->crowd->stats;
    end_request(g);
    if (counts(g)) {
        stats->failed++;
        stats->failures[why]++;
    }
    rest(g);
}

static void succeed(struct guest *g)
{
    struct crowd *c = g->crowd;
    end_request(g);
    if (counts(g)) {
        c->stats.ok++;
        histogram_add(&c->stats.latency, world_now(c->world) - g->came_ns);
    }
    rest(g);
}

/* The answer is whole. */
static void finish(struct guest *g, bool keeps)
{
    const struct crowd *c = g->crowd;
    g->used = true;
    if (!keeps || !c->conf.keep_alive)
        hang_up(g, false);
    if (g->why)
        fail(g, g->why);
    else
        succeed(g);
}

/* The connection has gone while a request waited for its answer. */
static void lose(struct guest *g, size_t why)
{
    struct crowd *c = g->crowd;
    hang_up(g, false);
    if (!g->used || g->answered || g->resent) {
        fail(g, why);
        return;
    }
    g->resent = true;
    g->used = false;
    c->stats.resent += counts(g);
    send_request(g);
}

/* ---- answers ---- */

static void note_answer(struct guest *g)
{
    const struct head *h = &g->crowd->head;
    unsigned index = 0;
    g->answered = true;
    g->status = h->status;
    g->why = 0;
    if (h->status < 400)
        return;
    g->why = CROWD_STATUS;
    const struct field *reason = head_find_name(h, span_str("x-poise-reason"), &index);
    char name[64];
    enum reason found;
    if (reason && span_to_cstr(field_value(h, reason), name, sizeof(name)) &&
        reason_by_name(name, &found))
        g->why = found;
}

static void read_answer(struct guest *g)
{
    struct crowd *c = g->crowd;
    for (;;) {
        struct h1_result result;
        int event = h1_reader_next(&g->reader, cable_input(g->end), &c->head, &result);
        CHECK(event >= 0); /* what a balancer says must pass the strict reader */
        if (event == H1_HEAD)
            note_answer(g);
        bool keeps = c->head.keep_alive;
        c->stats.response_bytes += counts(g) ? result.used : 0;
        cable_take(g->end, (uint32_t)result.used);
        if (event == H1_NEED_MORE)
            return;
        if (event == H1_END && g->status >= 200) {
            h1_reader_reset(&g->reader);
            finish(g, keeps && g->upload_left == 0);
            return;
        }
        if (event == H1_END)
            h1_reader_reset(&g->reader);
    }
}

/* TCP: the answer is whatever came until the end. */
static void read_bytes(struct guest *g)
{
    uint32_t n = (uint32_t)cable_input(g->end).n;
    g->answered |= n > 0;
    g->crowd->stats.response_bytes += counts(g) ? n : 0;
    cable_take(g->end, n);
    if (cable_at_end(g->end) && g->answered) {
        g->why = 0;
        finish(g, false);
    }
}

static void on_input(struct cable_end *e)
{
    struct guest *g = e->user;
    if (g->state == GUEST_WAITS && g->crowd->conf.tcp)
        read_bytes(g);
    else if (g->state == GUEST_WAITS)
        read_answer(g);
    if (!g->end || !cable_at_end(g->end))
        return;
    if (g->state == GUEST_WAITS) {
        lose(g, CROWD_LOST);
        return;
    }
    hang_up(g, false);
    if (g->state == GUEST_IDLE && !g->thinking)
        guest_free(g);
}

static void on_failed(struct cable_end *e, enum reason why)
{
    struct guest *g = e->user;
    if (g->state == GUEST_WAITS) {
        lose(g, why == REASON_connect_refused ? CROWD_REFUSED : CROWD_LOST);
        return;
    }
    hang_up(g, false);
    if (g->state == GUEST_IDLE && !g->thinking)
        guest_free(g);
}

/* ---- requests ---- */

static void upload(struct guest *g)
{
    while (g->upload_left > 0) {
        uint32_t n = cable_put(g->end, filler, MIN(g->upload_left, (uint32_t)sizeof(filler)));
        g->upload_left -= n;
        if (n == 0)
            break;
    }
    cable_flush(g->end);
}

static void put_request(struct guest *g)
{
    const struct crowd_conf *conf = &g->crowd->conf;
    const struct trace_record *record = g->record;
    const char *method = record ? record->method : conf->body_bytes ? "POST" : "GET";
    char text[REQUEST_HEAD_MAX], length[48] = "";
    int n;
    if (conf->body_bytes || strcmp(method, "GET") != 0)
        (void)snprintf(length, sizeof(length), "Content-Length: %u\r\n", conf->body_bytes);
    if (conf->tcp)
        n = snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)g->luck);
    else
        n = snprintf(text, sizeof(text),
                     "%s %s HTTP/1.1\r\nHost: %s\r\n" SERVER_LUCK ": %016llx\r\n%s%s\r\n", method,
                     record ? record->target : conf->path, record ? record->host : conf->host,
                     (unsigned long long)g->luck, length,
                     conf->keep_alive ? "" : "Connection: close\r\n");
    CHECK(n > 0 && (size_t)n < sizeof(text));
    CHECK(cable_put(g->end, text, (uint32_t)n) == (uint32_t)n);
    g->upload_left = conf->tcp ? 0 : conf->body_bytes;
    upload(g);
}

static void on_opened(struct cable_end *e)
{
    struct guest *g = e->user;
    g->opened = true;
    if (g->state == GUEST_WAITS)
        put_request(g);
}

static void on_room(struct cable_end *e)
{
    struct guest *g = e->user;
    if (g->state == GUEST_WAITS)
        upload(g);
}

static const struct cable_ops guest_ops = {.opened = on_opened,
                                           .failed = on_failed,
                                           .input = on_input,
                                           .room = on_room};

/* 10.x.y.z: x is the group's, the rest one of its addresses. */
static struct address origin(struct crowd *c)
{
    struct address a = {.kind = ADDRESS_V4};
    uint32_t number = (uint32_t)rng_below(&c->origins, c->conf.addresses);
    const uint8_t ip[4] = {10, (uint8_t)(c->index << 2 | (number >> 16 & 3)),
                           (uint8_t)(number >> 8), (uint8_t)number};
    memcpy(a.ip, ip, sizeof(ip));
    a.port = (uint16_t)(1024 + c->ports++ % 64512);
    return a;
}

static void dial(struct guest *g)
{
    struct crowd *c = g->crowd;
    const struct crowd_target *t = &c->targets[g->target];
    struct address me = origin(c);
    g->opened = g->used = false;
    h1_reader_init(&g->reader, H1_RESPONSES, &h1_limits_default);
    c->stats.connections++;
    g->end = cable_dial(c->network, NULL, &me, t->host, &t->address, &guest_ops, g);
}

static void send_request(struct guest *g)
{
    enum method method = g->crowd->conf.body_bytes ? METHOD_POST : METHOD_GET;
    g->state = GUEST_WAITS;
    g->answered = false;
    g->status = 0;
    g->why = 0;
    if (!g->end)
        dial(g);
    h1_reader_expect(&g->reader, method, false);
    if (g->opened)
        put_request(g);
}

/* ---- timeouts ---- */

static void on_timeout_due(void *what, uint64_t at_ns);

static void watch_timeouts(struct crowd *c)
{
    if (c->timeout_due_ns != UINT64_MAX || list_empty(&c->waiting))
        return;
    const struct guest *g = list_entry(list_first(&c->waiting), struct guest, link);
    c->timeout_due_ns = MAX(g->came_ns + c->conf.timeout_ns, world_now(c->world));
    world_at(c->world, c->timeout_due_ns, on_timeout_due, c, c->timeout_due_ns);
}

static void on_timeout_due(void *what, uint64_t at_ns)
{
    struct crowd *c = what;
    c->timeout_due_ns = UINT64_MAX;
    while (!list_empty(&c->waiting)) {
        struct guest *g = list_entry(list_first(&c->waiting), struct guest, link);
        if (g->came_ns + c->conf.timeout_ns > at_ns)
            break;
        hang_up(g, true);
        fail(g, CROWD_TIMEOUT);
    }
    watch_timeouts(c);
}

/* ---- arrivals ---- */

/* Of the n-th request of the group, or, in a closed loop, of the n-th of that client: no policy has
 * a say in it. */
static uint64_t luck_of(const struct crowd *c, struct guest *g)
{
    uint64_t who = g ? g->number + 1 : 0;
    uint64_t which = g ? g->asked++ : c->came;
    uint64_t luck = mix64(c->luck ^ mix64(which ^ mix64(who)));
    if (c->conf.trace)
        luck = c->conf.trace->records[which].luck;
    return luck & ~(uint64_t)SERVER_COUNTS;
}

static void begin_request(struct crowd *c, struct guest *g, size_t target)
{
    uint64_t now = world_now(c->world);
    uint64_t luck = luck_of(c, g);
    c->came++;
    if (now >= c->measured.from_ns)
        luck |= SERVER_COUNTS;
    c->stats.requests += luck & SERVER_COUNTS;
    if (!g && !list_empty(&c->idle[target]))
        g = list_entry(list_pop(&c->idle[target]), struct guest, link);
    if (!g && c->guest_count == SIM_VISITS_MAX) {
        c->stats.failed += luck & SERVER_COUNTS;
        c->stats.failures[CROWD_OVERLOAD] += luck & SERVER_COUNTS;
        return;
    }
    if (!g)
        g = guest_new(c, target);
    g->luck = luck;
    g->record = c->conf.trace ? &c->conf.trace->records[c->came - 1] : NULL;
    g->came_ns = now;
    g->resent = false;
    list_add_tail(&c->waiting, &g->link);
    c->waiting_count++;
    send_request(g);
    watch_timeouts(c);
}

static void on_arrival_due(void *what, uint64_t argument);

static void await_recorded(struct crowd *c)
{
    const struct trace *t = c->conf.trace;
    uint64_t at = c->expected < t->count ? t->records[c->expected].at_ns : UINT64_MAX;
    c->expected++;
    if (at < c->measured.until_ns)
        world_at(c->world, at, on_arrival_due, c, 0);
}

static void await_arrival(struct crowd *c)
{
    if (c->conf.trace) {
        await_recorded(c);
        return;
    }
    double gap = NS_PER_S / c->conf.rate_per_s;
    if (!c->conf.even)
        gap *= -log(spread_unit(rng_u64(&c->arrivals)));
    c->next_ns += gap;
    if (c->next_ns < (double)c->measured.until_ns)
        world_at(c->world, MAX((uint64_t)c->next_ns, world_now(c->world)), on_arrival_due, c, 0);
}

static void on_arrival_due(void *what, uint64_t argument)
{
    (void)argument;
    struct crowd *c = what;
    bury(c);
    await_arrival(c);
    size_t target = c->next_target++ % c->target_count;
    begin_request(c, NULL, target);
}

static void on_thought(void *what, uint64_t argument)
{
    (void)argument;
    struct guest *g = what;
    struct crowd *c = g->crowd;
    g->thinking = false;
    if (world_now(c->world) < c->measured.until_ns)
        begin_request(c, g, g->target);
}

static void think(struct guest *g)
{
    struct crowd *c = g->crowd;
    uint64_t ns = spread_draw(&c->conf.think, rng_u64(&c->thoughts));
    g->thinking = true;
    world_at(c->world, world_now(c->world) + ns, on_thought, g, 0);
}

void crowd_begin(struct crowd *c)
{
    if (c->conf.connections == 0) {
        await_arrival(c);
        return;
    }
    for (uint32_t i = 0; i < c->conf.connections; i++) {
        struct guest *g = guest_new(c, i % c->target_count);
        g->state = GUEST_IDLE;
        g->thinking = true;
        /* Not all at the same instant. */
        world_at(c->world, rng_below(&c->thoughts, 1000000), on_thought, g, 0);
    }
}

/* ---- life ---- */

struct crowd *crowd_new(struct world *w, struct network *n, const struct crowd_conf *conf,
                        const struct crowd_target *targets, size_t target_count, uint64_t index,
                        struct window measured)
{
    struct crowd *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->world = w;
    c->network = n;
    c->conf = *conf;
    c->measured = measured;
    c->index = index;
    c->timeout_due_ns = UINT64_MAX;
    c->target_count = target_count;
    c->targets = world_must(calloc(target_count, sizeof(c->targets[0])));
    c->idle = world_must(calloc(target_count, sizeof(c->idle[0])));
    memcpy(c->targets, targets, target_count * sizeof(targets[0]));
    for (size_t i = 0; i < target_count; i++)
        list_init(&c->idle[i]);
    list_init(&c->all);
    list_init(&c->waiting);
    list_init(&c->gone);
    c->arrivals = world_rng(w, "arrivals", index);
    struct rng luck = world_rng(w, "luck", index);
    c->luck = rng_u64(&luck);
    c->origins = world_rng(w, "origins", index);
    c->thoughts = world_rng(w, "thoughts", index);
    head_init(&c->head, NULL, 0);
    return c;
}

void crowd_leave(struct crowd *c)
{
    struct guest *g;
    CHECK(c->waiting_count == 0);
    list_each(g, &c->all, listed) {
        if (g->end)
            hang_up(g, false);
    }
}

void crowd_free(struct crowd **crowd)
{
    struct crowd *c = *crowd;
    if (!c)
        return;
    for (struct list *link; (link = list_pop(&c->all));) {
        struct guest *g = list_entry(link, struct guest, listed);
        list_del(&g->link);
        free(g);
    }
    bury(c);
    free(c->targets);
    free(c->idle);
    free(c);
    *crowd = NULL;
}

uint64_t crowd_waiting(const struct crowd *c)
{
    return c->waiting_count;
}

const struct crowd_conf *crowd_conf(const struct crowd *c)
{
    return &c->conf;
}

const struct crowd_stats *crowd_stats(const struct crowd *c)
{
    return &c->stats;
}

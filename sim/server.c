/* SPDX-License-Identifier: MIT */
/*
 * A visitor is one cable. It has at most one job at a time: whoever asks through a balancer waits
 * for the answer before it asks again. A job in service is an event of the world that names the
 * visitor and the number of the job; a visitor whose cable is gone stays until that has come.
 */
#include "sim/server.h"

#include "base/check.h"
#include "base/limits.h"
#include "codec/h1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_HEAD_MAX 256

enum job_state { JOB_NONE, JOB_WAITS, JOB_SERVED, JOB_ANSWERS };

struct visitor {
    struct server *server;
    struct cable_end *end; /* NULL: it is gone */
    struct list link;      /* of all */
    struct h1_reader reader;
    enum job_state state;
    struct list queued; /* of those that wait */
    uint64_t number;    /* of the job */
    uint64_t luck;
    uint64_t since_ns; /* of waiting, then of service */
    bool counted, closes, has_luck, failing;
    uint32_t events; /* on their way to us */
    uint32_t body_left;
};

struct server {
    struct world *world;
    struct server_conf conf;
    struct host host;
    struct window measured;
    struct server_stats stats;
    struct list visitors, queue;
    struct list gone; /* visitors, until nobody can be in a call of theirs */
    uint32_t in_service, queue_len;
    uint64_t jobs;
    double slowness;
    bool sick;
    struct head head; /* while a request is read: nothing of it is kept */
    uint8_t path[URI_PATH_MAX];
};

static const uint8_t filler[16384];

static void read_request(struct visitor *v);
static void begin_waiting(struct server *s);

/* ---- visitors ---- */

static void visitor_free(struct visitor *v)
{
    list_del(&v->link);
    list_add_tail(&v->server->gone, &v->link);
}

static void bury(struct server *s)
{
    for (struct list *link; (link = list_pop(&s->gone));)
        free(list_entry(link, struct visitor, link));
}

/* Busy as far as it is measured. */
static void count_busy(struct server *s, uint64_t since_ns)
{
    uint64_t from = MAX(since_ns, s->measured.from_ns);
    uint64_t until = MIN(world_now(s->world), s->measured.until_ns);
    s->stats.busy_ns += until > from ? until - from : 0;
}

static void leave_station(struct visitor *v)
{
    struct server *s = v->server;
    if (v->state != JOB_WAITS && v->state != JOB_SERVED)
        return;
    if (v->counted)
        s->stats.here--;
    if (v->state == JOB_WAITS) {
        list_del(&v->queued);
        s->queue_len--;
    } else {
        s->in_service--;
        count_busy(s, v->since_ns);
    }
}

/* The cable is gone: what waits is dropped; what is being served goes on. */
static void part(struct visitor *v, bool reset)
{
    struct server *s = v->server;
    cable_close(&v->end, reset);
    if ((v->state == JOB_WAITS || v->state == JOB_SERVED) && v->counted)
        s->stats.lost++;
    if (v->state == JOB_SERVED)
        return; /* its event frees it */
    leave_station(v);
    v->state = JOB_NONE;
    if (v->events == 0)
        visitor_free(v);
}

/* ---- answers ---- */

static void go_on(struct visitor *v)
{
    v->state = JOB_NONE;
    if (v->closes) {
        cable_shut(v->end);
        part(v, false);
        return;
    }
    h1_reader_reset(&v->reader);
    read_request(v);
}

static void put_body(struct visitor *v)
{
    while (v->body_left > 0) {
        uint32_t n = cable_put(v->end, filler, MIN(v->body_left, (uint32_t)sizeof(filler)));
        v->body_left -= n;
        if (n == 0)
            break;
    }
    cable_flush(v->end);
    if (v->body_left == 0)
        go_on(v);
}

static void answer(struct visitor *v, int status)
{
    struct server *s = v->server;
    char head[ANSWER_HEAD_MAX];
    int n = 0;
    v->state = JOB_ANSWERS;
    v->body_left = status == 200 ? s->conf.body_bytes : 0;
    if (!s->conf.tcp || !v->has_luck)
        n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %d %s\r\nContent-Length: %u\r\nX-Backend: %s\r\n%s\r\n", status,
                     status == 200 ? "OK" : "Error", v->body_left, s->conf.name,
                     v->closes ? "Connection: close\r\n" : "");
    CHECK(n >= 0 && (size_t)n < sizeof(head));
    CHECK(cable_put(v->end, head, (uint32_t)n) == (uint32_t)n);
    put_body(v);
}

/* ---- the station ---- */

static void finish(struct visitor *v)
{
    struct server *s = v->server;
    leave_station(v);
    bool failing = v->failing;
    if (v->end && v->counted) {
        s->stats.answered += !failing;
        s->stats.errors += failing;
    }
    v->state = JOB_NONE;
    begin_waiting(s);
    if (v->end)
        answer(v, failing ? 500 : 200);
    else if (v->events == 0)
        visitor_free(v);
}

static void on_served(void *what, uint64_t number)
{
    struct visitor *v = what;
    v->events--;
    if (v->state == JOB_SERVED && v->number == number)
        finish(v);
    else if (!v->end && v->events == 0 && v->state != JOB_SERVED)
        visitor_free(v);
}

static void serve(struct visitor *v)
{
    struct server *s = v->server;
    uint64_t now = world_now(s->world);
    bool ranked = s->conf.service.kind == SPREAD_EMPIRICAL; /* then luck is the rank: trace.h */
    uint64_t luck = ranked ? v->luck : mix64(v->luck ^ 1);
    double ns = (double)spread_draw(&s->conf.service, luck) * s->slowness;
    if (v->state == JOB_WAITS && v->counted)
        s->stats.queued_ns += now - v->since_ns;
    v->state = JOB_SERVED;
    v->since_ns = now;
    v->failing = spread_unit(mix64(v->luck ^ 2)) < s->conf.error_rate;
    s->in_service++;
    v->events++;
    world_at(s->world, now + (uint64_t)(ns < 1e18 ? ns : 1e18), on_served, v, v->number);
}

static bool has_slot(const struct server *s)
{
    return s->conf.slots == 0 || s->in_service < s->conf.slots;
}

static void begin_waiting(struct server *s)
{
    while (has_slot(s) && !list_empty(&s->queue)) {
        struct visitor *v = list_entry(list_pop(&s->queue), struct visitor, queued);
        s->queue_len--;
        serve(v);
    }
}

static void count_arrival(struct visitor *v)
{
    struct server_stats *stats = &v->server->stats;
    if (!v->counted)
        return;
    stats->requests++;
    stats->here++;
    stats->here_peak = MAX(stats->here_peak, stats->here);
}

/* A whole request has been read. */
static void ask(struct visitor *v)
{
    struct server *s = v->server;
    v->number = ++s->jobs;
    v->counted = v->has_luck && (v->luck & SERVER_COUNTS);
    if (!v->has_luck) {
        s->stats.checks++;
        answer(v, s->sick ? 503 : 200);
        return;
    }
    if (!has_slot(s) && s->queue_len >= s->conf.queue_max) {
        s->stats.requests += v->counted;
        s->stats.refused += v->counted;
        answer(v, 503);
        return;
    }
    count_arrival(v);
    if (has_slot(s)) {
        serve(v);
        return;
    }
    v->state = JOB_WAITS;
    v->since_ns = world_now(s->world);
    list_add_tail(&s->queue, &v->queued);
    s->queue_len++;
    s->stats.queue_peak = MAX(s->stats.queue_peak, s->queue_len);
}

/* ---- requests ---- */

static bool read_luck(struct span text, uint64_t *ret_luck)
{
    return text.n == 16 && span_to_u64_hex(text, ret_luck);
}

static void note_head(struct visitor *v)
{
    const struct head *h = &v->server->head;
    unsigned index = 0;
    const struct field *luck = head_find_name(h, span_str(SERVER_LUCK), &index);
    v->has_luck = luck && read_luck(field_value(h, luck), &v->luck);
    v->closes = !h->keep_alive;
}

/* One line: 16 digits and its end. */
static void read_line(struct visitor *v)
{
    struct span in = cable_input(v->end);
    size_t at = span_find(in, '\n');
    if (at == SPAN_NOT_FOUND)
        return;
    v->has_luck = read_luck(span_sub(in, 0, at), &v->luck);
    v->closes = true;
    cable_take(v->end, v->has_luck ? (uint32_t)at + 1 : (uint32_t)in.n);
    ask(v);
}

static void read_request(struct visitor *v)
{
    if (v->server->conf.tcp) {
        read_line(v);
        return;
    }
    for (;;) {
        struct h1_result result;
        int event = h1_reader_next(&v->reader, cable_input(v->end), &v->server->head, &result);
        /* What the balancer sends must pass the strictest reader there is: its own. */
        CHECK(event >= 0);
        if (event == H1_HEAD)
            note_head(v);
        cable_take(v->end, (uint32_t)result.used);
        if (event == H1_NEED_MORE)
            return;
        if (event == H1_END) {
            ask(v);
            return;
        }
    }
}

static void on_input(struct cable_end *e)
{
    struct visitor *v = e->user;
    if (v->state == JOB_NONE)
        read_request(v);
    if (v->end && cable_at_end(v->end))
        part(v, false);
}

static void on_room(struct cable_end *e)
{
    struct visitor *v = e->user;
    if (v->state == JOB_ANSWERS)
        put_body(v);
}

static void on_failed(struct cable_end *e, enum reason why)
{
    (void)why;
    part(e->user, false);
}

static const struct cable_ops visitor_ops = {.failed = on_failed,
                                             .input = on_input,
                                             .room = on_room};

static bool on_arrived(struct host *h, const struct address *to, struct cable_end *e)
{
    (void)to;
    struct server *s = h->user;
    bury(s);
    struct visitor *v = world_must(calloc(1, sizeof(*v)));
    v->server = s;
    v->end = e;
    e->ops = &visitor_ops;
    e->user = v;
    list_init(&v->queued);
    list_init(&v->link);
    list_add_tail(&s->visitors, &v->link);
    h1_reader_init(&v->reader, H1_REQUESTS, &h1_limits_default);
    s->stats.cables++;
    return true;
}

/* ---- life and fate ---- */

struct server *server_new(struct world *w, struct network *n, const struct server_conf *conf,
                          const struct address *at, struct window measured)
{
    struct server *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->world = w;
    s->conf = *conf;
    s->measured = measured;
    s->slowness = 1;
    s->host = (struct host){
        .address = *at, .latency_ns = conf->latency_ns, .user = s, .arrived = on_arrived};
    list_init(&s->visitors);
    list_init(&s->queue);
    list_init(&s->gone);
    head_init(&s->head, s->path, sizeof(s->path));
    host_add(n, &s->host);
    return s;
}

void server_free(struct server **server)
{
    struct server *s = *server;
    if (!s)
        return;
    while (!list_empty(&s->visitors))
        visitor_free(list_entry(list_first(&s->visitors), struct visitor, link));
    bury(s);
    host_fini(&s->host);
    free(s);
    *server = NULL;
}

const struct server_conf *server_conf(const struct server *s)
{
    return &s->conf;
}

const struct address *server_address(const struct server *s)
{
    return &s->host.address;
}

struct host *server_host(struct server *s)
{
    return &s->host;
}

const struct server_stats *server_stats(const struct server *s)
{
    return &s->stats;
}

/* What it served is lost at once, so that its slots are free when it comes back. */
static void lose(struct visitor *v)
{
    struct server *s = v->server;
    bool busy = v->state == JOB_WAITS || v->state == JOB_SERVED;
    s->stats.lost += v->end && busy && v->counted;
    cable_close(&v->end, true);
    leave_station(v);
    v->state = JOB_NONE;
    if (v->events == 0)
        visitor_free(v);
}

void server_die(struct server *s)
{
    struct list all;
    host_refuse(&s->host, true);
    list_init(&all);
    list_splice_tail(&all, &s->visitors);
    for (struct list *link; (link = list_pop(&all));) {
        list_add_tail(&s->visitors, link);
        lose(list_entry(link, struct visitor, link));
    }
}

void server_recover(struct server *s)
{
    s->slowness = 1;
    s->sick = false;
    host_refuse(&s->host, false);
    host_black_hole(&s->host, false);
}

void server_refuse(struct server *s)
{
    host_refuse(&s->host, true);
}

void server_black_hole(struct server *s)
{
    host_black_hole(&s->host, true);
}

void server_slow(struct server *s, double factor)
{
    s->slowness = factor;
}

void server_sick(struct server *s)
{
    s->sick = true;
}

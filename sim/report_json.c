/* SPDX-License-Identifier: MIT */
/* Times are in nanoseconds of the simulation, whole numbers; names say so. */
#include "sim/report.h"

#include "sim/world.h"

#include <math.h>

static void put(json_t *object, const char *key, json_t *value)
{
    (void)world_must(value);
    (void)json_object_set_new(object, key, value);
}

static json_t *count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *failures(const struct crowd_stats *s)
{
    json_t *f = json_object();
    for (size_t i = 0; i < CROWD_FAILURES; i++) {
        if (s->failures[i])
            put(f, crowd_failure_name(i), count(s->failures[i]));
    }
    return f;
}

static json_t *latency(const struct outcome *o)
{
    json_t *l = json_object();
    for (size_t i = EXPECT_MEAN; i < EXPECT_METRICS; i++) {
        double ns = report_metric(o, i);
        put(l, expect_metric_name(i),
            o->total.ok ? json_integer((json_int_t)llround(ns)) : json_null());
    }
    return l;
}

static json_t *group(const struct outcome_clients *c)
{
    /* The same names by the same way as of all. */
    const struct outcome alone = {.total = c->stats};
    json_t *j = json_object();
    put(j, "name", json_string(c->name));
    put(j, "requests", count(c->stats.requests));
    put(j, "ok", count(c->stats.ok));
    put(j, "failed", count(c->stats.failed));
    put(j, "failures", failures(&c->stats));
    put(j, "latency_ns", latency(&alone));
    return j;
}

static json_t *backend(const struct outcome_backend *b)
{
    json_t *j = json_object();
    const struct server_stats *s = &b->stats;
    put(j, "pool", json_string(b->pool));
    put(j, "name", json_string(b->name));
    put(j, "address", json_string(b->address));
    put(j, "requests", count(s->requests));
    put(j, "answered", count(s->answered));
    put(j, "errors", count(s->errors));
    put(j, "refused", count(s->refused));
    put(j, "lost", count(s->lost));
    put(j, "checks", count(s->checks));
    put(j, "connections", count(s->cables));
    put(j, "slots", b->slots ? count(b->slots) : json_null());
    put(j, "busy_ns", count(s->busy_ns));
    put(j, "queued_ns", count(s->queued_ns));
    put(j, "in_flight_peak", count(s->here_peak));
    put(j, "queue_peak", count(s->queue_peak));
    return j;
}

static json_t *balancer(const struct outcome_balancer *b)
{
    json_t *j = json_object();
    put(j, "name", json_string(b->name));
    put(j, "workers", count(b->workers));
    put(j, "exchanges", count(b->exchanges));
    put(j, "retries", count(b->retries));
    return j;
}

static json_t *line(const struct outcome_line *l)
{
    json_t *j = json_object();
    put(j, "at_ns", count(l->at_ns));
    put(j, "who", json_string(l->who));
    put(j, "level", json_string(log_level_name(l->level)));
    put(j, "area", json_string(l->area));
    put(j, "message", json_string(l->message));
    return j;
}

static json_t *expects(const struct outcome *o, const struct scenario *s)
{
    json_t *all = json_array();
    for (size_t i = 0; i < EXPECT_METRICS; i++) {
        if (!s->expects[i].given)
            continue;
        json_t *j = json_object();
        put(j, "metric", json_string(expect_metric_name(i)));
        put(j, "expected", json_string(s->expects[i].text));
        put(j, "value", json_integer((json_int_t)llround(report_metric(o, i))));
        put(j, "holds", json_boolean(report_holds(o, i, &s->expects[i])));
        (void)json_array_append_new(all, j);
    }
    return all;
}

static void put_totals(json_t *j, const struct outcome *o)
{
    const struct crowd_stats *t = &o->total;
    put(j, "balance", json_string(o->balance));
    put(j, "seed", count(o->seed));
    put(j, "measured_ns", count(o->measured_ns));
    put(j, "requests", count(t->requests));
    put(j, "ok", count(t->ok));
    put(j, "failed", count(t->failed));
    put(j, "failures", failures(t));
    put(j, "retries", count(o->retries));
    put(j, "resent", count(t->resent));
    put(j, "client_connections", count(t->connections));
    put(j, "response_bytes", count(t->response_bytes));
    put(j, "latency_ns", latency(o));
}

json_t *report_json(const struct outcome *o, const struct scenario *s)
{
    json_t *j = world_must(json_object());
    put_totals(j, o);
    json_t *groups = json_array();
    for (size_t i = 0; i < o->client_count; i++)
        (void)json_array_append_new(groups, group(&o->clients[i]));
    put(j, "clients", groups);
    json_t *backends = json_array();
    for (size_t i = 0; i < o->backend_count; i++)
        (void)json_array_append_new(backends, backend(&o->backends[i]));
    put(j, "backends", backends);
    json_t *balancers = json_array();
    for (size_t i = 0; i < o->balancer_count; i++)
        (void)json_array_append_new(balancers, balancer(&o->balancers[i]));
    put(j, "balancers", balancers);
    json_t *lines = json_array();
    for (size_t i = 0; i < o->line_count; i++)
        (void)json_array_append_new(lines, line(&o->lines[i]));
    put(j, "log", lines);
    put(j, "log_dropped", count(o->lines_dropped));
    put(j, "events", count(o->events));
    put(j, "turns", count(o->turns));
    put(j, "virtual_ns", count(o->virtual_ns));
    put(j, "stuck", count(o->stuck));
    put(j, "expect", expects(o, s));
    put(j, "good", json_boolean(report_good(o, s)));
    return j;
}

/* SPDX-License-Identifier: MIT */
/*
 * A lane is either on the idle list or counted in `busy`. Requests are numbered by `begun`, so that
 * exactly as many are sent as were asked for, whatever fails.
 */
#include "app/traffic.h"

#include "app/traffic_priv.h"
#include "base/check.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACE_MS 4 /* how often a rate is looked after */

void traffic_tally_add(struct traffic_tallies *t, struct span name)
{
    size_t i = 0;
    while (i < t->count && !span_eq(span_cstr(t->items[i].name), name))
        i++;
    if (i == t->count && i < TRAFFIC_NAMES_MAX) {
        bool last = i == TRAFFIC_NAMES_MAX - 1;
        struct span kept = last ? span_str("(others)") : name;
        (void)snprintf(t->items[i].name, TRAFFIC_NAME_MAX, SPAN_FMT, SPAN_ARG(kept));
        t->count++;
    }
    t->items[MIN(i, (size_t)TRAFFIC_NAMES_MAX - 1)].count++;
}

uint64_t traffic_tally_of(const struct traffic_tallies *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->items[i].name, name) == 0)
            return t->items[i].count;
    }
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct traffic_tally *)a)->name, ((const struct traffic_tally *)b)->name);
}

void traffic_tally_sort(struct traffic_tallies *t)
{
    qsort(t->items, t->count, sizeof(t->items[0]), compare_names);
}

void traffic_make_request(struct traffic *t)
{
    const struct traffic_options *o = &t->options;
    const char *message = o->message ? o->message : "";
    size_t room = strlen(o->host) + strlen(o->path) + strlen(message) + 256;
    uint8_t *bytes = malloc(room);
    CHECK(bytes);
    struct writer w = writer_of(bytes, room);
    if (!t->http)
        w_str(&w, message);
    else if (o->message)
        w_printf(&w,
                 "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\n"
                 "Content-Length: %zu\r\n\r\n%s",
                 o->path, o->host, strlen(message), message);
    else
        w_printf(&w, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", o->path, o->host);
    CHECK(w_ok(&w));
    /* Lanes that are still sending the old bytes keep them: they are freed with everything. */
    CHECK(!t->old_request);
    t->old_request = t->request;
    t->request = bytes;
    t->request_len = w_len(&w);
}

static bool more_wanted(const struct traffic *t)
{
    return !t->stopping && (t->options.requests == 0 || t->begun < t->options.requests);
}

static void begin_one(struct traffic *t, struct lane *l)
{
    list_del(&l->idle);
    t->busy++;
    t->begun++;
    lane_begin(l);
}

uint64_t traffic_elapsed_ns(const struct traffic *t)
{
    return clock_mono_ns() - t->started_ns;
}

static void finish_if_over(struct traffic *t)
{
    if (t->busy > 0 || more_wanted(t) || !t->finished)
        return;
    t->report.took_ns = traffic_elapsed_ns(t);
    loop_timer_stop(t->loop, &t->pace);
    traffic_finished_fn *finished = t->finished;
    t->finished = NULL;
    finished(t, t->user);
}

/* "Hello from B1" is how a test server says who it is. */
static struct span who_answered(const struct lane *l)
{
    static const char hello[] = "Hello from ";
    struct span answer = span_of(l->answer, l->answer_len);
    if (l->name[0])
        return span_cstr(l->name);
    if (!span_starts(answer, span_cstr(hello)))
        return span_str("(unnamed)");
    struct span rest = span_from(answer, sizeof(hello) - 1);
    return span_trim(span_cut(&rest, '\n'));
}

static void count_answer(struct traffic *t, const struct lane *l)
{
    struct span who = span_sub(who_answered(l), 0, TRAFFIC_NAME_MAX - 1);
    t->report.answered++;
    traffic_tally_add(&t->report.backends, who);
    histogram_add(&t->report.latency_us, (clock_mono_ns() - l->began_ns) / NS_PER_US);
    memcpy(t->report.last_answer, l->answer, l->answer_len);
    t->report.last_answer_len = l->answer_len;
}

void traffic_over(struct lane *l, const char *failure)
{
    struct traffic *t = l->traffic;
    loop_timer_stop(t->loop, &l->deadline);
    if (failure) {
        t->report.failed++;
        traffic_tally_add(&t->report.errors, span_sub(span_cstr(failure), 0, TRAFFIC_NAME_MAX - 1));
    } else {
        count_answer(t, l);
    }
    t->busy--;
    list_add_head(&t->idle, &l->idle);
    if (t->options.rate_per_s == 0 && more_wanted(t))
        begin_one(t, l);
    finish_if_over(t);
}

/* What the rate makes due since the start; a stall is made up for, but only a tenth of a second's.
 */
static void on_pace(struct timer *timer)
{
    struct traffic *t = container_of(timer, struct traffic, pace);
    uint64_t rate = t->options.rate_per_s;
    uint64_t elapsed_us = (loop_now(t->loop) - t->started_ns) / NS_PER_US;
    uint64_t due = elapsed_us * rate / US_PER_S;
    uint64_t behind = due > t->begun + t->skipped ? due - t->begun - t->skipped : 0;
    if (behind > rate / 10 + 1) {
        t->skipped += behind - (rate / 10 + 1);
        behind = rate / 10 + 1;
    }
    for (; behind > 0 && more_wanted(t) && !list_empty(&t->idle); behind--)
        begin_one(t, list_entry(list_last(&t->idle), struct lane, idle));
    if (more_wanted(t))
        loop_timer_set(t->loop, &t->pace, PACE_MS);
}

struct traffic *traffic_new(struct loop *loop, const struct traffic_options *options,
                            traffic_finished_fn *finished, void *user)
{
    struct traffic *t = calloc(1, sizeof(*t));
    CHECK(t);
    t->lanes = calloc(options->connections, sizeof(*t->lanes));
    CHECK(t->lanes);
    t->loop = loop;
    t->options = *options;
    t->http = options->http;
    t->finished = finished;
    t->user = user;
    t->started_ns = clock_mono_ns();
    list_init(&t->idle);
    timer_init(&t->pace, on_pace);
    traffic_make_request(t);
    for (uint32_t i = 0; i < options->connections; i++) {
        lane_open(&t->lanes[i], t);
        list_add_tail(&t->idle, &t->lanes[i].idle);
    }
    if (options->rate_per_s)
        loop_timer_set(loop, &t->pace, PACE_MS);
    for (uint32_t i = 0; !options->rate_per_s && i < options->connections && more_wanted(t); i++)
        begin_one(t, &t->lanes[i]);
    return t;
}

void traffic_stop(struct traffic *t)
{
    t->stopping = true;
    finish_if_over(t);
}

struct traffic_report *traffic_report(struct traffic *t)
{
    return &t->report;
}

void traffic_free(struct traffic **t)
{
    struct traffic *gone = *t;
    if (!gone)
        return;
    *t = NULL;
    loop_timer_stop(gone->loop, &gone->pace);
    for (uint32_t i = 0; i < gone->options.connections; i++) {
        list_del(&gone->lanes[i].idle);
        lane_close(&gone->lanes[i]);
    }
    free(gone->lanes);
    free(gone->request);
    free(gone->old_request);
    free(gone);
}

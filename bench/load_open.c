/* SPDX-License-Identifier: MIT */
/*
 * An open loop: requests are due on a fixed schedule, whatever the proxy does. One that finds every
 * connection busy waits for the next that is free. Latency counts from the instant at which the
 * request was due, so that a stall is seen by every request that it delays.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/histogram.h"
#include "load.h"

#define PATIENCE_NS UINT64_C(2000000000) /* after the end, for answers that are still to come */

static struct histogram latency, late;
static struct connection **ready; /* a ring: the connection that rested longest is used next */
static size_t ready_first, ready_count;
static uint64_t start_ns, next, total, under_way;

static uint64_t due_ns(uint64_t number)
{
    return start_ns + (uint64_t)((double)number * 1e9 / (double)run.rate);
}

static void ready_put(struct connection *c)
{
    ready[(ready_first + ready_count++) % run.connections] = c;
}

static struct connection *ready_get(void)
{
    struct connection *c = ready[ready_first];
    ready_first = (ready_first + 1) % run.connections;
    ready_count--;
    return c;
}

void open_begin(void)
{
    histogram_reset(&latency);
    histogram_reset(&late);
    free(ready);
    ready = calloc(run.connections, sizeof(struct connection *));
    if (!ready)
        fail("calloc");
    ready_first = ready_count = 0;
    for (size_t i = 0; i < run.connections; i++)
        ready_put(client_add(false));
    next = under_way = 0;
    total = run.rate * (run.warm_ns + run.measure_ns) / 1000000000u;
    start_ns = now_ns();
    run.begin_ns = start_ns + run.warm_ns;
}

void open_turn(void)
{
    if (next >= total || !ready_count)
        return;
    for (uint64_t now = now_ns(); next < total && ready_count && due_ns(next) <= now; next++) {
        struct connection *c = ready_get();
        c->due_ns = due_ns(next);
        if (run.measuring)
            histogram_add(&late, now - c->due_ns);
        under_way++;
        client_request(c);
    }
}

void open_complete(struct connection *c)
{
    if (c->due_ns >= run.begin_ns) /* no answer counts as none, and as an error */
        histogram_add(&latency, now_ns() - c->due_ns);
    c->due_ns = 0;
    under_way--;
    ready_put(c);
}

bool open_finished(void)
{
    if (next >= total && !under_way)
        return true;
    if (now_ns() < due_ns(total) + PATIENCE_NS)
        return false;
    run.errors += under_way + (total - next);
    if (!run.why[0])
        snprintf(run.why, sizeof run.why, "%" PRIu64 " answers are overdue", under_way);
    return true;
}

static void report(const char *name, const struct histogram *h)
{
    printf(",\"%s\":{\"p50\":%" PRIu64 ",\"p90\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"p999\":%" PRIu64
           ",\"max\":%" PRIu64 ",\"count\":%" PRIu64 "}",
           name, histogram_quantile(h, 0.5), histogram_quantile(h, 0.9),
           histogram_quantile(h, 0.99), histogram_quantile(h, 0.999), histogram_max(h),
           histogram_count(h));
}

void open_report(void)
{
    report("latency", &latency);
    report("late", &late);
}

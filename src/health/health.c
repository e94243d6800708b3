/* SPDX-License-Identifier: MIT */
/*
 * The prober. One target per backend; a target is in exactly one of these places:
 *
 *   due timer ──fires──▶ probe under way ──done──▶ due timer
 *        └── PROBES_MAX are under way ──▶ waiting list ──▲ (first come, first served)
 *
 * The interval counts from the start of a probe to the start of the next, so the probes of one
 * backend never overlap; it varies by a tenth each round, so that those of many do not march in
 * step. What stops us from probing (no descriptor) says nothing about the backend and is not fed.
 */
#include "health/health.h"

#include "base/check.h"
#include "base/log.h"
#include "base/str.h"
#include "health/health_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define NS_PER_MS 1000000u

uint64_t health_now_ms(const struct health *h)
{
    return loop_now(h->loop) / NS_PER_MS;
}

struct target *target_of(const struct health *h, const struct backend *b)
{
    return &h->targets[h->first[b->pool->index] + b->slot];
}

void target_state(struct target *t, uint32_t set, uint32_t clear)
{
    if (backend_state_change(t->backend, set, clear))
        t->health->changed(t->health->user, t->backend->pool);
}

const char *target_text(const struct target *t, char text[TARGET_TEXT_MAX])
{
    char pool[TARGET_TEXT_MAX / 2 - 16], backend[TARGET_TEXT_MAX / 2 - 16];
    const struct backend *b = t->backend;
    (void)snprintf(text, TARGET_TEXT_MAX, "pool=%s backend=%s",
                   log_value(pool, sizeof(pool), span_cstr(b->pool->conf->name)),
                   log_value(backend, sizeof(backend), span_cstr(b->conf->name)));
    return text;
}

/* ---- verdicts ---- */

static void verdict_changed(struct target *t, uint32_t after)
{
    struct health *h = t->health;
    char who[TARGET_TEXT_MAX];
    uint64_t now = health_now_ms(h), before = now - t->since_ms;
    target_text(t, who);
    t->since_ms = now;
    t->changed = true;
    if (t->verdict.state == VERDICT_DOWN) {
        log_warn("health", "%s state=down reason=%s after=%u", who, reason_name(t->verdict.last),
                 after);
        target_state(t, BACKEND_DOWN, 0);
        passive_superseded(t);
    } else {
        log_info("health", "%s state=up after=%u down_for=%llu.%llus", who, after,
                 (unsigned long long)before / 1000, (unsigned long long)before % 1000 / 100);
        target_state(t, 0, BACKEND_DOWN);
    }
}

static void feed(struct target *t, enum reason result)
{
    uint32_t after = t->verdict.streak + 1;
    if (verdict_feed(&t->verdict, result))
        verdict_changed(t, after);
}

/* ---- when to probe ---- */

static void schedule(struct target *t)
{
    struct health *h = t->health;
    uint64_t interval = t->probe.conf->interval_ms;
    uint64_t next =
        t->started_ms + rng_between(&h->rng, interval - interval / 10, interval + interval / 10);
    uint64_t now = health_now_ms(h);
    loop_timer_set(h->loop, &t->due, next > now ? next - now : 1);
}

static void begin(struct target *t)
{
    struct health *h = t->health;
    const struct address *to = atomic_load_explicit(&t->backend->address, memory_order_acquire);
    t->started_ms = health_now_ms(h);
    int rc = to ? probe_begin(&t->probe, to) : -(int)REASON_unresolved;
    if (rc == 0) {
        h->running++;
        return;
    }
    if (to && !h->starved) {
        h->starved = true;
        log_error("health", "cannot probe reason=%s", reason_name((enum reason) - rc));
    }
    schedule(t);
}

static void on_due(struct timer *timer)
{
    struct target *t = container_of(timer, struct target, due);
    if (t->health->running < PROBES_MAX)
        begin(t);
    else
        list_add_tail(&t->health->waiting, &t->waiting);
}

void target_probe_soon(struct target *t)
{
    if (t->probe.kind && !probe_running(&t->probe) && !list_linked(&t->waiting))
        loop_timer_set(t->health->loop, &t->due, 0);
}

static void begin_waiting(struct health *h)
{
    struct list *link;
    while (h->running < PROBES_MAX && (link = list_pop(&h->waiting)) != NULL)
        begin(list_entry(link, struct target, waiting));
}

static void on_probe_done(struct probe *p, enum reason result)
{
    struct target *t = container_of(p, struct target, probe);
    struct health *h = t->health;
    h->running--;
    schedule(t);
    if (reason_fault(result) != REASON_FAULT_US) {
        h->starved = false;
        feed(t, result);
    }
    begin_waiting(h);
}

/* ---- start and stop ---- */

static void target_init(struct target *t, struct health *h, struct backend *b)
{
    const struct health_conf *conf = &b->pool->conf->health;
    t->health = h;
    t->backend = b;
    t->since_ms = health_now_ms(h);
    list_init(&t->waiting);
    timer_init(&t->due, on_due);
    verdict_init(&t->verdict, MAX(conf->rise, 1u), MAX(conf->fall, 1u));
    probe_init(&t->probe, h->loop, conf, b->conf, on_probe_done);
    passive_init(t);
    if (!t->probe.kind)
        return;
    uint64_t spread = MIN(conf->interval_ms, (uint32_t)FIRST_PROBE_MS_MAX);
    loop_timer_set(h->loop, &t->due, rng_below(&h->rng, spread + 1));
}

static size_t layout(struct health *h)
{
    size_t count = 0;
    for (size_t i = 0; i < h->pool_count; i++) {
        h->first[h->pools[i]->index] = count;
        count += h->pools[i]->backend_count;
    }
    return count;
}

static size_t index_max(struct pool *const *pools, size_t pool_count)
{
    size_t max = 0;
    for (size_t i = 0; i < pool_count; i++)
        max = MAX(max, (size_t)pools[i]->index);
    return max;
}

static void health_free(struct health *h)
{
    free(h->targets);
    free(h->first);
    free(h->kept);
    free(h);
}

int health_start(struct loop *loop, struct pool *const *pools, size_t pool_count, uint64_t seed,
                 health_changed_fn *changed, void *user, struct health **ret_health)
{
    struct health *h = calloc(1, sizeof(*h));
    if (!h)
        return -(int)REASON_overload;
    size_t indices = index_max(pools, pool_count) + 1;
    h->loop = loop;
    h->pools = pools;
    h->pool_count = pool_count;
    h->changed = changed;
    h->user = user;
    h->rng = rng_seed(seed);
    list_init(&h->waiting);
    h->first = calloc(indices, sizeof(*h->first));
    h->kept = calloc(indices, sizeof(*h->kept));
    h->target_count = h->first ? layout(h) : 0;
    h->targets = calloc(h->target_count + 1, sizeof(*h->targets));
    if (!h->first || !h->kept || !h->targets) {
        health_free(h);
        return -(int)REASON_overload;
    }
    for (size_t i = 0; i < pool_count; i++)
        for (uint32_t slot = 0; slot < pools[i]->backend_count; slot++) {
            struct backend *b = &pools[i]->backends[slot];
            target_init(target_of(h, b), h, b);
        }
    int rc = names_start(h);
    if (rc < 0) {
        health_stop(&h);
        return rc;
    }
    *ret_health = h;
    return 0;
}

void health_free_if_quiet(struct health *h)
{
    for (size_t i = 0; i < h->target_count; i++)
        if (atomic_load_explicit(&h->targets[i].reported, memory_order_acquire))
            return;
    health_free(h);
}

void health_stop(struct health **health)
{
    struct health *h = *health;
    if (!h)
        return;
    for (size_t i = 0; i < h->target_count; i++) {
        struct target *t = &h->targets[i];
        probe_cancel(&t->probe);
        loop_timer_stop(h->loop, &t->due);
        passive_stop(t);
    }
    names_stop(h);
    h->stopped = true;
    health_free_if_quiet(h);
    *health = NULL;
}

void health_status(const struct health *health, const struct backend *b,
                   struct health_status *ret_status)
{
    const struct target *t = target_of(health, b);
    uint32_t state = atomic_load_explicit(&b->state, memory_order_relaxed);
    *ret_status = (struct health_status){
        .up = t->verdict.state == VERDICT_UP,
        .proven = t->verdict.proven,
        .ejected = (state & BACKEND_EJECTED) != 0,
        .last = t->verdict.last,
        .since_ms = t->changed ? t->since_ms : 0,
    };
}

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
#include "forward/tls_stream.h"
#include "health/health_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define NS_PER_MS 1000000u
#define NS_PER_US 1000u

uint64_t health_now_ms(const struct health *h)
{
    return loop_now(h->loop) / NS_PER_MS;
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
                   log_value(pool, sizeof(pool), span_cstr(pool_conf(b->pool)->name)),
                   log_value(backend, sizeof(backend), span_cstr(b->conf->name)));
    return text;
}

/* ---- verdicts ---- */

static void verdict_changed(struct target *t, uint32_t after)
{
    struct health *h = t->health;
    char who[TARGET_TEXT_MAX], text[96];
    uint64_t now = health_now_ms(h), before = now - t->since_ms;
    target_text(t, who);
    t->since_ms = now;
    t->changed = true;
    if (t->verdict.state == VERDICT_DOWN) {
        const char *detail = t->probe.detail;
        log_warn("health", "%s state=down reason=%s after=%u%s%s", who,
                 reason_name(t->verdict.last), after, detail ? " detail=" : "",
                 detail ? log_value(text, sizeof(text), span_cstr(detail)) : "");
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
    t->started_ns = loop_now(h->loop);
    const struct backend *b = t->backend;
    struct dial what = {
        .to = to,
        .conf = pool_conf(b->pool),
        .backend = b->conf,
        .id = b->id,
        .tls = pool_tls(b->pool, POOL_TLS_CONTROL),
    };
    int rc = to ? probe_begin(&t->probe, &what) : -(int)REASON_unresolved;
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

static void note_check(struct target *t, enum reason result)
{
    uint64_t took_ns = loop_now(t->health->loop) - t->started_ns;
    t->last_check = (struct health_check){
        .at_ms = health_now_ms(t->health),
        .took_us = took_ns / NS_PER_US,
        .result = result,
        .detail = t->probe.detail,
    };
}

static void on_probe_done(struct probe *p, enum reason result)
{
    struct target *t = container_of(p, struct target, probe);
    struct health *h = t->health;
    h->running--;
    schedule(t);
    if (reason_fault(result) != REASON_FAULT_US) {
        h->starved = false;
        note_check(t, result);
        feed(t, result);
    }
    begin_waiting(h);
}

/* ---- start and stop ---- */

static void set_checks(struct target *t)
{
    const struct backend *b = t->backend;
    const struct pool_conf *pool = pool_conf(b->pool);
    t->verdict.rise = MAX(pool->health.rise, 1u);
    t->verdict.fall = MAX(pool->health.fall, 1u);
    probe_init(&t->probe, &t->health->dialer, pool, b->conf, on_probe_done);
}

static struct target *target_new(struct health *h, struct backend *b)
{
    struct target *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->health = h;
    t->backend = b;
    t->since_ms = health_now_ms(h);
    list_init(&t->link);
    list_init(&t->waiting);
    timer_init(&t->due, on_due);
    verdict_init(&t->verdict, 1, 1);
    set_checks(t);
    passive_init(t);
    return t;
}

/* Adds it with the first probe within so many milliseconds. */
static int add(struct health *h, struct backend *b, uint32_t within_ms)
{
    CHECK(!b->health);
    struct target *t = target_new(h, b);
    if (!t)
        return -(int)REASON_overload;
    int rc = name_add(t);
    if (rc < 0) {
        free(t);
        return rc;
    }
    list_add_tail(&h->targets, &t->link);
    b->health = t;
    if (t->probe.kind)
        loop_timer_set(h->loop, &t->due, rng_below(&h->rng, (uint64_t)within_ms + 1));
    return 0;
}

int health_add(struct health *h, struct backend *b)
{
    return add(h, b, 0);
}

static int add_pool(struct health *h, struct pool *pool, uint32_t within_ms)
{
    int rc = 0;
    uint32_t slot = 0;
    within_ms = MIN(within_ms, pool_conf(pool)->health.interval_ms);
    for (; slot < pool_backend_count(pool) && rc == 0; slot++)
        if (backend_exists(&pool->backends[slot]))
            rc = add(h, &pool->backends[slot], within_ms);
    for (; rc < 0 && slot-- > 0;)
        if (backend_exists(&pool->backends[slot]))
            CHECK(health_forget(h, &pool->backends[slot]));
    return rc;
}

int health_add_pool(struct health *h, struct pool *pool)
{
    return add_pool(h, pool, 0);
}

/* Ends a probe under way or waiting, without a result. */
static void probe_stop(struct target *t)
{
    struct health *h = t->health;
    loop_timer_stop(h->loop, &t->due);
    list_del(&t->waiting);
    if (!probe_running(&t->probe))
        return;
    probe_cancel(&t->probe);
    h->running--;
}

static void target_stop(struct target *t)
{
    t->removed = true;
    probe_stop(t);
    passive_stop(t);
    name_remove(t);
}

void health_remove(struct health *h, struct backend *b)
{
    struct target *t = b->health;
    if (!t || t->removed)
        return;
    target_stop(t);
    begin_waiting(h);
}

static void target_free(struct target *t)
{
    name_free(t);
    list_del(&t->link);
    free(t);
}

bool health_forget(struct health *h, struct backend *b)
{
    struct target *t = b->health;
    if (!t)
        return true;
    health_remove(h, b);
    if (atomic_load_explicit(&t->reported, memory_order_acquire))
        return false;
    b->health = NULL;
    target_free(t);
    return true;
}

static void checks_changed(struct target *t)
{
    const struct pool_conf *pool = pool_conf(t->backend->pool);
    if (probe_same(&t->probe, pool)) {
        t->probe.pool = pool;
        t->probe.conf = &pool->health;
        return;
    }
    probe_stop(t);
    set_checks(t);
    if (t->probe.kind) {
        loop_timer_set(t->health->loop, &t->due, 0);
    } else {
        verdict_init(&t->verdict, t->verdict.rise, t->verdict.fall);
        target_state(t, 0, BACKEND_DOWN);
    }
}

void health_pool_changed(struct health *h, struct pool *pool)
{
    for (uint32_t slot = 0; slot < pool_backend_count(pool); slot++) {
        const struct backend *b = &pool->backends[slot];
        if (backend_exists(b) && b->health && !b->health->removed)
            checks_changed(b->health);
    }
    begin_waiting(h);
}

/* Its targets have been stopped; backends may be gone already. */
static void health_free(struct health *h)
{
    struct target *t;
    list_each_safe(t, &h->targets, link)
        target_free(t);
    dialer_fini(&h->dialer);
    tls_worker_free(&h->tls);
    free(h);
}

int health_start(struct loop *loop, struct pool *const *pools, size_t pool_count, uint64_t seed,
                 health_changed_fn *changed, void *user, struct health **ret_health)
{
    struct health *h = calloc(1, sizeof(*h));
    if (!h)
        return -(int)REASON_overload;
    h->loop = loop;
    int rc = tls_worker_new(loop, &h->tls);
    if (rc < 0) {
        free(h);
        return rc;
    }
    dialer_init(&h->dialer, loop, h->tls);
    h->changed = changed;
    h->user = user;
    h->rng = rng_seed(seed);
    list_init(&h->waiting);
    list_init(&h->targets);
    for (size_t i = 0; i < pool_count && rc == 0; i++)
        rc = add_pool(h, pools[i], FIRST_PROBE_MS_MAX);
    if (rc < 0) {
        health_stop(&h);
        return rc;
    }
    *ret_health = h;
    return 0;
}

void health_free_if_quiet(struct health *h)
{
    const struct target *t;
    list_each(t, &h->targets, link)
        if (atomic_load_explicit(&t->reported, memory_order_acquire))
            return;
    health_free(h);
}

void health_stop(struct health **health)
{
    struct health *h = *health;
    if (!h)
        return;
    struct target *t;
    h->stopped = true;
    list_each(t, &h->targets, link) {
        target_stop(t);
        if (t->name)
            atomic_store_explicit(&t->backend->address, NULL, memory_order_release);
        name_free(t);
        t->backend->health = NULL;
    }
    names_stop(h);
    health_free_if_quiet(h);
    *health = NULL;
}

void health_status(const struct health *health UNUSED, const struct backend *b,
                   struct health_status *ret_status)
{
    const struct target *t = b->health;
    uint32_t state = atomic_load_explicit(&b->state, memory_order_relaxed);
    *ret_status = (struct health_status){
        .up = t->verdict.state == VERDICT_UP,
        .proven = t->verdict.proven,
        .ejected = (state & BACKEND_EJECTED) != 0,
        .last = t->verdict.last,
        .since_ms = t->changed ? t->since_ms : 0,
        .check = t->last_check,
    };
}

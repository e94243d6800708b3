/* SPDX-License-Identifier: MIT */
/*
 * Passive health: backends that fail real exchanges leave the rotation for a while.
 *
 *   worker   failures++ in the current window ──the one that fills it──▶ message
 *   control  message ──▶ BACKEND_EJECTED ──eject_for──▶ returned
 *
 * A window begins with the first failure after the last one's end. Workers only count, with relaxed
 * atomics: two failures at the very edge of a window may be counted as one. The last backend in
 * rotation of a pool is never ejected: some answers are better than none.
 */
#include "base/check.h"
#include "base/log.h"
#include "base/str.h"
#include "health/health_priv.h"

/* Reasons of the backend's fault that say nothing about one backend. */
static bool is_failure(enum reason result)
{
    return result != REASON_ok && reason_fault(result) == REASON_FAULT_BACKEND &&
           result != REASON_no_backend && result != REASON_queue_full &&
           result != REASON_queue_timeout;
}

/* One more failure; how many the present window has now. Two workers' clocks may differ by a turn,
 * so a time a little before the window's beginning belongs to it. */
static uint32_t count_failure(struct target *t, uint32_t window_ms, uint32_t now)
{
    uint32_t began = atomic_load_explicit(&t->window_ms, memory_order_relaxed);
    bool over = (int32_t)(now - began) >= (int32_t)window_ms ||
                atomic_load_explicit(&t->failures, memory_order_relaxed) == 0;
    if (over && atomic_compare_exchange_strong_explicit(
                    &t->window_ms, &began, now, memory_order_relaxed, memory_order_relaxed)) {
        atomic_store_explicit(&t->failures, 1, memory_order_relaxed);
        return 1;
    }
    return atomic_fetch_add_explicit(&t->failures, 1, memory_order_relaxed) + 1;
}

void health_report(struct health *health, struct backend *b, enum reason result, uint64_t now_ms)
{
    const struct passive_conf *conf = &pool_conf(b->pool)->passive;
    if (LIKELY(!is_failure(result)) || conf->failures == 0)
        return;
    struct target *t = b->health;
    if (count_failure(t, conf->window_ms, (uint32_t)now_ms) < conf->failures)
        return;
    atomic_store_explicit(&t->failed_with, (uint32_t)result, memory_order_relaxed);
    if (!atomic_exchange_explicit(&t->reported, true, memory_order_acq_rel))
        loop_post(health->loop, &t->report);
}

static void forget_failures(struct target *t)
{
    atomic_store_explicit(&t->failures, 0, memory_order_relaxed);
}

static bool last_in_rotation(const struct backend *b)
{
    const struct pool *pool = b->pool;
    for (uint32_t i = 0; i < pool_backend_count(pool); i++) {
        const struct backend *other = &pool->backends[i];
        if (other != b && backend_weight(other) > 0 && backend_in_rotation(other))
            return false;
    }
    return true;
}

static void eject(struct target *t)
{
    struct health *h = t->health;
    const struct passive_conf *conf = &pool_conf(t->backend->pool)->passive;
    bool *kept = &t->backend->pool->kept_logged;
    char who[TARGET_TEXT_MAX], time[FORMAT_SHORT_MAX];
    target_text(t, who);
    uint32_t last = atomic_load_explicit(&t->failed_with, memory_order_relaxed);
    const char *why = reason_name((enum reason)last);
    if (last_in_rotation(t->backend)) {
        if (!*kept)
            log_warn("health",
                     "%s state=kept reason=%s after=%u last=%s "
                     "because=last_in_rotation",
                     who, reason_name(REASON_passive_failures), conf->failures, why);
        *kept = true;
        return;
    }
    *kept = false;
    log_warn("health", "%s state=ejected reason=%s after=%u last=%s for=%s", who,
             reason_name(REASON_passive_failures), conf->failures, why,
             format_duration_ms(time, conf->eject_for_ms));
    loop_timer_set(h->loop, &t->ejected_until, conf->eject_for_ms);
    target_state(t, BACKEND_EJECTED, 0);
    /* Is it the backend or the requests? The checks look now instead of at their next turn. */
    verdict_suspect(&t->verdict);
    target_probe_soon(t);
}

void passive_superseded(struct target *t)
{
    loop_timer_stop(t->health->loop, &t->ejected_until);
    forget_failures(t);
    target_state(t, 0, BACKEND_EJECTED);
}

static void on_report(struct loop *loop, struct message *m)
{
    (void)loop;
    struct target *t = container_of(m, struct target, report);
    struct health *h = t->health;
    forget_failures(t);
    atomic_store_explicit(&t->reported, false, memory_order_release);
    if (h->stopped)
        health_free_if_quiet(h);
    else if (!t->removed && backend_in_rotation(t->backend))
        eject(t);
}

static void on_return(struct timer *timer)
{
    struct target *t = container_of(timer, struct target, ejected_until);
    char who[TARGET_TEXT_MAX];
    forget_failures(t);
    log_info("health", "%s state=returned", target_text(t, who));
    target_state(t, 0, BACKEND_EJECTED);
}

void passive_init(struct target *t)
{
    timer_init(&t->ejected_until, on_return);
    t->report.fn = on_report;
}

void passive_stop(struct target *t)
{
    loop_timer_stop(t->health->loop, &t->ejected_until);
}

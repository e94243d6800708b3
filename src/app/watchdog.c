/* SPDX-License-Identifier: MIT */
#include "app/watchdog.h"

#include "account/reason.h"
#include "base/log.h"

#include <stdlib.h>

#define LOOK_MS 1000

/* What is sent to a worker; it is sent again only once it was taken. */
struct sign {
    struct message message;
    _Atomic bool under_way;
    uint32_t missed; /* looks at which it still was */
    bool ended;
};

struct watchdog {
    struct loop *loop;
    struct timer timer;
    struct worker *const *workers;
    uint32_t worker_count;
    struct sign signs[];
};

/* On the worker's thread. */
static void on_sign(struct loop *loop, struct message *m)
{
    (void)loop;
    atomic_store(&container_of(m, struct sign, message)->under_way, false);
}

static void look_at(struct watchdog *d, uint32_t worker)
{
    struct sign *s = &d->signs[worker];
    if (!atomic_load(&s->under_way)) {
        if (s->missed >= WATCHDOG_SAY_TURNS)
            log_warn("worker", "turns its loop again worker=%u", worker);
        s->missed = 0;
        atomic_store(&s->under_way, true);
        loop_post(worker_loop(d->workers[worker]), &s->message);
        return;
    }
    s->missed++;
    if (s->missed == WATCHDOG_SAY_TURNS)
        log_error("worker", "does not turn its loop worker=%u for=%us", worker, s->missed);
    if (s->missed == WATCHDOG_END_TURNS) {
        log_error("worker", "hangs; ending the process worker=%u for=%us", worker, s->missed);
        log_flush();
        worker_abort(d->workers[worker]);
    }
}

static void on_look(struct timer *t)
{
    struct watchdog *d = container_of(t, struct watchdog, timer);
    for (uint32_t i = 0; i < d->worker_count; i++) {
        if (!d->signs[i].ended)
            look_at(d, i);
    }
    loop_timer_set(d->loop, &d->timer, LOOK_MS);
}

int watchdog_start(struct loop *loop, struct worker *const *workers, uint32_t worker_count,
                   struct watchdog **ret_watchdog)
{
    struct watchdog *d = calloc(1, sizeof(*d) + worker_count * sizeof(d->signs[0]));
    if (!d)
        return -(int)REASON_overload;
    d->loop = loop;
    d->workers = workers;
    d->worker_count = worker_count;
    for (uint32_t i = 0; i < worker_count; i++)
        d->signs[i].message.fn = on_sign;
    timer_init(&d->timer, on_look);
    loop_timer_set(loop, &d->timer, LOOK_MS);
    *ret_watchdog = d;
    return 0;
}

void watchdog_forget(struct watchdog *d, uint32_t worker)
{
    if (d)
        d->signs[worker].ended = true;
}

void watchdog_stop(struct watchdog **watchdog)
{
    struct watchdog *d = *watchdog;
    if (!d)
        return;
    loop_timer_stop(d->loop, &d->timer);
    free(d);
    *watchdog = NULL;
}

/* SPDX-License-Identifier: MIT */
#include "app/relief.h"

#include "app/fronts.h"
#include "base/log.h"

#include <stdlib.h>

#define LOOK_MS 250

/* Asking for a queue's length costs a quarter of a microsecond, and is done for workers that took
 * nothing. With more of them than this a round takes several looks. */
#define WORKERS_PER_LOOK 32u

/* A worker at the last look. */
struct seen {
    uint64_t accepted;
    bool waited;   /* connections waited for it */
    bool relieved; /* the others were told */
};

struct relief {
    struct loop *loop;
    struct worker *const *workers;
    const struct inlets *inlets;
    struct timer timer;
    uint32_t next; /* worker to look at */
    uint32_t count;
    struct seen seen[]; /* by worker */
};

static bool some_wait(const struct relief *r, uint32_t worker)
{
    for (uint32_t i = 0; i < r->inlets->room; i++) {
        const struct inlet *in = r->inlets->at[i];
        if (in && listener_waiting(in->listener, worker) > 0)
            return true;
    }
    return false;
}

static void tell_others(struct relief *r, uint32_t worker, bool on)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (i != worker)
            worker_relieve(r->workers[i], worker, on);
    }
}

static void look(struct relief *r, uint32_t worker)
{
    struct seen *s = &r->seen[worker];
    uint64_t accepted = worker_accepted(r->workers[worker]);
    bool moved = accepted != s->accepted;
    s->accepted = accepted;
    if (moved) {
        s->waited = false;
        if (s->relieved) {
            log_info("worker", "takes connections again worker=%u", worker);
            tell_others(r, worker, false);
        }
        s->relieved = false;
        return;
    }
    bool waits = some_wait(r, worker);
    if (waits && s->waited) {
        if (!s->relieved)
            log_warn("worker", "takes no connections; the others take them worker=%u", worker);
        s->relieved = true;
        tell_others(r, worker,
                    true); /* again too: the kernel may have told the stalled one alone */
    }
    s->waited = waits;
}

static void on_timer(struct timer *t)
{
    struct relief *r = container_of(t, struct relief, timer);
    uint32_t n = MIN(r->count, WORKERS_PER_LOOK);
    for (uint32_t i = 0; i < n; i++) {
        look(r, r->next);
        r->next = (r->next + 1) % r->count;
    }
    loop_timer_set(r->loop, &r->timer, LOOK_MS);
}

int relief_start(struct loop *loop, struct worker *const *workers, uint32_t worker_count,
                 const struct inlets *inlets, struct relief **ret_relief)
{
    *ret_relief = NULL;
    if (worker_count < 2)
        return 0;
    struct relief *r = calloc(1, sizeof(*r) + worker_count * sizeof(r->seen[0]));
    if (!r)
        return -(int)REASON_overload;
    r->loop = loop;
    r->workers = workers;
    r->count = worker_count;
    r->inlets = inlets;
    timer_init(&r->timer, on_timer);
    loop_timer_set(loop, &r->timer, LOOK_MS);
    *ret_relief = r;
    return 0;
}

void relief_stop(struct relief **relief)
{
    struct relief *r = *relief;
    if (!r)
        return;
    *relief = NULL;
    loop_timer_stop(r->loop, &r->timer);
    free(r);
}

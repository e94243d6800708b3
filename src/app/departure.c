/* SPDX-License-Identifier: MIT */
/*
 * Its fronts are freed together, at the end: what a round carries to the workers is then never a
 * pointer to memory that another front has got meanwhile.
 */
#include "app/departure.h"

#include "app/fronts.h"
#include "base/check.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* Connections that the kernel completed before are still taken during this time. */
#define LAST_CALL_MS 20

/* One worker has no client left of one front. */
struct stay_end {
    struct message message;
    struct departure *departure;
};

struct departure {
    struct list link;
    struct departure_options options;
    struct front **fronts;
    struct opening **openings;
    size_t front_count, opening_count;
    struct stay_end *ends; /* by front and worker */
    size_t left;           /* of them */
    struct grace closing, cutting, ending;
    struct timer last_call, deadline;
    void (*on_left)(void *user);
    void *user;
    bool begun;
};

struct front *front_new(uint32_t workers, struct ids *numbers)
{
    size_t bytes = workers * sizeof(struct front_stay);
    struct front *f = aligned_alloc(CACHE_LINE_BYTES, sizeof(*f));
    if (!f)
        return NULL;
    memset(f, 0, sizeof(*f));
    f->stays = aligned_alloc(CACHE_LINE_BYTES, bytes);
    uint32_t number = f->stays ? ids_get(numbers) : IDS_NONE;
    if (number == IDS_NONE) {
        free(f->stays);
        free(f);
        return NULL;
    }
    memset(f->stays, 0, bytes);
    f->key = board_key(number);
    return f;
}

void front_free(struct front **front, struct ids *numbers)
{
    if (*front) {
        ids_put(numbers, (*front)->key.number);
        free((*front)->stays);
        free(*front);
    }
    *front = NULL;
}

void opening_free(struct opening **opening, struct door *door)
{
    if (*opening)
        door_unbind(door, &(*opening)->inlet.listener);
    free(*opening);
    *opening = NULL;
}

/* ---- the end ---- */

static void on_ended(struct grace *ending)
{
    struct departure *d = container_of(ending, struct departure, ending);
    void (*left)(void *) = d->on_left;
    void *left_user = d->user;
    departure_free(&d);
    left(left_user);
}

static void end(struct departure *d)
{
    loop_timer_stop(d->options.loop, &d->deadline);
    grace_begin(crew_graces(d->options.crew), &d->ending);
}

static void on_stay_over(struct loop *loop, struct message *m)
{
    (void)loop;
    struct departure *d = container_of(m, struct stay_end, message)->departure;
    CHECK(d->left > 0);
    if (--d->left == 0)
        end(d);
}

/* On the worker. */
static void stay_gone(struct front_stay *s)
{
    struct stay_end *e = s->user;
    loop_post(e->departure->options.loop, &e->message);
}

/* ---- the deadline ---- */

static void cut_on_worker(struct grace *cutting, struct worker *w)
{
    const struct departure *d = container_of(cutting, struct departure, cutting);
    for (size_t i = 0; i < d->front_count; i++)
        forwarder_close_front(worker_forwarder(w), d->fronts[i]);
}

static void on_cut(struct grace *cutting)
{
    (void)cutting; /* what was cut says so itself */
}

static void on_deadline(struct timer *t)
{
    struct departure *d = container_of(t, struct departure, deadline);
    log_warn("reload", "the drain deadline has passed; closing what is left of removed listeners");
    grace_begin(crew_graces(d->options.crew), &d->cutting);
}

/* ---- closing ---- */

static void close_on_worker(struct grace *closing, struct worker *w)
{
    const struct departure *d = container_of(closing, struct departure, closing);
    for (size_t i = 0; i < d->opening_count; i++)
        worker_close_gate(w, &d->openings[i]->inlet);
    for (size_t i = 0; i < d->front_count; i++)
        forwarder_drain_front(worker_forwarder(w), d->fronts[i]);
}

static void on_closed(struct grace *closing)
{
    struct departure *d = container_of(closing, struct departure, closing);
    for (size_t i = 0; i < d->opening_count; i++) {
        d->options.inlets->at[d->openings[i]->inlet.number] = NULL;
        opening_free(&d->openings[i], d->options.door);
    }
    d->opening_count = 0;
    if (d->front_count == 0)
        end(d);
}

static void close_now(struct departure *d)
{
    grace_begin(crew_graces(d->options.crew), &d->closing);
}

static void on_last_call(struct timer *t)
{
    close_now(container_of(t, struct departure, last_call));
}

void departure_begin(struct departure *d, void (*left)(void *user), void *user)
{
    d->on_left = left;
    d->user = user;
    d->begun = true;
    list_add_tail(d->options.departures, &d->link);
    if (d->front_count > 0)
        loop_timer_set(d->options.loop, &d->deadline, d->options.deadline_ms + LAST_CALL_MS);
    if (d->opening_count > 0)
        loop_timer_set(d->options.loop, &d->last_call, LAST_CALL_MS);
    else
        close_now(d);
}

/* ---- made and filled ---- */

struct departure *departure_new(const struct departure_options *o, size_t fronts, size_t openings)
{
    struct departure *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->options = *o;
    list_init(&d->link);
    timer_init(&d->last_call, on_last_call);
    timer_init(&d->deadline, on_deadline);
    d->fronts = calloc(fronts + 1, sizeof(d->fronts[0]));
    d->openings = calloc(openings + 1, sizeof(d->openings[0]));
    d->ends = calloc(fronts * crew_count(o->crew) + 1, sizeof(d->ends[0]));
    d->closing = (struct grace){.visit = close_on_worker, .done = on_closed};
    d->cutting = (struct grace){.visit = cut_on_worker, .done = on_cut};
    d->ending = (struct grace){.done = on_ended};
    if (!d->fronts || !d->openings || !d->ends)
        departure_free(&d);
    return d;
}

void departure_add_front(struct departure *d, struct front *f)
{
    uint32_t workers = crew_count(d->options.crew);
    struct stay_end *ends = &d->ends[d->front_count * workers];
    for (uint32_t i = 0; i < workers; i++) {
        ends[i] = (struct stay_end){.message.fn = on_stay_over, .departure = d};
        f->stays[i].gone = stay_gone;
        f->stays[i].user = &ends[i];
    }
    d->fronts[d->front_count++] = f;
    d->left += workers;
    atomic_store_explicit(&f->leaving, true, memory_order_release);
}

void departure_add_opening(struct departure *d, struct opening *o)
{
    d->openings[d->opening_count++] = o;
}

void departure_free(struct departure **departure)
{
    struct departure *d = *departure;
    if (!d)
        return;
    if (d->begun) {
        list_del(&d->link);
        loop_timer_stop(d->options.loop, &d->last_call);
        loop_timer_stop(d->options.loop, &d->deadline);
    }
    for (size_t i = 0; d->fronts && i < d->front_count; i++)
        front_free(&d->fronts[i], d->options.numbers);
    for (size_t i = 0; d->openings && i < d->opening_count; i++)
        opening_free(&d->openings[i], d->options.door);
    free(d->fronts);
    free(d->openings);
    free(d->ends);
    free(d);
    *departure = NULL;
}

bool departure_has_openings(const struct departure *d)
{
    return d->opening_count > 0;
}

struct departure *departure_of(struct list *link)
{
    return container_of(link, struct departure, link);
}

/* SPDX-License-Identifier: MIT */
#include "app/crew.h"

#include "base/log.h"

#include <stdlib.h>

/* What a worker tells the control loop. */
struct news {
    struct message message;
    struct crew *crew;
};

struct crew {
    struct crew_options options;
    struct worker **workers;
    struct news *shut, *ended; /* by worker */
    uint32_t count, alive, shut_count;
    struct graces *graces;
};

static void on_worker_ended(struct loop *loop, struct message *m)
{
    (void)loop;
    const struct news *news = container_of(m, struct news, message);
    struct crew *c = news->crew;
    graces_worker_ended(c->graces, (uint32_t)(news - c->ended));
    c->options.worker_ended(c->options.user, (uint32_t)(news - c->ended));
    if (--c->alive == 0)
        c->options.ended(c->options.user);
}

static void on_worker_shut(struct loop *loop, struct message *m)
{
    (void)loop;
    struct crew *c = container_of(m, struct news, message)->crew;
    if (++c->shut_count == c->count)
        c->options.shut(c->options.user);
}

/* On the worker's thread. */
static void tell(const struct crew *c, const struct worker *w, struct news *news)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->workers[i] == w)
            loop_post(c->options.loop, &news[i].message);
    }
}

static void worker_shut(void *user, struct worker *w)
{
    struct crew *c = user;
    tell(c, w, c->shut);
}

static void worker_ended(void *user, struct worker *w)
{
    struct crew *c = user;
    tell(c, w, c->ended);
}

int crew_new(const struct crew_options *o, struct crew **ret_crew)
{
    struct crew *c = calloc(1, sizeof(*c));
    if (!c)
        return -(int)REASON_overload;
    c->options = *o;
    c->count = o->count;
    c->workers = calloc(c->count, sizeof(struct worker *));
    c->ended = calloc(c->count, sizeof(c->ended[0]));
    c->shut = calloc(c->count, sizeof(c->shut[0]));
    int r = c->workers && c->ended && c->shut ? 0 : -(int)REASON_overload;
    for (uint32_t i = 0; i < c->count && r == 0; i++) {
        struct worker_options each = o->worker;
        each.index = i;
        each.count = c->count;
        each.seed = o->seed ^ (0x9e3779b97f4a7c15u * (i + 1));
        each.shut = worker_shut;
        each.ended = worker_ended;
        each.user = c;
        c->shut[i] = (struct news){.message.fn = on_worker_shut, .crew = c};
        c->ended[i] = (struct news){.message.fn = on_worker_ended, .crew = c};
        r = worker_new(&each, &c->workers[i]);
    }
    if (r == 0)
        r = graces_new(o->loop, c->workers, c->count, &c->graces);
    if (r < 0) {
        crew_free(&c);
        return r;
    }
    *ret_crew = c;
    return 0;
}

int crew_start(struct crew *c)
{
    int r = 0;
    for (uint32_t i = 0; i < c->count && r == 0; i++) {
        r = worker_start(c->workers[i]);
        if (r == 0)
            c->alive++;
    }
    if (r < 0)
        crew_kill(c);
    return r;
}

uint32_t crew_count(const struct crew *c)
{
    return c->count;
}

struct loop *crew_loop(const struct crew *c)
{
    return c->options.loop;
}

uint32_t crew_alive(const struct crew *c)
{
    return c->alive;
}

struct worker *crew_worker(const struct crew *c, uint32_t index)
{
    return c->workers[index];
}

struct worker *const *crew_workers(const struct crew *c)
{
    return c->workers;
}

struct graces *crew_graces(const struct crew *c)
{
    return c->graces;
}

void crew_drain(struct crew *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        worker_drain(c->workers[i]);
}

void crew_kill(struct crew *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        worker_kill(c->workers[i]);
}

void crew_join(struct crew *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        const struct worker *w = c->workers[i];
        worker_join(c->workers[i]);
        log_info("worker", "stopped worker=%u accepted=%llu relieved=%llu", i,
                 (unsigned long long)worker_accepted(w), (unsigned long long)worker_relieved(w));
    }
}

void crew_free(struct crew **crew)
{
    struct crew *c = *crew;
    if (!c)
        return;
    graces_free(&c->graces);
    for (uint32_t i = 0; c->workers && i < c->count; i++)
        worker_free(&c->workers[i]);
    free(c->workers);
    free(c->shut);
    free(c->ended);
    free(c);
    *crew = NULL;
}

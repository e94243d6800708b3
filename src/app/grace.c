/* SPDX-License-Identifier: MIT */
/* One round at a time: `going` is what it is for, `waiting` what will share the next. */
#include "app/grace.h"

#include "account/reason.h"
#include "app/worker.h"
#include "base/check.h"

#include <stdatomic.h>
#include <stdlib.h>

struct pass {
    struct message message;
    struct graces *graces;
    uint32_t index;
    _Atomic bool due; /* has not passed in this round */
    bool ended;       /* control only: will not pass any more */
};

struct graces {
    struct loop *control;
    struct worker *const *workers;
    uint32_t worker_count;
    struct list going, waiting; /* `going` is read by workers during a round */
    _Atomic uint32_t left;      /* workers that have not passed */
    struct message over;
    bool closing;
    struct pass passes[];
};

static void passed(struct pass *p)
{
    struct graces *s = p->graces;
    if (atomic_exchange(&p->due, false) && atomic_fetch_sub(&s->left, 1) == 1)
        loop_post(s->control, &s->over);
}

/* On the worker's thread. */
static void on_pass(struct loop *loop UNUSED, struct message *m)
{
    struct pass *p = container_of(m, struct pass, message);
    struct worker *w = p->graces->workers[p->index];
    struct grace *g;
    list_each(g, &p->graces->going, link)
        if (g->visit)
            g->visit(g, w);
    passed(p);
}

static void begin_round(struct graces *s)
{
    list_splice_tail(&s->going, &s->waiting);
    atomic_store(&s->left, s->worker_count + 1);
    for (uint32_t i = 0; i < s->worker_count; i++) {
        struct pass *p = &s->passes[i];
        atomic_store(&p->due, true);
        if (p->ended)
            passed(p);
        else
            loop_post(worker_loop(s->workers[i]), &p->message);
    }
    if (atomic_fetch_sub(&s->left, 1) == 1)
        loop_post(s->control, &s->over);
}

static void finish_all(struct list *all)
{
    struct list over;
    list_init(&over);
    list_splice_tail(&over, all);
    struct list *link;
    while ((link = list_pop(&over)) != NULL) {
        struct grace *g = container_of(link, struct grace, link);
        g->done(g);
    }
}

static void on_over(struct loop *loop UNUSED, struct message *m)
{
    struct graces *s = container_of(m, struct graces, over);
    finish_all(&s->going);
    if (list_empty(&s->going) && !list_empty(&s->waiting))
        begin_round(s);
}

int graces_new(struct loop *control, struct worker *const *workers, uint32_t worker_count,
               struct graces **ret_graces)
{
    struct graces *s = calloc(1, sizeof(*s) + worker_count * sizeof(s->passes[0]));
    if (!s)
        return -(int)REASON_overload;
    s->control = control;
    s->workers = workers;
    s->worker_count = worker_count;
    s->over.fn = on_over;
    list_init(&s->going);
    list_init(&s->waiting);
    for (uint32_t i = 0; i < worker_count; i++) {
        s->passes[i].message.fn = on_pass;
        s->passes[i].graces = s;
        s->passes[i].index = i;
    }
    *ret_graces = s;
    return 0;
}

void graces_free(struct graces **graces)
{
    struct graces *s = *graces;
    if (!s)
        return;
    s->closing = true;
    while (!list_empty(&s->going) || !list_empty(&s->waiting)) {
        finish_all(&s->going);
        list_splice_tail(&s->going, &s->waiting);
    }
    free(s);
    *graces = NULL;
}

void grace_begin(struct graces *s, struct grace *g)
{
    list_init(&g->link);
    bool idle = list_empty(&s->going) && !s->closing;
    list_add_tail(&s->waiting, &g->link);
    if (idle)
        begin_round(s);
}

void graces_worker_ended(struct graces *s, uint32_t index)
{
    CHECK(index < s->worker_count);
    s->passes[index].ended = true;
    if (!list_empty(&s->going))
        passed(&s->passes[index]);
}

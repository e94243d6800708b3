/* SPDX-License-Identifier: MIT */
/*
 * A backend that is drained or removed has a struct leaving until that is complete. It moves on by
 * step(), whenever a view was published, a round ended or the poll timer fired, and is in exactly
 * one list: `fresh` until the view is without it, `waiting` afterwards. Nothing tells that the last
 * exchange has ended (that would cost every exchange something): the timer looks.
 */
#include "app/membership.h"

#include "app/member_conf.h"
#include "app/steer_say.h"
#include "app/worker.h"
#include "base/check.h"
#include "base/log.h"
#include "base/str.h"
#include "forward/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS    50
#define DETAIL_MAX 512
#define WHO_MAX    300

struct membership {
    struct membership_options options;
    struct list fresh, waiting; /* struct leaving */
    struct list retiring;       /* struct retiring that must try again */
    struct timer poll;
};

struct leaving {
    struct grace grace;
    struct list link;
    struct membership *m;
    struct backend *b;
    uint64_t began_ns;
    bool removing; /* else drained */
    bool rounding; /* a round is under way */
    bool visited;  /* … or was, since it is out of the view: idle connections are closed */
    bool last;     /* the round under way began when nothing ran */
};

/* ---- words ---- */

static const char *who(const struct backend *b, char text[WHO_MAX])
{
    char pool[WHO_MAX / 2 - 16], backend[WHO_MAX / 2 - 16];
    (void)snprintf(text, WHO_MAX, "pool=%s backend=%s",
                   log_value(pool, sizeof(pool), span_cstr(pool_conf(b->pool)->name)),
                   log_value(backend, sizeof(backend), span_cstr(b->conf->name)));
    return text;
}

static void tell(const struct membership *m, const struct backend *b, const char *change,
                 const char *detail)
{
    char text[WHO_MAX];
    log_info("pool", "%s change=%s%s%s", who(b, text), change, *detail ? " " : "", detail);
    if (!m->options.changed)
        return;
    (void)snprintf(text, sizeof(text), "%s/%s", pool_conf(b->pool)->name, b->conf->name);
    m->options.changed(m->options.user, "backend", text, change, detail);
}

static uint32_t in_flight(const struct backend *b)
{
    return atomic_load_explicit(&b->in_flight, memory_order_relaxed);
}

static void tell_in_flight(const struct membership *m, const struct backend *b, const char *change)
{
    char detail[DETAIL_MAX];
    (void)snprintf(detail, sizeof(detail), "in_flight=%u", in_flight(b));
    tell(m, b, change, detail);
}

static void tell_state(const struct leaving *l, const char *state)
{
    char text[WHO_MAX], time[FORMAT_SHORT_MAX];
    uint64_t ms = (loop_now(l->m->options.loop) - l->began_ns) / 1000000;
    log_info("pool", "%s state=%s after=%s", who(l->b, text), state, format_duration_ms(time, ms));
    if (!l->m->options.changed)
        return;
    (void)snprintf(text, sizeof(text), "%s/%s", pool_conf(l->b->pool)->name, l->b->conf->name);
    l->m->options.changed(l->m->options.user, "backend", text, state, "");
}

/* ---- leaving ---- */

static void give_up(struct leaving *l)
{
    CHECK(!l->rounding);
    *backend_user(l->b) = NULL;
    list_del(&l->link);
    free(l);
}

/* On each worker's thread. */
static void visit_leaving(struct grace *g, struct worker *w)
{
    const struct leaving *l = container_of(g, struct leaving, grace);
    forwarder_forget_backend(worker_forwarder(w), l->b);
}

static void begin_round(struct leaving *l, bool last)
{
    l->rounding = true;
    l->visited = true;
    l->last = last;
    list_move_tail(&l->m->waiting, &l->link);
    grace_begin(l->m->options.graces, &l->grace);
}

static void step(struct leaving *l)
{
    struct backend *b = l->b;
    uint32_t bits = l->removing ? BACKEND_REMOVED : BACKEND_DRAIN | BACKEND_DISABLED;
    if (l->rounding)
        return;
    if ((backend_admin(b) & bits) == 0) {
        give_up(l); /* the operator has changed his mind */
        return;
    }
    if ((atomic_load_explicit(&b->state, memory_order_relaxed) & bits) == 0)
        return; /* in the view still */
    if (!l->visited) {
        begin_round(l, false);
    } else if (backend_quiet(b)) {
        if (l->removing) {
            begin_round(l, true);
        } else {
            tell_state(l, "drained");
            give_up(l);
        }
    }
}

static void on_round(struct grace *g)
{
    struct leaving *l = container_of(g, struct leaving, grace);
    struct backend *b = l->b;
    l->rounding = false;
    if (l->last && backend_quiet(b) && health_forget(l->m->options.health, b)) {
        tell_state(l, "gone");
        give_up(l);
        pool_forget(b);
        return;
    }
    bool again = l->last;
    l->last = false;
    if (!again)
        step(l); /* else the timer looks again */
}

static void step_all(struct list *all)
{
    struct leaving *l;
    list_each_safe(l, all, link)
        step(l);
}

static void arm(struct membership *m)
{
    if (!timer_armed(&m->poll))
        loop_timer_set(m->options.loop, &m->poll, POLL_MS);
}

static void on_published(void *user, struct pool *pool UNUSED)
{
    struct membership *m = user;
    step_all(&m->fresh);
}

/* The backend is about to leave, or leaves in another way now. False when out of memory. */
static bool leave(struct membership *m, struct backend *b, bool removing)
{
    struct leaving *l = *backend_user(b);
    if (!l) {
        l = calloc(1, sizeof(*l));
        if (!l)
            return false;
        l->grace.visit = visit_leaving;
        l->grace.done = on_round;
        l->m = m;
        l->b = b;
        list_init(&l->link);
        *backend_user(b) = l;
    }
    list_move_tail(&m->fresh, &l->link);
    l->began_ns = loop_now(m->options.loop);
    l->removing = removing;
    l->visited = l->last = false;
    arm(m);
    return true;
}

/* ---- the operator's changes ---- */

static void done(struct steer_result *ret)
{
    ret->code = STEER_OK;
    ret->field = NULL;
    ret->message[0] = '\0';
}

static bool is_removed(const struct backend *b, struct steer_result *ret)
{
    if (!(backend_admin(b) & BACKEND_REMOVED))
        return false;
    steer_say(ret, STEER_CONFLICT, NULL, "backend '%s' is being removed", b->conf->name);
    return true;
}

static void added(struct membership *m, struct backend *b)
{
    char address[ADDRESS_TEXT_MAX], safe[ADDRESS_TEXT_MAX], detail[DETAIL_MAX];
    size_t n = address_format(&b->conf->address, address);
    (void)snprintf(detail, sizeof(detail), "address=%s weight=%u%s",
                   log_value(safe, sizeof(safe), span_of(address, n)), backend_weight(b),
                   b->conf->backup ? " backup=true" : "");
    tell(m, b, "added", detail);
    rotation_changed(m->options.rotation, b->pool);
}

void membership_add(void *user, struct pool *pool, const struct steer_backend *asked,
                    struct steer_result *ret)
{
    struct membership *m = user;
    struct member_conf conf;
    if (!member_conf_init(&conf, asked, ret))
        return;
    if (pool_find(pool, span_cstr(conf.name))) {
        steer_say(ret, STEER_CONFLICT, "name", "pool '%s' has a backend '%s' already",
                  pool_conf(pool)->name, conf.name);
        return;
    }
    if (pool->member_count >= BACKENDS_MAX) {
        steer_say(ret, STEER_CONFLICT, NULL, "pool '%s' has %d backends, and takes no more",
                  pool_conf(pool)->name, BACKENDS_MAX);
        return;
    }
    struct backend *b = pool_add(pool, &conf.conf);
    if (!b || health_add(m->options.health, b) < 0) {
        if (b)
            pool_forget(b);
        steer_say(ret, STEER_FAILED, NULL, "out of memory or of places for backends");
        return;
    }
    added(m, b);
    done(ret);
}

static bool removed(struct membership *m, struct backend *b)
{
    if (!leave(m, b, true))
        return false;
    tell_in_flight(m, b, "removed");
    backend_admin_set(b, backend_admin(b) | BACKEND_REMOVED);
    health_remove(m->options.health, b);
    rotation_changed(m->options.rotation, b->pool);
    return true;
}

void membership_remove(void *user, struct backend *b, struct steer_result *ret)
{
    if (is_removed(b, ret))
        return;
    if (removed(user, b))
        done(ret);
    else
        steer_say(ret, STEER_FAILED, NULL, "out of memory");
}

void membership_set_weight(void *user, struct backend *b, uint32_t weight, struct steer_result *ret)
{
    struct membership *m = user;
    char detail[DETAIL_MAX];
    if (weight > BACKEND_WEIGHT_MAX) {
        steer_say(ret, STEER_BAD, "weight", "a weight is a number from 0 to %d",
                  BACKEND_WEIGHT_MAX);
        return;
    }
    if (is_removed(b, ret))
        return;
    done(ret);
    if (backend_weight(b) == weight)
        return;
    (void)snprintf(detail, sizeof(detail), "from=%u to=%u", backend_weight(b), weight);
    backend_weight_set(b, weight);
    tell(m, b, "weight", detail);
    rotation_changed(m->options.rotation, b->pool);
}

void membership_set_state(void *user, struct backend *b, enum admin_state state,
                          struct steer_result *ret)
{
    static const uint32_t bits[] = {
        [ADMIN_READY] = 0, [ADMIN_DRAIN] = BACKEND_DRAIN, [ADMIN_DISABLED] = BACKEND_DISABLED};
    static const char *const words[] = {
        [ADMIN_READY] = "enabled", [ADMIN_DRAIN] = "draining", [ADMIN_DISABLED] = "disabled"};
    struct membership *m = user;
    CHECK((size_t)state < ARRAY_LEN(bits));
    if (is_removed(b, ret))
        return;
    done(ret);
    if (backend_admin(b) == bits[state])
        return;
    if (state != ADMIN_READY && !leave(m, b, false)) {
        steer_say(ret, STEER_FAILED, NULL, "out of memory");
        return;
    }
    backend_admin_set(b, bits[state]);
    tell_in_flight(m, b, words[state]);
    rotation_changed(m->options.rotation, b->pool);
}

enum admin_state membership_state(const struct backend *b)
{
    uint32_t bits = backend_admin(b);
    return bits & BACKEND_DISABLED ? ADMIN_DISABLED
           : bits & BACKEND_DRAIN  ? ADMIN_DRAIN
                                   : ADMIN_READY;
}

/* ---- the reload's ---- */

struct reconfiguring {
    struct membership *m;
    membership_note_fn *note;
    void *user;
};

static void on_note(void *user, const char *change, const char *name, const char *detail)
{
    const struct reconfiguring *r = user;
    if (r->note)
        r->note(r->user, change, name, detail);
}

static int on_added(void *user, struct backend *b)
{
    const struct reconfiguring *r = user;
    return health_add(r->m->options.health, b);
}

static void on_unadded(void *user, struct backend *b)
{
    const struct reconfiguring *r = user;
    CHECK(health_forget(r->m->options.health, b));
}

/* REMOVED is set already. */
static void on_removed(void *user, struct backend *b)
{
    const struct reconfiguring *r = user;
    if (!leave(r->m, b, true))
        log_warn("pool", "out of memory: a removed backend keeps its place until the end");
    health_remove(r->m->options.health, b);
}

int membership_reconfigure(struct membership *m, struct pool *pool, const struct snapshot *s,
                           uint32_t index, bool plan_only, membership_note_fn *note, void *user)
{
    static const struct pool_change_ops ops = {
        .note = on_note, .added = on_added, .unadded = on_unadded, .removed = on_removed};
    struct reconfiguring r = {.m = m, .note = note, .user = user};
    CHECK(index < s->pool_count);
    if (!plan_only && s->pools[index].max_connections && !queue_attach(pool))
        return -(int)REASON_overload;
    int rc = pool_reconfigure(pool, s, index, plan_only, &ops, &r);
    if (rc < 0 || plan_only)
        return rc;
    health_pool_changed(m->options.health, pool);
    rotation_changed(m->options.rotation, pool);
    return 0;
}

/* ---- a pool goes ---- */

struct retiring {
    struct grace grace;
    struct list link;
    struct membership *m;
    struct pool *pool;
    void (*done)(void *user);
    void *user;
};

void membership_pool_leaves(struct membership *m, struct pool *pool)
{
    for (uint32_t slot = 0; slot < pool_backend_count(pool); slot++) {
        struct backend *b = &pool->backends[slot];
        if (backend_exists(b))
            health_remove(m->options.health, b);
    }
}

static void visit_retiring(struct grace *g, struct worker *w)
{
    const struct pool *pool = container_of(g, struct retiring, grace)->pool;
    for (uint32_t slot = 0; slot < pool_backend_count(pool); slot++)
        forwarder_forget_backend(worker_forwarder(w), &pool->backends[slot]);
}

/* No round of a backend of this pool is under way, and all that was known of them is forgotten. */
static bool forget_leaving(struct list *all, const struct pool *pool)
{
    struct leaving *l;
    bool clear = true;
    list_each_safe(l, all, link) {
        if (l->b->pool != pool)
            continue;
        clear = clear && !l->rounding;
        if (!l->rounding)
            give_up(l);
    }
    return clear;
}

static bool forget_backends(struct membership *m, const struct pool *pool)
{
    bool clear = true;
    for (uint32_t slot = 0; slot < pool_backend_count(pool); slot++) {
        struct backend *b = &pool->backends[slot];
        if (!backend_exists(b))
            continue;
        clear &= backend_quiet(b) && health_forget(m->options.health, b);
    }
    return clear;
}

static void retire(struct retiring *r)
{
    struct membership *m = r->m;
    bool clear = forget_leaving(&m->fresh, r->pool);
    clear &= forget_leaving(&m->waiting, r->pool);
    clear &= forget_backends(m, r->pool);
    if (!clear) {
        list_del(&r->link);
        list_add_tail(&m->retiring, &r->link);
        arm(m);
        return;
    }
    list_del(&r->link);
    rotation_forget(m->options.rotation, r->pool);
    queue_detach(r->pool);
    pool_free(&r->pool);
    r->done(r->user);
    free(r);
}

static void on_retired(struct grace *g)
{
    retire(container_of(g, struct retiring, grace));
}

int membership_pool_retire(struct membership *m, struct pool *pool, void (*done_fn)(void *user),
                           void *user)
{
    struct retiring *r = calloc(1, sizeof(*r));
    if (!r)
        return -(int)REASON_overload;
    membership_pool_leaves(m, pool);
    r->grace.visit = visit_retiring;
    r->grace.done = on_retired;
    r->m = m;
    r->pool = pool;
    r->done = done_fn;
    r->user = user;
    list_init(&r->link);
    grace_begin(m->options.graces, &r->grace);
    return 0;
}

/* ---- all of it ---- */

static void on_poll(struct timer *t)
{
    struct membership *m = container_of(t, struct membership, poll);
    struct retiring *r;
    step_all(&m->fresh);
    step_all(&m->waiting);
    list_each_safe(r, &m->retiring, link)
        retire(r);
    if (!list_empty(&m->fresh) || !list_empty(&m->waiting) || !list_empty(&m->retiring))
        arm(m);
}

int membership_new(const struct membership_options *o, struct membership **ret_membership)
{
    struct membership *m = calloc(1, sizeof(*m));
    if (!m)
        return -(int)REASON_overload;
    m->options = *o;
    list_init(&m->fresh);
    list_init(&m->waiting);
    list_init(&m->retiring);
    timer_init(&m->poll, on_poll);
    rotation_on_published(o->rotation, on_published, m);
    *ret_membership = m;
    return 0;
}

void membership_free(struct membership **membership)
{
    struct membership *m = *membership;
    if (!m)
        return;
    struct leaving *l;
    struct retiring *r;
    loop_timer_stop(m->options.loop, &m->poll);
    rotation_on_published(m->options.rotation, NULL, NULL);
    list_splice_tail(&m->waiting, &m->fresh);
    list_each_safe(l, &m->waiting, link)
        give_up(l);
    list_each_safe(r, &m->retiring, link) {
        list_del(&r->link);
        r->done(r->user);
        free(r);
    }
    free(m);
    *membership = NULL;
}

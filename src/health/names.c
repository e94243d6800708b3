/* SPDX-License-Identifier: MIT */
/*
 * Backends that are given by name: looked up, and looked up again as long as we run.
 *
 *   due timer ──▶ (LOOKUPS_MAX under way: waiting list) ──▶ lookup ──answer──▶ due timer
 *                     answered: again after 30 s · failed: after 1 s, doubled up to 30 s
 *
 * An address is published as one immutable object behind backend->address. Workers may hold the
 * pointer they loaded across a connect, so an object that was replaced is freed only after a grace
 * period longer than any of them looks at it. An address that is still among the answers stays, as
 * servers rotate them; a name that stops resolving keeps the address it had.
 */
#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "health/health_priv.h"
#include "io/resolver.h"

#include <stdlib.h>

#define RELOOKUP_MS  30000
#define RETRY_MS_MIN 1000
#define RETRY_MS_MAX 30000
#define GRACE_MS     60000

struct published {
    struct address address;
    uint64_t free_at_ms;
    struct list link;
};

struct name {
    struct target *target;
    struct timer due;
    struct list waiting;
    struct resolver_query *query; /* while a lookup is under way */
    struct published *now;        /* what backend->address points at, or NULL */
    uint32_t retry_ms;
    bool failing; /* has been logged */
};

struct names {
    struct health *health;
    struct resolver *resolver;
    uint32_t running;
    struct list waiting; /* for a place among LOOKUPS_MAX */
    struct list retired; /* published objects, oldest first */
    struct timer reap;
};

static struct names *names_of(const struct name *n)
{
    return n->target->health->names;
}

/* ---- publishing ---- */

static void on_reap(struct timer *t)
{
    struct names *all = container_of(t, struct names, reap);
    uint64_t now = health_now_ms(all->health);
    struct published *p;
    list_each_safe(p, &all->retired, link) {
        if (p->free_at_ms > now) {
            loop_timer_set(all->health->loop, t, p->free_at_ms - now);
            return;
        }
        list_del(&p->link);
        free(p);
    }
}

static void retire(struct names *all, struct published *p)
{
    p->free_at_ms = health_now_ms(all->health) + GRACE_MS;
    if (list_empty(&all->retired))
        loop_timer_set(all->health->loop, &all->reap, GRACE_MS);
    list_add_tail(&all->retired, &p->link);
}

static void publish(struct name *n, const struct address *address)
{
    struct published *p = calloc(1, sizeof(*p));
    if (!p)
        return; /* the next lookup tries again */
    char who[TARGET_TEXT_MAX], text[ADDRESS_TEXT_MAX];
    struct published *old = n->now;
    struct target *t = n->target;
    p->address = *address;
    list_init(&p->link);
    n->now = p;
    (void)address_format(address, text);
    atomic_store_explicit(&t->backend->address, &p->address, memory_order_release);
    log_info("health", "%s state=%s address=%s", target_text(t, who), old ? "moved" : "resolved",
             text);
    if (old)
        retire(names_of(n), old);
    target_state(t, 0, BACKEND_UNRESOLVED);
    target_probe_soon(t);
}

/* ---- lookups ---- */

static void succeeded(struct name *n, const struct address *addresses, size_t count)
{
    n->failing = false;
    n->retry_ms = RETRY_MS_MIN;
    for (size_t i = 0; n->now && i < count; i++)
        if (address_equal(&n->now->address, &addresses[i]))
            return;
    publish(n, &addresses[0]);
}

static void failed(struct name *n, enum reason why)
{
    char who[TARGET_TEXT_MAX], host[ADDRESS_TEXT_MAX];
    n->retry_ms = MIN(n->retry_ms * 2, (uint32_t)RETRY_MS_MAX);
    if (n->failing)
        return;
    n->failing = true;
    log_warn("health", "%s state=%s reason=%s name=%s", target_text(n->target, who),
             n->now ? "stale" : "unresolved", reason_name(why),
             log_value(host, sizeof(host), span_cstr(n->target->backend->conf->address.text)));
}

void name_answered(struct name *n, enum reason why, const struct address *addresses, size_t count)
{
    uint64_t again_ms = n->retry_ms;
    if (why == REASON_ok) {
        CHECK(count > 0);
        again_ms = RELOOKUP_MS;
        succeeded(n, addresses, count);
    } else {
        failed(n, why);
    }
    loop_timer_set(n->target->health->loop, &n->due, again_ms);
}

static void begin_waiting(struct names *all);

static void on_resolved(struct resolver_query *q, enum reason why, const struct address *addresses,
                        size_t count)
{
    struct name *n = q->user;
    struct names *all = names_of(n);
    all->running--;
    n->query = NULL;
    name_answered(n, why, addresses, count);
    free(q);
    begin_waiting(all);
}

static void begin(struct name *n)
{
    struct names *all = names_of(n);
    const struct address *name = &n->target->backend->conf->address;
    n->query = calloc(1, sizeof(*n->query));
    if (!n->query) {
        name_answered(n, REASON_overload, NULL, 0);
        return;
    }
    all->running++;
    n->query->user = n;
    resolver_lookup(all->resolver, n->query, name->text, name->port, on_resolved);
}

static void begin_waiting(struct names *all)
{
    struct list *link;
    while (all->running < LOOKUPS_MAX && (link = list_pop(&all->waiting)) != NULL)
        begin(list_entry(link, struct name, waiting));
}

static void on_due(struct timer *t)
{
    struct name *n = container_of(t, struct name, due);
    list_add_tail(&names_of(n)->waiting, &n->waiting);
    begin_waiting(names_of(n));
}

/* ---- start and stop ---- */

static int names_new(struct health *h)
{
    struct names *all = calloc(1, sizeof(*all));
    int rc = all ? resolver_new(h->loop, NULL, &all->resolver) : -(int)REASON_overload;
    if (rc < 0) {
        free(all);
        return rc;
    }
    all->health = h;
    list_init(&all->waiting);
    list_init(&all->retired);
    timer_init(&all->reap, on_reap);
    h->names = all;
    return 0;
}

int name_add(struct target *t)
{
    struct health *h = t->health;
    if (t->backend->conf->address.kind != ADDRESS_NAME)
        return 0;
    int rc = h->names ? 0 : names_new(h);
    struct name *n = rc == 0 ? calloc(1, sizeof(*n)) : NULL;
    if (!n)
        return rc < 0 ? rc : -(int)REASON_overload;
    n->target = t;
    n->retry_ms = RETRY_MS_MIN;
    list_init(&n->waiting);
    timer_init(&n->due, on_due);
    loop_timer_set(h->loop, &n->due, 0);
    t->name = n;
    return 0;
}

void name_remove(struct target *t)
{
    struct name *n = t->name;
    if (!n)
        return;
    loop_timer_stop(t->health->loop, &n->due);
    list_del(&n->waiting);
    if (!n->query)
        return;
    struct names *all = names_of(n);
    resolver_cancel(n->query);
    free(n->query);
    n->query = NULL;
    all->running--;
    if (!t->health->stopped)
        begin_waiting(all);
}

void name_free(struct target *t)
{
    struct name *n = t->name;
    if (!n)
        return;
    free(n->now);
    free(n);
    t->name = NULL;
}

void names_stop(struct health *h)
{
    struct names *all = h->names;
    if (!all)
        return;
    resolver_free(&all->resolver);
    loop_timer_stop(h->loop, &all->reap);
    struct published *p;
    list_each_safe(p, &all->retired, link)
        free(p);
    free(all);
    h->names = NULL;
}

struct name *name_of(const struct backend *b)
{
    return b->health->name;
}

/* SPDX-License-Identifier: MIT */
/*
 * Contexts that were replaced are given back after a grace round: a worker that has just looked one
 * up takes its reference within its turn.
 */
#include "app/certificates_priv.h"

#include "account/reason.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* How often files are looked at; when they have changed they are read once nothing has changed any
 * more for a while, as certificate and key are seldom written in one step. */
#define LOOK_MS   10000
#define SETTLE_MS 1000

#define ROTATE_MS (12 * 3600 * 1000)

/* Something to be given back after a grace round. */
struct outgoing {
    struct grace grace;
    struct identity *identity;
    struct trust *trust;
};

/* ---- files that change while all goes on ---- */

static void on_out(struct grace *g)
{
    struct outgoing *o = container_of(g, struct outgoing, grace);
    identity_unref(&o->identity);
    trust_unref(&o->trust);
    free(o);
}

static void let_go(struct certificates *c, struct outgoing *o, struct identity *identity,
                   struct trust *trust)
{
    *o = (struct outgoing){.grace.done = on_out, .identity = identity, .trust = trust};
    grace_begin(crew_graces(c->crew), &o->grace);
}

static void log_refused(const struct certificates_refusal *why)
{
    log_error("tls", "%s; what was read before stays in use", why->text);
}

static void log_loaded(const struct listener_conf *l, const struct identity *i)
{
    log_info("tls", "certificates read again listener=%s certificates=%zu fingerprint=%.16s",
             l->name, i->certificate_count, i->certificates[0].facts->fingerprint);
}

/* Certificates of one listener, read again by a thread of its own: a thousand take seconds. */
struct renewal {
    struct message message; /* it is done */
    struct certificates *owner;
    pthread_t thread;
    struct credentials_kit kit;
    const struct secrets *of;        /* whose listener; it may be gone when this is done */
    const struct snapshot *snapshot; /* one reference */
    size_t index;
    uint64_t stamp;
    struct certificates_refusal refusal;
    struct outgoing *outgoing; /* for what is replaced */
    struct identity *result;   /* NULL: refused */
};

static void *renew_on_thread(void *arg)
{
    struct renewal *r = arg;
    const struct listener_conf *l = &r->snapshot->listeners[r->index];
    struct telling telling = {r->snapshot, "listener", l->name, &r->refusal};
    const struct credentials_notes notes = {certificates_note, &telling};
    r->result = identity_load(&r->kit, l, &notes);
    loop_post(r->owner->loop, &r->message);
    return NULL;
}

static void renewal_free(struct renewal *r)
{
    identity_unref(&r->result);
    snapshot_unref(&r->snapshot);
    free(r->outgoing);
    free(r);
}

static void take_renewal(struct certificates *c, struct renewal *r)
{
    struct site *site = &c->present->sites[r->index];
    if (!r->result) {
        site->failed_stamp = r->stamp;
        site->identity->staple_until_s = INT64_MAX; /* not again before a file changes */
        log_refused(&r->refusal);
        return;
    }
    let_go(c, r->outgoing, site->identity, NULL);
    r->outgoing = NULL;
    site->identity = r->result;
    r->result = NULL;
    site->failed_stamp = 0;
    site_publish(site);
    memset(site->told, 0, site->identity->certificate_count * sizeof(site->told[0]));
    log_loaded(&r->snapshot->listeners[r->index], site->identity);
}

static void look_soon(struct certificates *c);

static void on_renewed(struct loop *loop, struct message *m)
{
    (void)loop;
    struct renewal *r = container_of(m, struct renewal, message);
    struct certificates *c = r->owner;
    (void)pthread_join(r->thread, NULL);
    c->renewal = NULL;
    if (c->present && c->present->snapshot == r->snapshot) /* else there was a reload */
        take_renewal(c, r);
    renewal_free(r);
    look_soon(c);
}

/* False: nothing was begun. */
static bool begin_renewal(struct certificates *c, size_t index, uint64_t stamp)
{
    struct renewal *r = calloc(1, sizeof(*r));
    if (!r)
        return false;
    *r = (struct renewal){.message.fn = on_renewed,
                          .owner = c,
                          .kit = c->kit,
                          .snapshot = snapshot_ref(c->present->snapshot),
                          .index = index,
                          .stamp = stamp,
                          .outgoing = malloc(sizeof(*r->outgoing))};
    c->renewal = r;
    if (r->outgoing && pthread_create(&r->thread, NULL, renew_on_thread, r) == 0)
        return true;
    c->renewal = NULL;
    renewal_free(r);
    log_error("tls", "no thread to read certificates with");
    return false;
}

/* Whether it has to be read again, and that has begun. */
static bool renew_listener(struct certificates *c, size_t index)
{
    const struct listener_conf *l = &c->present->snapshot->listeners[index];
    struct site *site = &c->present->sites[index];
    uint64_t stamp;
    if (!site->identity || !identity_stamp(c->door, l, &stamp))
        return false;
    bool over = site->identity->staple_until_s <= c->kit.now_s;
    bool changed = stamp != site->identity->stamp && stamp != site->failed_stamp;
    return (over || changed) && begin_renewal(c, index, stamp);
}

static void renew_pool(struct certificates *c, size_t index)
{
    struct secrets *x = c->present;
    const struct pool_conf *p = &x->snapshot->pools[index];
    struct certificates_refusal why = {0};
    struct telling telling = {x->snapshot, "pool", p->name, &why};
    const struct credentials_notes notes = {certificates_note, &telling};
    struct trust *t = x->trusts[index], *now = NULL;
    uint64_t stamp;
    if (!t || !trust_stamp(c->door, p, &stamp) || stamp == t->stamp ||
        stamp == x->trust_failed[index])
        return;
    struct outgoing *o = malloc(sizeof(*o));
    for (size_t i = 0; o && i < index && !now; i++) { /* one that was renewed just now */
        if (x->trusts[i] && x->trusts[i]->stamp == stamp &&
            trust_conf_equal(&x->snapshot->pools[i], p))
            now = trust_ref(x->trusts[i]);
    }
    if (o && !now)
        now = trust_load(&c->kit, p, &notes);
    if (!now) {
        x->trust_failed[index] = stamp;
        log_refused(&why);
        free(o);
        return;
    }
    certificates_give(c->pools[index], now);
    let_go(c, o, NULL, t);
    x->trusts[index] = now;
    x->trust_failed[index] = 0;
    log_info("tls", "files of TLS read again pool=%s", p->name);
}

/* One listener after the other, as each is done; false: there is no more to be done. */
static bool renew_next(struct certificates *c)
{
    size_t i = 0;
    while (i < c->present->snapshot->listener_count && !renew_listener(c, i))
        i++;
    return i < c->present->snapshot->listener_count;
}

static void renew_pools(struct certificates *c)
{
    for (size_t i = 0; i < c->present->snapshot->pool_count; i++)
        renew_pool(c, i);
}

/* One stamp of everything: where the door has none, made of all there are. */
static bool look_at_all(struct certificates *c, uint64_t *ret_stamp)
{
    const struct snapshot *s = c->present->snapshot;
    uint64_t stamp;
    if (door_tls_look(c->door, NULL, ret_stamp))
        return true;
    *ret_stamp = 0;
    for (size_t i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].tls.enabled && identity_stamp(c->door, &s->listeners[i], &stamp))
            *ret_stamp = tls_file_stamp_add(*ret_stamp, stamp);
    }
    for (size_t i = 0; i < s->pool_count; i++) {
        if (s->pools[i].tls.enabled && trust_stamp(c->door, &s->pools[i], &stamp))
            *ret_stamp = tls_file_stamp_add(*ret_stamp, stamp);
    }
    return true;
}

/* What time alone brings about. True: a stapled response has ended. */
static bool look_at_the_clock(struct certificates *c)
{
    const struct secrets *x = c->present;
    bool ended = false;
    c->kit.now_s = certificates_now_s(c);
    for (size_t i = 0; i < x->snapshot->listener_count; i++) {
        struct site *site = &x->sites[i];
        if (!site->identity)
            continue;
        certificates_tell_expiry(c, &x->snapshot->listeners[i], site);
        ended |= site->identity->staple_until_s <= c->kit.now_s;
    }
    return ended;
}

/* Also after each listener that was read again: there may be others. */
static void look_soon(struct certificates *c)
{
    if (c->present && !renew_next(c)) {
        renew_pools(c);
        loop_timer_set(c->loop, &c->look, c->look_ms);
    }
}

static void on_look(struct timer *t)
{
    struct certificates *c = container_of(t, struct certificates, look);
    uint64_t wait_ms = c->look_ms, stamp;
    if (!c->present || c->renewal)
        return;
    bool due = look_at_the_clock(c);
    if (look_at_all(c, &stamp) && stamp != c->done) {
        if (stamp == c->seen) {
            c->done = stamp;
            due = true;
        } else {
            c->seen = stamp;
            wait_ms = MIN(c->look_ms, (uint64_t)SETTLE_MS);
        }
    }
    if (due)
        look_soon(c);
    else
        loop_timer_set(c->loop, &c->look, wait_ms);
}

static void on_rotate(struct timer *t)
{
    struct certificates *c = container_of(t, struct certificates, rotate);
    if (c->kit.tickets && tls_tickets_rotate(c->kit.tickets) < 0)
        log_error("tls", "no randomness for another ticket key; the keys stay as they are");
    loop_timer_set(c->loop, &c->rotate, ROTATE_MS);
}

void certificates_watch_init(struct certificates *c)
{
    const char *word = getenv("POISE_TLS_LOOK_MS"); /* for tests */
    if (!word || !span_to_u64(span_cstr(word), &c->look_ms) || c->look_ms == 0)
        c->look_ms = LOOK_MS;
    timer_init(&c->look, on_look);
    timer_init(&c->rotate, on_rotate);
}

void certificates_watch(struct certificates *c)
{
    c->seen = c->done = 0;
    loop_timer_stop(c->loop, &c->look);
    if (!c->present)
        return;
    loop_timer_set(c->loop, &c->look, c->look_ms);
    if (!timer_armed(&c->rotate))
        loop_timer_set(c->loop, &c->rotate, ROTATE_MS);
}

void certificates_watch_fini(struct certificates *c)
{
    loop_timer_stop(c->loop, &c->look);
    loop_timer_stop(c->loop, &c->rotate);
    if (!c->renewal)
        return;
    (void)pthread_join(c->renewal->thread, NULL);
    renewal_free(c->renewal);
}

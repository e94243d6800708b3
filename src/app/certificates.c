/* SPDX-License-Identifier: MIT */
/*
 * Contexts that were replaced are given back after a grace round: a worker that has just looked one
 * up takes its reference within its turn.
 */
#include "app/certificates.h"

#include "account/reason.h"
#include "app/credentials.h"
#include "app/expiry.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* How often files are looked at; when they have changed they are read once nothing has changed any
 * more for a while, as certificate and key are seldom written in one step. */
#define LOOK_MS   10000
#define SETTLE_MS 1000

#define ROTATE_MS (12 * 3600 * 1000)

/* A listener of one generation. */
struct site {
    struct identity *identity; /* NULL: no TLS */
    _Atomic(struct tls_server *) *servers;
    struct expiry_told *told; /* by certificate */
    uint64_t failed_stamp;    /* of files that were no good */
};

struct secrets {
    const struct snapshot *snapshot; /* one reference */
    struct site *sites;              /* by listener */
    struct trust **trusts;           /* by pool; NULL: no TLS */
    uint64_t *trust_failed;          /* by pool */
};

struct certificates {
    struct crew *crew;
    struct loop *loop;
    struct door *door;
    struct credentials_kit kit; /* libraries NULL: none were needed so far */
    struct secrets *present;
    struct pool *const *pools; /* of the present ones */
    struct timer look, rotate;
    uint64_t look_ms;
    uint64_t seen, done; /* stamps of all files: at the last look, and when they were dealt with */
};

/* Something to be given back after a grace round. */
struct outgoing {
    struct grace grace;
    struct identity *identity;
    struct trust *trust;
};

/* ---- lifetime of the store ---- */

static void on_look(struct timer *t);
static void on_rotate(struct timer *t);

struct certificates *certificates_new(struct crew *crew, struct door *door)
{
    struct certificates *c = calloc(1, sizeof(*c));
    const char *word = getenv("POISE_TLS_LOOK_MS"); /* for tests */
    if (!c)
        return NULL;
    c->crew = crew;
    c->loop = crew_loop(crew);
    c->door = door;
    c->look_ms = LOOK_MS;
    if (!word || !span_to_u64(span_cstr(word), &c->look_ms) || c->look_ms == 0)
        c->look_ms = LOOK_MS;
    timer_init(&c->look, on_look);
    timer_init(&c->rotate, on_rotate);
    return c;
}

static void free_libraries(struct certificates *c)
{
    struct credentials_kit *kit = &c->kit;
    for (uint32_t i = 0; kit->libraries && i < kit->workers; i++)
        tls_library_free(&kit->libraries[i]);
    free(kit->libraries);
    tls_library_free(&kit->control);
    tls_tickets_free(&kit->tickets);
    *kit = (struct credentials_kit){0};
}

void certificates_free(struct certificates **certificates)
{
    struct certificates *c = *certificates;
    if (!c)
        return;
    *certificates = NULL;
    loop_timer_stop(c->loop, &c->look);
    loop_timer_stop(c->loop, &c->rotate);
    free_libraries(c);
    free(c);
}

static int64_t now_s(const struct certificates *c)
{
    return (int64_t)(loop_wall_ms(c->loop) / 1000);
}

static bool make_libraries(struct certificates *c)
{
    struct credentials_kit *kit = &c->kit;
    if (kit->libraries)
        return true;
    kit->door = c->door;
    kit->workers = crew_count(c->crew);
    kit->libraries = calloc(kit->workers, sizeof(kit->libraries[0]));
    int r = kit->libraries ? tls_library_new(&kit->control) : -(int)REASON_overload;
    for (uint32_t i = 0; r == 0 && i < kit->workers; i++)
        r = tls_library_new(&kit->libraries[i]);
    if (r == 0)
        r = tls_tickets_new(&kit->tickets);
    if (r < 0)
        free_libraries(c);
    return r == 0;
}

/* ---- secrets ---- */

static bool uses_tls(const struct snapshot *s)
{
    bool uses = false;
    for (size_t i = 0; i < s->listener_count; i++)
        uses |= s->listeners[i].tls.enabled;
    for (size_t i = 0; i < s->pool_count; i++)
        uses |= s->pools[i].tls.enabled;
    return uses;
}

static struct secrets *secrets_new(const struct snapshot *s)
{
    struct secrets *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->snapshot = snapshot_ref(s);
    x->sites = calloc(s->listener_count + 1, sizeof(x->sites[0]));
    x->trusts = calloc(s->pool_count + 1, sizeof(struct trust *));
    x->trust_failed = calloc(s->pool_count + 1, sizeof(uint64_t));
    if (!x->sites || !x->trusts || !x->trust_failed)
        secrets_free(&x);
    return x;
}

void secrets_free(struct secrets **secrets)
{
    struct secrets *x = *secrets;
    if (!x)
        return;
    *secrets = NULL;
    for (size_t i = 0; x->sites && i < x->snapshot->listener_count; i++) {
        identity_unref(&x->sites[i].identity);
        free(x->sites[i].servers);
        free(x->sites[i].told);
    }
    for (size_t i = 0; x->trusts && i < x->snapshot->pool_count; i++)
        trust_unref(&x->trusts[i]);
    free(x->sites);
    free(x->trusts);
    free(x->trust_failed);
    snapshot_unref(&x->snapshot);
    free(x);
}

_Atomic(struct tls_server *) *secrets_servers(const struct secrets *s, size_t listener)
{
    return s ? s->sites[listener].servers : NULL;
}

/* ---- telling ---- */

/* Notes of a load: warnings go to the log, the first of the others is kept. */
struct telling {
    const struct snapshot *snapshot;
    const char *kind, *name; /* "listener", "web" */
    struct certificates_refusal *refusal;
};

static void on_note(void *user, enum credentials_level level, const struct origin *where,
                    const char *text)
{
    const struct telling *t = user;
    char line[sizeof(t->refusal->text)];
    (void)snprintf(line, sizeof(line), "%s:%u: %s %s: %s", t->snapshot->source, where->line,
                   t->kind, t->name, text);
    if (level == CREDENTIALS_WARNING) {
        log_warn("tls", "%s", line);
    } else if (t->refusal->text[0] == '\0') {
        t->refusal->invalid = level == CREDENTIALS_INVALID;
        memcpy(t->refusal->text, line, sizeof(line));
    }
}

static void tell_expiry(const struct certificates *c, const struct listener_conf *l,
                        struct site *site)
{
    int64_t now = now_s(c);
    char text[EXPIRY_TEXT_MAX], file[512];
    for (size_t i = 0; i < site->identity->certificate_count; i++) {
        const struct tls_certificate_facts *facts = site->identity->certificates[i].facts;
        enum expiry what = expiry_of(facts->not_after_s, now);
        if (!expiry_due(&site->told[i], what, now))
            continue;
        (void)expiry_text(facts->not_after_s, now, text);
        (void)log_value(file, sizeof(file), span_cstr(l->tls.certificates[i].cert));
        if (what == EXPIRY_NEAR)
            log_warn("tls", "certificate %s listener=%s file=%s", text, l->name, file);
        else
            log_error("tls", "certificate %s listener=%s file=%s", text, l->name, file);
    }
}

/* ---- reading all of a configuration ---- */

static bool make_site(struct certificates *c, const struct listener_conf *l, struct site *site)
{
    size_t bytes = c->kit.workers * sizeof(site->servers[0]);
    site->servers = calloc(1, bytes);
    site->told = calloc(l->tls.certificate_count + 1, sizeof(site->told[0]));
    return site->servers && site->told;
}

static void publish(struct site *site)
{
    for (uint32_t i = 0; i < site->identity->workers; i++)
        atomic_store_explicit(&site->servers[i], site->identity->servers[i], memory_order_release);
}

/* What the present generation has for a listener that asks for the same, if no file has changed. */
static bool share_identity(struct certificates *c, const struct listener_conf *l, struct site *to)
{
    const struct secrets *p = c->present;
    uint64_t stamp;
    for (size_t i = 0; p && i < p->snapshot->listener_count; i++) {
        const struct site *site = &p->sites[i];
        if (!site->identity || !identity_conf_equal(&p->snapshot->listeners[i], l))
            continue;
        if (!identity_stamp(c->door, l, &stamp) || stamp != site->identity->stamp)
            return false;
        to->identity = identity_ref(site->identity);
        memcpy(to->told, site->told, l->tls.certificate_count * sizeof(to->told[0]));
        return true;
    }
    return false;
}

static int no_memory(struct certificates_refusal *why)
{
    *why = (struct certificates_refusal){.text = "TLS: out of memory"};
    return -(int)REASON_overload;
}

static int prepare_listener(struct certificates *c, struct secrets *x, size_t index,
                            struct certificates_refusal *why)
{
    const struct listener_conf *l = &x->snapshot->listeners[index];
    struct site *site = &x->sites[index];
    struct telling telling = {x->snapshot, "listener", l->name, why};
    const struct credentials_notes notes = {on_note, &telling};
    if (!l->tls.enabled)
        return 0;
    if (!make_site(c, l, site))
        return no_memory(why);
    if (!share_identity(c, l, site))
        site->identity = identity_load(&c->kit, l, &notes);
    if (!site->identity)
        return -(int)REASON_system_error;
    publish(site);
    tell_expiry(c, l, site);
    return 0;
}

/* Pools that ask for the same share one, which may be that of the generation before. */
static struct trust *share_trust(struct certificates *c, const struct secrets *x, size_t index)
{
    const struct pool_conf *p = &x->snapshot->pools[index];
    const struct secrets *before = c->present;
    uint64_t stamp;
    for (size_t i = index; i-- > 0;) {
        if (x->trusts[i] && trust_conf_equal(&x->snapshot->pools[i], p))
            return trust_ref(x->trusts[i]);
    }
    for (size_t i = 0; before && i < before->snapshot->pool_count; i++) {
        struct trust *t = before->trusts[i];
        if (t && trust_conf_equal(&before->snapshot->pools[i], p))
            return trust_stamp(c->door, p, &stamp) && stamp == t->stamp ? trust_ref(t) : NULL;
    }
    return NULL;
}

static int prepare_pool(struct certificates *c, struct secrets *x, size_t index,
                        struct certificates_refusal *why)
{
    const struct pool_conf *p = &x->snapshot->pools[index];
    struct telling telling = {x->snapshot, "pool", p->name, why};
    const struct credentials_notes notes = {on_note, &telling};
    if (!p->tls.enabled)
        return 0;
    x->trusts[index] = share_trust(c, x, index);
    if (!x->trusts[index])
        x->trusts[index] = trust_load(&c->kit, p, &notes);
    return x->trusts[index] ? 0 : -(int)REASON_system_error;
}

int certificates_prepare(struct certificates *c, const struct snapshot *s,
                         struct secrets **ret_secrets, struct certificates_refusal *ret_why)
{
    *ret_secrets = NULL;
    *ret_why = (struct certificates_refusal){0};
    if (!uses_tls(s))
        return 0;
    struct secrets *x = secrets_new(s);
    if (!x || !make_libraries(c)) {
        secrets_free(&x);
        return no_memory(ret_why);
    }
    uint64_t begun_ns = clock_mono_ns();
    c->kit.now_s = now_s(c);
    int r = 0;
    for (size_t i = 0; r == 0 && i < s->listener_count; i++)
        r = prepare_listener(c, x, i, ret_why);
    for (size_t i = 0; r == 0 && i < s->pool_count; i++)
        r = prepare_pool(c, x, i, ret_why);
    log_debug("tls", "files read and contexts made result=%s ms=%llu", r < 0 ? "refused" : "good",
              (unsigned long long)((clock_mono_ns() - begun_ns) / NS_PER_MS));
    if (r < 0)
        secrets_free(&x);
    *ret_secrets = x;
    return r;
}

/* ---- from one generation to the next ---- */

static void give(struct pool *pool, const struct trust *t)
{
    atomic_store_explicit(&pool->tls, t ? t->tls : NULL, memory_order_release);
}

void certificates_enable(const struct generation *g)
{
    for (size_t i = 0; g->secrets && i < g->snapshot->pool_count; i++) {
        if (g->secrets->trusts[i])
            give(g->pools[i], g->secrets->trusts[i]);
    }
}

/* To the pools of a generation what it has for them. */
static void give_all(const struct generation *g)
{
    for (size_t i = 0; i < g->snapshot->pool_count; i++)
        give(g->pools[i], g->secrets ? g->secrets->trusts[i] : NULL);
}

void certificates_revert(const struct generation *g)
{
    give_all(g);
}

void certificates_commit(struct certificates *c, const struct generation *g)
{
    c->present = g->secrets;
    c->pools = g->pools;
    c->seen = c->done = 0;
    give_all(g);
    loop_timer_stop(c->loop, &c->look);
    if (!c->present)
        return;
    loop_timer_set(c->loop, &c->look, c->look_ms);
    if (!timer_armed(&c->rotate))
        loop_timer_set(c->loop, &c->rotate, ROTATE_MS);
}

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

static void log_refused(const char *what, const struct certificates_refusal *why)
{
    log_error("tls", "%s; what was read before stays in use (%s)", why->text, what);
}

static void log_loaded(const struct listener_conf *l, const struct identity *i)
{
    log_info("tls", "certificates read again listener=%s certificates=%zu fingerprint=%.16s",
             l->name, i->certificate_count, i->certificates[0].facts->fingerprint);
}

static void renew_listener(struct certificates *c, size_t index, bool forced)
{
    const struct listener_conf *l = &c->present->snapshot->listeners[index];
    struct site *site = &c->present->sites[index];
    struct certificates_refusal why = {0};
    struct telling telling = {c->present->snapshot, "listener", l->name, &why};
    const struct credentials_notes notes = {on_note, &telling};
    uint64_t stamp;
    if (!site->identity || !identity_stamp(c->door, l, &stamp) ||
        (!forced && (stamp == site->identity->stamp || stamp == site->failed_stamp)))
        return;
    struct outgoing *o = malloc(sizeof(*o));
    struct identity *now = o ? identity_load(&c->kit, l, &notes) : NULL;
    if (!now) {
        site->failed_stamp = stamp;
        log_refused("listener", &why);
        free(o);
        return;
    }
    let_go(c, o, site->identity, NULL);
    site->identity = now;
    site->failed_stamp = 0;
    publish(site);
    log_loaded(l, now);
    memset(site->told, 0, now->certificate_count * sizeof(site->told[0]));
}

static void renew_pool(struct certificates *c, size_t index)
{
    struct secrets *x = c->present;
    const struct pool_conf *p = &x->snapshot->pools[index];
    struct certificates_refusal why = {0};
    struct telling telling = {x->snapshot, "pool", p->name, &why};
    const struct credentials_notes notes = {on_note, &telling};
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
        log_refused("pool", &why);
        free(o);
        return;
    }
    give(c->pools[index], now);
    let_go(c, o, NULL, t);
    x->trusts[index] = now;
    x->trust_failed[index] = 0;
    log_info("tls", "files of TLS read again pool=%s", p->name);
}

static void renew_all(struct certificates *c)
{
    c->kit.now_s = now_s(c);
    for (size_t i = 0; i < c->present->snapshot->listener_count; i++)
        renew_listener(c, i, false);
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

/* What time alone brings about. */
static void look_at_the_clock(struct certificates *c)
{
    const struct secrets *x = c->present;
    c->kit.now_s = now_s(c);
    for (size_t i = 0; i < x->snapshot->listener_count; i++) {
        struct site *site = &x->sites[i];
        if (!site->identity)
            continue;
        tell_expiry(c, &x->snapshot->listeners[i], site);
        if (site->identity->staple_until_s <= c->kit.now_s)
            renew_listener(c, i, true);
    }
}

static void on_look(struct timer *t)
{
    struct certificates *c = container_of(t, struct certificates, look);
    uint64_t wait_ms = c->look_ms, stamp;
    if (!c->present)
        return;
    look_at_the_clock(c);
    if (look_at_all(c, &stamp) && stamp != c->done) {
        if (stamp == c->seen) {
            c->done = stamp;
            renew_all(c);
        } else {
            c->seen = stamp;
            wait_ms = MIN(c->look_ms, (uint64_t)SETTLE_MS);
        }
    }
    loop_timer_set(c->loop, &c->look, wait_ms);
}

static void on_rotate(struct timer *t)
{
    struct certificates *c = container_of(t, struct certificates, rotate);
    if (c->kit.tickets && tls_tickets_rotate(c->kit.tickets) < 0)
        log_error("tls", "no randomness for another ticket key; the keys stay as they are");
    loop_timer_set(c->loop, &c->rotate, ROTATE_MS);
}

/* ---- to look at ---- */

bool certificates_get(const struct certificates *c, size_t listener, size_t index,
                      struct steer_certificate *ret)
{
    const struct secrets *x = c ? c->present : NULL;
    if (!x || listener >= x->snapshot->listener_count || !x->sites[listener].identity ||
        index >= x->sites[listener].identity->certificate_count)
        return false;
    const struct identity_certificate *i = &x->sites[listener].identity->certificates[index];
    *ret = (struct steer_certificate){
        .file = x->snapshot->listeners[listener].tls.certificates[index].cert,
        .facts = i->facts,
        .stapled = i->stapled,
    };
    return true;
}

/* ---- poise check ---- */

static void note_expiry(const struct credentials_notes *notes, const struct listener_conf *l,
                        const struct identity *identity, int64_t now)
{
    char text[512], when[EXPIRY_TEXT_MAX];
    for (size_t i = 0; i < identity->certificate_count; i++) {
        const struct certificate_conf *c = &l->tls.certificates[i];
        int64_t end_s = identity->certificates[i].facts->not_after_s;
        if (expiry_of(end_s, now) == EXPIRY_FAR)
            continue;
        (void)snprintf(text, sizeof(text), "certificate %s %s", c->cert,
                       expiry_text(end_s, now, when));
        notes->fn(notes->user, CREDENTIALS_WARNING, &c->origin, text);
    }
}

static void note_open_key(const struct credentials_notes *notes, const struct origin *where,
                          const char *path)
{
    struct stat st;
    char text[512];
    if (!path || stat(path, &st) != 0 || (st.st_mode & 0007) == 0)
        return;
    (void)snprintf(text, sizeof(text),
                   "every user of this machine may read the key in %s; chmod 600 keeps it secret",
                   path);
    notes->fn(notes->user, CREDENTIALS_WARNING, where, text);
}

static void check_listener(const struct credentials_kit *kit, const struct listener_conf *l,
                           const struct credentials_notes *notes)
{
    struct identity *i = identity_load(kit, l, notes);
    if (i)
        note_expiry(notes, l, i, kit->now_s);
    identity_unref(&i);
    for (size_t k = 0; k < l->tls.certificate_count; k++) {
        const struct certificate_conf *c = &l->tls.certificates[k];
        note_open_key(notes, &c->origin, c->key ? c->key : c->cert);
    }
}

static void check_pool(const struct credentials_kit *kit, const struct pool_conf *p,
                       const struct credentials_notes *notes)
{
    struct trust *t = trust_load(kit, p, notes);
    trust_unref(&t);
    note_open_key(notes, &p->origin, p->tls.key ? p->tls.key : p->tls.cert);
}

void certificates_check(const struct snapshot *s, struct door *door, int64_t now,
                        const struct credentials_notes *notes)
{
    struct credentials_kit kit = {.door = door, .now_s = now};
    if (!uses_tls(s) || tls_library_new(&kit.control) < 0)
        return;
    for (size_t i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].tls.enabled)
            check_listener(&kit, &s->listeners[i], notes);
    }
    for (size_t i = 0; i < s->pool_count; i++) {
        if (s->pools[i].tls.enabled)
            check_pool(&kit, &s->pools[i], notes);
    }
    tls_library_free(&kit.control);
}

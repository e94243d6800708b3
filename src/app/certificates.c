/* SPDX-License-Identifier: MIT */
#include "app/certificates_priv.h"

#include "account/reason.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- lifetime of the store ---- */

struct certificates *certificates_new(struct crew *crew, struct door *door)
{
    struct certificates *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->crew = crew;
    c->loop = crew_loop(crew);
    c->door = door;
    certificates_watch_init(c);
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
    certificates_watch_fini(c);
    free_libraries(c);
    free(c);
}

int64_t certificates_now_s(const struct certificates *c)
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

void certificates_note(void *user, enum credentials_level level, const struct origin *where,
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

void certificates_tell_expiry(const struct certificates *c, const struct listener_conf *l,
                              struct site *site)
{
    int64_t now = certificates_now_s(c);
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

void site_publish(struct site *site)
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
    const struct credentials_notes notes = {certificates_note, &telling};
    if (!l->tls.enabled)
        return 0;
    if (!make_site(c, l, site))
        return no_memory(why);
    if (!share_identity(c, l, site))
        site->identity = identity_load(&c->kit, l, &notes);
    if (!site->identity)
        return -(int)REASON_system_error;
    site_publish(site);
    certificates_tell_expiry(c, l, site);
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
    const struct credentials_notes notes = {certificates_note, &telling};
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
    c->kit.now_s = certificates_now_s(c);
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

void certificates_give(struct pool *pool, const struct trust *t)
{
    atomic_store_explicit(&pool->tls, t ? t->tls : NULL, memory_order_release);
}

void certificates_enable(const struct generation *g)
{
    for (size_t i = 0; g->secrets && i < g->snapshot->pool_count; i++) {
        if (g->secrets->trusts[i])
            certificates_give(g->pools[i], g->secrets->trusts[i]);
    }
}

/* To the pools of a generation what it has for them. */
static void give_all(const struct generation *g)
{
    for (size_t i = 0; i < g->snapshot->pool_count; i++)
        certificates_give(g->pools[i], g->secrets ? g->secrets->trusts[i] : NULL);
}

void certificates_revert(const struct generation *g)
{
    give_all(g);
}

void certificates_commit(struct certificates *c, const struct generation *g)
{
    c->present = g->secrets;
    c->pools = g->pools;
    give_all(g);
    certificates_watch(c);
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
        .repeated = i->repeated,
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

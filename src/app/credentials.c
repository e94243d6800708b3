/* SPDX-License-Identifier: MIT */
/*
 * All problems of a listener are told in one go, so loading goes on after the first; at the end
 * there is an identity only if there was none. Keys are in memory from their reading to the end of
 * identity_load or trust_load.
 */
#include "app/credentials.h"

#include "base/check.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One load under way. */
struct load {
    const struct credentials_kit *kit;
    const struct credentials_notes *notes;
    const struct origin *where; /* what notes are about */
    bool failed;
    uint64_t stamp;
};

static PRINTF(3, 4) void note(struct load *l, enum credentials_level level, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    l->failed |= level != CREDENTIALS_WARNING;
    l->notes->fn(l->notes->user, level, l->where, text);
}

static struct span bytes_of(const struct tls_file *f)
{
    return span_of(f->bytes, f->n);
}

/* A path of NULL is no file, and no failure. */
static bool take_file(struct load *l, const char *what, const char *path, struct tls_file *ret_file)
{
    char why[TLS_FILE_WHY_MAX] = "";
    if (!path)
        return true;
    bool ok = door_tls_file(l->kit->door, path, ret_file, why) == 0;
    l->stamp = tls_file_stamp_add(l->stamp, ret_file->stamp);
    if (!ok)
        note(l, CREDENTIALS_UNREADABLE,
             "the %s %s cannot be read: %s; check the path, and that the user who starts poise may "
             "read it",
             what, path, why);
    return ok;
}

/* ---- the files of one certificate ---- */

struct material {
    struct tls_file cert, key, ocsp;
    struct span *names;
    struct tls_certificate tls;
};

static void material_wipe(struct material *m)
{
    tls_file_wipe(&m->cert);
    tls_file_wipe(&m->key);
    tls_file_wipe(&m->ocsp);
    free(m->names);
    *m = (struct material){0};
}

/* A response is a help to clients: without one there is still a certificate. */
static void take_ocsp(struct load *l, const struct certificate_conf *c, struct material *m)
{
    char why[TLS_FILE_WHY_MAX] = "";
    if (!c->ocsp)
        return;
    if (door_tls_file(l->kit->door, c->ocsp, &m->ocsp, why) < 0)
        note(l, CREDENTIALS_WARNING, "the OCSP response %s cannot be read, none is stapled: %s",
             c->ocsp, why);
    l->stamp = tls_file_stamp_add(l->stamp, m->ocsp.stamp);
}

static bool take_names(struct load *l, const struct certificate_conf *c, struct material *m)
{
    m->names = calloc(c->name_count + 1, sizeof(m->names[0]));
    if (!m->names) {
        note(l, CREDENTIALS_UNREADABLE, "there is no memory for the names of %s", c->cert);
        return false;
    }
    for (size_t i = 0; i < c->name_count; i++)
        m->names[i] = span_cstr(c->names[i]);
    return true;
}

static bool take_material(struct load *l, const struct certificate_conf *c, struct material *m)
{
    l->where = &c->origin;
    bool ok = take_file(l, "certificate", c->cert, &m->cert);
    ok = take_file(l, "key", c->key, &m->key) && ok;
    take_ocsp(l, c, m);
    if (!take_names(l, c, m) || !ok)
        return false;
    m->tls = (struct tls_certificate){
        .chain_pem = bytes_of(&m->cert),
        .key_pem = bytes_of(&m->key),
        .ocsp_der = bytes_of(&m->ocsp),
        .names = m->names,
        .names_count = (uint32_t)c->name_count,
    };
    return true;
}

/* ---- what they say ---- */

static void drop_ocsp(struct material *m)
{
    tls_file_wipe(&m->ocsp);
    m->tls.ocsp_der = (struct span){NULL, 0};
}

static void wrong_certificate(struct load *l, const struct certificate_conf *c, const char *why)
{
    if (c->key)
        note(l, CREDENTIALS_INVALID, "certificate %s with key %s cannot be used: %s", c->cert,
             c->key, why);
    else
        note(l, CREDENTIALS_INVALID, "certificate %s cannot be used: %s", c->cert, why);
}

static bool holds_key(const struct tls_file *f)
{
    return memmem(f->bytes, f->n, "PRIVATE KEY-----", strlen("PRIVATE KEY-----")) != NULL;
}

/* Forgotten, another file was meant, or the two were swapped: the most usual mistakes have their
 * own sentences. */
static bool has_key(struct load *l, const struct certificate_conf *c, const struct material *m)
{
    if (holds_key(c->key ? &m->key : &m->cert))
        return true;
    const char *hint = !c->key               ? "; say where it is with key: FILE"
                       : holds_key(&m->cert) ? "; cert and key may be swapped: the other has one"
                                             : "";
    note(l, CREDENTIALS_INVALID, "there is no private key in %s (PEM is wanted)%s",
         c->key ? c->key : c->cert, hint);
    return false;
}

/* First with the stapled response; should that be what is wrong, without. */
static struct tls_certificate_facts *describe(struct load *l, const struct certificate_conf *c,
                                              struct material *m)
{
    struct tls_certificate_facts *facts = NULL;
    char first[TLS_WHY_MAX] = "", why[TLS_WHY_MAX] = "";
    if (!has_key(l, c, m))
        return NULL;
    struct tls_library *library = l->kit->control;
    if (tls_certificate_describe(library, &m->tls, &facts, first) == 0)
        return facts;
    bool stapled = m->tls.ocsp_der.n > 0;
    drop_ocsp(m);
    if (!stapled || tls_certificate_describe(library, &m->tls, &facts, why) < 0) {
        wrong_certificate(l, c, stapled ? why : first);
        return NULL;
    }
    note(l, CREDENTIALS_WARNING, "the OCSP response %s is not stapled: %s", c->ocsp, first);
    return facts;
}

static bool describe_one(struct load *l, const struct certificate_conf *c, struct material *m,
                         struct identity *to, struct identity_certificate *ret)
{
    l->where = &c->origin;
    ret->facts = describe(l, c, m);
    if (!ret->facts)
        return false;
    int64_t until_s = ret->facts->ocsp_until_s;
    if (m->ocsp.n > 0 && until_s > 0 && until_s <= l->kit->now_s) {
        note(l, CREDENTIALS_WARNING, "the OCSP response %s is not stapled: it has expired",
             c->ocsp);
        drop_ocsp(m);
    }
    ret->stapled = m->ocsp.n > 0;
    if (ret->stapled && until_s > 0)
        to->staple_until_s = MIN(to->staple_until_s, until_s);
    return true;
}

/* ---- an identity ---- */

static struct identity *identity_new(const struct credentials_kit *kit, size_t certificates)
{
    struct identity *i = calloc(1, sizeof(*i) + kit->workers * sizeof(i->servers[0]));
    if (!i)
        return NULL;
    i->refs = 1;
    i->workers = kit->workers;
    i->staple_until_s = INT64_MAX;
    i->certificates = calloc(certificates + 1, sizeof(i->certificates[0]));
    i->certificate_count = certificates;
    if (!i->certificates)
        identity_unref(&i);
    return i;
}

static enum tls_client_auth client_auth_of(const struct listener_tls_conf *tls)
{
    static const enum tls_client_auth auths[] = {
        [CLIENT_AUTH_NONE] = TLS_CLIENT_AUTH_NONE,
        [CLIENT_AUTH_OPTIONAL] = TLS_CLIENT_AUTH_OPTIONAL,
        [CLIENT_AUTH_REQUIRE] = TLS_CLIENT_AUTH_REQUIRE,
    };
    return auths[tls->client_auth];
}

/* What is chosen by ALPN; a tcp listener does not know what is spoken there. */
static uint32_t listener_alpn(const struct listener_conf *l)
{
    if (l->protocol != PROTOCOL_HTTP)
        return 0;
    return l->http2 ? TLS_ALPN_HTTP1 | TLS_ALPN_H2 : TLS_ALPN_HTTP1;
}

/* ---- contexts of all workers ---- */

/* About 0.4 ms a certificate and worker, half of it OpenSSL's reading of keys. Many are spread
 * over threads: each library is a world of its own. */
#define THREADED_CERTIFICATES 32
#define BUILDERS_MAX          8

struct build {
    const struct credentials_kit *kit;
    const struct tls_server_options *options;
    struct identity *to;
    _Atomic uint32_t next; /* worker */
    _Atomic bool failed;
    char why[TLS_WHY_MAX]; /* of who failed first */
};

static void *build_some(void *arg)
{
    struct build *b = arg;
    char why[TLS_WHY_MAX];
    for (uint32_t i; (i = atomic_fetch_add(&b->next, 1)) < b->to->workers;) {
        if (tls_server_new(b->kit->libraries[i], b->options, &b->to->servers[i], why) < 0 &&
            !atomic_exchange(&b->failed, true))
            memcpy(b->why, why, sizeof(b->why));
    }
    return NULL;
}

static bool build_all(const struct credentials_kit *kit, const struct tls_server_options *o,
                      struct identity *to, char ret_why[TLS_WHY_MAX])
{
    struct build b = {.kit = kit, .options = o, .to = to};
    pthread_t threads[BUILDERS_MAX];
    uint32_t count = 0, wanted = 0;
    if (o->certificates_count >= THREADED_CERTIFICATES && to->workers > 1)
        wanted = MIN(to->workers - 1, (uint32_t)BUILDERS_MAX);
    while (count < wanted && pthread_create(&threads[count], NULL, build_some, &b) == 0)
        count++;
    (void)build_some(&b);
    while (count > 0)
        (void)pthread_join(threads[--count], NULL);
    memcpy(ret_why, b.why, sizeof(b.why));
    return !b.failed;
}

static bool make_servers(struct load *l, const struct listener_conf *conf,
                         const struct tls_certificate *certificates, struct tls_ca *client_ca,
                         struct identity *to)
{
    char why[TLS_WHY_MAX] = "";
    struct tls_server_options o = {
        .certificates = certificates,
        .certificates_count = (uint32_t)conf->tls.certificate_count,
        .domain = span_cstr(conf->name),
        .only_1_3 = conf->tls.min_version == TLS_VERSION_1_3,
        .client_auth = client_auth_of(&conf->tls),
        .client_ca = client_ca,
        .alpn = listener_alpn(conf),
        .tickets = conf->tls.tickets ? l->kit->tickets : NULL,
        .openssl_records = conf->tls.records == TLS_RECORDS_OPENSSL,
    };
    if (build_all(l->kit, &o, to, why))
        return true;
    l->where = &conf->origin;
    note(l, CREDENTIALS_INVALID, "TLS cannot be set up: %s", why);
    return false;
}

/* The file is done with. */
static bool use_ca_file(struct load *l, const char *what, const char *path, struct tls_file *f,
                        struct tls_ca **ret)
{
    char why[TLS_WHY_MAX] = "";
    int r = tls_ca_new(l->kit->control, bytes_of(f), ret, why);
    tls_file_wipe(f);
    if (r < 0)
        note(l, CREDENTIALS_INVALID, "the %s %s cannot be used: %s", what, path, why);
    return r == 0;
}

/* A path of NULL is no file, and no failure. */
static bool take_ca_file(struct load *l, const char *what, const char *path, struct tls_ca **ret)
{
    struct tls_file f = {0};
    if (!take_file(l, what, path, &f))
        return false;
    return !path || use_ca_file(l, what, path, &f, ret);
}

static void mark_repeated(const struct listener_conf *conf, struct identity *to)
{
    for (size_t i = 1; i < conf->tls.certificate_count; i++) {
        for (size_t k = 0; k < i && !to->certificates[i].repeated; k++)
            to->certificates[i].repeated =
                strcmp(conf->tls.certificates[i].cert, conf->tls.certificates[k].cert) == 0;
    }
}

static void fill_identity(struct load *l, const struct listener_conf *conf,
                          struct material *materials, struct tls_certificate *certificates,
                          struct identity *to)
{
    struct tls_ca *client_ca = NULL;
    for (size_t i = 0; i < conf->tls.certificate_count; i++) {
        const struct certificate_conf *c = &conf->tls.certificates[i];
        if (take_material(l, c, &materials[i]) &&
            describe_one(l, c, &materials[i], to, &to->certificates[i]))
            certificates[i] = materials[i].tls;
    }
    l->where = &conf->origin;
    if (take_ca_file(l, "CA file for clients", conf->tls.client_ca, &client_ca) && !l->failed)
        (void)!make_servers(l, conf, certificates, client_ca, to);
    mark_repeated(conf, to);
    to->stamp = l->stamp;
    tls_ca_unref(&client_ca);
}

struct identity *identity_load(const struct credentials_kit *kit, const struct listener_conf *conf,
                               const struct credentials_notes *notes)
{
    struct load l = {.kit = kit, .notes = notes, .where = &conf->origin};
    size_t count = conf->tls.certificate_count;
    struct material *materials = calloc(count + 1, sizeof(*materials));
    struct tls_certificate *certificates = calloc(count + 1, sizeof(*certificates));
    struct identity *i = identity_new(kit, count);
    if (materials && certificates && i)
        fill_identity(&l, conf, materials, certificates, i);
    else
        note(&l, CREDENTIALS_UNREADABLE, "there is no memory for the certificates");
    for (size_t k = 0; materials && k < count; k++)
        material_wipe(&materials[k]);
    free(materials);
    free(certificates);
    if (l.failed)
        identity_unref(&i);
    return i;
}

struct identity *identity_ref(struct identity *i)
{
    i->refs++;
    return i;
}

void identity_unref(struct identity **identity)
{
    struct identity *i = *identity;
    *identity = NULL;
    if (!i || --i->refs > 0)
        return;
    for (uint32_t k = 0; k < i->workers; k++)
        tls_server_unref(&i->servers[k]);
    for (size_t k = 0; i->certificates && k < i->certificate_count; k++)
        tls_certificate_facts_free(&i->certificates[k].facts);
    free(i->certificates);
    free(i);
}

static bool add_stamp(struct door *door, const char *path, uint64_t *sum)
{
    uint64_t stamp = 0;
    if (path && !door_tls_look(door, path, &stamp))
        return false;
    if (path)
        *sum = tls_file_stamp_add(*sum, stamp);
    return true;
}

/* In the order in which files are read. */
bool identity_stamp(struct door *door, const struct listener_conf *l, uint64_t *ret_stamp)
{
    bool ok = true;
    *ret_stamp = 0;
    for (size_t i = 0; ok && i < l->tls.certificate_count; i++) {
        const struct certificate_conf *c = &l->tls.certificates[i];
        ok = add_stamp(door, c->cert, ret_stamp) && add_stamp(door, c->key, ret_stamp) &&
             add_stamp(door, c->ocsp, ret_stamp);
    }
    return ok && add_stamp(door, l->tls.client_ca, ret_stamp);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool certificate_conf_equal(const struct certificate_conf *a,
                                   const struct certificate_conf *b)
{
    if (!same_text(a->cert, b->cert) || !same_text(a->key, b->key) ||
        !same_text(a->ocsp, b->ocsp) || a->name_count != b->name_count)
        return false;
    for (size_t i = 0; i < a->name_count; i++) {
        if (!same_text(a->names[i], b->names[i]))
            return false;
    }
    return true;
}

bool identity_conf_equal(const struct listener_conf *a, const struct listener_conf *b)
{
    const struct listener_tls_conf *x = &a->tls, *y = &b->tls;
    if (!same_text(a->name, b->name) || listener_alpn(a) != listener_alpn(b) ||
        x->enabled != y->enabled || x->min_version != y->min_version ||
        x->client_auth != y->client_auth || x->tickets != y->tickets || x->records != y->records ||
        !same_text(x->client_ca, y->client_ca) || x->certificate_count != y->certificate_count)
        return false;
    for (size_t i = 0; i < x->certificate_count; i++) {
        if (!certificate_conf_equal(&x->certificates[i], &y->certificates[i]))
            return false;
    }
    return true;
}

/* ---- pools ---- */

static uint32_t pool_alpn(const struct pool_conf *p)
{
    static const uint32_t alpn[] = {
        [PROTOCOL_HTTP] = TLS_ALPN_HTTP1, [PROTOCOL_TCP] = 0, [PROTOCOL_HTTP2] = TLS_ALPN_H2};
    return alpn[p->protocol];
}

/* gRPC is asked over HTTP/2, whatever else is spoken there. */
static uint32_t probe_alpn(const struct pool_conf *p)
{
    return p->health.type == HEALTH_GRPC ? TLS_ALPN_H2 : pool_alpn(p);
}

/* The first of the system's files that is there. */
static bool take_system_ca(struct load *l, struct tls_ca **ret)
{
    char why[TLS_FILE_WHY_MAX];
    struct tls_file f = {0};
    for (const char *const *path = tls_system_files(); *path; path++) {
        bool found = door_tls_file(l->kit->door, *path, &f, why) == 0;
        l->stamp = tls_file_stamp_add(l->stamp, f.stamp);
        if (found)
            return use_ca_file(l, "CA file", *path, &f, ret);
    }
    note(l, CREDENTIALS_UNREADABLE,
         "the system has no file of CA certificates (%s is not there); install "
         "ca-certificates, or say ca: FILE",
         tls_system_files()[0]);
    return false;
}

static bool take_ca(struct load *l, const struct pool_conf *p, struct tls_ca **ret)
{
    if (!p->tls.verify)
        return true;
    return p->tls.ca ? take_ca_file(l, "CA file", p->tls.ca, ret) : take_system_ca(l, ret);
}

static bool take_own(struct load *l, const struct pool_conf *p, struct material *m)
{
    const struct certificate_conf conf = {
        .cert = p->tls.cert, .key = p->tls.key, .origin = p->origin};
    struct tls_certificate_facts *facts = NULL;
    if (!p->tls.cert)
        return true;
    bool ok = take_material(l, &conf, m);
    l->where = &p->origin;
    if (ok)
        facts = describe(l, &conf, m);
    ok = facts != NULL;
    if (ok && facts->not_after_s <= l->kit->now_s)
        note(l, CREDENTIALS_WARNING, "certificate %s has expired: backends may refuse it",
             p->tls.cert);
    tls_certificate_facts_free(&facts);
    return ok;
}

static struct trust *trust_new(const struct credentials_kit *kit)
{
    struct trust *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->refs = 1;
    t->tls = calloc(1, sizeof(*t->tls) + (kit->workers + 1) * sizeof(t->tls->clients[0]));
    if (!t->tls)
        trust_unref(&t);
    else
        t->tls->workers = kit->workers;
    return t;
}

static void fill_trust(struct load *l, const struct pool_conf *p, struct trust *to)
{
    struct tls_ca *ca = NULL;
    struct material own = {0};
    char why[TLS_WHY_MAX] = "";
    to->tls->http2 = p->protocol == PROTOCOL_HTTP2;
    bool ok = take_ca(l, p, &ca);
    ok = take_own(l, p, &own) && ok;
    struct tls_client_options o = {
        .verify = p->tls.verify,
        .ca = ca,
        .certificate = p->tls.cert ? &own.tls : NULL,
        .alpn = pool_alpn(p),
    };
    for (uint32_t i = 0; ok && i <= l->kit->workers; i++) {
        bool control = i == l->kit->workers;
        o.alpn = control ? probe_alpn(p) : pool_alpn(p);
        ok = tls_client_new(control ? l->kit->control : l->kit->libraries[i], &o,
                            &to->tls->clients[i], why) == 0;
        if (!ok)
            note(l, CREDENTIALS_INVALID, "TLS cannot be set up: %s", why);
    }
    to->stamp = l->stamp;
    tls_ca_unref(&ca);
    material_wipe(&own);
}

struct trust *trust_load(const struct credentials_kit *kit, const struct pool_conf *p,
                         const struct credentials_notes *notes)
{
    struct load l = {.kit = kit, .notes = notes, .where = &p->origin};
    struct trust *t = trust_new(kit);
    if (t)
        fill_trust(&l, p, t);
    else
        note(&l, CREDENTIALS_UNREADABLE, "there is no memory for TLS");
    if (l.failed)
        trust_unref(&t);
    return t;
}

struct trust *trust_ref(struct trust *t)
{
    t->refs++;
    return t;
}

void trust_unref(struct trust **trust)
{
    struct trust *t = *trust;
    *trust = NULL;
    if (!t || --t->refs > 0)
        return;
    for (uint32_t i = 0; t->tls && i <= t->tls->workers; i++)
        tls_client_unref(&t->tls->clients[i]);
    free(t->tls);
    free(t);
}

bool trust_stamp(struct door *door, const struct pool_conf *p, uint64_t *ret_stamp)
{
    bool ok = true;
    *ret_stamp = 0;
    if (p->tls.verify && p->tls.ca)
        ok = add_stamp(door, p->tls.ca, ret_stamp);
    for (const char *const *path = tls_system_files(); p->tls.verify && !p->tls.ca && *path;
         path++) {
        uint64_t stamp;
        if (!door_tls_look(door, *path, &stamp))
            return false;
        *ret_stamp = tls_file_stamp_add(*ret_stamp, stamp);
        if (stamp)
            break; /* as when it is read: the first that is there */
    }
    return ok && add_stamp(door, p->tls.cert, ret_stamp) &&
           (!p->tls.cert || add_stamp(door, p->tls.key, ret_stamp));
}

bool trust_conf_equal(const struct pool_conf *a, const struct pool_conf *b)
{
    const struct pool_tls_conf *x = &a->tls, *y = &b->tls;
    return x->enabled == y->enabled && x->verify == y->verify && same_text(x->ca, y->ca) &&
           same_text(x->cert, y->cert) && same_text(x->key, y->key) &&
           pool_alpn(a) == pool_alpn(b) && probe_alpn(a) == probe_alpn(b);
}

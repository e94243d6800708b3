/* SPDX-License-Identifier: MIT */
/*
 * CA certificates. A bundle is read once, in a context of OpenSSL's without any algorithms: there
 * it checks the syntax of a certificate but finds nothing to decode the key with, which is most of
 * the work. What stays are the bytes of each, sorted by subject. A library's store begins empty
 * and asks the bundle as chains are built.
 */
#include "codec/tls_priv.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <stdlib.h>

const char *const tls_system_ca_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Alpine, Arch */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
    "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
    "/etc/ssl/cert.pem",
    NULL,
};

/* One certificate. */
struct row {
    X509_NAME *subject;
    uint8_t *der;
    long der_n;
};

struct tls_ca {
    atomic_uint refs;
    uint8_t digest[32]; /* of the PEM */
    struct row *rows;   /* by subject */
    uint32_t count, room;
};

/* ---- reading ---- */

/* A context that can read certificates, and do nothing with them. */
struct bare {
    OSSL_LIB_CTX *ossl;
    OSSL_PROVIDER *none;
};

static bool bare_open(struct bare *b)
{
    b->ossl = OSSL_LIB_CTX_new();
    b->none = b->ossl ? OSSL_PROVIDER_load(b->ossl, "null") : NULL;
    return b->none != NULL;
}

static void bare_close(struct bare *b)
{
    if (b->none)
        (void)OSSL_PROVIDER_unload(b->none);
    OSSL_LIB_CTX_free(b->ossl);
}

/* NULL when OpenSSL would not take it for a certificate. */
static X509 *decode(OSSL_LIB_CTX *ossl, const uint8_t *der, long n)
{
    X509 *x = X509_new_ex(ossl, NULL);
    if (x && d2i_X509(&x, &der, n))
        return x;
    X509_free(x);
    return NULL;
}

static struct row *new_row(struct tls_ca *ca)
{
    if (ca->count == ca->room) {
        uint32_t room = ca->room ? 2 * ca->room : 16;
        struct row *rows = realloc(ca->rows, room * sizeof *rows);
        if (!rows)
            return NULL;
        ca->rows = rows;
        ca->room = room;
    }
    ca->rows[ca->count] = (struct row){0};
    return &ca->rows[ca->count++];
}

/* Takes the bytes over. */
static int add(struct tls_ca *ca, const struct bare *b, uint8_t *der, long n, char why[TLS_WHY_MAX])
{
    X509 *x = decode(b->ossl, der, n);
    struct row *row = x ? new_row(ca) : NULL;
    if (row) {
        *row = (struct row){X509_NAME_dup(X509_get_subject_name(x)), der, n};
        X509_free(x);
        return row->subject ? 0 : tls_why(why, "there is no memory for the CA certificates");
    }
    OPENSSL_free(der);
    if (!x)
        return tls_why(why, "number %u of the CA certificates cannot be read", ca->count + 1);
    X509_free(x);
    return tls_why(why, "there is no memory for the CA certificates");
}

/* There is nobody to ask. */
static int no_pass_phrase(char *buf, int size, int rwflag, void *user)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)user;
    return -1;
}

static int read_bundle(struct tls_ca *ca, const struct bare *b, BIO *bio, char why[TLS_WHY_MAX])
{
    uint8_t *der = NULL;
    long n = 0;
    int rc = 0;
    while (rc == 0 &&
           PEM_bytes_read_bio(&der, &n, NULL, PEM_STRING_X509, bio, no_pass_phrase, NULL) == 1)
        rc = add(ca, b, der, n, why);
    if (rc < 0)
        return rc;
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return tls_why(why, "number %u of the CA certificates cannot be read", ca->count + 1);
    if (ca->count == 0)
        return tls_why(why, "there is no CA certificate in it (PEM is wanted)");
    ERR_clear_error();
    return 0;
}

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return X509_NAME_cmp(x->subject, y->subject);
}

static void ca_free(struct tls_ca *ca)
{
    for (uint32_t i = 0; i < ca->count; i++) {
        X509_NAME_free(ca->rows[i].subject);
        OPENSSL_free(ca->rows[i].der);
    }
    free(ca->rows);
    free(ca);
}

int tls_ca_new(struct tls_library *library, struct span pem, struct tls_ca **ret_ca,
               char why[TLS_WHY_MAX])
{
    struct tls_ca *ca = calloc(1, sizeof *ca);
    struct bare bare = {0};
    BIO *bio = tls_bio_of(pem);
    int rc = ca && bio && bare_open(&bare) && tls_digest(library, &pem, 1, ca->digest)
                 ? read_bundle(ca, &bare, bio, why)
                 : tls_why(why, "there is no memory for the CA certificates");
    BIO_free(bio);
    bare_close(&bare);
    if (rc < 0) {
        if (ca)
            ca_free(ca);
        return rc;
    }
    qsort(ca->rows, ca->count, sizeof *ca->rows, compare_rows);
    atomic_init(&ca->refs, 1);
    *ret_ca = ca;
    return 0;
}

struct tls_ca *tls_ca_ref(struct tls_ca *ca)
{
    (void)atomic_fetch_add_explicit(&ca->refs, 1, memory_order_relaxed);
    return ca;
}

void tls_ca_unref(struct tls_ca **ca)
{
    struct tls_ca *c = *ca;
    *ca = NULL;
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        ca_free(c);
}

uint32_t tls_ca_count(const struct tls_ca *ca)
{
    return ca->count;
}

struct span tls_ca_digest(const struct tls_ca *ca)
{
    return span_of(ca->digest, sizeof ca->digest);
}

STACK_OF(X509_NAME) * tls_ca_names(const struct tls_ca *ca)
{
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    for (uint32_t i = 0; names && i < ca->count; i++) {
        X509_NAME *name = X509_NAME_dup(ca->rows[i].subject);
        if (name && sk_X509_NAME_push(names, name) > 0)
            continue;
        X509_NAME_free(name);
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        names = NULL;
    }
    return names;
}

/* ---- finding ---- */

/* The first row of this subject; that of a later one when there is none. */
static uint32_t first_of(const struct tls_ca *ca, const X509_NAME *subject)
{
    uint32_t low = 0, high = ca->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (X509_NAME_cmp(ca->rows[middle].subject, subject) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The store has none of this subject. All that the bundle has go into it: it asks for a subject
 * only as long as it has none, and chooses by itself among several. */
static int on_subject(X509_LOOKUP *lookup, X509_LOOKUP_TYPE type, const X509_NAME *subject,
                      X509_OBJECT *ret)
{
    const struct tls_trust *t = X509_LOOKUP_get_method_data(lookup);
    const struct tls_ca *ca = t->ca;
    X509 *found = NULL;
    if (type != X509_LU_X509)
        return 0;
    (void)ERR_set_mark();
    for (uint32_t i = first_of(ca, subject);
         i < ca->count && X509_NAME_cmp(ca->rows[i].subject, subject) == 0; i++) {
        X509 *x = decode(t->library->ossl, ca->rows[i].der, ca->rows[i].der_n);
        if (x && X509_STORE_add_cert(t->store, x) == 1 && !found)
            found = x;
        X509_free(x); /* the store has it */
    }
    (void)ERR_pop_to_mark();
    if (!found || X509_OBJECT_set1_X509(ret, found) != 1)
        return 0;
    X509_free(found); /* who asked takes a reference of its own */
    return 1;
}

X509_LOOKUP_METHOD *tls_ca_lookup(void)
{
    X509_LOOKUP_METHOD *lookup = X509_LOOKUP_meth_new("bundle");
    if (lookup)
        (void)X509_LOOKUP_meth_set_get_by_subject(lookup, on_subject);
    return lookup;
}

/* ---- trusts ---- */

static void trust_free(struct tls_trust *t)
{
    X509_STORE_free(t->store);
    tls_ca_unref(&t->ca);
    free(t);
}

/* NULL when there is no memory. */
static struct tls_trust *trust_new(struct tls_library *l, struct tls_ca *ca)
{
    struct tls_trust *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    list_init(&t->link);
    t->library = l;
    t->ca = tls_ca_ref(ca);
    t->store = X509_STORE_new();
    X509_LOOKUP *lookup = t->store ? X509_STORE_add_lookup(t->store, l->lookup) : NULL;
    if (!lookup || X509_LOOKUP_set_method_data(lookup, t) != 1) {
        trust_free(t);
        return NULL;
    }
    /* What the file holds is trusted as it stands, an intermediate or a backend's own too. */
    (void)X509_STORE_set_flags(t->store, X509_V_FLAG_PARTIAL_CHAIN);
    return t;
}

static struct tls_trust *trust_find(struct tls_library *l, const struct tls_ca *ca)
{
    struct tls_trust *t;
    list_each(t, &l->trusts, link) {
        if (memcmp(t->ca->digest, ca->digest, sizeof ca->digest) == 0)
            return t;
    }
    return NULL;
}

int tls_trust_get(struct tls_library *l, struct tls_ca *ca, struct tls_trust **ret_trust,
                  char why[TLS_WHY_MAX])
{
    (void)pthread_mutex_lock(&l->lock);
    struct tls_trust *t = trust_find(l, ca);
    if (!t) {
        t = trust_new(l, ca);
        if (t)
            list_add_tail(&l->trusts, &t->link);
    }
    if (t)
        t->refs++;
    (void)pthread_mutex_unlock(&l->lock);
    *ret_trust = t;
    return t ? 0 : tls_why(why, "there is no memory for the CA certificates");
}

void tls_trust_put(struct tls_trust **trust)
{
    struct tls_trust *t = *trust;
    if (!t)
        return;
    *trust = NULL;
    struct tls_library *l = t->library;
    (void)pthread_mutex_lock(&l->lock);
    bool last = --t->refs == 0;
    if (last)
        list_del(&t->link);
    (void)pthread_mutex_unlock(&l->lock);
    if (last)
        trust_free(t);
}

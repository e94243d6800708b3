/* SPDX-License-Identifier: MIT */
#include "tls_fixture.h"

#include "base/check.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* ---- certificates ---- */

static char *text_of(BIO *bio)
{
    char *bytes = NULL;
    long n = BIO_get_mem_data(bio, &bytes);
    char *text = malloc((size_t)n + 1);
    CHECK(text != NULL);
    memcpy(text, bytes, (size_t)n);
    text[n] = 0;
    BIO_free(bio);
    return text;
}

static void add_extension(X509 *x, const struct made *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer && issuer->x ? issuer->x : x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    CHECK(e != NULL);
    CHECK(X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static void add_raw_san(X509 *x, struct span raw)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    CHECK(ASN1_STRING_set(text, raw.p, (int)raw.n) == 1);
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    CHECK(sk_GENERAL_NAME_push(names, name) > 0);
    CHECK(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1);
    GENERAL_NAMES_free(names);
}

struct made make_certificate(const struct wish *w)
{
    static long serial = 1000;
    struct made m = {.x = X509_new()};
    bool forever = w->days_from == 0 && w->days_to == 0;
    m.key = w->rsa ? EVP_RSA_gen(2048u) : EVP_EC_gen("P-256");
    CHECK(m.x != NULL && m.key != NULL);
    const char *subject = w->subject ? w->subject : "localhost";
    CHECK(X509_set_version(m.x, X509_VERSION_3) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(m.x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(m.x), (forever ? -1 : w->days_from) * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(m.x), (forever ? 30 : w->days_to) * 86400L);
    X509_NAME *name = X509_get_subject_name(m.x);
    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)subject, -1,
                                     -1, 0) == 1);
    X509_set_issuer_name(m.x, w->issuer ? X509_get_subject_name(w->issuer->x) : name);
    CHECK(X509_set_pubkey(m.x, m.key) == 1);
    add_extension(m.x, w->issuer, NID_basic_constraints, w->ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (w->key_ids) {
        add_extension(m.x, w->issuer, NID_subject_key_identifier, "hash");
        add_extension(m.x, w->issuer, NID_authority_key_identifier, "keyid:always");
    }
    if (w->sans)
        add_extension(m.x, w->issuer, NID_subject_alt_name, w->sans);
    if (w->raw_san.n > 0)
        add_raw_san(m.x, w->raw_san);
    CHECK(X509_sign(m.x, w->issuer ? w->issuer->key : m.key, EVP_sha256()) > 0);

    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_X509(bio, m.x) == 1);
    m.pem = text_of(bio);
    bio = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_PrivateKey(bio, m.key, NULL, NULL, 0, NULL, NULL) == 1);
    m.key_pem = text_of(bio);
    return m;
}

void made_free(struct made *m)
{
    X509_free(m->x);
    EVP_PKEY_free(m->key);
    free(m->pem);
    free(m->key_pem);
    *m = (struct made){0};
}

struct tls_certificate made_given(const struct made *m)
{
    return (struct tls_certificate){
        .chain_pem = span_cstr(m->pem),
        .key_pem = span_cstr(m->key_pem),
    };
}

struct tls_ca *make_ca(struct tls_library *library, const char *pem)
{
    struct tls_ca *made = NULL;
    char why[TLS_WHY_MAX];
    CHECK(tls_ca_new(library, span_cstr(pem), &made, why) == 0);
    return made;
}

struct span make_ocsp(const struct made *issuer, const struct made *leaf)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), leaf->x, issuer->x);
    ASN1_TIME *from = X509_gmtime_adj(NULL, -3600), *to = X509_gmtime_adj(NULL, 86400);
    CHECK(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, to) != NULL);
    CHECK(OCSP_basic_sign(basic, issuer->x, issuer->key, EVP_sha256(), NULL, 0) == 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    uint8_t *der = NULL;
    int n = i2d_OCSP_RESPONSE(response, &der);
    CHECK(n > 0);
    uint8_t *copy = malloc((size_t)n);
    CHECK(copy != NULL);
    memcpy(copy, der, (size_t)n);
    OPENSSL_free(der);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    OCSP_CERTID_free(id);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    return span_of(copy, (size_t)n);
}

/* ---- wires ---- */

static bool wire_grow(struct tls_sink *sink, size_t wanted)
{
    struct wire *w = container_of(sink, struct wire, sink);
    size_t used = (size_t)(sink->at - w->bytes);
    w->room = MAX(2 * w->room, used + wanted);
    w->bytes = realloc(w->bytes, w->room);
    CHECK(w->bytes != NULL);
    sink->at = w->bytes + used;
    sink->end = w->bytes + w->room;
    return true;
}

void wire_init(struct wire *w)
{
    *w = (struct wire){.room = 64, .bytes = malloc(64)};
    CHECK(w->bytes != NULL);
    w->sink = (struct tls_sink){.at = w->bytes, .end = w->bytes + 64, .grow = wire_grow};
}

void wire_fini(struct wire *w)
{
    free(w->bytes);
    *w = (struct wire){0};
}

struct span wire_unread(const struct wire *w)
{
    return span_of(w->bytes + w->taken, (size_t)(w->sink.at - w->bytes) - w->taken);
}

/* ---- parties ---- */

void (*pair_tune)(struct ssl_st *ssl);

void pair_open(struct pair *p, struct tls_server *server, struct tls_client *client,
               const char *name, struct tls_resumption *resumption)
{
    p->server.last = p->client.last = TLS_NEED_MORE;
    p->server.plain_n = p->client.plain_n = 0;
    wire_init(&p->server.out);
    wire_init(&p->client.out);
    CHECK(tls_session_init_server(&p->server.t, server) == 0);
    CHECK(tls_session_init_client(&p->client.t, client, span_cstr(name), resumption) == 0);
    if (pair_tune)
        pair_tune(p->client.t.ssl);
    CHECK(tls_session_start(&p->client.t, &p->client.out.sink) == 0);
}

void pair_close(struct pair *p)
{
    tls_session_fini(&p->server.t);
    tls_session_fini(&p->client.t);
    wire_fini(&p->server.out);
    wire_fini(&p->client.out);
}

int party_take(struct party *to, struct wire *from, size_t step)
{
    while (to->last >= 0 && to->last != TLS_CLOSED && wire_unread(from).n > 0) {
        struct span part = span_sub(wire_unread(from), 0, step);
        struct span left = part;
        do {
            CHECK(to->plain_n < sizeof to->plain);
            to->last = tls_session_input(&to->t, &left, to->plain, sizeof to->plain, &to->plain_n,
                                         &to->out.sink);
        } while (to->last == TLS_HANDSHAKE_DONE);
        if (to->last == TLS_NEED_MORE)
            CHECK(left.n == 0);
        from->taken += part.n - left.n;
    }
    return to->last;
}

bool pair_run(struct pair *p, size_t step)
{
    bool more = true;
    while (more) {
        more = false;
        if (p->server.last >= 0 && wire_unread(&p->client.out).n > 0)
            more = party_take(&p->server, &p->client.out, step) >= 0;
        if (p->client.last >= 0 && wire_unread(&p->server.out).n > 0)
            more |= party_take(&p->client, &p->server.out, step) >= 0;
        if (p->server.last == TLS_CLOSED || p->client.last == TLS_CLOSED)
            break;
    }
    return p->server.t.done && p->client.t.done;
}

bool pair_send(struct party *from, struct party *to, const void *bytes, size_t n)
{
    struct span piece = span_of(bytes, n);
    to->plain_n = 0;
    if (tls_session_output(&from->t, &piece, 1, &from->out.sink) != 0)
        return false;
    int r = party_take(to, &from->out, SIZE_MAX);
    return r == TLS_NEED_MORE && span_eq(span_of(to->plain, to->plain_n), piece);
}

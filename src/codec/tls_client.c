/* SPDX-License-Identifier: MIT */
/*
 * TLS to the backends of a pool: one SSL_CTX, and the newest ticket of each backend, which its
 * owner keeps. A ticket stands for a verified certificate, so it is used only by a client with the
 * same rules and for the same name (`domain`).
 */
#include "codec/tls_priv.h"

#include <openssl/err.h>
#include <stdlib.h>

void tls_resumption_clear(struct tls_resumption *r)
{
    SSL_SESSION_free(r->session);
    *r = (struct tls_resumption){0};
}

/* OpenSSL gives its reference with a result of 1. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    CHECK_OBJ(c, TLS_CLIENT_MAGIC);
    struct tls_session *t = c->library->current;
    if (!t || !t->resumption || !SSL_SESSION_is_resumable(session))
        return 0;
    SSL_SESSION_free(t->resumption->session);
    t->resumption->session = session;
    return 1;
}

static int set_certificate(struct tls_client *c, const struct tls_certificate *certificate,
                           char why[TLS_WHY_MAX])
{
    struct tls_parsed p = {0};
    int rc = tls_parse(c->library, certificate, &p, why);
    if (rc == 0)
        rc = tls_context_use(c->context, &p, why);
    tls_parsed_fini(&p);
    return rc;
}

static int set_alpn(struct tls_client *c, uint32_t alpn, char why[TLS_WHY_MAX])
{
    static const uint8_t both[] = "\x02h2\x08http/1.1";
    const uint8_t *p = alpn & TLS_ALPN_H2 ? both : both + 3;
    size_t n = (alpn & TLS_ALPN_H2 ? 3u : 0u) + (alpn & TLS_ALPN_HTTP1 ? 9u : 0u);
    if (n > 0 && SSL_CTX_set_alpn_protos(c->context, p, (unsigned)n) != 0)
        return tls_why(why, "there is no memory");
    return 0;
}

static int set_verify(struct tls_client *c, const struct tls_client_options *o,
                      char why[TLS_WHY_MAX])
{
    if (!o->verify)
        return 0;
    int rc = tls_trust_get(c->library, o->ca, &c->trust, why);
    if (rc < 0)
        return rc;
    SSL_CTX_set_verify(c->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(c->context, TLS_CHAIN_DEPTH_MAX);
    if (SSL_CTX_set1_verify_cert_store(c->context, c->trust->store) != 1)
        return tls_why(why, "there is no memory for the CA certificates");
    return 0;
}

static int client_fill(struct tls_client *c, const struct tls_client_options *o,
                       char why[TLS_WHY_MAX])
{
    const struct tls_certificate none = {0}, *ours = o->certificate ? o->certificate : &none;
    const struct span rules[] = {
        span_of(&o->verify, sizeof o->verify),
        o->verify ? tls_ca_digest(o->ca) : (struct span){NULL, 0},
        ours->chain_pem,
    };
    c->context = SSL_CTX_new_ex(c->library->ossl, NULL, TLS_client_method());
    if (!c->context || !tls_context_prepare(c->context) ||
        !tls_digest(c->library, rules, ARRAY_LEN(rules), c->domain))
        return tls_why(why, "OpenSSL refuses: %s", tls_error_take());
    (void)SSL_CTX_set_app_data(c->context, c);
    (void)SSL_CTX_set_session_cache_mode(c->context,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->context, on_session);
    SSL_CTX_set_max_cert_list(c->context, TLS_CHAIN_BYTES_MAX);
    int rc = set_verify(c, o, why);
    if (rc == 0 && o->certificate)
        rc = set_certificate(c, o->certificate, why);
    if (rc == 0)
        rc = set_alpn(c, o->alpn, why);
    return rc;
}

static void client_free(struct tls_client *c)
{
    SSL_CTX_free(c->context);
    tls_trust_put(&c->trust);
    c->magic = 0;
    free(c);
}

int tls_client_new(struct tls_library *library, const struct tls_client_options *o,
                   struct tls_client **ret_client, char why[TLS_WHY_MAX])
{
    struct tls_client *c = calloc(1, sizeof *c);
    if (!c)
        return tls_why(why, "there is no memory");
    c->magic = TLS_CLIENT_MAGIC;
    atomic_init(&c->refs, 1);
    c->library = library;
    c->verify = o->verify;
    int rc = client_fill(c, o, why);
    ERR_clear_error();
    if (rc < 0) {
        client_free(c);
        return rc;
    }
    *ret_client = c;
    return 0;
}

struct tls_client *tls_client_ref(struct tls_client *client)
{
    CHECK_OBJ(client, TLS_CLIENT_MAGIC);
    (void)atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
    return client;
}

void tls_client_unref(struct tls_client **client)
{
    struct tls_client *c = *client;
    if (!c)
        return;
    CHECK_OBJ(c, TLS_CLIENT_MAGIC);
    *client = NULL;
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        client_free(c);
}

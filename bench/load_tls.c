/* SPDX-License-Identifier: MIT */
/*
 * TLS of the clients. OpenSSL sees no socket: what one receive brought is decrypted as far as it
 * goes, and what is to be sent leaves in one send. All clients offer the same one suite and group,
 * so that every proxy has the same work.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "load.h"

struct tls {
    SSL *ssl;
    const char *in; /* received, not yet read by OpenSSL */
    size_t in_len;
    char *out; /* encrypted, not yet sent */
    size_t out_len, out_sent, out_max;
    bool resuming, fresh;
};

static SSL_CTX *context;
static BIO_METHOD *method;
static SSL_SESSION *session; /* the newest ticket */
static unsigned fresh; /* connections that should have resumed a session, but there was none yet */
static char cipher[SCRATCH];

static _Noreturn void tls_fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* ---- OpenSSL's end of the bytes ---- */

static int bio_read(BIO *bio, char *bytes, int max)
{
    struct tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!tls->in_len) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = tls->in_len < (size_t)max ? tls->in_len : (size_t)max;
    memcpy(bytes, tls->in, n);
    tls->in += n;
    tls->in_len -= n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *bytes, int n)
{
    struct tls *tls = BIO_get_data(bio);
    size_t wanted = tls->out_len + (size_t)n;
    if (wanted > tls->out_max) {
        tls->out_max = 2 * wanted;
        tls->out = realloc(tls->out, tls->out_max);
        if (!tls->out)
            fail("realloc");
    }
    memcpy(tls->out + tls->out_len, bytes, (size_t)n);
    tls->out_len = wanted;
    return n;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int session_new(SSL *ssl, SSL_SESSION *newest)
{
    (void)ssl;
    if (!run.resume)
        return 0;
    SSL_SESSION_free(session);
    session = newest;
    return 1; /* it is ours now */
}

static void context_make(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "load");
    context = SSL_CTX_new(TLS_client_method());
    if (!method || !context || !BIO_meth_set_read(method, bio_read) ||
        !BIO_meth_set_write(method, bio_write) || !BIO_meth_set_ctrl(method, bio_control) ||
        !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set1_groups_list(context, (char *)(uintptr_t) "X25519"))
        tls_fail("TLS");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, session_new);
}

void tls_prepare(void)
{
    if (!context)
        context_make();
    SSL_SESSION_free(session);
    session = NULL;
}

/* ---- handshake ---- */

static void tls_why(const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    if (!run.why[0])
        snprintf(run.why, sizeof run.why, "%s: %s", what, reason ? reason : "-");
}

/* Whether the connection is what was asked for. */
static bool handshake_good(const struct tls *tls)
{
    const unsigned char *name = NULL;
    unsigned length = 0;
    SSL_get0_alpn_selected(tls->ssl, &name, &length);
    if (run.streams && (length != 2 || memcmp(name, "h2", 2) != 0)) {
        tls_why("no HTTP/2 by ALPN");
        return false;
    }
    if (tls->resuming != (SSL_session_reused(tls->ssl) == 1)) {
        tls_why("a ticket was refused");
        return false;
    }
    return true;
}

bool tls_ready(const struct connection *c)
{
    return SSL_is_init_finished(c->tls->ssl);
}

static bool handshake(struct connection *c)
{
    struct tls *tls = c->tls;
    int done = SSL_do_handshake(tls->ssl);
    if (done == 1)
        return handshake_good(tls); /* the last flight leaves together with the request */
    if (SSL_get_error(tls->ssl, done) != SSL_ERROR_WANT_READ) {
        tls_why("handshake");
        return false;
    }
    return tls_flush(c);
}

/* A session of its own, since OpenSSL lets each be used once. Proxies need not send a ticket for
 * each that they take. */
static void session_use(struct tls *tls)
{
    if (!run.resume)
        return;
    SSL_SESSION *own = session ? SSL_SESSION_dup(session) : NULL;
    tls->resuming = own && SSL_set_session(tls->ssl, own) == 1;
    SSL_SESSION_free(own);
    if (tls->resuming)
        return;
    tls->fresh = true;
    fresh++;
    if (run.measuring)
        run_error("no ticket to resume with");
}

bool tls_settled(void)
{
    return fresh == 0;
}

void tls_begin(struct connection *c)
{
    static const unsigned char h1[] = "\x08http/1.1", h2[] = "\x02h2";
    struct tls *tls = calloc(1, sizeof *tls);
    BIO *bio = BIO_new(method);
    if (!tls || !bio || !(tls->ssl = SSL_new(context)))
        tls_fail("TLS connection");
    c->tls = tls;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_connect_state(tls->ssl);
    if (c->idle)
        SSL_set_mode(tls->ssl, SSL_MODE_RELEASE_BUFFERS); /* there are many of them */
    SSL_set_tlsext_host_name(tls->ssl, (char *)(uintptr_t) "www.example.org");
    if (run.streams)
        SSL_set_alpn_protos(tls->ssl, h2, sizeof h2 - 1);
    else
        SSL_set_alpn_protos(tls->ssl, h1, sizeof h1 - 1);
    session_use(tls);
    (void)handshake(c); /* a failure comes back as an event */
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    if (tls->fresh)
        fresh--;
    /* Otherwise OpenSSL takes the session for broken. */
    SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    free(tls->out);
    free(tls);
}

/* ---- bytes ---- */

bool tls_flush(struct connection *c)
{
    struct tls *tls = c->tls;
    while (c->out_sent < c->out_len) {
        int n = SSL_write(tls->ssl, c->out + c->out_sent, (int)(c->out_len - c->out_sent));
        if (n <= 0) {
            tls_why("TLS write");
            return false;
        }
        c->out_sent += (size_t)n;
    }
    while (tls->out_sent < tls->out_len) {
        ssize_t n = send(c->fd, tls->out + tls->out_sent, tls->out_len - tls->out_sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN;
        tls->out_sent += (size_t)n;
    }
    tls->out_sent = tls->out_len = 0;
    return true;
}

/* Decrypts all that is there behind `have` bytes of `scratch`. Returns how much, -1 if it is wrong.
 */
static ssize_t decrypt(struct tls *tls, size_t have)
{
    size_t begin = have;
    for (;;) {
        int n = SSL_read(tls->ssl, scratch + have, (int)(SCRATCH - have));
        if (n > 0) {
            have += (size_t)n;
            continue;
        }
        int error = SSL_get_error(tls->ssl, n);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_ZERO_RETURN)
            return (ssize_t)(have - begin);
        tls_why("TLS read");
        return -1;
    }
}

ssize_t tls_receive(struct connection *c, bool *ret_more)
{
    struct tls *tls = c->tls;
    size_t have = c->rest_len;
    /* Less than is left in `scratch`, with room for a record that was begun before. */
    size_t most = SCRATCH - HEAD_MAX - 32 * 1024;
    ssize_t n = recv(c->fd, cipher, most, MSG_DONTWAIT);
    *ret_more = n > 0 && (c->hung_up || (size_t)n == most);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        return -1;
    if (n < 0)
        return 0;
    tls->in = cipher;
    tls->in_len = (size_t)n;
    if (!SSL_is_init_finished(tls->ssl)) {
        if (!handshake(c))
            return -1;
        if (!SSL_is_init_finished(tls->ssl))
            return 0;
    }
    ssize_t got = decrypt(tls, have);
    if (got <= 0)
        return got;
    if (have)
        memcpy(scratch, c->rest, have);
    c->rest_len = 0;
    return (ssize_t)have + got;
}

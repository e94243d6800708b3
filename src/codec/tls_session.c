/* SPDX-License-Identifier: MIT */
/*
 * One connection. A call of ours lends the library's BIO its bytes (enter), lets OpenSSL run until
 * it wants more, and takes them back (leave).
 *
 * The common case is one record in and one out: one SSL_read_ex, one SSL_write_ex, and no look at
 * OpenSSL's error queue, which is empty whenever we are not in a call: whoever finds an error takes
 * it out (fail). That OpenSSL wants more input is known from the BIO having run dry.
 */
#include "codec/tls_priv.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>

#define RECORD_HANDSHAKE 22

/* ---- entering and leaving OpenSSL ---- */

static struct tls_library *enter(struct tls_session *t, struct span in, struct tls_sink *sink)
{
    CHECK_OBJ(t, TLS_SESSION_MAGIC);
    struct tls_library *l = t->library;
    CHECK(l->current == NULL);
    l->current = t;
    l->in = in;
    l->sink = sink;
    l->dry = false;
    l->sink_full = false;
    l->records_out = 0;
    l->record_left = l->header_n = 0;
    return l;
}

static void leave(struct tls_library *l)
{
    l->current = NULL;
    l->sink = NULL;
    l->in = (struct span){NULL, 0};
}

/* OpenSSL writes five secrets as text if it is asked to, of which two are of use. */
static void want_secret(struct tls_session *t, bool want)
{
    if (!t->is_client && !t->server->openssl_records)
        SSL_CTX_set_keylog_callback(SSL_get_SSL_CTX(t->ssl), want ? tls_record_secret : NULL);
}

/* OpenSSL tells of alerts and of its steps; values as in SSL_CTX_set_info_callback(3). */
void tls_session_info(const SSL *ssl, int where, int value)
{
    struct tls_library *l = BIO_get_data(SSL_get_rbio(ssl));
    struct tls_session *t = l ? l->current : NULL;
    if (!t)
        return;
    if (where & SSL_CB_ALERT) {
        bool fatal = value >> 8 == SSL3_AL_FATAL;
        /* A renegotiation is answered with a warning. Nobody who means well asks for one. */
        bool refused = (value & 0xff) == SSL_AD_NO_RENEGOTIATION && where == SSL_CB_WRITE_ALERT;
        if (t->alert == 0 && (fatal || refused)) {
            t->alert = (uint8_t)value;
            t->alert_is_ours = where == SSL_CB_WRITE_ALERT;
        }
    } else if (where & SSL_CB_LOOP && t->done) {
        t->messages += t->messages < UINT16_MAX;
    } else if (where & SSL_CB_LOOP && SSL_get_state(ssl) == TLS_ST_SW_ENCRYPTED_EXTENSIONS) {
        t->flight = true;
        want_secret(t, true); /* ours comes with our last message */
    }
}

/* ---- life ---- */

static int session_init(struct tls_session *t, struct tls_library *l, SSL_CTX *context)
{
    *t = (struct tls_session){.magic = TLS_SESSION_MAGIC, .library = l};
    t->ssl = SSL_new(context);
    if (!t->ssl) {
        ERR_clear_error();
        t->magic = 0;
        return -(int)REASON_overload;
    }
    (void)BIO_up_ref(l->bio);
    SSL_set_bio(t->ssl, l->bio, l->bio);
    return 0;
}

int tls_session_init_server(struct tls_session *t, struct tls_server *server)
{
    CHECK_OBJ(server, TLS_SERVER_MAGIC);
    int rc = session_init(t, server->library, server->sets[0].context);
    if (rc < 0)
        return rc;
    t->server = tls_server_ref(server);
    SSL_set_accept_state(t->ssl);
    return 0;
}

/* What the certificate must be for; SNI only names hosts. */
static bool set_name(struct tls_session *t, struct span name)
{
    char text[TLS_NAME_MAX + 1];
    unsigned char binary[16];
    if (!span_to_cstr(name, text, sizeof text))
        return false;
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    if (inet_pton(AF_INET, text, binary) == 1 || inet_pton(AF_INET6, text, binary) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, text) == 1;
    if (name.n == 0)
        return true;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, text, name.n) == 1 &&
           SSL_set_tlsext_host_name(t->ssl, text) == 1;
}

/* The ticket is only as good as what it stands for. */
static bool set_resumption(struct tls_session *t, struct span name, struct tls_resumption *r)
{
    uint8_t domain[32];
    const struct span parts[] = {span_of(t->client->domain, sizeof t->client->domain), name};
    if (!tls_digest(t->library, parts, ARRAY_LEN(parts), domain))
        return false;
    if (memcmp(domain, r->domain, sizeof domain) != 0) {
        tls_resumption_clear(r);
        memcpy(r->domain, domain, sizeof domain);
    }
    t->resumption = r;
    if (!r->session)
        return true;
    /* A copy: OpenSSL spoils what it has used once, but to us a backend gives nothing away by
     * seeing its ticket twice, and several connections may begin with it at a time. */
    SSL_SESSION *copy = SSL_SESSION_dup(r->session);
    bool ok = copy && SSL_set_session(t->ssl, copy) == 1;
    SSL_SESSION_free(copy);
    return ok;
}

int tls_session_init_client(struct tls_session *t, struct tls_client *client, struct span name,
                            struct tls_resumption *resumption)
{
    CHECK_OBJ(client, TLS_CLIENT_MAGIC);
    CHECK(!client->verify || name.n > 0);
    int rc = session_init(t, client->library, client->context);
    if (rc < 0)
        return rc;
    t->is_client = true;
    t->client = tls_client_ref(client);
    SSL_set_connect_state(t->ssl);
    if (!set_name(t, name) || (resumption && !set_resumption(t, name, resumption))) {
        ERR_clear_error();
        tls_session_fini(t);
        return -(int)REASON_overload;
    }
    return 0;
}

static void free_ssl(struct tls_session *t)
{
    if (!t->ssl)
        return;
    /* Else OpenSSL would make a ticket useless because its connection ended without ceremony. */
    SSL_set_quiet_shutdown(t->ssl, 1);
    (void)SSL_shutdown(t->ssl);
    SSL_free(t->ssl);
    t->ssl = NULL;
}

void tls_session_fini(struct tls_session *t)
{
    CHECK_OBJ(t, TLS_SESSION_MAGIC);
    free_ssl(t);
    tls_records_free(&t->records);
    ERR_clear_error();
    tls_server_unref(&t->server);
    tls_client_unref(&t->client);
    *t = (struct tls_session){0};
}

/* ---- failing ---- */

static enum reason server_reason(const struct tls_session *t, int error)
{
    if (error == SSL_R_HTTP_REQUEST || error == SSL_R_HTTPS_PROXY_REQUEST)
        return REASON_not_tls;
    if (SSL_get_verify_result(t->ssl) != X509_V_OK ||
        error == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        return REASON_tls_client_certificate;
    return REASON_tls_handshake_failed;
}

/* Why OpenSSL will not go on; what it had to say is taken out of its queue. */
static int fail(struct tls_session *t)
{
    unsigned long first = ERR_get_error();
    int error = ERR_GET_REASON(first);
    ERR_clear_error();
    long verdict = SSL_get_verify_result(t->ssl);
    bool theirs = t->alert && !t->alert_is_ours;
    if (theirs)
        t->why = SSL_alert_desc_string_long(t->alert);
    else if (!t->done && verdict != X509_V_OK && error == SSL_R_CERTIFICATE_VERIFY_FAILED)
        t->why = X509_verify_cert_error_string(verdict);
    else
        t->why = first ? ERR_reason_error_string(first) : NULL;
    if (t->library->sink_full)
        return -(int)REASON_overload;
    if (t->is_client && t->done)
        return -(int)REASON_backend_tls_truncated; /* a request may have been sent */
    if (t->is_client)
        return !theirs && verdict != X509_V_OK ? -(int)REASON_backend_certificate
                                               : -(int)REASON_backend_tls_failed;
    if (theirs)
        return -(int)REASON_tls_alert;
    return t->done ? -(int)REASON_tls_bad_record : -(int)server_reason(t, error);
}

/* A peer that does what nobody needs to do. */
static int misbehaved(struct tls_session *t, const char *why)
{
    t->why = why;
    return t->is_client ? -(int)REASON_backend_tls_truncated : -(int)REASON_tls_handshake_failed;
}

/* ---- input ---- */

/* In TLS 1.2 a ticket that was renewed on its use is announced to nobody. */
static void take_renewed(struct tls_session *t)
{
    if (!t->resumption || SSL_version(t->ssl) != TLS1_2_VERSION || !SSL_session_reused(t->ssl))
        return;
    SSL_SESSION_free(t->resumption->session);
    t->resumption->session = SSL_get1_session(t->ssl);
}

/* A ticket may have outlived the certificate that it stands for. */
static bool certificate_expired(const struct tls_session *t)
{
    if (!SSL_session_reused(t->ssl))
        return false;
    const X509 *x = SSL_get0_peer_certificate(t->ssl);
    return x && X509_cmp_current_time(X509_get0_notAfter(x)) <= 0;
}

static int handshake(struct tls_session *t, struct tls_library *l)
{
    if (!t->is_client && !t->hello && l->in.n > 0 && l->in.p[0] != RECORD_HANDSHAKE &&
        SSL_in_before(t->ssl)) {
        t->why = "the first byte is not that of a TLS handshake";
        return -(int)REASON_not_tls;
    }
    want_secret(t, t->records != NULL); /* the client's comes with its last message */
    int r = SSL_do_handshake(t->ssl);
    want_secret(t, false);
    t->warm = true;
    if (r == 1) {
        t->done = true;
        if (UNLIKELY(certificate_expired(t))) {
            t->why = X509_verify_cert_error_string(X509_V_ERR_CERT_HAS_EXPIRED);
            return t->is_client ? -(int)REASON_backend_certificate
                                : -(int)REASON_tls_client_certificate;
        }
        take_renewed(t);
        /* In TLS 1.3 all that a server says after the client's last message, the ticket, is sealed
         * with the keys that records go on with. */
        (void)tls_records_begin(t, l->records_out);
        return TLS_HANDSHAKE_DONE;
    }
    if (l->dry && t->alert == 0)
        return TLS_NEED_MORE;
    return fail(t);
}

static int read_stopped(struct tls_session *t, struct tls_library *l)
{
    if (UNLIKELY(t->alert != 0 && t->alert_is_ours && t->alert == SSL_AD_NO_RENEGOTIATION)) {
        ERR_clear_error();
        return misbehaved(t, "renegotiation");
    }
    if (UNLIKELY(t->messages > TLS_MESSAGES_MAX)) {
        ERR_clear_error();
        return misbehaved(t, "too many messages after the handshake");
    }
    if (LIKELY(l->dry && t->alert == 0 && !l->sink_full))
        return TLS_NEED_MORE;
    if (t->alert == 0 && SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN) {
        t->closed = true;
        ERR_clear_error();
        return TLS_CLOSED;
    }
    return fail(t);
}

static int read_records(struct tls_session *t, struct tls_library *l, uint8_t *room,
                        size_t room_bytes, size_t *ret_n)
{
    t->warm = true;
    while (*ret_n < room_bytes) {
        size_t n;
        if (SSL_read_ex(t->ssl, room + *ret_n, room_bytes - *ret_n, &n) != 1)
            return read_stopped(t, l);
        *ret_n += n;
        /* Nothing is read ahead: with no bytes left OpenSSL has none either, unless it was the room
         * that ended its record. */
        if (LIKELY(l->in.n == 0 && *ret_n < room_bytes))
            return t->messages > TLS_MESSAGES_MAX ? read_stopped(t, l) : TLS_NEED_MORE;
    }
    return TLS_ROOM_FULL;
}

int tls_session_input(struct tls_session *t, struct span *in, uint8_t *room, size_t room_bytes,
                      size_t *ret_n, struct tls_sink *sink)
{
    if (t->closed)
        return TLS_CLOSED;
    struct tls_library *l = enter(t, *in, sink);
    int r;
    if (LIKELY(t->done))
        r = t->records ? tls_records_input(t, l, room, room_bytes, ret_n)
                       : read_records(t, l, room, room_bytes, ret_n);
    else
        r = handshake(t, l);
    *in = l->in;
    leave(l);
    return r;
}

int tls_session_start(struct tls_session *t, struct tls_sink *sink)
{
    CHECK(t->is_client);
    struct tls_library *l = enter(t, (struct span){NULL, 0}, sink);
    int r = handshake(t, l);
    leave(l);
    return r;
}

bool tls_session_is_costly(const struct tls_session *t)
{
    if (t->done)
        return false;
    if (t->is_client || !t->hello || t->server->client_auth != TLS_CLIENT_AUTH_NONE)
        return true;
    /* A client that guessed our groups wrong says hello twice; what costs comes after the second.
     */
    return !t->flight && SSL_version(t->ssl) == TLS1_3_VERSION;
}

/* ---- output ---- */

static bool write_record(struct tls_session *t, const uint8_t *p, size_t n)
{
    size_t written;
    return SSL_write_ex(t->ssl, p, n, &written) == 1;
}

/* Gathers small pieces, so that a head and its body share a record; what fills whole records is
 * encrypted from where it lies. */
static bool write_pieces(struct tls_session *t, const struct span *pieces, size_t count)
{
    uint8_t *staging = t->library->staging;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        struct span piece = pieces[i];
        while (piece.n > 0) {
            size_t whole = piece.n - piece.n % TLS_RECORD_PLAIN_MAX;
            bool last = i + 1 == count;
            if (used == 0 && (whole > 0 || last)) {
                size_t n = last ? piece.n : whole;
                if (!write_record(t, piece.p, n))
                    return false;
                piece = span_from(piece, n);
                continue;
            }
            size_t n = MIN(piece.n, TLS_RECORD_PLAIN_MAX - used);
            memcpy(staging + used, piece.p, n);
            piece = span_from(piece, n);
            used += n;
            if (used == TLS_RECORD_PLAIN_MAX) {
                if (!write_record(t, staging, used))
                    return false;
                used = 0;
            }
        }
    }
    return used == 0 || write_record(t, staging, used);
}

int tls_session_output(struct tls_session *t, const struct span *pieces, size_t count,
                       struct tls_sink *sink)
{
    CHECK(t->done && !t->ended);
    if (LIKELY(t->records != NULL))
        return tls_records_output(t, pieces, count, sink);
    struct tls_library *l = enter(t, (struct span){NULL, 0}, sink);
    t->warm = true;
    bool ok = count == 1 ? write_record(t, pieces->p, pieces->n) : write_pieces(t, pieces, count);
    int r = LIKELY(ok) ? 0 : fail(t);
    leave(l);
    return r;
}

int tls_session_end(struct tls_session *t, struct tls_sink *sink)
{
    if (!t->done || t->ended)
        return 0;
    if (t->records) {
        t->ended = true;
        return tls_records_end(t, sink);
    }
    struct tls_library *l = enter(t, (struct span){NULL, 0}, sink);
    t->ended = true;
    int r = SSL_shutdown(t->ssl) >= 0 ? 0 : fail(t);
    leave(l);
    return r;
}

void tls_session_idle(struct tls_session *t)
{
    if (!t->warm || !t->done)
        return;
    if (t->records) {
        tls_records_idle(t->records);
        free_ssl(t);
        t->warm = false;
    } else if (SSL_free_buffers(t->ssl) == 1) {
        t->warm = false;
    }
}

const char *tls_session_why(const struct tls_session *t)
{
    return t->why;
}

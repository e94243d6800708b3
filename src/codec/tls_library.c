/* SPDX-License-Identifier: MIT */
/*
 * A worker's OpenSSL: a context of its own with the default provider, and the one BIO of all its
 * sessions. A session only ever moves bytes inside a call of ours, so the BIO needs no state of its
 * own: it reads where the library's `in` points and writes where its `sink` does.
 */
#include "codec/tls_priv.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *to, size_t room, size_t *ret_n)
{
    struct tls_library *l = BIO_get_data(bio);
    size_t n = MIN(room, l->in.n);
    if (UNLIKELY(n == 0)) {
        l->dry = true;
        BIO_set_retry_read(bio);
        *ret_n = 0;
        return 0;
    }
    BIO_clear_retry_flags(bio);
    memcpy(to, l->in.p, n);
    l->in.p += n;
    l->in.n -= n;
    *ret_n = n;
    return 1;
}

/* Counts records by their headers, which may come in parts. */
static void count_records(struct tls_library *l, const uint8_t *p, size_t n)
{
    while (n > 0) {
        size_t part = MIN(n, (size_t)l->record_left);
        p += part;
        n -= part;
        l->record_left -= (uint32_t)part;
        if (n == 0)
            return;
        l->header[l->header_n++] = *p++;
        n--;
        if (l->header_n == sizeof l->header) {
            l->header_n = 0;
            l->record_left = (uint32_t)l->header[3] << 8 | l->header[4];
            l->records_out++;
        }
    }
}

static int bio_write(BIO *bio, const char *from, size_t n, size_t *ret_n)
{
    struct tls_library *l = BIO_get_data(bio);
    struct tls_sink *sink = l->sink;
    *ret_n = n;
    if (!l->current->done)
        count_records(l, (const uint8_t *)from, n);
    while (n > 0) {
        size_t room = (size_t)(sink->end - sink->at);
        if (UNLIKELY(room == 0)) {
            if (!sink->grow(sink, n)) {
                l->sink_full = true;
                return -1;
            }
            continue;
        }
        room = MIN(room, n);
        memcpy(sink->at, from, room);
        sink->at += room;
        from += room;
        n -= room;
    }
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *argument)
{
    (void)bio;
    (void)number;
    (void)argument;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static bool make_bio(struct tls_library *l)
{
    l->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "record");
    if (!l->method)
        return false;
    (void)BIO_meth_set_read_ex(l->method, bio_read);
    (void)BIO_meth_set_write_ex(l->method, bio_write);
    (void)BIO_meth_set_ctrl(l->method, bio_control);
    (void)BIO_meth_set_create(l->method, bio_create);
    l->bio = BIO_new(l->method);
    if (l->bio)
        BIO_set_data(l->bio, l);
    return l->bio != NULL;
}

/* ---- life ---- */

static bool open_ossl(struct tls_library *l)
{
    /* No configuration file, which the sandbox would not let us read; no clearing up at exit, when
     * other threads may still be at it. */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT |
                             OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
                         NULL) != 1)
        return false;
    l->ossl = OSSL_LIB_CTX_new();
    if (!l->ossl)
        return false;
    l->provider = OSSL_PROVIDER_load(l->ossl, "default");
    l->ticket_cipher = EVP_CIPHER_fetch(l->ossl, "AES-256-CBC", NULL);
    l->sha256 = EVP_MD_fetch(l->ossl, "SHA256", NULL);
    return l->provider && l->ticket_cipher && l->sha256;
}

static EVP_MAC_CTX *hmac_with(struct tls_library *l, const char *digest)
{
    char name[16];
    (void)!span_to_cstr(span_cstr(digest), name, sizeof name);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *hmac = EVP_MAC_fetch(l->ossl, "HMAC", NULL);
    EVP_MAC_CTX *context = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac); /* the context has it */
    if (context && EVP_MAC_CTX_set_params(context, params) == 1)
        return context;
    EVP_MAC_CTX_free(context);
    return NULL;
}

static bool fetch_suites(struct tls_library *l)
{
    l->suites[0] =
        (struct tls_suite){0x1301, 16, 32, EVP_CIPHER_fetch(l->ossl, "AES-128-GCM", NULL)};
    l->suites[1] =
        (struct tls_suite){0x1302, 32, 48, EVP_CIPHER_fetch(l->ossl, "AES-256-GCM", NULL)};
    l->suites[2] =
        (struct tls_suite){0x1303, 32, 32, EVP_CIPHER_fetch(l->ossl, "ChaCha20-Poly1305", NULL)};
    l->hmac_sha256 = hmac_with(l, "SHA256");
    l->hmac_sha384 = hmac_with(l, "SHA384");
    return l->hmac_sha256 && l->hmac_sha384;
}

int tls_library_new(struct tls_library **ret_library)
{
    struct tls_library *l = calloc(1, sizeof *l);
    if (!l)
        return -(int)REASON_overload;
    list_init(&l->trusts);
    if (pthread_mutex_init(&l->lock, NULL) != 0) {
        free(l);
        return -(int)REASON_overload;
    }
    l->lookup = tls_ca_lookup();
    if (!l->lookup || !open_ossl(l) || !fetch_suites(l) || !make_bio(l)) {
        ERR_clear_error();
        tls_library_free(&l);
        return -(int)REASON_system_error;
    }
    *ret_library = l;
    return 0;
}

void tls_library_free(struct tls_library **library)
{
    struct tls_library *l = *library;
    if (!l)
        return;
    *library = NULL;
    CHECK(list_empty(&l->trusts));
    X509_LOOKUP_meth_free(l->lookup);
    (void)BIO_free(l->bio);
    BIO_meth_free(l->method);
    EVP_MAC_CTX_free(l->hmac_sha256);
    EVP_MAC_CTX_free(l->hmac_sha384);
    for (size_t i = 0; i < ARRAY_LEN(l->suites); i++)
        EVP_CIPHER_free(l->suites[i].cipher);
    EVP_MD_free(l->sha256);
    EVP_CIPHER_free(l->ticket_cipher);
    if (l->provider)
        (void)OSSL_PROVIDER_unload(l->provider);
    OSSL_LIB_CTX_free(l->ossl);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

/* ---- what all contexts share ---- */

bool tls_context_prepare(SSL_CTX *context)
{
    char groups[] = TLS_GROUPS; /* OpenSSL's macro wants it writable */
    (void)SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    /* A send that is tried again may lie elsewhere then; who wrote a chain into his file means it.
     */
    (void)SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_security_level(context, TLS_SECURITY_LEVEL);
    SSL_CTX_set_info_callback(context, tls_session_info);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(context, TLS_CIPHERS_1_2) == 1 &&
           SSL_CTX_set_ciphersuites(context, TLS_CIPHERS_1_3) == 1 &&
           SSL_CTX_set1_groups_list(context, groups) == 1;
}

bool tls_digest(struct tls_library *library, const struct span *pieces, size_t count,
                uint8_t ret_digest[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, library->sha256, NULL) == 1;
    for (size_t i = 0; ok && i < count; i++) {
        uint64_t n = pieces[i].n;
        ok = EVP_DigestUpdate(md, &n, sizeof n) == 1 &&
             EVP_DigestUpdate(md, pieces[i].p, pieces[i].n) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(md, ret_digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

const char *tls_error_take(void)
{
    unsigned long first = ERR_get_error();
    ERR_clear_error();
    const char *text = first ? ERR_reason_error_string(first) : NULL;
    return text ? text : "no more is known";
}

int tls_why(char why[TLS_WHY_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, TLS_WHY_MAX, format, args);
    va_end(args);
    ERR_clear_error();
    return -(int)REASON_system_error;
}

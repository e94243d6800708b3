/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between the files of the TLS codec. All of OpenSSL that a worker touches hangs on its library; a
 * session is `current` there for the length of a call, which is how OpenSSL's callbacks find it.
 */

#include "codec/tls.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/list.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>

/* A bundle as a library verifies with it: shared by its servers and clients that name the same. */
struct tls_trust {
    struct list link;
    uint32_t refs; /* under the library's lock */
    struct tls_library *library;
    struct tls_ca *ca;
    X509_STORE *store; /* has what chains asked for so far, and asks `ca` for the rest */
};

/* A cipher suite of TLS 1.3. */
struct tls_suite {
    uint16_t id;
    uint8_t key_bytes;
    uint8_t secret_bytes;
    EVP_CIPHER *cipher; /* NULL: this OpenSSL has it not */
};

struct tls_library {
    /* set at creation */
    struct tls_suite suites[3];
    EVP_MAC_CTX *hmac_sha256;
    EVP_MAC_CTX *hmac_sha384;
    OSSL_LIB_CTX *ossl;
    OSSL_PROVIDER *provider;
    EVP_CIPHER *ticket_cipher;
    EVP_MD *sha256;
    X509_LOOKUP_METHOD *lookup; /* of all trusts */
    BIO_METHOD *method;
    BIO *bio; /* of all sessions: reads `in`, writes `sink` */

    /* any thread, rarely */
    pthread_mutex_t lock;
    struct list trusts;

    /* the sessions' thread: the call under way */
    struct tls_session *current;
    struct span in;
    struct tls_sink *sink;
    bool dry;       /* OpenSSL asked for more than `in` had */
    bool sink_full; /* … or wrote more than the sink would take */
    /* records that OpenSSL wrote in this call */
    uint64_t records_out;
    uint32_t record_left; /* bytes of the one being written */
    uint8_t header_n;     /* bytes of its header so far */
    uint8_t header[5];
    struct span name; /* that the ClientHello under way asks for */
    uint8_t staging[TLS_RECORD_PLAIN_MAX];
};

#define TLS_SECURITY_LEVEL 2 /* 112 bits: RSA of 2048 and more, no SHA-1 in signatures */

/* Ciphers and groups: Mozilla's "intermediate", without DHE. */
#define TLS_CIPHERS_1_2                                          \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS_CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define TLS_GROUPS      "X25519:P-256:P-384"

/* SHA-256 over pieces, each preceded by its length. False when there is no memory. */
NODISCARD bool tls_digest(struct tls_library *library, const struct span *pieces, size_t count,
                          uint8_t ret_digest[32]);

/* What both roles set in a context. False when OpenSSL refuses. */
NODISCARD bool tls_context_prepare(SSL_CTX *context);

/* OpenSSL's word for what went wrong first, and the queue is empty. */
const char *tls_error_take(void);

/* Writes a sentence; returns -REASON_system_error. */
PRINTF(2, 3) int tls_why(char why[TLS_WHY_MAX], const char *format, ...);

/* ---- tls_certificate.c ---- */

struct tls_parsed {
    X509 *leaf;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    char **names; /* lower case */
    uint32_t names_count;
    struct span staple; /* memory of its own */
    int64_t staple_until_s;
};

NODISCARD int tls_parse(struct tls_library *library, const struct tls_certificate *certificate,
                        struct tls_parsed *ret_parsed, char why[TLS_WHY_MAX]);
void tls_parsed_fini(struct tls_parsed *parsed);

/* Puts certificate, chain and key into a context. */
NODISCARD int tls_context_use(SSL_CTX *context, const struct tls_parsed *parsed,
                              char why[TLS_WHY_MAX]);

/* Seconds since 1970; 0 when it is no time. */
int64_t tls_time_s(const ASN1_TIME *time);

/* A copy of n bytes as a text, malloc'd; NULL when there is no memory. */
char *tls_text(const void *bytes, size_t n);

/* RFC 2253 with UTF-8 as it is, control bytes escaped; NULL when there is no memory. */
char *tls_name_text(const X509_NAME *name);

/* SHA-256 in hex. */
void tls_fingerprint(struct tls_library *library, const X509 *x, char ret_text[65]);

/* The bytes, as they are, for OpenSSL to read. NULL when there is no memory. */
BIO *tls_bio_of(struct span bytes);

/* ---- tls_ca.c ---- */

/* How a trust's store finds certificates. NULL when there is no memory. */
X509_LOOKUP_METHOD *tls_ca_lookup(void);

/* SHA-256 of the bundle. */
struct span tls_ca_digest(const struct tls_ca *ca);

/* Subjects of all its certificates, for who asks clients for theirs; NULL when there is no memory.
 */
STACK_OF(X509_NAME) * tls_ca_names(const struct tls_ca *ca);

/* 0, or a negative reason with *why. Give it back with tls_trust_put. */
NODISCARD int tls_trust_get(struct tls_library *library, struct tls_ca *ca,
                            struct tls_trust **ret_trust, char why[TLS_WHY_MAX]);
void tls_trust_put(struct tls_trust **trust);

/* ---- tls_tickets.c ---- */

/* The keys of this moment. */
int tls_ticket_seal(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int sealing);

/* ---- tls_server.c ---- */

struct tls_name_row {
    char *text; /* "a.example.com", or ".example.com" for "*.example.com" */
    uint32_t set;
};

struct tls_staple {
    X509 *leaf;
    uint8_t *der;
    size_t n;
};

/* The certificates that serve the same names: one context. */
struct tls_set {
    uint32_t members[8]; /* by kind of key: number of a certificate + 1, or 0 */
    SSL_CTX *context;
};

struct tls_server {
#define TLS_SERVER_MAGIC 0x715e5511u
    uint32_t magic;
    atomic_uint refs;
    struct tls_library *library;
    struct tls_tickets *tickets;
    struct tls_trust *trust;
    enum tls_client_auth client_auth;
    bool openssl_records;
    uint64_t rules; /* for clients */
    uint32_t alpn;
    struct tls_set *sets; /* the first is the default */
    uint32_t sets_count;
    struct tls_name_row *names; /* sorted */
    uint32_t names_count;
    struct tls_staple *staples;
    uint32_t staples_count;
};

/* ---- tls_client.c ---- */

struct tls_client {
#define TLS_CLIENT_MAGIC 0x715e5512u
    uint32_t magic;
    atomic_uint refs;
    struct tls_library *library;
    struct tls_trust *trust;
    bool verify;
    uint8_t domain[32]; /* of what a session resumed with it takes for granted */
    SSL_CTX *context;
};

/* ---- tls_session.c ---- */

/* OpenSSL's reports: alerts, messages. */
void tls_session_info(const SSL *ssl, int where, int value);

/* ---- tls_record.c ---- */

/* A secret of the handshake, as SSL_CTX_set_keylog_callback(3) tells it. */
void tls_record_secret(const SSL *ssl, const char *line);

/* The handshake is done, and OpenSSL has sealed so many records with the keys that we take over.
 * False: OpenSSL goes on. */
bool tls_records_begin(struct tls_session *t, uint64_t sealed);
void tls_records_free(struct tls_records **records);
void tls_records_idle(struct tls_records *r);
const char *tls_records_cipher(const struct tls_records *r);

/* As tls_session_input, _output and _end; the input is the library's. */
NODISCARD int tls_records_input(struct tls_session *t, struct tls_library *l, uint8_t *room,
                                size_t room_bytes, size_t *ret_n);
NODISCARD int tls_records_output(struct tls_session *t, const struct span *pieces, size_t count,
                                 struct tls_sink *sink);
NODISCARD int tls_records_end(struct tls_session *t, struct tls_sink *sink);

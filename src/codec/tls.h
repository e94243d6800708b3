/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * TLS 1.2 and 1.3 over OpenSSL 3, sans-IO: ciphertext in, plaintext out, and the reverse. No
 * socket, no file and no event leaves or enters by another way than these calls. (OpenSSL itself
 * reads the wall clock, to see whether certificates and tickets are still good, and the system's
 * randomness.)
 *
 *      control thread                               worker
 *      tls_library_new    one per worker ────────▶  tls_session_init_server / _client
 *      tls_server_new     listener and worker       tls_session_input   ciphertext ─▶ plaintext
 *      tls_client_new     pool and worker           tls_session_output  plaintext ─▶ ciphertext
 *      tls_ca_new         one for all               tls_session_end     close_notify
 *      tls_tickets_*      one for all
 *
 * Lifetime: a library outlives everything made with it. Servers and clients are immutable and
 * counted by reference; a session holds one. Thread rule: servers and clients of a library may be
 * made, referenced and released on any thread; the sessions of one library belong to one thread.
 *
 * What is spoken: versions 1.2 and 1.3; ECDHE on X25519, P-256 or P-384 with AES-GCM or
 * ChaCha20-Poly1305 (Mozilla's "intermediate" without DHE), in the order the client prefers. No
 * renegotiation, no compression, no early data.
 */

#include "account/reason.h"
#include "base/bytes.h"
#include "base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ssl_st; /* OpenSSL's */
struct tls_records;

/* Why something the operator gave cannot be used: one plain sentence without a full stop. */
#define TLS_WHY_MAX 256

#define TLS_NAME_MAX 255 /* bytes of a host name */

/* ---- library ---- */

/* OpenSSL's algorithms, random generator and their locks, for one worker: workers that shared one
 * would wait for each other in every handshake. It reads no configuration file of OpenSSL's. */
struct tls_library;

/* 0 or -REASON_system_error, -REASON_overload. */
NODISCARD int tls_library_new(struct tls_library **ret_library);

/* After every server, client and session of it. Leaves NULL; accepts NULL. */
void tls_library_free(struct tls_library **library);

/* ---- certificates ---- */

/* What the operator gave, as bytes (all borrowed for the length of a call). */
struct tls_certificate {
    struct span chain_pem;    /* the certificate, then those that lead to its root */
    struct span key_pem;      /* without a pass phrase; empty: it is in chain_pem */
    struct span ocsp_der;     /* a response to staple, or empty */
    const struct span *names; /* "a.example.com", "*.example.com": one label for the star */
    uint32_t names_count;     /* 0: the names in the certificate */
};

/* What it says of itself: for the control thread, metrics and people. */
struct tls_certificate_facts {
    char *subject;        /* RFC 2253 */
    char *issuer;         /* RFC 2253 */
    char **names;         /* those it will serve, in lower case */
    uint32_t names_count; /* 0: it can only be the default */
    int64_t not_before_s; /* since 1970 */
    int64_t not_after_s;  /* the earliest of the chain */
    int64_t ocsp_until_s; /* next update of the stapled response; 0: none, or it does not say */
    char fingerprint[65]; /* SHA-256 in hex */
    const char *key_type; /* "RSA", "ECDSA", "Ed25519" */
    uint32_t key_bits;
};

/* Reads and checks a certificate as tls_server_new would: 0, or -REASON_system_error with *why
 * naming what is wrong (no certificate in it, the key does not fit, a pass phrase is needed, ..).
 * An expired certificate is no error: see not_after_s. Free the facts with
 * tls_certificate_facts_free. */
NODISCARD int tls_certificate_describe(struct tls_library *library,
                                       const struct tls_certificate *certificate,
                                       struct tls_certificate_facts **ret_facts,
                                       char why[TLS_WHY_MAX]);
void tls_certificate_facts_free(struct tls_certificate_facts **facts);

/* ---- CA certificates ---- */

/*
 * A bundle of CA certificates, for all libraries together: immutable, counted by reference on any
 * thread. The syntax of all is checked when it is made. Their keys, which take OpenSSL five times
 * as long, are not decoded before a chain asks for the certificate, and then once a library: of the
 * hundred and more that a system trusts, a few are ever needed.
 */
struct tls_ca;

/* From PEM with at least one certificate: 0, or a negative reason with *why. The library lends its
 * algorithms for the length of the call. */
NODISCARD int tls_ca_new(struct tls_library *library, struct span pem, struct tls_ca **ret_ca,
                         char why[TLS_WHY_MAX]);
struct tls_ca *tls_ca_ref(struct tls_ca *ca);
/* Leaves NULL; accepts NULL. */
void tls_ca_unref(struct tls_ca **ca);

/* How many certificates it has. */
uint32_t tls_ca_count(const struct tls_ca *ca);

/* Files that systems keep their CA certificates in, most likely first, NULL at the end. */
extern const char *const tls_system_ca_files[];

/* ---- tickets ---- */

/* A ticket is good for so long, by any of the three keys: rotate no more often than this. */
#define TLS_TICKET_LIFETIME_S (2 * 3600)

/* One key: its name, for AES-256-CBC, for HMAC-SHA-256. */
struct tls_ticket_key {
    uint8_t name[16];
    uint8_t cipher[32];
    uint8_t mac[32];
};

enum { TLS_TICKET_PREVIOUS, TLS_TICKET_CURRENT, TLS_TICKET_NEXT, TLS_TICKET_KEYS };

/*
 * The keys that session tickets are sealed with, shared by all workers. Tickets are sealed with the
 * current key and opened with any of the three; `next` lets one process open what another, which
 * has rotated already, has sealed. Readers never wait and never see half a rotation.
 * One thread at a time may set or rotate; any thread reads.
 */
struct tls_tickets;

/* With random keys: 0 or a negative reason. */
NODISCARD int tls_tickets_new(struct tls_tickets **ret_tickets);
/* After every server that was made with it. */
void tls_tickets_free(struct tls_tickets **tickets);
/* previous <- current <- next <- random. 0, or a negative reason and nothing changed. */
NODISCARD int tls_tickets_rotate(struct tls_tickets *tickets);
/* The keys as they are; and others in their place. */
void tls_tickets_get(const struct tls_tickets *tickets,
                     struct tls_ticket_key ret_keys[TLS_TICKET_KEYS]);
void tls_tickets_set(struct tls_tickets *tickets,
                     const struct tls_ticket_key keys[TLS_TICKET_KEYS]);

/* ---- servers ---- */

/* OPTIONAL: who shows a certificate must show one that leads to a CA of the bundle. */
enum tls_client_auth { TLS_CLIENT_AUTH_NONE, TLS_CLIENT_AUTH_OPTIONAL, TLS_CLIENT_AUTH_REQUIRE };

/* Protocols to choose by ALPN; h2 is preferred. */
#define TLS_ALPN_HTTP1 1u
#define TLS_ALPN_H2    2u

struct tls_server_options {
    /* At least one. The first is for clients that ask for no name, or for one that none serves. For
     * a name that several serve there may be one of each key type: the client takes what it can. */
    const struct tls_certificate *certificates;
    uint32_t certificates_count;
    struct span domain; /* the listener's name: tickets are good within it alone */
    bool only_1_3;      /* else 1.2 as well */
    enum tls_client_auth client_auth;
    struct tls_ca *client_ca; /* with client_auth */
    uint32_t alpn;            /* TLS_ALPN_*; 0: none. A client that offers only others is refused */
    struct tls_tickets *tickets; /* NULL: none are given */
    /* TLS 1.3's records are made by OpenSSL. As a rule they are made here once a handshake is done,
     * with its ciphers: it costs half as much and a fifth of the memory. */
    bool openssl_records;
};

/* How connections of one listener are answered, on one worker. */
struct tls_server;

/* 0, or a negative reason with *why, which begins with "certificate 2: " where it is about one. */
NODISCARD int tls_server_new(struct tls_library *library, const struct tls_server_options *options,
                             struct tls_server **ret_server, char why[TLS_WHY_MAX]);
/* Says which rules for clients these are (domain, client_auth, client_ca): a client let in
 * under others may not be one under these. Never 0. */
uint64_t tls_server_rules(const struct tls_server *server);

struct tls_server *tls_server_ref(struct tls_server *server);
/* Gives one reference back and leaves NULL; accepts NULL. */
void tls_server_unref(struct tls_server **server);

/* ---- clients ---- */

struct tls_client_options {
    bool verify;
    struct tls_ca *ca;                         /* with verify */
    const struct tls_certificate *certificate; /* ours, or NULL */
    uint32_t alpn;                             /* what we offer; 0: no ALPN */
};

/* How connections to the backends of one pool are made, on one worker. */
struct tls_client;

/* 0, or a negative reason with *why. */
NODISCARD int tls_client_new(struct tls_library *library, const struct tls_client_options *options,
                             struct tls_client **ret_client, char why[TLS_WHY_MAX]);
struct tls_client *tls_client_ref(struct tls_client *client);
void tls_client_unref(struct tls_client **client);

/* The newest ticket of one backend. Zeroed at first; belongs to the thread of its sessions and
 * outlives them. A ticket of another client or name is not used. */
struct tls_resumption {
    void *session;
    uint8_t domain[32];
};

void tls_resumption_clear(struct tls_resumption *r);

/* ---- sessions ---- */

/* Where ciphertext goes. The caller fills in all three; `at` moves on. */
struct tls_sink {
    uint8_t *at;
    uint8_t *end;
    /* Makes at..end at least `wanted` bytes, or those of a record if that is less; false when there
     * is no room to be had. What was left of the room before may stay unused. */
    bool (*grow)(struct tls_sink *sink, size_t wanted);
};

/* What happened; all other results are negative reasons. */
enum tls_event {
    TLS_NEED_MORE,      /* all input is used */
    TLS_HANDSHAKE_DONE, /* once; call again with what is left of the input */
    TLS_ROOM_FULL,      /* take the plaintext, then call again with what is left */
    TLS_CLOSED, /* close_notify: the peer sends no more; bytes behind it are not looked at */
};

/*
 * One connection. Embed it; _init, then _fini. After a negative reason only _why and _fini may be
 * called, and what is in the sink (an alert, often) should still be sent.
 */
struct tls_session {
#define TLS_SESSION_MAGIC 0x715e5510u
    uint32_t magic;
    bool is_client;
    bool done;     /* the handshake is */
    bool hello;    /* server: the client's was read and answered */
    bool flight;   /* server: and not only by asking for another one (TLS 1.3) */
    bool closed;   /* close_notify came */
    bool ended;    /* ours was sent */
    bool warm;     /* OpenSSL holds buffers for it */
    uint8_t alert; /* that ended it: the peer's or ours; 0: none */
    bool alert_is_ours;
    uint16_t messages;           /* that the peer sent after the handshake */
    struct ssl_st *ssl;          /* NULL once it is not needed any more */
    struct tls_records *records; /* our own, of a connection that needs no more of OpenSSL than its
                                    ciphers */
    struct tls_library *library;
    struct tls_server *server; /* one of these two */
    struct tls_client *client;
    struct tls_resumption *resumption;
    const char *why;
};

/* A client connected to us. 0, or -REASON_overload. Takes a reference. */
NODISCARD int tls_session_init_server(struct tls_session *t, struct tls_server *server);

/*
 * We connected to a backend. `name` is a host name or an IP address: what the certificate must be
 * for, and, if a host name, what SNI says. `resumption` may be NULL. Follow with tls_session_start.
 */
NODISCARD int tls_session_init_client(struct tls_session *t, struct tls_client *client,
                                      struct span name, struct tls_resumption *resumption);

void tls_session_fini(struct tls_session *t);

/* A client's first message. 0 or a negative reason. */
NODISCARD int tls_session_start(struct tls_session *t, struct tls_sink *sink);

/*
 * Takes ciphertext from *in, which moves on, and writes plaintext to room[*ret_n..]: all whole
 * records, one after another. What the peer must be told on the way goes to the sink. With an empty
 * *in it goes on with what it has. Returns an enum tls_event or a negative reason; plaintext that
 * came before either is good. (*ret_n is added to.) room_bytes >= TLS_INPUT_ROOM_MIN: one record.
 *
 * Reasons: not_tls, tls_handshake_failed, tls_client_certificate, tls_alert, tls_bad_record; with a
 * backend backend_tls_failed, backend_certificate, and after the handshake backend_tls_truncated;
 * overload when the sink has no room.
 */
NODISCARD int tls_session_input(struct tls_session *t, struct span *in, uint8_t *room,
                                size_t room_bytes, size_t *ret_n, struct tls_sink *sink);

#define TLS_INPUT_ROOM_MIN (16384 + 256)

/* Whether what tls_session_input would do next costs public-key operations. */
bool tls_session_is_costly(const struct tls_session *t);

/* Encrypts all of the pieces, in order, in as few records as they fit in. 0 or a negative reason.
 * After the handshake, before tls_session_end. */
NODISCARD int tls_session_output(struct tls_session *t, const struct span *pieces, size_t count,
                                 struct tls_sink *sink);

/* Upper bound of what `bytes` of plaintext become. */
static inline size_t tls_output_bytes_max(size_t bytes);

/* close_notify, once; nothing before the handshake is done. 0 or a negative reason. */
NODISCARD int tls_session_end(struct tls_session *t, struct tls_sink *sink);

/* For a quiet connection: gives OpenSSL's buffers back, some 33 KiB, until the next record, and all
 * of its session where our own records have taken over. */
void tls_session_idle(struct tls_session *t);

/* OpenSSL's words for the reason it failed with, or NULL. Static text. */
const char *tls_session_why(const struct tls_session *t);

/* ---- what is known of a connection ---- */

/* After TLS_HANDSHAKE_DONE. `sni` points into the struct itself, all else outlives the session but
 * for `alpn`, which ends with it. */
struct tls_facts {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* "TLS_AES_128_GCM_SHA256": the IANA name */
    struct span sni;     /* in lower case; empty: none. Only a client that we serve has one */
    struct span alpn;    /* "h2", "http/1.1" or empty */
    bool resumed;
    bool has_certificate; /* the peer showed one, or had when the session began */
    bool verified;        /* … and it was verified */
    char sni_text[TLS_NAME_MAX + 1];
};

void tls_session_facts(const struct tls_session *t, struct tls_facts *ret_facts);

/* Of these only version and cipher, at no cost. */
void tls_session_spoken(const struct tls_session *t, const char **ret_version,
                        const char **ret_cipher);

/* The peer's certificate, in words. Names with control bytes are left out. */
struct tls_peer {
    char *subject;     /* RFC 2253 */
    char *common_name; /* the last of the subject; "" when there is none */
    char **names;      /* DNS, e-mail, URI and IP addresses that it is for */
    uint32_t names_count;
    char fingerprint[65]; /* SHA-256 in hex */
    int64_t not_after_s;
};

/* NULL when there is none, or no memory. Free it with tls_peer_free; independent of the session. */
struct tls_peer *tls_session_peer(const struct tls_session *t);
void tls_peer_free(struct tls_peer **peer);

/* ---- inline bodies ---- */

#define TLS_RECORD_PLAIN_MAX 16384
#define TLS_RECORD_EXTRA_MAX 32 /* header, nonce, tag, content type */

static inline size_t tls_output_bytes_max(size_t bytes)
{
    return bytes + (bytes / TLS_RECORD_PLAIN_MAX + 1) * TLS_RECORD_EXTRA_MAX;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A snapshot: an immutable, checked configuration.
 *
 * Made by config/load.h from YAML text or from command-line words, with every default filled in and
 * every reference resolved to an index. Nothing here changes after that. It is counted by
 * reference: an exchange keeps the snapshot it began with; the last reference frees it. Counts are
 * atomic, so any thread may hold one; the contents are read-only for everybody.
 *
 * All memory (names, arrays, texts) lives in the snapshot's own arena.
 *
 * Units are in the names: _ms milliseconds, _bytes bytes. A time of 0 means "no limit" only where
 * said so.
 */

#include "base/address.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum protocol { PROTOCOL_HTTP, PROTOCOL_TCP, PROTOCOL_HTTP2 /* of pools */ };

enum balance {
    BALANCE_ROUND_ROBIN,
    BALANCE_LEAST_CONNECTIONS,
    BALANCE_RANDOM,
    BALANCE_P2C,
    BALANCE_SOURCE_HASH,
};

enum health_type { HEALTH_NONE, HEALTH_TCP, HEALTH_HTTP, HEALTH_GRPC };

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

/* Who opens and seals the records of TLS 1.3 with clients: this program with OpenSSL's ciphers, or
 * OpenSSL alone. */
enum tls_record_maker { TLS_RECORDS_OWN, TLS_RECORDS_OPENSSL };

enum client_auth { CLIENT_AUTH_NONE, CLIENT_AUTH_OPTIONAL, CLIENT_AUTH_REQUIRE };

enum proxy_version { PROXY_NONE, PROXY_V1, PROXY_V2 };

enum access_format { ACCESS_NONE, ACCESS_JSON, ACCESS_COMBINED, ACCESS_CLF, ACCESS_HAPROXY };

enum sandbox_mode { SANDBOX_AUTO, SANDBOX_NONE };

/* Where in the text something was said, for messages and `--effective`. line 0 = a default. */
struct origin {
    uint32_t line, column;
};

struct backend_conf {
    const char *name; /* unique in its pool; the address text when not given */
    struct address address;
    uint32_t weight; /* 0..BACKEND_WEIGHT_MAX; 0 = only finishes what it has */
    bool backup;
    struct origin origin;
};

struct status_range {
    uint16_t low, high; /* inclusive */
};

struct health_conf {
    enum health_type type;
    const char *path;    /* http */
    const char *host;    /* http: Host field; NULL = the backend's address */
    const char *service; /* grpc: the service asked about; NULL = the server as a whole */
    struct status_range *expect;
    size_t expect_count;
    uint32_t interval_ms, timeout_ms;
    uint32_t rise, fall;
    uint16_t port; /* 0 = the backend's own */
};

struct passive_conf {
    uint32_t failures; /* within the window; 0 = off */
    uint32_t window_ms, eject_for_ms;
};

/* How we speak TLS to backends. */
struct pool_tls_conf {
    bool enabled;           /* the block is there */
    const char *ca;         /* file of those trusted; NULL = the system's */
    bool verify;            /* chain and name */
    const char *sni;        /* the name asked for and verified; NULL = the backend's address */
    const char *cert, *key; /* files of ours; NULL = none; key NULL = in cert's file */
};

enum retry_on { RETRY_ON_CONNECT_FAILURE = 1, RETRY_ON_RESET_BEFORE_RESPONSE = 2 };

struct pool_conf {
    const char *name;
    enum balance balance;
    enum protocol protocol;
    struct pool_tls_conf tls;
    enum proxy_version proxy_protocol; /* what we send first on a connection */
    struct health_conf health;
    struct passive_conf passive;
    uint32_t retry_attempts; /* further attempts after the first; 0..RETRY_ATTEMPTS_MAX */
    uint32_t retry_on;       /* enum retry_on bits */
    uint32_t connect_ms, response_ms;
    uint32_t
        idle_ms; /* no byte in either direction while a body or a TCP connection is under way */
    uint32_t keepalive_max_idle; /* idle connections per backend and worker; 0 = none */
    uint32_t keepalive_idle_ms;
    uint32_t max_connections; /* per backend over the whole process; 0 = no limit */
    uint32_t queue_max;       /* exchanges waiting when all are at that limit */
    uint32_t queue_ms;
    struct backend_conf *backends;
    size_t backend_count;
    struct origin origin;
};

/* One field to match: present with that value (exact); value NULL = present with any. */
struct match_field {
    const char *name; /* lower case */
    const char *value;
};

struct route_conf {
    const char *name;   /* "web[0]" when not given: shown in logs */
    const char **hosts; /* exact, lower case, or "*.suffix"; none = any */
    size_t host_count;
    const char *path;        /* exact, or NULL */
    const char *path_prefix; /* whole segments: /v1 matches /v1 and /v1/x, not /v10; NULL = any */
    const char **methods;
    size_t method_count;
    struct match_field *fields;
    size_t field_count;
    const char **snis; /* as hosts: the name asked for in TLS */
    size_t sni_count;
    const char **client_subjects; /* of a verified client certificate: RFC 2253, exactly */
    size_t client_subject_count;
    const char **client_sans; /* one of its names: DNS in any case, *.suffix; e-mail, URI, IP */
    size_t client_san_count;
    const char **client_fingerprints; /* SHA-256 of it in hex, with or without colons */
    size_t client_fingerprint_count;
    uint32_t pool; /* index into pools */
    struct origin origin;
};

/* A certificate with its key; two of one name, of RSA and ECDSA, stand side by side. */
struct certificate_conf {
    const char *cert;   /* file: the certificate, then those between it and the root */
    const char *key;    /* file; NULL = in cert's */
    const char *ocsp;   /* file: a DER response to staple, or NULL */
    const char **names; /* it is shown for, "*.suffix" too; none = those it names itself */
    size_t name_count;
    struct origin origin;
};

/* How clients speak TLS to us. */
struct listener_tls_conf {
    bool enabled;                          /* the block is there */
    struct certificate_conf *certificates; /* the first where no name fits */
    size_t certificate_count;
    enum tls_version min_version;
    enum client_auth client_auth;
    const char *client_ca; /* file of those whose clients are trusted */
    bool tickets;
    enum tls_record_maker records;
    uint64_t hsts_ms; /* max-age of Strict-Transport-Security; 0 = no such field */
};

struct listener_conf {
    const char *name;
    struct address *addresses; /* `listen` takes one address or a list */
    size_t address_count;
    enum protocol protocol;
    int32_t pool;             /* index into pools where no route matches; -1 = none: 404 */
    uint32_t max_connections; /* 0 = as many as descriptors allow */
    struct route_conf *routes;
    size_t route_count;
    struct listener_tls_conf tls;
    bool http2;
    struct address_block *proxies; /* peers that begin with a PROXY header */
    size_t proxy_count;
    uint16_t redirect_port;        /* of https:// all requests are sent to; 0 = none */
    const char *acme_challenge;    /* folder of ACME's tokens, or NULL */
    struct address_block *trusted; /* peers whose X-Forwarded-* are believed and appended to */
    size_t trusted_count;
    /* timeouts of the client's side */
    uint32_t request_ms;     /* from the first byte of a head to its last: 408 */
    uint32_t body_ms;        /* between two pieces of a request body: 408 */
    uint32_t send_ms;        /* no progress in sending to the client */
    uint32_t idle_ms;        /* keep-alive, between requests */
    uint32_t tunnel_ms;      /* after an upgrade, of TCP, of gRPC: no byte in either direction */
    uint64_t body_bytes_max; /* 0 = no limit: 413 */
    uint32_t handshake_ms;   /* PROXY header, ClientHello and TLS handshake together */
    uint32_t line_bytes_max, head_bytes_max, fields_max;
    uint32_t streams_max; /* requests at a time on one HTTP/2 connection */
    struct origin origin;
};

/* Where the admin server listens when nothing is said. */
#define ADMIN_PORT 9900

struct admin_conf {
    bool enabled;
    struct address address; /* ADDRESS_NONE: only the socket */
    const char *socket;     /* path or NULL */
    const char *token;      /* NULL = changes only over the socket */
};

struct snapshot {
    struct {
        enum log_level level;
        const char *file; /* NULL = standard error */
        enum log_format format;
    } log;
    struct {
        const char *file; /* "-" = standard output; NULL with a format = "-" */
        enum access_format format;
    } access_log;
    struct admin_conf admin;
    uint32_t workers; /* 0 = auto: one per CPU this process may use */
    int engine;       /* enum loop_engine of io/loop.h: 0 auto, 1 epoll, 2 uring */
    const char *user; /* whom the engine becomes when started as root; NULL = the default */
    enum sandbox_mode sandbox;
    uint32_t drain_ms; /* how long TERM waits for exchanges under way */
    struct listener_conf *listeners;
    size_t listener_count;
    struct pool_conf *pools;
    size_t pool_count;
    const char *source; /* the file's name, or "command line" */
    uint64_t text_hash; /* of the text it was loaded from: config_text_hash */
};

/* One reference more; any thread. */
const struct snapshot *snapshot_ref(const struct snapshot *s);

/* Gives one back and leaves NULL; accepts NULL. */
void snapshot_unref(const struct snapshot **s);

/* The words of the configuration, for logs and metrics. */
const char *balance_name(enum balance b);
const char *protocol_name(enum protocol p);

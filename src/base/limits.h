/* SPDX-License-Identifier: MIT */
/*
 * Every named maximum of the program, in one place. Each line ends with what happens at the
 * limit: a reason name (account/reason.def) where a peer meets it, "config error" where the
 * operator does, "dropped, counted" or "evicts" where nobody is refused.
 *
 * Append freely: one line each, number, why, refusal.
 *
 * A limit is a promise about memory and time: raise one only together with the arithmetic of the
 * structures that rely on it (the static_asserts at the end).
 */
#pragma once

#include <assert.h>

/* HTTP heads: a request or response larger than this is far outside what real software sends. */
#define HTTP_FIELDS_MAX            100   /* a flat field table, linear parsing: too_many_fields */
#define HTTP_LINE_MAX              8192  /* one line: target_too_long, head_too_large */
#define HTTP_HEAD_MAX              32768 /* all of it; offsets fit 16 bits: head_too_large */
#define HTTP_NAME_MAX              255   /* a field name; its length fits 8 bits: head_too_large */
#define HTTP_METHOD_MAX            32   /* the longest registered method has 17 bytes: bad_method */
#define HTTP_HOST_MAX              261  /* a DNS name of 255 and ":65535": bad_host */
#define HTTP_TRAILER_BYTES_MAX     8192 /* trailers carry checksums, statuses: head_too_large */
#define HTTP_TRAILER_FIELDS_MAX    32   /* as above, by number: head_too_large */
#define HTTP_BODY_RATE_MIN         256  /* bytes a second of a request body: request_timeout */
#define HTTP_INTERIM_MAX           16   /* 1xx responses before a final one: too_many_interim */
#define HTTP_CHUNK_EXT_MAX         1024 /* legal, useless, and a way to stall us: bad_chunk */
#define CHUNK_SIZE_DIGITS_MAX      16 /* 16 hex digits are 64 bits; more is an attack: bad_chunk */
#define HTTP_CONNECTION_TOKENS_MAX 32 /* names listed in Connection: too_many_fields */

#define REPLY_BODY_MAX 4096 /* of our answers; an ACME file has some 90 bytes: acme_unknown */
#define CHALLENGES_PER_S \
    800 /* folders and files read; each holds up the control thread: they wait */
#define CHALLENGES_MAX      4096 /* files of ACME asked for by one worker at a time: overload */
#define CHALLENGE_FILES_MAX 4096 /* in a folder; with more a flood is answered with overload */

/* Request targets. */
#define URI_MAX      HTTP_LINE_MAX /* raw target bytes: target_too_long */
#define URI_PATH_MAX 4096 /* canonical path; PATH_MAX of systems behind us: target_too_long */

/* Names and addresses. */
#define NAME_MAX_LEN     64  /* listeners, pools, backends, routes; metric labels: config error */
#define ADDRESS_TEXT_MAX 300 /* "name:port", "[v6%scope]:port", "unix:path": config error */

/* What one configuration may hold. */
#define LISTENERS_MAX         1024   /* each holds a socket per worker: config error */
#define POOLS_MAX             10000  /* pool numbers fit 16 bits: config error */
#define ROUTES_MAX            10000  /* per listener; route numbers fit 16 bits: config error */
#define BACKENDS_MAX          100000 /* per pool; the size picking is measured at: config error */
#define BACKEND_WEIGHT_MAX    256    /* bounds weighted schedules: config error */
#define CERTIFICATES_MAX      1024   /* per listener; each is parsed at a reload: config error */
#define TLS_FILE_BYTES_MAX    (4 << 20) /* certificates, keys, CA bundles: cannot be read */
#define H2_STREAMS_MAX        1000      /* at a time on one connection: config error */
#define FILE_PATH_MAX         4095      /* PATH_MAX of Linux without its NUL: config error */
#define MATCH_VALUES_MAX      64        /* methods, headers or hosts in one match: config error */
#define WORKERS_MAX           256 /* per-worker counters are summed on each read: config error */
#define CONFIG_FILE_BYTES_MAX (64 * 1024 * 1024) /* 100,000 backends, roomy: config error */
#define CONFIG_DEPTH_MAX      32      /* nesting; bounds the readers' stack: config error */
#define CONFIG_NODES_MAX      2000000 /* keys and values, bounds memory: config error */
#define CONFIG_ERRORS_MAX     50      /* shown per check; more are counted, not shown */
#define CONFIG_VALUE_MAX      4096    /* one scalar after ${} expansion, bytes: config error */

/* Forwarding. */
#define RETRY_ATTEMPTS_MAX 10    /* "already tried" is a small flat array: config error */
#define QUEUE_WAITING_MAX  65536 /* exchanges waiting per pool: queue_full */

#define LINGER_BYTES_MAX (4u << 20) /* read and dropped of a client being closed: it is closed */
#define CLIENTS_MAX      (1u << 24) /* per worker, whatever the limit of files: they wait outside */

/* HTTP/2, for each connection. Windows bound what one that sends can make us hold, the rest what
 * one can make us do. */
#define H2_STREAM_WINDOW     65535        /* bytes of a stream: h2_flow_control */
#define H2_CONNECTION_WINDOW (1u << 20)   /* of its streams, to backends more: h2_flow_control */
#define H2_HELD_MAX          (256u << 20) /* per worker, of uploads that wait: overload */
#define H2_HELD_EARLY        (H2_HELD_MAX / 4) /* from here windows open for what was taken */
#define H2_RESETS_MAX        1000              /* theirs and those they make us send … */
#define H2_RESETS_MS         10000             /* … in this time: h2_rapid_reset */
#define H2_CONTROL_PER_S     1000  /* control frames beyond H2_CONTROL_PER_DATA: h2_control_flood */
#define H2_CONTROL_PER_DATA  2     /* that may answer each DATA frame of ours: they count above */
#define H2_EMPTY_PER_S       1000  /* DATA frames with nothing in them: h2_empty_frames */
#define H2_UNWANTED_MAX      1000  /* header blocks and KiB of them that no stream takes … */
#define H2_UNWANTED_MS       10000 /* … in this time: h2_header_flood */
#define H2_CONTINUATIONS_MAX 8     /* of one header block: h2_continuation_flood */
#define H2_SETTINGS_MAX      32    /* entries in one frame: h2_control_flood */
#define EXCHANGES_MAX        (1u << 18) /* per worker, or one for each client if more: overload */
#define H2_MEMORY_MAX        (1u << 30) /* of nghttp2's, per worker: overload */

/* Buffers of one loop, by class (io/buf.h): were every client to stall at its worst, 128, 256, 256
 * and 64 MiB. A class that is used up gives way to the next larger one. */
#define BUF_SMALL_MAX      65536 /* overload */
#define BUF_MEDIUM_MAX     16384 /* overload */
#define BUF_HEAD_MAX       4096  /* overload */
#define BUF_LARGE_MAX      256   /* overload */
#define BUF_LARGE_HELD_MAX 32    /* with receivers; beyond, receives are of medium size */

/* Pipes of one loop, for forwarding without user space: only one with bytes in it is held. With
 * 256 KiB in each they pin 64 MiB of the kernel's memory when so many readers are slow. */
#define PIPES_MAX      256 /* bytes go through user space */
#define PIPES_IDLE_MAX 32  /* kept open for the next; others are closed */

/* Probes and names: with 10,000 backends neither descriptors nor the network nor a name server,
 * which drops what comes in bursts, see all at once. */
#define PROBES_MAX  256 /* under way at once over all pools; the rest wait in order */
#define LOOKUPS_MAX 64  /* the same of names */

/* Picking. */
#define SCHEDULE_MAX (1u << 20) /* places of a round-robin schedule: larger weights are scaled */

/* TLS. */
#define TLS_CHAIN_DEPTH_MAX 8 /* certificates above the peer's: tls_client_certificate */
#define TLS_CHAIN_BYTES_MAX                                                                  \
    65536                     /* of a peer's chain: tls_handshake_failed, backend_tls_failed \
                               */
#define TLS_MESSAGES_MAX 1024 /* tickets, key updates after a handshake: tls_handshake_failed */

/* Logs. */
#define LOG_LINE_MAX      2048         /* event line with its newline; cut with "..." */
#define LOG_AREA_MAX      16           /* area names are ours: CHECK */
#define LOG_RING_BYTES    (256 * 1024) /* of the event log; full: dropped, counted */
#define LOG_SINKS_MAX     16           /* open log files: config error */
#define LOG_RINGS_MAX     (LOG_SINKS_MAX * (WORKERS_MAX + 4)) /* each thread into each: no log */
#define ACCESS_RECORD_MAX 16384 /* one escaped access line; cut with "..." */

/* Counters of each worker, made at the first use of a number: 1 KiB a backend, 2 KiB a pair of
 * listener and pool. What is beyond is counted in poise_series_dropped_total. */
#define BOARD_BACKENDS_MAX  131072 /* run-time numbers, of all pools: dropped, counted */
#define BOARD_LISTENERS_MAX 2048   /* with those that leave after a reload: dropped, counted */
#define BOARD_POOLS_MAX     16384  /* the same: dropped, counted */

/* Admin server: looked at by people and scripts, and never in the way of traffic. */
#define ADMIN_HEAD_MAX        8192         /* bytes: head_too_large */
#define ADMIN_BODY_MAX        65536        /* bytes: 413 */
#define ADMIN_ANSWER_MAX      (64u << 20)  /* 100,000 backends: 503 */
#define ADMIN_PENDING_MAX     (128u << 20) /* answers that slow readers leave unsent: 503 */
#define ADMIN_CONNECTIONS_MAX 64           /* the quietest gives way, else closed */
#define ADMIN_SOCKET_KEPT     16           /* of these only for the unix socket */
#define ADMIN_STREAMS_MAX     16           /* readers of events: 429 */
#define ADMIN_EVENTS_MAX      256          /* waiting for one reader; beyond: closed */
#define ADMIN_EVENT_BYTES_MAX (4u << 20)   /* the same in bytes */
#define ADMIN_TICK_BACKENDS   1000         /* of each pool, in what is sent each second: cut */
#define ADMIN_UNITS_PER_S     4096 /* requests and 4 KiB of answers, over the address: they wait */
#define ADMIN_LOG_KEPT        1000 /* shown to who comes late: the oldest goes */
#define ADMIN_LOG_LINES       256  /* waiting for the control thread: dropped, counted */

/* The simulator (sim/): beyond, it ends with a sentence or a CHECK. */
#define SIM_EVENTS_MAX        (64u << 20) /* that wait at a time: CHECK */
#define SIM_STREAMS_MAX       (1u << 20)  /* of one worker: as the limit of files */
#define SIM_BALANCERS_MAX     64          /* scenario error */
#define SIM_CROWDS_MAX        64          /* groups of clients: scenario error */
#define SIM_TIMELINE_MAX      4096        /* events of a scenario: scenario error */
#define SIM_POLICIES_MAX      8           /* of --balance: usage error */
#define SIM_REQUESTS_MAX      10000000000 /* of one run, as the rates say: scenario error */
#define SIM_VISITS_MAX        1000000     /* connections of a group of clients: client_overload */
#define SIM_TRACE_MAX         20000000    /* requests of a recorded log: usage error */
#define SIM_LOG_LINES_MAX     10000       /* kept of a run: the rest is counted */
#define SIM_BACKEND_QUEUE_MAX 1000000     /* scenario error */

/* Ground. */
#define MAP_ENTRIES_MAX  (1u << 30) /* slot numbers fit 32 bits at 7/8 full: put fails */
#define SUGGEST_WORD_MAX 64         /* longer words get no did-you-mean */

static_assert(H2_HELD_MAX <= BUF_MEDIUM_MAX * 16384u, "the other classes are left to others");
static_assert(HTTP_HEAD_MAX <= 65535, "head offsets are 16 bits");
static_assert(HTTP_NAME_MAX <= 255, "name lengths are 8 bits");
static_assert(HTTP_LINE_MAX <= HTTP_HEAD_MAX, "a line must fit the head");
static_assert(URI_PATH_MAX <= URI_MAX, "a path is part of a target");
static_assert(POOLS_MAX <= 65535 && ROUTES_MAX <= 65535, "pool and route numbers are 16 bits");
static_assert(LISTENERS_MAX < BOARD_LISTENERS_MAX && POOLS_MAX < BOARD_POOLS_MAX,
              "all are counted");
static_assert(ACCESS_RECORD_MAX < LOG_RING_BYTES, "a record must fit an empty ring");

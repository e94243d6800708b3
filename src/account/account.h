/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Accounting: every exchange ends in exactly one call here. It adds to the worker's own counters
 * and histograms (single writer, read relaxed by others) and, when an access log is configured,
 * puts one record into the worker's ring; a writer thread formats and writes it, so the data path
 * neither formats text nor touches a file.
 *
 * Thread rule: a struct account belongs to one worker; account_totals, account_reason,
 * account_records_dropped and account_latency may be called from any thread.
 */

#include "account/board.h"
#include "account/latency.h"
#include "account/record.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct access_log; /* one per process: file, format, its writer */
struct account;    /* one per worker */
struct tally;

enum access_log_format { ACCESS_LOG_JSON, ACCESS_LOG_COMBINED, ACCESS_LOG_CLF, ACCESS_LOG_HAPROXY };

/* Opens the access log; "-" is standard output. 0, or a negative reason with a sentence. */
NODISCARD int access_log_open(const char *path, enum access_log_format format,
                              struct access_log **ret_log, char *ret_why, size_t why_size);
/* Drains and closes; every account that used it must be freed before. Leaves NULL; accepts NULL. */
void access_log_close(struct access_log **log);
/* Opens the file anew (rotation). Any thread. */
void access_log_reopen(struct access_log *log);

/* `log` may be NULL, else it must outlive the account. NULL without memory or a ring. */
struct account *account_new(struct access_log *log);
void account_free(struct account **a);

/* Another access log takes the place of the one there is; either may be NULL. 0, or a negative
 * reason: then there is none. On the worker's thread. */
NODISCARD int account_log_to(struct account *a, struct access_log *log);

/* The end of one exchange. */
void account_exchange(struct account *a, const struct record *r);

/* What is counted of an exchange; the rest of a record is for the access log alone. */
struct account_count {
    uint64_t bytes_in, bytes_out, total_ns;
    uint32_t retries;
    uint16_t status;
    uint8_t method; /* of a request: as in account/board.h */
    enum reason reason;
    const struct board_key *listener; /* NULL: by no listener */
    const struct board_key *pool;     /* NULL: it got as far as none */
};

/* Where there is no access log this is enough: it takes the place of account_exchange, so that no
 * record need be made. With a log it would be missing there: CHECKed. */
bool account_has_log(const struct account *a);
void account_count(struct account *a, const struct account_count *c);

/* A client connected. */
void account_connection(struct account *a, const struct board_key *listener);

/* An exchange has become a tunnel; such an exchange has ended. */
void account_tunnel(struct account *a, const struct board_key *listener, enum board_tunnel kind,
                    bool begun);

/* A call of gRPC ended, `grpc` of account/record.h says how; besides its account_exchange. */
COLD void account_call(struct account *a, const struct board_key *listener,
                       const struct board_key *pool, uint8_t grpc);

/* A TLS handshake with a client was completed, or was not. */
void account_handshake(struct account *a, const struct board_key *listener, bool tls13,
                       bool resumed);
void account_handshake_failed(struct account *a, const struct board_key *listener, enum reason why);

/* A backend has done its part of an exchange, well or not; once each time one was given to it. */
struct account_left {
    uint64_t bytes_in, bytes_out; /* of the client's side */
    uint64_t ns;                  /* since it was given to it */
    uint16_t status;              /* of its answer; 0 = none */
    enum reason failure;          /* REASON_ok, or how it failed */
};
void account_left(struct account *a, const struct board_key *backend, const struct account_left *l);

/* What it failed is repeated, there or at another. */
void account_retried(struct account *a, const struct board_key *backend);

/* For account/board.c and tests. */
const struct tally *account_tally(const struct account *a);

/* What happened so far, summed by the caller over workers. */
struct account_totals {
    uint64_t exchanges;
    uint64_t by_reason[REASON_COUNT];
    uint64_t by_class[BOARD_CLASSES]; /* status / 100; [0] = none; [5] from 500 on */
    uint64_t bytes_in, bytes_out, retries;
    uint64_t records_dropped; /* the access log could not keep up */
};
void account_totals(const struct account *a, struct account_totals *add_to);

uint64_t account_reason(const struct account *a, enum reason reason);
uint64_t account_records_dropped(const struct account *a);

/* How long all of them took. */
void account_latency(const struct account *a, struct latency_sum *add_to);

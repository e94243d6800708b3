/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A record as a line of text. Pure: used on the writer thread, and by tests.
 *
 *   json      {"time":"2026-11-21T09:00:00.123Z","client":"127.0.0.1:40000", ...}
 *             names as in the rows of access_log_line.c; null where the exchange had none; times
 *             are seconds to the microsecond
 *   combined  127.0.0.1 - - [21/Nov/2026:09:00:00 +0000] "GET / HTTP/1.1" 200 123 "-" "curl/7.88"
 *             as nginx and Apache write it, but that the bytes are all that went to the client; a
 *             TCP connection has "-" for its request and status 000
 *   clf       the same up to the bytes
 *   haproxy   HAProxy's httplog, and tcplog of TCP; see access_log_haproxy.c
 *
 * Every byte that comes from outside is escaped: one record is one line, and no quote ends early. A
 * text whose escaped form is too long is cut and ends in "...".
 */

#include "account/account.h"
#include "account/record.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The second of the record before, as the formats write it: records come nearly in order. All zero
 * is one that knows none yet. */
struct access_log_second {
    int64_t wall_s;
    bool known;
    uint8_t rfc3339[sizeof("2026-11-21T09:00:00.") - 1];
    uint8_t clf[sizeof("21/Nov/2026:09:00:00 +0000") - 1];
};

/* Writes the line with its '\n'; returns its length. `second` belongs to the caller and lives as
 * long as it likes. */
size_t access_log_line(char out[ACCESS_RECORD_MAX], enum access_log_format format,
                       const struct record *r, struct access_log_second *second);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The parts of a log line: texts of unknown origin, and numbers. For the formats of the access log
 * alone (access_log_line.c, access_log_haproxy.c).
 *
 * Thread rule: any.
 */

#include "account/access_log_line.h"
#include "base/bytes.h"

/* How long the escaped form of a text may be. A text of one byte a character always fits. */
#define NAME_ROOM    384
#define METHOD_ROOM  64
#define TARGET_ROOM  8448
#define HOST_ROOM    512
#define TEXT_ROOM    1536
#define ID_ROOM      192
#define TLS_ROOM     96
#define SUBJECT_ROOM 768
#define FIXED_ROOM   1024 /* names of fields, numbers, address, reason */

typedef void escape_fn(struct writer *w, struct span s);

/* A text with what needs it escaped, in at most `room` bytes: the whole, or as much of its front as
 * fits whatever it holds, and "...". The escape may write as it is only what is printable ASCII
 * without quotes and backslashes. */
void put_escaped(struct writer *w, struct span text, size_t room, escape_fn *escape);

/* The last `digits` digits of `n`, with zeros in front. */
void put_digits(struct writer *w, uint64_t n, unsigned digits);
void put_number(struct writer *w, uint64_t n);

/* "HTTP/1.1"; without a version where the request could not be read. */
void put_protocol(struct writer *w, const struct record *r);

/* Addresses as the client's: empty when there is none. */
struct span client_text(const struct record *r, char text[ADDRESS_TEXT_MAX], bool with_port);

/* HAProxy's lines, as `option httplog` and `option tcplog` make them (access_log_haproxy.c). */
void line_haproxy(struct writer *w, const struct record *r, const struct access_log_second *second);

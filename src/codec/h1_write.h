/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * HTTP/1 writer: heads and chunk framing as bytes.
 *
 * What is not edited is not rebuilt: runs of fields that stay are copied as one range. The request
 * line is always written from parsed parts (method, canonical path, query), so what was routed on
 * is what is forwarded. Everything writes through base/bytes.h's writer: on overflow the writer's
 * sticky error tells, nothing is truncated silently.
 */

#include "base/bytes.h"
#include "codec/message.h"

/* "GET /path?query HTTP/1.1 CRLF" from the parsed head, origin form (or "*"). */
void h1_write_request_line(struct writer *w, const struct head *h);

/* "HTTP/1.1 200 OK CRLF": the backend's status and phrase. */
void h1_write_status_line(struct writer *w, const struct head *h);

/*
 * The field lines of `h` that pass: not hop-by-hop (head_is_hop) and not in `drop` (bit per known
 * field_id). Adjacent survivors are one copy. No blank line is written.
 */
void h1_write_fields(struct writer *w, const struct head *h, uint64_t drop);

/* "name: value CRLF". The value is trusted to be checked. */
void h1_write_field(struct writer *w, struct span name, struct span value);

/* "Content-Length: n CRLF" */
void h1_write_content_length(struct writer *w, uint64_t n);

/* CRLF after the last field. */
void h1_write_head_end(struct writer *w);

/* Longest text of h1_chunk_begin. */
#define H1_CHUNK_BEGIN_MAX 24

/* Chunk framing around a piece of body: "<hex> CRLF" in front (preceded by the CR LF that ends the
 * chunk before, unless `first`), and the end of the body: "[CRLF]0 CRLF [trailers] CRLF". Both
 * return the bytes written. */
size_t h1_chunk_begin(uint8_t out[H1_CHUNK_BEGIN_MAX], uint64_t bytes, bool first);
void h1_write_chunk_last(struct writer *w, bool first, struct span trailers);

/* The standard phrase of a status ("Not Found"), or "" when there is none. */
const char *h1_status_phrase(int status);

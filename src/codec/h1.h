/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * HTTP/1 reader: bytes in, the next event out (RFC 9112). Sans-IO, no callbacks, no allocation.
 *
 * One reader follows one direction of one connection, message after message:
 *
 *            ┌────────────────────────── h1_reader_next ──────────────────────────┐
 *   HEAD ─H1_HEAD─▶ BODY ─H1_BODY*─▶ (chunked: TRAILER) ─H1_END─▶ DONE ─────────▶ HEAD …
 *            │ BODY_NONE: H1_HEAD is followed by H1_END at once
 *            │ BODY_CLOSE: H1_BODY until h1_reader_eof gives H1_END
 *            └ BODY_TUNNEL: H1_BODY for ever; h1_reader_eof gives H1_END
 *
 * Strictness: anything that two parsers could read differently is an error with a reason; the
 * caller answers, closes and forwards nothing. Line ends are CR LF only; no folding; names are
 * tokens; a Content-Length is digits only, at most once; Transfer-Encoding is exactly "chunked";
 * both together are refused; a request has exactly one valid Host (HTTP/1.0: at most one). Every
 * length and count has a limit in base/limits.h.
 *
 * One empty line (CR LF) before a request line is skipped, as RFC 9112 2.2 asks.
 *
 * Feeding: the caller presents the unread bytes as one span and gets back how many were used. While
 * a head is incomplete nothing of it is used: call again with the same bytes, followed by more, as
 * one contiguous range (it may have moved). The reader remembers what it has seen, so feeding byte
 * by byte costs no more than linear work in total.
 */

#include "account/reason.h"
#include "base/compiler.h"
#include "codec/message.h"

enum h1_role {
    H1_REQUESTS,  /* we are the server: parse requests */
    H1_RESPONSES, /* we are the client: parse responses */
};

enum h1_state {
    H1_STATE_HEAD,
    H1_STATE_BODY_LENGTH,
    H1_STATE_CHUNK_SIZE,
    H1_STATE_CHUNK_DATA,
    H1_STATE_CHUNK_DATA_END,
    H1_STATE_TRAILER,
    H1_STATE_BODY_CLOSE,
    H1_STATE_TUNNEL,
    H1_STATE_END_DUE, /* H1_END is the next event */
    H1_STATE_DONE,    /* h1_reader_reset starts the next message */
    H1_STATE_FAILED,
};

enum h1_event {
    H1_NEED_MORE, /* all given bytes were looked at; come back with more */
    H1_HEAD,      /* *head is filled; head->base points into the given bytes */
    H1_BODY,      /* ret->body is the next piece of the body, without any framing, n > 0 */
    H1_END,       /* the message is complete; ret->trailers may hold validated trailer lines */
};

struct h1_limits {
    uint32_t line_bytes; /* request, status or field line without its CR LF: 414 or 431 */
    uint32_t head_bytes; /* whole head: 431. A buffer of this size is never too small for a head */
    uint16_t fields;     /* 431; at most HTTP_FIELDS_MAX */
};

/* The defaults of base/limits.h. */
extern const struct h1_limits h1_limits_default;

struct h1_reader {
    const struct h1_limits *limits;
    uint64_t left;    /* body or chunk bytes still to come */
    uint16_t scanned; /* of an incomplete head: bytes already looked at */
    uint16_t line_at; /* … where its current line begins */
    /* further private fields are the codec's */
    uint16_t ext_seen;       /* bytes of chunk extensions that body has not outweighed yet */
    uint16_t chunk_ext;      /* extension bytes of this chunk */
    uint8_t state;           /* enum h1_state */
    uint8_t phase;           /* how far the current line of a head or trailer section is */
    uint8_t failure;         /* FAILED: the reason, given again */
    uint8_t name_len;        /* of the current field line */
    uint8_t options;         /* names in Connection so far */
    uint8_t lines;           /* trailer fields so far */
    uint8_t chunk_digits;    /* of the size of this chunk */
    uint8_t chunk_phase : 2; /* how far the chunk-size line is */
    uint8_t role : 1;        /* enum h1_role */
    bool to_head : 1;        /* responses: it answers a HEAD request */
    bool to_connect : 1;
    bool asked_upgrade : 1; /* responses: the request asked to upgrade, so 101 may come */
    bool close_listed : 1;  /* Connection: close */
};

/* There is one for every connection that reads. */
static_assert(sizeof(struct h1_reader) <= 32, "a reader is half a cache line");

struct h1_result {
    size_t used;          /* bytes of the input that are done with, whatever the event; after an
                             error those before the offending part */
    struct span body;     /* H1_BODY */
    struct span trailers; /* H1_END after chunks: raw validated field lines ("name: value CRLF")*;
                            those that a proxy must not pass on are refused as bad_trailer */
};

void h1_reader_init(struct h1_reader *r, enum h1_role role, const struct h1_limits *limits);

/* Ready for the next message of the connection. Legal in DONE (or fresh) only. What
 * h1_reader_expect said stays, for the final response after an interim one. */
void h1_reader_reset(struct h1_reader *r);

/* For H1_RESPONSES, before each response: what the request was. */
void h1_reader_expect(struct h1_reader *r, enum method request_method, bool asked_upgrade);

/*
 * The next event, or a negative reason. ret_result is always filled; `head` is written only while
 * in the head state (keep the same one until H1_HEAD). A 1xx response other than 101 is a message
 * of its own: H1_HEAD, H1_END; reset and go on for the final one.
 * In the trailer state an incomplete trailer section is, like a head, used only when complete.
 * An error is final: the reader is FAILED and repeats its reason. Not legal in DONE.
 * The same bytes give the same events, body, used bytes and reason however they are split.
 */
NODISCARD int h1_reader_next(struct h1_reader *r, struct span in, struct head *head,
                             struct h1_result *ret_result);

/* The next n bytes of a body of known length went another way. Legal while that many are left;
 * after the last of them comes H1_END, which needs no input. */
void h1_reader_skip(struct h1_reader *r, uint64_t n);

/* The peer has ended. H1_END if that completes the message, H1_NEED_MORE if between messages
 * (nothing lost), or a negative reason: client_closed or backend_closed. */
NODISCARD int h1_reader_eof(struct h1_reader *r);

/* Switch to raw bytes after the head of a 101 or CONNECT (the request side's reader needs it told).
 */
void h1_reader_tunnel(struct h1_reader *r);

/* Checks a single field value (RFC 9110 5.5), for who makes fields from outside text. */
bool h1_field_value_ok(struct span value);

/* Whether a proxy may pass on a trailer of that name, a token: it neither frames, routes nor
 * describes the message, nor looks like one that does. */
bool h1_trailer_name_ok(struct span name);

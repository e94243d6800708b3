/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Heads and trailers of HTTP/2, field by field as they are decoded, become HTTP/1.1 text: the one
 * canonical form, which the strict HTTP/1 reader then turns into a struct head. So there is one set
 * of rules, and nothing that HTTP/1 would read differently can be made here (RFC 9113 8.2, 8.3,
 * 10.3).
 *
 *   h2_head_begin ─▶ h2_head_add … ─▶ h2_head_end ─▶ text ─▶ h1_reader_next ─▶ struct head
 *
 * What is checked here, as the bytes are written: names are tokens without capitals and not empty;
 * values have no CR, LF, NUL or other control and no white space around them; pseudo-header fields
 * come first, once, and are those of their kind; no field of a connection but "te: trailers". What
 * the HTTP/1 reader checks is left to it: targets, hosts, lengths.
 *
 *   requests    :method, :path (origin form or "*"), :scheme (http or https); :authority becomes
 *               Host, and a Host beside it must say the same. CONNECT with :protocol websocket (RFC
 *               8441) becomes a GET that asks to upgrade, with a key made here. Any other CONNECT
 *               is refused as connect_refused_method.
 *   responses   :status; 101 is refused as unexpected_upgrade. A 2xx to an extended CONNECT becomes
 *               a 101 that accepts the client's key.
 *   trailers    no pseudo-header fields, and none that a proxy must not pass on; the text is raw
 *               lines ("name: value CRLF")*, as h1_result.trailers.
 *
 * Crumbs of Cookie are joined by "; " into one line at the end of the head, and each counts as a
 * field. The body's framing is Content-Length where there is one, else chunked when a body follows;
 * a length that END_STREAM belies is refused.
 *
 * Work is linear in the bytes given. The limits are those of HTTP/1; they count what is decoded, so
 * a few bytes that stand for many are counted as many. A failure is kept: what follows is counted
 * and dropped, for the decoder must see a block to its end.
 *
 * Plain data in a buffer of the caller's. Thread rule: none.
 */

#include "base/bytes.h"
#include "base/rng.h"
#include "codec/h1.h"

enum h2_head_kind {
    H2_HEAD_REQUEST,
    H2_HEAD_RESPONSE,
    H2_HEAD_REQUEST_TRAILERS,
    H2_HEAD_RESPONSE_TRAILERS,
};

struct h2_head_rules {
    enum h2_head_kind kind;
    const struct h1_limits *limits;
    bool to_head;              /* responses: to a HEAD request */
    struct span websocket_key; /* responses: to an extended CONNECT, made from a request with this
                                  Sec-WebSocket-Key; else empty. Copied nowhere: keep it */
};

/* A buffer of this size never lacks room for what the limits allow. Most heads need 2 KiB. */
#define H2_HEAD_BYTES_MAX (2 * HTTP_HEAD_MAX)

enum { H2_HEAD_OK = 0, H2_HEAD_ROOM = 1 };

struct h2_head {
    const struct h2_head_rules *rules;
    uint8_t *buf;
    uint32_t cap;
    /* private: the text grows from the front, what must wait is kept at the end */
    uint32_t used;  /* bytes of the text */
    uint32_t kept;  /* bytes at the end of buf */
    uint32_t bytes; /* decoded so far, with what their lines add; also after a failure */
    uint32_t fields;
    uint16_t failure; /* enum reason, or 0 */
    uint16_t status;
    uint8_t pseudo;  /* bit per pseudo-header field seen */
    bool started;    /* the start line is written */
    bool connect;    /* :method is CONNECT */
    bool host;       /* a Host field came */
    bool length;     /* a Content-Length field came … */
    bool length_any; /* … that is not 0 */
    bool te, version13;
    struct h2_kept {
        uint32_t at; /* from the end of buf */
        uint32_t n;
    } method, path, authority;
    uint32_t crumbs_at; /* from the end of buf; each is "value", length */
    uint32_t crumbs;    /* how many */
    uint32_t crumb_bytes;
};

/* Both `rules` and the buffer must stay until the text is no longer needed. */
void h2_head_begin(struct h2_head *b, const struct h2_head_rules *rules, uint8_t *buf, size_t cap);

/* The next field, also a pseudo-header field. H2_HEAD_OK; H2_HEAD_ROOM: nothing has changed, say it
 * again after h2_head_move to a larger buffer; or a negative reason, which is also that of every
 * later call. */
NODISCARD int h2_head_add(struct h2_head *b, struct span name, struct span value);

/* All that was gathered goes on in another buffer, not smaller; the old one is free. */
void h2_head_move(struct h2_head *b, uint8_t *buf, size_t cap);

/*
 * The block is complete; `end_stream`: and so is the message. *ret_text is the text, in the buffer,
 * complete but for what the HTTP/1 reader refuses. `rng` makes the key of a WebSocket. H2_HEAD_OK,
 * H2_HEAD_ROOM, or a negative reason.
 */
NODISCARD int h2_head_end(struct h2_head *b, bool end_stream, struct rng *rng,
                          struct span *ret_text);

/* Bytes decoded of this block so far, also beyond the limits: who goes on and on is to be cut. */
static inline uint32_t h2_head_bytes(const struct h2_head *b)
{
    return b->bytes;
}

/* A request: whether it is an extended CONNECT (said from the first field behind :protocol on). */
bool h2_head_is_websocket(const struct h2_head *b);

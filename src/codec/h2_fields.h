/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The way out, opposite of codec/h2_head.h: heads and trailers as the list of fields that nghttp2
 * takes. Pseudo-header fields first, names in lower case, nothing of a connection but "te:
 * trailers".
 *
 * Names and values are not copied: known names are constant text, others are taken from where they
 * lie, or from `scratch` when they have capitals. With `borrow` nghttp2 is told not to copy either,
 * and then all of that must stay as it is until the frame is packed.
 *
 * What differs from request to request or is a secret (cookies, credentials, request ids, addresses
 * of clients) is never entered into the compression table: a table that many clients share must not
 * tell one of them what another sent (RFC 7541 7.1).
 *
 * Plain data, no allocation. Thread rule: none.
 */

#include "base/bytes.h"
#include "codec/message.h"

#include <nghttp2/nghttp2.h>

/* The fields of a head, our own beside them, and pseudo-header fields. */
#define H2_FIELDS_MAX (HTTP_FIELDS_MAX + 24)

struct h2_fields {
    const nghttp2_nv *list; /* into `room` */
    size_t count;
    bool websocket;            /* a request: it became an extended CONNECT */
    struct span websocket_key; /* … with this Sec-WebSocket-Key, which is where it was */
    uint8_t status[3];
    nghttp2_nv room[H2_FIELDS_MAX];
};

/* Room for names that is always enough. */
#define H2_FIELDS_SCRATCH HTTP_HEAD_MAX

/*
 * A request as request_build wrote it: HTTP/1.1 text without a mistake. Names are put into lower
 * case where they stand, so that all can be borrowed from `text`. "Upgrade: websocket" becomes an
 * extended CONNECT (RFC 8441) if `websocket`; any other upgrade is left out, as if by a server that
 * does not know it.
 */
void h2_fields_request(uint8_t *text, size_t n, struct span scheme, bool websocket, bool borrow,
                       struct h2_fields *ret);

/* A response. With `to_websocket` (it answers an extended CONNECT) a 101 becomes a 200. */
void h2_fields_response(const struct head *h, bool to_websocket, bool borrow,
                        uint8_t scratch[H2_FIELDS_SCRATCH], struct h2_fields *ret);

/* Trailers: lines as h1_result.trailers gives them. */
void h2_fields_trailers(struct span lines, bool borrow, uint8_t scratch[H2_FIELDS_SCRATCH],
                        struct h2_fields *ret);

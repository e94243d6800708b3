/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How either side of HTTP/1 puts a body into the outbox: as it is, or in chunks. Each returns
 * SIDE_OK or SIDE_FULL, or -REASON_overload when there was no room.
 */

#include "base/check.h"
#include "base/limits.h"
#include "codec/h1_write.h"
#include "forward/forwarder.h"
#include "forward/side.h"

static inline int h1_put_body(struct forwarder *f, struct outbox *o, struct slice piece,
                              bool chunked)
{
    if (chunked) {
        uint8_t *p = outbox_reserve(f, o, H1_CHUNK_BEGIN_MAX);
        if (!p)
            return -(int)REASON_overload;
        outbox_commit(o, (uint32_t)h1_chunk_begin(p, piece.n, true));
    }
    if (!outbox_add(o, piece) || (chunked && !outbox_add(o, outbox_crlf)))
        return -(int)REASON_overload;
    return outbox_has_room(o) ? SIDE_OK : SIDE_FULL;
}

/* The chunk that ends a chunked body, with its trailers. */
static inline int h1_put_last_chunk(struct forwarder *f, struct outbox *o, struct span trailers)
{
    uint32_t room = H1_CHUNK_BEGIN_MAX + HTTP_TRAILER_BYTES_MAX + 16;
    uint8_t *p = outbox_reserve(f, o, room);
    if (!p)
        return -(int)REASON_overload;
    struct writer w = writer_of(p, room);
    h1_write_chunk_last(&w, true, trailers);
    CHECK(w_ok(&w));
    outbox_commit(o, (uint32_t)w_len(&w));
    return SIDE_OK;
}

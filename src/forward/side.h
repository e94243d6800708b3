/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A side is one end of an exchange: the client's or the backend's. Both ends speak through this one
 * table, so TCP, HTTP/1 and what comes later combine freely; the exchange in the middle does not
 * know which protocol either end speaks.
 *
 *        client side                    exchange                     backend side
 *   bytes ──▶ exchange_begin_http, _body, _end ──▶ (route, pick) ──▶ ops->body, end ──▶ bytes
 *   bytes ◀── ops->head, body, end ◀─────── (account) ◀── exchange_response, _body, _end ◀── bytes
 *
 * Back-pressure is credit, never a queue. ops->flush hands everything given since the last flush to
 * the kernel in one send and says whether all of it went. While it has not, the exchange takes the
 * credit of the other side away (ops->credit(false)), so that nothing more comes; when the rest has
 * gone, the side calls exchange_writable and the credit returns. A slow reader therefore costs the
 * bytes of one receive, whatever the length of the body.
 *
 * Bytes given to head/body must live until flush returns; what could not be sent is kept by the
 * loop's own references.
 *
 * Thread rule: everything of one exchange happens on one worker.
 */

#include "account/reason.h"
#include "base/address.h"
#include "base/bytes.h"
#include "codec/message.h"
#include "io/buf.h"

#include <stdbool.h>

struct exchange;
struct reply; /* forward/answer.h */
struct side;
struct stream;

enum { SIDE_OK = 0, SIDE_FULL = 1 };

struct side_ops {
    const char *name;
    uint8_t version_major; /* client side: of HTTP, as it is logged; 0 = 1 */

    /* head, body and end return SIDE_OK, SIDE_FULL (flush before giving more), or a negative
     * reason: there was no room, and the exchange must be cut. */

    /* A response head, interim ones too. The backend side has no such call: its request head is
     * written before the backend is known (exchange->request). */
    int (*head)(struct side *s, const struct head *h, struct slice raw);

    /* The next piece of the body. */
    int (*body)(struct side *s, struct slice piece);

    /* The message is complete; trailers are raw validated lines or empty. For TCP: half-close. */
    int (*end)(struct side *s, struct span trailers);

    /* Sends all that was given. True when everything has gone; false: exchange_writable follows. */
    bool (*flush)(struct side *s);

    /* Whether this side may deliver (read from its peer). */
    void (*credit)(struct side *s, bool on);

    /* Client side: the response is made here; say it in the peer's protocol (flush follows), with
     * copies of its texts. False when that is not possible any more, because something else is half
     * sent: abort. */
    bool (*answer)(struct side *s, const struct reply *r);

    /* Client side: the address on our side of its connection, where there is no arrival that says
     * it. A system call. */
    struct address (*local)(struct side *s);

    /* Client side: takes back a final response head of which no byte has left. False when it has.
     */
    bool (*retract)(struct side *s);

    /* Bulk (forward/bulk.h); a protocol that puts all bytes into frames leaves these three out. */

    /* The stream whose next bytes are body and nothing else, *ret_bytes of them or BULK_UNTIL_EOF;
     * NULL when there is none or the end of the body has its own framing. */
    struct stream *(*bulk_from)(struct side *s, uint64_t *ret_bytes);

    /* The stream that takes body bytes as they are; NULL when they must be framed. */
    struct stream *(*bulk_to)(struct side *s);

    /* Bytes are being moved to this side (said again whenever some have been), which counts as a
     * send under way; or that is over. */
    void (*bulk)(struct side *s, bool on);

    /* From now on both directions are raw bytes (after 101). */
    void (*tunnel)(struct side *s);

    /* The exchange is over for this side: it forgets the exchange and keeps its connection or not.
     * `clean` says that both messages were complete and nothing is left half sent. */
    void (*release)(struct side *s, bool clean);

    /* The exchange broke off in the middle of a message: the peer must not take what it got for
     * whole. Forgets the exchange and closes. */
    void (*abort)(struct side *s, enum reason why);
};

struct side {
    const struct side_ops *ops;
    struct exchange *x; /* NULL between exchanges */
};

/* Whether the backend's bytes ended as no end of a message does: where only the end of the
 * connection ends what the client gets, it must not end in good order either. */
static inline bool side_is_torn(enum reason why)
{
    return why == REASON_backend_reset || why == REASON_backend_tls_truncated;
}

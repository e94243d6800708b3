/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Private to health/: one request of a probe over HTTP/2, in clear or whatever the probe's stream
 * is. Kinds of probes that speak HTTP/2 embed it, say what to send and look at what comes:
 *
 *   probe_h2_begin ─▶ (connected) probe_h2_request ─▶ ops->field …, head, body …, end
 *                                                        └─ probe_h2_decide ─▶ probe_end
 *
 * A backend may be anything: what it sends is bounded in bytes, in fields, in interim responses and
 * in what it makes us answer; beyond that, or where it breaks the rules of HTTP/2, the probe ends
 * with probe_bad_answer, and with backend_no_http2 where it never spoke it.
 *
 * Thread rule: the control loop's.
 */

#include "base/limits.h"
#include "health/probe.h"

#include <nghttp2/nghttp2.h>

/* What a backend may make us send at a time: the longest request, and some 200 acknowledgements. */
#define PROBE_H2_OUT_MAX 12288
/* What it may send in one probe. */
#define PROBE_H2_IN_MAX (128 * 1024)

struct probe_h2;

/* `head` and `body` may be NULL. */
struct probe_h2_ops {
    /* A field of a final head or of trailers; `:status` is told as `status`. */
    void (*field)(struct probe_h2 *h, struct span name, struct span value);
    void (*head)(struct probe_h2 *h); /* of the final response: h->status is set */
    void (*body)(struct probe_h2 *h, struct span piece);
    void (*end)(struct probe_h2 *h); /* the message is complete, and nothing was decided yet */
};

struct probe_h2 {
    /* set by probe_h2_begin */
    struct probe *probe;
    const struct probe_h2_ops *ops;

    uint16_t status; /* of the final response, from `head` on */

    /* private */
    nghttp2_session *session;
    int32_t stream_id;
    struct span request_body; /* what is left of it */
    bool decided, sending, spoke, block_is_final;
    enum reason result;
    uint32_t in_bytes, field_bytes, interim_count;
    size_t host_len;
    uint8_t host[HTTP_HOST_MAX + ADDRESS_TEXT_MAX]; /* :authority */
    uint8_t out[PROBE_H2_OUT_MAX];
};

/* For the kind's `begin`: p->state becomes `state_bytes` zeroes that begin with a probe_h2. 0 or
 * -REASON_overload. */
NODISCARD int probe_h2_begin(struct probe *p, const struct address *to, size_t state_bytes,
                             const struct probe_h2_ops *ops);

/* Sends the request when the connection stands; the body (not copied) may be empty. May end the
 * probe. */
void probe_h2_request(struct probe_h2 *h, const nghttp2_nv *fields, size_t count, struct span body);

/* `data`, `sent` and `end` of such a kind. The first two may end the probe. */
void probe_h2_data(struct probe *p, struct slice in);
void probe_h2_sent(struct probe *p);
void probe_h2_end(struct probe *p);

/* From ops: the result is known. The first one counts; the probe ends when the call from which the
 * op came is over. */
void probe_h2_decide(struct probe_h2 *h, enum reason result);

static inline nghttp2_nv probe_h2_field(struct span name, struct span value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                        .value = (uint8_t *)(uintptr_t)value.p,
                        .namelen = name.n,
                        .valuelen = value.n,
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

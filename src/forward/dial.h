/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Connections to backends, as their pool asks: connect, the PROXY header, TLS.
 *
 *   dial ─▶ stream_connect ─▶ PROXY header, with the first bytes ─▶ TLS ─▶ ops->connected(s)
 *
 * What dial returns is a stream like any other; it may be sent to before `connected`, but in the
 * turn of the dial only, and at most SEND_SLICES_MAX - 1 slices. When all is up `connected` is told
 * the stream to be used from then on, WHICH MAY BE ANOTHER ONE than dial returned: the PROXY header
 * costs nothing once it has been sent, and bulk moves work after it. What failed on the way is told
 * as `failed`, with the stream that dial returned. There is no time limit here.
 *
 * A pool that asks for neither is connected to by stream_connect and nothing else.
 *
 * Thread rule: one dialer a thread; its loop's.
 */

#include "base/slab.h"
#include "codec/proxy_protocol.h"
#include "config/snapshot.h"
#include "io/loop.h"
#include "pick/pool.h"

struct tls_client;
struct tls_resumption;
struct tls_worker;

struct dialer {
    struct loop *loop;
    struct tls_worker *tls;          /* its loop's */
    struct slab headers;             /* connections whose PROXY header is under way */
    struct tls_resumption **tickets; /* TLS sessions to resume: by backend id, in chunks */
    uint32_t ticket_chunks;
};

void dialer_init(struct dialer *d, struct loop *loop, struct tls_worker *tls);
void dialer_fini(struct dialer *d); /* every stream it made must be closed */

struct dial {
    const struct address *to; /* read during the call only */
    const struct pool_conf *conf;
    const struct backend_conf *backend;
    uint32_t id; /* of the backend: where its TLS session is kept */
    /* pool_tls(): with conf->tls.enabled. NULL then: nothing is dialed, and never in clear. */
    struct tls_client *tls;
    /* The client that the PROXY header speaks of, if the pool wants one (the version is the
     * pool's); NULL: we speak for ourselves. Read during the call only. */
    const struct proxy_header *client;
};

/* Starts a connection; NULL as stream_connect. */
struct stream *dial(struct dialer *d, const struct dial *what, const struct stream_ops *ops,
                    void *user);

struct exchange;
struct forwarder;

/* The same for an exchange. *ret_introduced: it begins with a PROXY header that speaks of the
 * exchange's client, so it must not be used for any other. */
struct stream *dial_for(const struct exchange *x, struct backend *b, const struct stream_ops *ops,
                        void *user, bool *ret_introduced);

/* Whether a connection of dial_for was made as the pool asks now: after a reload it may ask for
 * TLS, for none, or for another CA. On the worker. */
static inline bool dial_is_current(const struct forwarder *f, const struct backend *b,
                                   struct stream *s);

/* ---- inline bodies ---- */

bool dial_is_current_tls(const struct forwarder *f, const struct backend *b, struct stream *s);

static inline bool dial_is_current(const struct forwarder *f, const struct backend *b,
                                   struct stream *s)
{
    if (LIKELY(s->magic == STREAM_MAGIC && !pool_conf(b->pool)->tls.enabled))
        return true; /* no TLS, and none is asked for */
    return dial_is_current_tls(f, b, s);
}

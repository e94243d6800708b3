/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between the files of HTTP/2 backends:
 *
 *   upstream_h2.c        the request: an exchange's side, on a stream
 *   upstream_h2_conn.c   the connection: which one, how it begins and ends
 */

#include "base/check.h"
#include "codec/h2_head.h"
#include "forward/exchange.h"
#include "forward/h2_conn.h"
#include "forward/side.h"
#include "forward/upstream_h2.h"

/* Requests at a time on one connection: what most servers allow, and few enough that the loss of
 * one connection is no disaster. */
#define UPSTREAM_H2_STREAMS 100u

struct upstream_h2 {
#define UPSTREAM_H2_MAGIC 0x0b5e42c1u
    uint32_t magic;
    bool connecting;
    bool settled;  /* the backend's settings have come */
    bool parted;   /* from its backend: takes no other exchange */
    bool full;     /* at the end of its backend's list */
    bool reused;   /* has carried a response before */
    uint8_t why;   /* enum reason: its stream has ended, and why */
    bool resting;  /* counted as such: nobody is on it */
    uint32_t busy; /* exchanges on it */
    struct forwarder *f;
    struct backend *backend; /* valid while parted only as long as there are exchanges */
    struct stream *stream;
    struct h2_conn h2;
    struct timer timer;    /* connecting, a look now and then, idle */
    struct list link;      /* of its backend (forward/idle.h) */
    struct list waiting;   /* requests that wait for it to be connected */
    struct list unsettled; /* requests that wait for the backend's settings */
    uint64_t heard_ns, idle_since_ns;

    /* the header block on its way in; one at a time */
    struct h2_head block;
    struct h2_head_rules rules;
    struct buf *block_buf;
};

struct upstream_request {
#define UPSTREAM_REQUEST_MAGIC 0x42e90e57u
    uint32_t magic;
    bool opened;  /* it has a stream */
    bool sending; /* a flush said false */
    bool websocket;
    uint8_t interim_count;
    uint8_t framing;   /* enum body_framing, of the response */
    uint64_t left;     /* of BODY_LENGTH */
    uint32_t unsent;   /* at the last look */
    uint64_t begun_ns; /* when it was given to this connection */
    struct forwarder *f;
    struct side side;
    struct h2_stream stream;
    struct upstream_h2 *conn;
    struct timer timer; /* response, idle in the middle */
    struct list link;   /* waiting */
    struct buf *head_buf, *trailer_buf;
    struct buf *late_buf; /* of a head that the client's side could not take yet … */
    struct span late;     /* … which is this */
    struct span trailers; /* in trailer_buf */
    struct span websocket_key;
};

/* ---- the connection, for a request ---- */

/* One that has room for this exchange, which is counted as busy on it: drop it again. NULL when
 * none can be had. A request that must not be repeated gets none that may be closing. */
struct upstream_h2 *upstream_h2_take(const struct exchange *x, struct backend *b);

/* The connection may be gone on return. */
void upstream_h2_drop(struct upstream_h2 *u);

/* Its room may have changed. */
void upstream_h2_sort(struct upstream_h2 *u);

void upstream_h2_on_goaway(struct h2_conn *c, uint32_t code);
void upstream_h2_on_settings(struct h2_conn *c);
void upstream_h2_on_failed(struct h2_conn *c, enum reason why);

/* ---- a request, for the connection ---- */

extern const struct h2_conn_ops upstream_h2_conn_ops;

/* What it waited for is there: the connection stands, the backend's settings have come. */
void upstream_request_go_on(struct upstream_request *r);

/* The backend failed the exchange, which lets go of this and goes on alone. */
void upstream_request_fail(struct upstream_request *r, enum reason why);

static inline struct upstream_request *upstream_request_of(struct h2_stream *s)
{
    struct upstream_request *r = container_of(s, struct upstream_request, stream);
    CHECK(r->magic == UPSTREAM_REQUEST_MAGIC);
    return r;
}

static inline struct upstream_h2 *upstream_h2_of(struct h2_conn *c)
{
    struct upstream_h2 *u = container_of(c, struct upstream_h2, h2);
    CHECK(u->magic == UPSTREAM_H2_MAGIC);
    return u;
}

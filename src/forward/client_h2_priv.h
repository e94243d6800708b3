/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between the two files of a client that speaks HTTP/2: client_h2.c is the connection, and
 * client_h2_request.c one request of it, which is the client's side of an exchange.
 */

#include "codec/h2_head.h"
#include "forward/client.h"
#include "forward/forwarder.h"
#include "forward/h2_conn.h"

enum client_h2_state {
    CLIENT_H2_OPEN,
    CLIENT_H2_LINGER, /* GOAWAY is out, our half is closed: what still comes is dropped */
};

struct client_h2 {
    struct client base; /* base.side is not used: each request has one */
    struct h2_conn h2;
    struct timer timer;
    struct list requests;    /* struct request_h2, by age */
    uint8_t state;           /* enum client_h2_state */
    bool drowsy;             /* the timer is set for an idle connection */
    bool leaving;            /* idle for too long: GOAWAY is out */
    bool hurry;              /* to be closed now, without listening to what still comes */
    uint32_t lingered;       /* bytes dropped while lingering */
    uint64_t quiet_since_ms; /* without a request */

    /* the header block under way */
    struct buf *block; /* its text; NULL between blocks */
    struct h2_head head;
    struct h2_head_rules rules;
    struct h1_limits limits; /* those of a listener may change meanwhile */
};

struct request_h2 {
    struct client_h2 *c;
    struct list link;
    struct side side;
    struct h2_stream s;
    struct buf *trailers; /* the text of the request's */
    uint32_t trailer_bytes;
    bool has_body;
    bool request_done;
    bool head_request; /* answer without a body */
    bool websocket;    /* an extended CONNECT */
    bool tunnel;
    bool head_out; /* the final response's head was given away */
    uint64_t moved_ms;
};

/* ---- client_h2_request.c ---- */

extern const struct side_ops client_h2_side_ops;

/* The request's head is complete, or has a mistake (`why`). */
void request_h2_begin(struct request_h2 *r, struct head *h);
void request_h2_refuse(struct request_h2 *r, enum reason why);

/* Events of its stream. */
void request_h2_body(struct h2_stream *s, struct slice piece);
void request_h2_end(struct h2_stream *s);
void request_h2_input(struct h2_stream *s);
void request_h2_writable(struct h2_stream *s);
void request_h2_closed(struct h2_stream *s, enum reason why, uint32_t code);

/* An upload that has stopped or trickles. */
void request_h2_look(struct request_h2 *r, uint64_t now_ms);

/* ---- client_h2.c ---- */

void client_h2_request_free(struct request_h2 *r);

static inline const struct listener_conf *client_h2_conf(const struct client_h2 *c)
{
    return front_conf(c->base.front)->conf;
}

static inline uint64_t client_h2_now_ms(const struct client_h2 *c)
{
    return loop_now(c->base.f->loop) / 1000000;
}

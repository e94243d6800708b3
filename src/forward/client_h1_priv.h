/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between the two files of a client that speaks HTTP/1: client_h1.c is the connection and what
 * comes in, client_h1_side.c the client's side of an exchange and what goes out.
 */

#include "forward/client.h"
#include "forward/forwarder.h"
#include "forward/h1_conn.h"

enum client_state { CLIENT_IDLE, CLIENT_RECEIVING, CLIENT_ACTIVE, CLIENT_LINGER };

struct client_h1 {
    struct client base;
    struct h1_conn h1;
    struct timer timer;
    uint8_t state;     /* enum client_state */
    bool has_body;     /* the request under way has one */
    bool large;        /* … a large one */
    bool request_done; /* it is complete */
    bool next_due;     /* the exchange is over, the end of its request is yet to be read */
    bool keep_alive;   /* another request may follow */
    bool http10;
    bool head_request; /* answer without a body */
    bool chunked;      /* the response goes out in the chunked coding */
    bool until_close;  /* the end of the connection ends the response */
    bool sending;      /* a send is under way */
    bool shutdown_due; /* half-close after the next flush (tunnel) */
    bool head_out;     /* something of the response has been given to the kernel */
    bool tunnel;
    bool close_due;    /* linger once everything is sent */
    bool counted;      /* against the limit of the listener */
    uint8_t preface;   /* bytes of the HTTP/2 preface that came; PREFACE_NONE: it is none */
    uint32_t lingered; /* bytes dropped while lingering */
    uint64_t moved_ms; /* when something last moved while ACTIVE */
    uint64_t unsent;   /* at the last look, of a send under way */
};

static_assert(sizeof(struct client_h1) <= 192, "idle clients are counted in thousands");

/* ---- client_h1_side.c ---- */

extern const struct side_ops client_h1_side_ops;

/* ---- client_h1.c ---- */

void client_h1_end(struct client_h1 *c, enum stream_close_how how);

/* Events of the connection may have ended it. */
void client_h1_after_events(struct client_h1 *c);

/* Closes so that what was sent arrives: at once where the client has nothing more to say. */
void client_h1_close_gently(struct client_h1 *c);

/* The request and its response are complete: the next one. */
void client_h1_next(struct client_h1 *c);

static inline const struct listener_conf *client_h1_conf(const struct client_h1 *c)
{
    return front_conf(c->base.front)->conf;
}

/* No more requests after the present one. */
static inline bool client_h1_is_draining(const struct client_h1 *c)
{
    return c->base.f->draining || front_leaving(c->base.front);
}

static inline uint64_t client_h1_now_ms(const struct client_h1 *c)
{
    return loop_now(c->base.f->loop) / 1000000;
}

static inline void client_h1_set_timer(struct client_h1 *c, uint64_t ms)
{
    loop_timer_set(c->base.f->loop, &c->timer, ms);
}

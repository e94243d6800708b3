/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Upstream connections that speak HTTP/1: the backend side of an exchange, and, between exchanges,
 * an idle connection of the worker's pool (forward/idle.h).
 *
 *                  upstream_begin                       response complete, both clean
 *   (none) ──────────▶ CONNECTING ──connected──▶ ACTIVE ─────────────▶ IDLE ──▶ (closed)
 *                                                  ▲                     │  idle too long,
 *                                                  └──── upstream_begin ─┘  readable, drained
 *
 * Backends are not trusted: a byte on an idle connection closes it, and so does a byte behind a
 * complete response. Thread rule: its worker's thread.
 */

#include "forward/h1_conn.h"
#include "forward/side.h"
#include "pick/pool.h"

struct exchange;
struct forwarder;

enum upstream_state { UPSTREAM_CONNECTING, UPSTREAM_ACTIVE, UPSTREAM_IDLE };

struct upstream {
#define UPSTREAM_MAGIC 0x0b5ea40du
    uint32_t magic;
    uint8_t state;     /* enum upstream_state */
    bool reused;       /* has carried a response before */
    bool sending;      /* a send is under way */
    bool reusable;     /* … and the connection may carry another exchange */
    bool introduced;   /* it began with a PROXY header: it is of that client alone */
    bool shutdown_due; /* half-close after the next flush (tunnel) */
    bool large;        /* the last response had a large body */
    uint8_t interim_count;
    struct side side;
    struct h1_conn h1;
    struct timer timer; /* connect, response, idle in the middle, kept-alive */
    struct backend *backend;
    struct list link; /* idle: in its backend's idle list */
    uint64_t idle_since_ns;
    uint64_t unsent; /* at the last look, of a send under way */
};

/*
 * Gives the exchange's request to a connection to `b`: an idle one if `reuse` allows, else a new
 * one. On return x->backend is set, or, when not even a descriptor could be had, false is returned
 * with nothing begun. With `body_near` an exchange_flush from the client follows at once: on a
 * connection that stands the head waits for it, to leave with what there is of the body.
 */
bool upstream_begin(struct exchange *x, struct backend *b, bool reuse, bool body_near);

/* Closes an idle connection. */
void upstream_close_idle(struct upstream *u);

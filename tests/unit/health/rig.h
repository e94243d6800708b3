/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the health tests stand on: a backend made of a plain socket and a thread, a pool that points
 * at such backends, and a real loop that runs until something has happened.
 */

#include "../pick/fixture.h"
#include "health/health.h"

/* ---- a backend ---- */

/* What it does with a connection, in the order of the text: "<" reads up to an empty line, ">text"
 * sends the rest, "." sends the rest byte by byte, "#" sends the rest, which is bytes in hex, and
 * keeps the connection, "!" resets, "~" keeps the connection open until
 * the server ends. Without any of them it closes. */
struct server {
    uint16_t port;
    _Atomic uint32_t accepted;
    char request[8192]; /* the last one read; look at it after server_stop */
    struct server_private *private;
};

/* Listens on 127.0.0.1, or at `path` as a unix socket when not NULL. */
void server_start(struct server *s, const char *path, const char *script);
void server_script(struct server *s, const char *script);
void server_stop(struct server *s);

/* A port of 127.0.0.1 on which nobody listens. */
uint16_t port_nobody(void);

/* ---- a prober ---- */

struct rig {
    struct fixture f;
    struct loop *loop;
    struct health *health;
    struct timer tick;
    bool (*happened)(struct rig *r);
    uint32_t ticks_left;
    uint32_t changes;   /* calls of health_changed_fn */
    uint32_t active[2]; /* members after the first two */
    /* for predicates */
    uint32_t slot, running_max;
    _Atomic uint32_t ended;
    int stderr_saved, stderr_captured;
};

/* A pool of n backends, all at 127.0.0.1:port, probed every 20 ms; nothing started yet. */
void rig_init(struct rig *r, enum health_type type, uint32_t n, uint16_t port);
void rig_start(struct rig *r);
void rig_fini(struct rig *r);

/* Runs the loop until happened(r), which is asked every few milliseconds; fails the test when it
 * has not for half a minute. */
void rig_until(struct rig *r, bool (*happened)(struct rig *r));

/* Everything logged between the two calls; the caller frees the text. */
void rig_capture_begin(struct rig *r);
char *rig_capture_end(struct rig *r);

static inline uint32_t rig_state(const struct rig *r, uint32_t slot)
{
    return atomic_load(&r->f.pool->backends[slot].state);
}

static inline struct health_status rig_status(const struct rig *r, uint32_t slot)
{
    struct health_status status;
    health_status(r->health, &r->f.pool->backends[slot], &status);
    return status;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A whole engine inside the test, with real backends and clients on loopback:
 *
 *   client threads ─▶ engine (its own thread) ─▶ origins (one thread for all)
 *                        ▲
 *   test thread ─────────┘ on_control: runs a function on the control loop and waits for it
 */

#include "app/engine.h"
#include "app/membership.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- origins: answer 200 with their number; "/slow" waits until released ---- */

#define ORIGINS_MAX 12

struct origins;

struct origins *origins_start(uint32_t count);
void origins_stop(struct origins **o);
uint16_t origin_port(const struct origins *o, uint32_t number);
/* Answers what waits. */
void origins_release(struct origins *o);
/* Requests seen so far, open connections, and slow requests that wait, of one. */
uint32_t origin_requests(struct origins *o, uint32_t number);
uint32_t origin_open(struct origins *o, uint32_t number);
uint32_t origin_slow(struct origins *o, uint32_t number);

/* A port on which nobody listens. */
uint16_t port_of_nobody(void);

/* ---- the engine ---- */

struct live {
    struct engine *engine;
    const struct snapshot *snapshot;
    uint16_t port;
    char log_path[64];
    struct live_thread *thread;
};

/* The text of the pool's settings and of its backends, in YAML flow form. */
void live_start(struct live *l, const char *pool_settings, const char *backends);
/* Ends it gracefully; every client must be done. */
void live_stop(struct live *l);

struct pool *live_pool(struct live *l);

/* Runs fn(l, arg) on the control loop's thread, and returns when it has run. */
void on_control(struct live *l, void (*fn)(struct live *l, void *arg), void *arg);

/* Waits until fn(l, arg) says so on the control loop; fails after half a minute. */
void live_until(struct live *l, bool (*fn)(struct live *l, void *arg), void *arg);

/* Whether the log has a line with all of that text so far. */
bool live_logged(struct live *l, const char *text);

/* Changes, by name; each fails the test when it is refused. Control loop's thread. */
void live_add(struct live *l, const char *name, uint16_t port, uint32_t weight);
void live_remove(struct live *l, const char *name);
void live_weight(struct live *l, const char *name, uint32_t weight);
void live_state(struct live *l, const char *name, enum admin_state state);

/* ---- clients ---- */

/* One request on a connection of its own; the status, and which origin answered (or -1). 0: none
 * came. */
int live_get(struct live *l, const char *path, int *ret_origin);

/* The same in a thread. */
struct request {
    struct live *live;
    const char *path;
    int status, origin;
    unsigned long thread;
};
void request_begin(struct request *r, struct live *l, const char *path);
int request_end(struct request *r);

/* Clients that send one request after the other, each on its kept-alive connection. */
#define CLIENTS_MAX_LIVE 8
struct clients {
    struct live *live;
    uint32_t count;
    unsigned long threads[CLIENTS_MAX_LIVE];
    _Atomic bool stop;
    _Atomic uint64_t good, bad, reconnected;
};
void clients_start(struct clients *c, struct live *l, uint32_t count);
void clients_stop(struct clients *c);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A front is a listener at run time, for as long as there is one of its name and protocol: across
 * reloads, and while it is being removed until its last client has gone.
 *
 *   struct front ──conf──▶ struct front_conf (immutable) ──▶ listener_conf, pools of one snapshot
 *        ▲                       ▲            └─uses─▶ by worker: exchanges that began with it
 *      client                exchange
 *
 * A client knows its front alone and looks up the configuration whenever it needs it, so that the
 * next request of an open connection follows a reload. An exchange keeps the front_conf it began
 * with to its end.
 *
 * Lifetime of a front_conf: after another took its place, until every worker has passed its mailbox
 * once (it was told by front_conf_retire) and has no exchange left that uses it. Uses are plain
 * counters of each worker, so the data path shares nothing. A front itself goes when every worker
 * has said that none of its clients is left.
 *
 * Thread rule: stated per call.
 */

#include "account/board.h"
#include "base/compiler.h"
#include "codec/h1.h"
#include "config/snapshot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pool;
struct tls_server; /* codec/tls.h */
struct front_use;
struct front_stay;

/* Exchanges of one worker that use the front_confs of one generation. That worker only. */
struct front_use {
    ALIGNED(64) uint32_t exchanges;
    bool retired;
    void (*unused)(struct front_use *u); /* on the worker, once, when retired and at 0 */
    void *user;
};

struct front_conf {
    const struct snapshot *snapshot;
    const struct listener_conf *conf;
    struct pool *const *pools;         /* by index of the snapshot */
    struct h1_limits limits;           /* of the requests here */
    struct front_use *uses;            /* by worker */
    _Atomic(struct tls_server *) *tls; /* by worker, replaced when files change; NULL: no TLS */
    const struct board_key *key;       /* the front's; of its counters */
    bool rules;                        /* it may answer requests itself: route/rules.h */
    char hsts[40];                     /* Strict-Transport-Security's value, or "" */
};

/* The parts of a front_conf that are made of its listener's configuration. */
void front_conf_derive(struct front_conf *c);

/* Clients of one worker that are left of a front being removed. That worker only. */
struct front_stay {
    ALIGNED(64) uint32_t clients;
    bool counted;                       /* since the front is leaving */
    void (*gone)(struct front_stay *s); /* on the worker, once */
    void *user;
};

struct front {
    _Atomic(const struct front_conf *) conf; /* replaced by the control thread */
    _Atomic bool leaving;                    /* being removed: its clients are told to close */
    struct front_stay *stays;                /* by worker */
    struct board_key key;                    /* of its counters */
    /* shared: relaxed counts over all workers */
    ALIGNED(64) _Atomic uint32_t connections;
};

/* The configuration now; valid until the caller's turn of its loop ends. Any worker. */
static inline const struct front_conf *front_conf(const struct front *f)
{
    return atomic_load_explicit(&f->conf, memory_order_acquire);
}

/* How TLS is answered there now, NULL where none is spoken. Valid until the caller's turn of its
 * loop ends: what needs it longer takes a reference of its own. On that worker. */
static inline struct tls_server *front_conf_tls(const struct front_conf *c, uint32_t worker)
{
    return c->tls ? atomic_load_explicit(&c->tls[worker], memory_order_acquire) : NULL;
}

static inline bool front_leaving(const struct front *f)
{
    return atomic_load_explicit(&f->leaving, memory_order_relaxed);
}

/* An exchange of this worker begins, or ends, to use it. */
static inline void front_conf_use(const struct front_conf *c, uint32_t worker)
{
    c->uses[worker].exchanges++;
}

void front_conf_unused(struct front_use *u);

static inline void front_conf_unuse(const struct front_conf *c, uint32_t worker)
{
    struct front_use *u = &c->uses[worker];
    if (UNLIKELY(--u->exchanges == 0 && u->retired))
        front_conf_unused(u);
}

/* On the worker, after the front_confs of this generation were replaced: no exchange of it will
 * begin to use them. u->unused is called when none does any more, perhaps at once. */
void front_conf_retire(struct front_use *u);

/* On the worker: a client of a front that is leaving has gone. */
void front_client_gone(struct front_stay *s);

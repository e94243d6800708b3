/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Live membership: backends added, removed, drained, enabled, disabled and weighted while traffic
 * runs, by the operator or by a reload.
 *
 *   add      slot, health ─▶ new view
 *   drain    new view ─▶ round: idle connections closed ─▶ nothing in flight ─▶ "drained"
 *   remove   new view ─▶ round: idle connections closed ─▶ nothing in flight ─▶ round ─▶ slot freed
 *
 * All changes of one turn share one view (app/rotation.h) and rounds (app/grace.h), so thousands a
 * second cost what a few cost. Nothing under way is cut: what runs on a backend that leaves, ends
 * there, however long that takes.
 *
 * Each change writes one line to the event log, and each drain and removal another when it is
 * complete:
 *
 *   pool  pool=app backend=B4 change=added address=127.0.0.1:8884 weight=1
 *   pool  pool=app backend=B1 change=removed in_flight=12
 *   pool  pool=app backend=B1 state=gone after=3.2s
 *
 * Thread rule: control thread.
 */

#include "admin/steer.h"
#include "app/grace.h"
#include "app/rotation.h"
#include "base/compiler.h"
#include "health/health.h"
#include "pick/pool.h"

struct membership;

/* Told of each change, for events: "backend", "app/B4", "added", "address=…". */
typedef void membership_changed_fn(void *user, const char *what, const char *name,
                                   const char *change, const char *detail);

struct membership_options {
    struct loop *loop;
    struct graces *graces;
    struct rotation *rotation;
    struct health *health;
    membership_changed_fn *changed; /* or NULL */
    void *user;
};

NODISCARD int membership_new(const struct membership_options *o,
                             struct membership **ret_membership);

/* After graces_free, before health_stop and pool_free. Leaves NULL; accepts NULL. */
void membership_free(struct membership **m);

/* ---- operations, as struct steer_ops has them; `user` is the struct membership ---- */

void membership_add(void *user, struct pool *pool, const struct steer_backend *b,
                    struct steer_result *ret);
void membership_remove(void *user, struct backend *b, struct steer_result *ret);
void membership_set_weight(void *user, struct backend *b, uint32_t weight,
                           struct steer_result *ret);
void membership_set_state(void *user, struct backend *b, enum admin_state state,
                          struct steer_result *ret);

enum admin_state membership_state(const struct backend *b);

/* ---- for the reload ---- */

typedef void membership_note_fn(void *user, const char *change, const char *name,
                                const char *detail);

/*
 * Brings a pool to the configuration `index` of s, with its health, queue and view, and calls note
 * for each thing that is other (or would be: plan_only). States of the operator, health, ejection
 * and counters of what stays are kept. The former snapshot must outlive a grace round begun after
 * this. 0, or a negative reason with nothing changed.
 */
NODISCARD int membership_reconfigure(struct membership *m, struct pool *pool,
                                     const struct snapshot *s, uint32_t index, bool plan_only,
                                     membership_note_fn *note, void *user);

/* A pool is in no configuration any more: ends its probes and lookups. Exchanges that have it may
 * go on with it. */
void membership_pool_leaves(struct membership *m, struct pool *pool);

/* No exchange has it any more, and none can come to it: closes its idle connections in every
 * worker, then frees it and calls done(user). 0, or -overload: try again later. */
NODISCARD int membership_pool_retire(struct membership *m, struct pool *pool,
                                     void (*done)(void *user), void *user);

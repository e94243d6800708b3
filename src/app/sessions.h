/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The list of sessions for the admin server (admin/sessions.h): exchanges under way, gathered by
 * each worker in a round of its own mailbox, and those that ended, read from the flight recorders.
 *
 * A worker gives at most SESSIONS_SHOWN_MAX rows and looks at no more clients than
 * SESSIONS_LOOK_MAX in one turn; `total` counts those it looked at that have an exchange.
 *
 * Lifetime: sessions_new .. sessions_free, after graces_free. Thread rule: the control thread.
 */

#include "admin/sessions.h"
#include "app/grace.h"
#include "app/worker.h"
#include "base/compiler.h"

/* Clients looked at: what a worker can walk through within some milliseconds. */
#define SESSIONS_LOOK_MAX 50000

/* Questions under way at a time; further ones get an empty answer. */
#define SESSIONS_ASKED_MAX 4

struct sessions;

struct sessions_options {
    struct loop *loop;
    struct graces *graces;
    struct worker *const *workers;
    uint32_t worker_count;
};

/* NULL without memory. */
struct sessions *sessions_new(const struct sessions_options *o);
/* Leaves NULL; accepts NULL. */
void sessions_free(struct sessions **s);

/* A sessions_fn whose user is the struct sessions. */
void sessions_list(void *user, const struct sessions_query *query, sessions_done_fn *done,
                   void *done_user);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The admin server: HTTP/1.1 on the control thread's loop, at an address and at a unix socket.
 *
 *   acceptor ─▶ conn (feed ─▶ call ─▶ answer)*  ─▶ closed
 *                        └── GET /api/v1/events ─▶ reader of events
 *
 * It shares its thread with health checks and must not be in the way of traffic, so all it does is
 * bounded (base/limits.h): connections, sizes, times, requests of one connection in a turn, and,
 * over the address, the work of a second, by units of one request or 4 KiB of answer. What is
 * beyond waits; new connections are taken at the price of the one that has been quiet for longest,
 * or are closed. The unix socket has connections of its own and no such limit of work: who may
 * open it may stop the balancer anyway.
 *
 * Lifetime: admin_server_new .. admin_server_free, which closes what is open; listeners are the
 * caller's and outlive it. Thread rule: the control thread. There is one at a time, for it listens
 * to the event log.
 */

#include "admin/sessions.h"
#include "admin/steer.h"
#include "base/compiler.h"
#include "io/listener.h"
#include "io/loop.h"

struct admin_server;

struct admin_options {
    struct loop *loop;
    const struct steer_ops *ops;
    void *ops_user;
    struct listener *address, *socket; /* with one shard each; either may be NULL */
    const char *token;                 /* or NULL; copied */
    sessions_fn *sessions;             /* or NULL */
    void *sessions_user;
};

/* 0 or a negative reason. */
NODISCARD int admin_server_new(const struct admin_options *o, struct admin_server **ret_server);

/* Leaves NULL; accepts NULL. */
void admin_server_free(struct admin_server **server);

/* A reload brought another token (or NULL); false without memory. */
NODISCARD bool admin_server_set_token(struct admin_server *s, const char *token);

/* Tells the readers of events what has changed: an engine that reloads does this for each change.
 * The texts are copied. */
void admin_server_changed(struct admin_server *s, const struct steer_change *change);

/* The rotation of some pool changed: readers are told soon whose state became what. Cheap. */
void admin_server_rotation_changed(struct admin_server *s);

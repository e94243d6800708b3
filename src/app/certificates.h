/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What TLS is spoken with, over the whole life of the engine: certificates of listeners, what pools
 * trust, keys of tickets.
 *
 *   start, reload   certificates_prepare ──▶ certificates_enable ──▶ (pools follow) ──▶ .. _commit
 *                          └──▶ secrets_free ◀──────┴── certificates_revert
 *   every 10 s      files have changed? ──▶ other contexts in the same place; connections keep
 * theirs every 12 h      other ticket keys
 *
 * `struct secrets` is of one generation, and goes with it. What a reload does not change, of what
 * neither configuration nor files have, is shared with the generation before.
 *
 * A file that has become bad while running is logged once, and what was read before stays. Such a
 * file at a start or a reload refuses it.
 *
 * Without TLS in the configuration nothing of this costs anything.
 *
 * Thread rule: the control thread.
 */

#include "admin/steer.h"
#include "app/crew.h"
#include "app/door.h"
#include "app/generation.h"
#include "base/compiler.h"
#include "config/snapshot.h"
#include "io/loop.h"
#include "pick/pool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct certificates;
struct secrets;
struct tls_server;
struct credentials_notes;

/* NULL: out of memory. */
struct certificates *certificates_new(struct crew *crew, struct door *door);

/* After all secrets, and the last session of a worker or a probe. Leaves NULL; accepts NULL. */
void certificates_free(struct certificates **c);

/* Why a configuration cannot be had. */
struct certificates_refusal {
    bool invalid;    /* what a file says; else it cannot be read */
    char text[1024]; /* "poise.yaml:12: listener web: certificate ..." */
};

/* Reads everything that `s` names. 0; or a negative reason, and nothing has changed. */
NODISCARD int certificates_prepare(struct certificates *c, const struct snapshot *s,
                                   struct secrets **ret_secrets,
                                   struct certificates_refusal *ret_why);

/* The place of each worker's contexts of a listener, for its front_conf; NULL where there is no
 * TLS. As long as the secrets. */
_Atomic(struct tls_server *) *secrets_servers(const struct secrets *s, size_t listener);

/* Pools of g that are to speak TLS get what they need for it: before they come to the
 * configuration. */
void certificates_enable(const struct generation *g);

/* They have not come to it: back to what the present generation has for them. */
void certificates_revert(const struct generation *g);

/* They have: g is what is kept up to date from now on. */
void certificates_commit(struct certificates *c, const struct generation *g);

/* No exchange of its generation is left. Leaves NULL; accepts NULL. */
void secrets_free(struct secrets **s);

/* The certificates of a listener, for who looks; false past the last. */
bool certificates_get(const struct certificates *c, size_t listener, size_t index,
                      struct steer_certificate *ret_certificate);

/* For `poise check`: calls `fn` with all that is wrong or soon will be. */
void certificates_check(const struct snapshot *s, struct door *door, int64_t now_s,
                        const struct credentials_notes *notes);

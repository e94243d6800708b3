/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Views kept up to date: whoever changed a pool (health, the operator, a reload) says so. The first
 * change is published at once, so that it is effective before anybody is told of it; those that
 * follow in the same turn of the loop share one view at its end. The old one is freed after a grace
 * round. A large pool, whose view takes milliseconds to make, rests for several times as long
 * before its next one, so that a flood of changes leaves the control thread free; meanwhile workers
 * pass over a backend that health took out by its state alone.
 *
 * Thread rule: control thread.
 */

#include "app/grace.h"
#include "base/compiler.h"
#include "io/loop.h"
#include "pick/pool.h"

struct rotation;

NODISCARD int rotation_new(struct loop *loop, struct graces *graces,
                           struct rotation **ret_rotation);

/* After graces_free. Leaves NULL; accepts NULL. */
void rotation_free(struct rotation **r);

/* Called after each new view; one such, NULL ends it. */
void rotation_on_published(struct rotation *r, void (*published)(void *user, struct pool *pool),
                           void *user);

/* Members, weights or states of the pool have changed. */
void rotation_changed(struct rotation *r, struct pool *pool);

/* Publishes what has changed in this pool now, before the end of the turn. */
void rotation_now(struct rotation *r, struct pool *pool);

/* The pool is about to be freed. (Views of it that wait for their grace round are not its own any
 * more.) */
void rotation_forget(struct rotation *r, struct pool *pool);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A generation: one snapshot at work. It holds the pools and the front_confs that the snapshot's
 * numbers mean, and knows when the last exchange that began with it has ended.
 *
 *   generation_new ─▶ (its front_confs are given to fronts) ─▶ generation_retire ─▶ gone()
 *
 * Retiring takes as long as the longest exchange; generations of that time live side by side.
 *
 * Thread rule: the control thread, but for what forward/front.h lets workers do with a front_conf.
 */

#include "app/grace.h"
#include "base/compiler.h"
#include "base/list.h"
#include "config/snapshot.h"
#include "forward/front.h"
#include "io/loop.h"

#include <stdint.h>

struct crew;
struct generation;
struct secrets; /* app/certificates.h */

/* No exchange uses it any more, on any worker. */
typedef void generation_gone_fn(void *user, struct generation *g);

struct generation {
    /* set at creation */
    uint64_t number;
    const struct snapshot *snapshot; /* one reference */
    struct pool **pools;             /* by index of the snapshot; the owner fills it */
    struct front_conf *confs;        /* by listener of the snapshot */
    struct front_use *uses;          /* by worker */
    struct secrets *secrets;         /* of TLS; NULL: there is none */

    /* control thread */
    struct list link; /* the owner's */
    struct loop *loop;
    struct generation_end *ends; /* by worker */
    struct graces *graces;
    struct grace retiring;
    uint32_t workers, left; /* … of what retiring waits for */
    generation_gone_fn *gone;
    void *user;
};

/* NULL: out of memory. Takes a reference of its own to the snapshot. `gone` comes from a turn of
 * the control loop after generation_retire, then it may be freed. */
struct generation *generation_new(const struct snapshot *s, uint64_t number, struct crew *crew,
                                  generation_gone_fn *gone, void *user);

/* Takes what it speaks TLS with over, before any front has one of its front_confs. */
void generation_take_secrets(struct generation *g, struct secrets *secrets);

/* None of its front_confs is any front's any more. */
void generation_retire(struct generation *g);

/* Leaves NULL; accepts NULL. Its pools are not touched. */
void generation_free(struct generation **g);

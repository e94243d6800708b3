/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a reload would change, and whom that touches: the difference of two snapshots in the words
 * of docs/api.md. Listeners and pools are the same if they have the same name, backends and routes
 * if they have the same name in the same pool or listener.
 *
 * Pure: no state, any thread. Lifetime: reload_plan_make to reload_plan_fini; the texts are the
 * plan's own.
 */

#include "admin/steer.h"
#include "base/arena.h"
#include "base/compiler.h"
#include "config/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One thing that is other about a pool's backends; `goes`: a backend leaves. */
typedef void reload_member_fn(void *to, const char *detail, bool goes);

/* What runs now, to tell whom a change touches; all of it may be left out. */
struct reload_facts {
    const uint32_t *clients;   /* connections, by listener of the present snapshot */
    const uint32_t *in_flight; /* exchanges, by pool of the present snapshot */
    /* Says how the backends of a pool that there is will differ, where they may have changed since
     * the present snapshot was loaded; false: out of memory. NULL: as the snapshots differ. */
    bool (*members)(void *user, size_t now, size_t next, reload_member_fn *fn, void *to);
    void *user;
};

struct reload_plan {
    struct arena arena;
    struct steer_change *changes; /* with `touches` */
    size_t count;
    size_t room;
};

/* 0, or a negative reason (out of memory): then there is nothing to release. */
NODISCARD int reload_plan_make(const struct snapshot *now, const struct snapshot *next,
                               const struct reload_facts *facts, struct reload_plan *ret_plan);

void reload_plan_fini(struct reload_plan *p);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An upgrade as the admin server asks for it: the answer comes when the supervisor tells how it
 * went. Thread rule: the control thread.
 */

#include "admin/steer.h"
#include "app/door.h"
#include "io/loop.h"

struct upgrade_request {
    struct door *door;
    struct loop *loop;
    struct timer answer; /* a refusal is told from the loop's turn too */
    steer_done_fn *done; /* NULL: nobody waits */
    void *user;
    struct steer_result result;
};

void upgrade_request_init(struct upgrade_request *u, struct door *door, struct loop *loop);

/* `done` is called later, exactly once: also by upgrade_request_fini. */
void upgrade_request_begin(struct upgrade_request *u, steer_done_fn *done, void *user);

/* DOOR_UPGRADED or DOOR_UPGRADE_FAILED. */
void upgrade_request_event(struct upgrade_request *u, enum door_event event, const char *why);

/* Before the loop is freed. */
void upgrade_request_fini(struct upgrade_request *u);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The objects of the API as JSON: the same for calls and for events.
 *
 * Thread rule: the control thread.
 */

#include "admin/call.h"
#include "admin/json.h"

/* What all of them are shown with. */
struct show {
    const struct steer_view *view;
    const struct rates *rates;
    uint64_t now_ms, wall_ms;
    uint32_t backends_max; /* of each pool; 0 = all */
};

void show_status(struct json *j, const char *key, const struct show *s);
/* Members of the object that is open: "listeners", "pools". */
void show_listeners(struct json *j, const struct show *s);
void show_pools(struct json *j, const struct show *s);
void show_pool(struct json *j, const char *key, const struct show *s, const struct pool *pool);
/* A member "backends". */
void show_backends(struct json *j, const struct show *s, const struct pool *pool);
/* The members of one backend, into the object that is open. */
void show_backend_members(struct json *j, const struct show *s, const struct backend *b);

/* For a call, without a limit of backends. */
struct show show_of_call(const struct call *c, const struct steer_view *view);

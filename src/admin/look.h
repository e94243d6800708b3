/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How things stand, in the words of the API: the one place of admin/ that looks into pools,
 * backends, fronts and health.
 *
 * Thread rule: the control thread.
 */

#include "account/reason.h"
#include "admin/steer.h"
#include "base/bytes.h"

/* What a backend is for people. */
struct standing {
    const char *state;       /* "up", "down", "ejected", "draining" ... */
    const char *admin_state; /* "ready", "drain", "disabled" */
    bool has_reason;         /* it is not up, because of: */
    enum reason reason;
    uint64_t since_ms;   /* loop time of the last change of health; 0 = never */
    uint64_t checked_ms; /* loop time of the last check; 0 = there was none */
    enum reason check_result;
    const char *check_detail; /* more about it, or NULL */
    double check_took_ms;
};
void look_standing(const struct steer_view *view, const struct backend *b,
                   struct standing *ret_standing);

/* A byte that differs whenever the words of the standing do, for those who watch for changes. */
uint8_t look_mark(const struct backend *b);

/* Slots of a pool; some may hold no backend. */
uint32_t look_slots(const struct pool *pool);
/* The backend of a slot, or NULL. */
struct backend *look_backend(const struct pool *pool, uint32_t slot);
const struct pool_conf *look_pool_conf(const struct pool *pool);
uint32_t look_weight(const struct backend *b);
uint32_t look_in_flight(const struct backend *b);
uint32_t look_waiting(const struct pool *pool);
uint32_t look_connections(const struct front *front);

/* How many backends there are and how many are in rotation. */
struct look_count {
    uint32_t total, up, in_flight;
};
struct look_count look_count(const struct pool *pool);

/* By name; NULL when there is none. */
struct pool *look_find_pool(const struct steer_view *view, struct span name);
struct backend *look_find_backend(struct pool *pool, struct span name);

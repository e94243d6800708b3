/* SPDX-License-Identifier: MIT */
#pragma once

/* A balancer that only counts: pools of real backends, a listener, two accounts and their board. */

#include "account/account.h"
#include "account/board.h"
#include "admin/steer.h"
#include "base/check.h"
#include "base/ids.h"
#include "config/load.h"
#include "forward/forwarder.h"

#include <stdio.h>
#include <stdlib.h>

struct traffic {
    const struct snapshot *snapshot;
    struct ids ids;
    struct pool *pools[2];
    struct front front;
    struct front *front_list[1];
    struct account *accounts[2];
    struct account_board *board;
    struct steer_view view;
};

static inline const char *traffic_env(const char *name)
{
    (void)name;
    return NULL;
}

/* `backends` is the text of a list. */
static inline void traffic_init(struct traffic *t, const char *backends)
{
    static char text[256 * 1024];
    struct diagnostics d;
    *t = (struct traffic){0};
    int n = snprintf(text, sizeof(text),
                     "listeners: [{name: web, listen: '127.0.0.1:80', pool: app, max_connections: "
                     "9}]\npools: [{name: app, backends: %s}, {name: other, backends: "
                     "['127.0.0.1:3']}]\n",
                     backends);
    CHECK(n > 0 && (size_t)n < sizeof(text));
    CHECK(config_load("p.yaml", span_of(text, (size_t)n), traffic_env, &d, &t->snapshot) == 0);
    diagnostics_fini(&d);
    ids_init(&t->ids);
    t->board = board_new(2);
    for (uint32_t i = 0; i < 2; i++) {
        t->pools[i] = pool_new(t->snapshot, i, &t->ids);
        CHECK(t->pools[i]);
        t->pools[i]->key = board_key(i);
        t->accounts[i] = account_new(NULL);
        board_add(t->board, t->accounts[i]);
    }
    t->front.key = board_key(0);
    t->front_list[0] = &t->front;
    t->view = (struct steer_view){
        .snapshot = t->snapshot,
        .generation = 7,
        .pools = t->pools,
        .pool_count = 2,
        .fronts = t->front_list,
        .front_count = 1,
        .board = t->board,
        .engine_name = "epoll",
        .worker_count = 2,
        .started_wall_ms = 1000,
        .reload_ok = true,
        .reload_wall_ms = 1250,
    };
}

static inline void traffic_fini(struct traffic *t)
{
    board_free(&t->board);
    for (size_t i = 0; i < 2; i++) {
        account_free(&t->accounts[i]);
        pool_free(&t->pools[i]);
    }
    ids_fini(&t->ids);
    snapshot_unref(&t->snapshot);
}

/* `times` exchanges of one backend of the first pool, by GET. */
static inline void traffic_flow(struct traffic *t, size_t worker, uint32_t slot, uint16_t status,
                                uint64_t us, uint32_t times)
{
    struct account *a = t->accounts[worker];
    for (uint32_t i = 0; i < times; i++) {
        account_left(a, &t->pools[0]->backends[slot].key,
                     &(struct account_left){
                         .ns = us * 1000, .status = status, .bytes_in = 3, .bytes_out = 4});
        account_count(a, &(struct account_count){
                             .bytes_in = 3,
                             .bytes_out = 4,
                             .total_ns = us * 1000,
                             .status = status,
                             .method = 1,
                             .listener = &t->front.key,
                             .pool = &t->pools[0]->key,
                         });
    }
}

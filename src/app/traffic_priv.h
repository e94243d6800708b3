/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Inside the test traffic: traffic.c decides when a lane sends and counts what came of it;
 * traffic_lane.c is the conversation on one lane. A lane is one of the concurrent connections; it
 * stays while connections come and go.
 */

#include "admin/feed.h"
#include "app/traffic.h"
#include "base/list.h"
#include "io/loop.h"
#include "io/timer.h"

struct lane {
#define LANE_MAGIC 0x1a9e0001u
    uint32_t magic;
    struct traffic *traffic;
    struct stream *stream; /* NULL: not connected */
    struct feed feed;
    struct head head;
    struct timer deadline;
    struct list idle; /* linked while no request is under way */
    /* of the request under way */
    uint64_t began_ns;
    bool http;
    bool sending;
    bool begun;  /* a byte of the answer is there */
    bool nudged; /* on_nudge */
    uint16_t status;
    bool keep_alive;
    char name[TRAFFIC_NAME_MAX];   /* who says it answers, from the head */
    char reason[TRAFFIC_NAME_MAX]; /* why the balancer refused, from the head */
    size_t answer_len;
    char answer[TRAFFIC_ANSWER_MAX];
};

struct traffic {
    struct loop *loop;
    struct traffic_options options;
    traffic_finished_fn *finished;
    void *user;
    struct lane *lanes;
    struct list idle;
    struct timer pace; /* with a rate: when to look whether a request is due */
    uint64_t started_ns;
    uint64_t begun;
    uint64_t skipped; /* requests of the rate that are given up after a long stall */
    uint32_t busy;
    bool http, stopping;
    uint8_t *request; /* the bytes of every request */
    size_t request_len;
    uint8_t *old_request; /* before the change to HTTP */
    struct traffic_report report;
};

/* Sends one request on a lane. */
void lane_begin(struct lane *l);
void lane_open(struct lane *l, struct traffic *t);
void lane_close(struct lane *l);

/* Makes the bytes of a request anew, after t->http has changed. */
void traffic_make_request(struct traffic *t);

/* The request of a lane is over: failure NULL, or its kind. The lane may be sending again on
 * return. */
void traffic_over(struct lane *l, const char *failure);

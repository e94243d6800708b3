/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Test traffic: requests to one address over a number of connections, and an account of who
 * answered and how fast. For `test-client` and `demo`.
 *
 * HTTP keeps its connections; raw bytes take one connection a request, read up to its end. Without
 * a rate each connection sends its next request as soon as it has an answer. A request fails when
 * no complete answer comes in time, or an HTTP answer has a status of 400 or more.
 *
 * Lifetime: traffic_new .. traffic_free; `finished` is called once, when nothing is under way any
 * more. Thread rule: the loop's thread.
 */

#include "base/address.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "base/histogram.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct traffic;

struct traffic_options {
    struct address to;
    const char *host;    /* the Host field */
    const char *path;    /* HTTP: what to ask for */
    const char *message; /* raw: what to say; HTTP: the body of a POST; NULL = none */
    bool http;
    bool turn_http;       /* raw: go over to HTTP when the answer is in it */
    uint64_t requests;    /* 0 = until traffic_stop */
    uint32_t connections; /* at least 1 */
    uint32_t rate_per_s;  /* 0 = as fast as answers come */
    uint32_t timeout_ms;
};

#define TRAFFIC_NAMES_MAX  64 /* more names are counted together */
#define TRAFFIC_NAME_MAX   64
#define TRAFFIC_ANSWER_MAX 256

struct traffic_tally {
    char name[TRAFFIC_NAME_MAX];
    uint64_t count;
};

struct traffic_tallies {
    struct traffic_tally items[TRAFFIC_NAMES_MAX];
    size_t count;
};

struct traffic_report {
    uint64_t answered;
    uint64_t failed;
    struct traffic_tallies backends; /* answers by who gave them */
    struct traffic_tallies errors;   /* failures by kind */
    struct histogram latency_us;     /* of answers */
    uint64_t took_ns;
    char last_answer[TRAFFIC_ANSWER_MAX]; /* as much of it as fits */
    size_t last_answer_len;
};

typedef void traffic_finished_fn(struct traffic *t, void *user);

struct traffic *traffic_new(struct loop *loop, const struct traffic_options *options,
                            traffic_finished_fn *finished, void *user);
/* Begins nothing more; `finished` follows, perhaps from this very call. */
void traffic_stop(struct traffic *t);
/* What happened so far; lives as long as `t`. Between turns it may be sorted. */
struct traffic_report *traffic_report(struct traffic *t);
/* Since traffic_new. */
uint64_t traffic_elapsed_ns(const struct traffic *t);
void traffic_free(struct traffic **t);

/* Adds to the tally of that name. */
void traffic_tally_add(struct traffic_tallies *tallies, struct span name);
/* The count of a name, 0 if there is none. */
uint64_t traffic_tally_of(const struct traffic_tallies *tallies, const char *name);
/* Sorts by name. */
void traffic_tally_sort(struct traffic_tallies *tallies);

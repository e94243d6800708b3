/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A backend to try things with: answers HTTP requests, and bytes that are not HTTP, with its name.
 * One thread, one loop; fast enough to stand behind a benchmark.
 *
 * Lifetime: test_server_new .. test_server_free, which closes its clients. Thread rule: the loop's.
 */

#include "io/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct test_server;

#define TEST_SERVER_NAME_MAX     64
#define TEST_SERVER_DELAY_MAX_MS 3600000

struct test_server_options {
    const char *name; /* 1..TEST_SERVER_NAME_MAX bytes, good as a field value */
    uint64_t delay_ms, jitter_ms;
    double error_rate;
    bool sized; /* answer with body_bytes instead of the greeting */
    uint64_t body_bytes;
    uint64_t concurrency_max; /* 0 = no limit */
    bool log;                 /* a line for each connection and request, to stdout */
    uint64_t seed;            /* of jitter and errors */
};

/* `options` are copied; the name must live as long as the server. */
struct test_server *test_server_new(struct loop *loop, const struct test_server_options *options);
void test_server_free(struct test_server **s);

/* An accepted_fn; the acceptor's user is the server. */
void test_server_accepted(struct acceptor *a, struct stream *s);

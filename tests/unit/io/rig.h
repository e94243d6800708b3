/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the tests of streams share: a loop with a listener on it, ends of connections that count
 * what they are told, and a run until a condition holds. Everything runs on one thread and on
 * every engine that this build has: a test gets its engine by rig_open().
 */

#include "io/listener.h"
#include "io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct rig;

/* One end of a connection. Hooks are called after the counting and may be NULL. */
struct end {
    struct rig *rig;
    struct stream *s;
    uint64_t received;
    uint64_t sum_at; /* next byte expected of rig_byte(), when `exact` */
    unsigned connected;
    unsigned datas;
    unsigned eofs;
    unsigned sents;
    unsigned fails;
    unsigned overs; /* bulks from here that were over */
    uint64_t moved; /* by them */
    enum reason why;
    bool exact;
    bool closed_by_hook;
    char text[256]; /* the first bytes received */
    void (*on_connected)(struct end *e);
    void (*on_data)(struct end *e, struct slice in);
    void (*on_eof)(struct end *e);
    void (*on_sent)(struct end *e);
    void (*on_failed)(struct end *e);
    void (*on_moved)(struct end *e, bool over);
};

#define RIG_SERVERS_MAX 64

struct rig {
    struct loop *loop;
    struct listener *listener;
    struct acceptor acceptor;
    struct end client;
    struct end servers[RIG_SERVERS_MAX]; /* in order of arrival */
    unsigned servers_count;
    bool servers_silent; /* reading stays off */
    void (*on_accepted)(struct end *server);
    bool (*done)(struct rig *rig);
    struct timer poll;
    struct timer guard;
    void *user;
};

#define server0 servers[0]

/* Opens a loop and starts accepting on `listen_on` ("127.0.0.1:0"; NULL: no listener). */
void rig_open(struct rig *rig, void **state, const char *listen_on);
/* The same on a loop that the test has made; the rig takes it over. */
void rig_open_on(struct rig *rig, struct loop *loop, const char *listen_on);
/* Closes all that is open. */
void rig_close(struct rig *rig);

/* Connects rig->client. */
void rig_connect(struct rig *rig);
void rig_connect_end(struct rig *rig, struct end *e, const struct address *to);

/* Runs until done() says so; a run of 20 s fails the test. */
void rig_run(struct rig *rig, bool (*done)(struct rig *rig));
/* Runs some turns, in which nothing may be expected. */
void rig_run_ms(struct rig *rig, unsigned ms);

void end_init(struct rig *rig, struct end *e);
void end_close(struct end *e);
enum send_result end_send_text(struct end *e, const char *text);
extern const struct stream_ops end_ops;

/* What stream_send says of a small send that the kernel will refuse: an engine that sends at the
 * end of the turn cannot know yet. */
enum send_result rig_answer_to_doomed_send(const struct rig *rig);

/* A byte stream that repeats late: position -> byte. */
uint8_t rig_byte(uint64_t at);
void rig_fill(uint8_t *p, size_t n, uint64_t at);

/* A plain blocking socket connected to the rig's listener. */
int rig_raw_connect(struct rig *rig);
void rig_raw_reset(int fd);

/* Runs all tests once per engine; rig_main_epoll and rig_main_uring on the only one that they are
 * about. */
struct rig_test {
    const char *name;
    CMUnitTestFunction fn;
};
int rig_main(const char *group, const struct rig_test *tests, size_t count);
int rig_main_epoll(const char *group, const struct rig_test *tests, size_t count);
int rig_main_uring(const char *group, const struct rig_test *tests, size_t count);

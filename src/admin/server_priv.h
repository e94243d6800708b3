/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Inside the admin server: server.c takes connections and rations work, conn.c speaks HTTP on one
 * of them, events.c feeds those that listen.
 */

#include "admin/call.h"
#include "admin/feed.h"
#include "admin/server.h"
#include "base/limits.h"
#include "base/list.h"
#include "io/timer.h"

enum conn_state {
    CONN_READING, /* between requests, or within one */
    CONN_QUEUED,  /* more may wait to be read, until the server has a turn for it */
    CONN_WAITING, /* its call answers later */
    CONN_SENDING, /* an answer is on its way */
    CONN_STREAM,  /* a reader of events */
    CONN_LINGER,  /* answered and shut down; what still comes is read away, so that no reset of ours
                     overtakes the answer */
};

/* An event as it is sent, shared by its readers. */
struct event {
    uint32_t refs;
    size_t n;
    uint8_t *p;
};

/* What waits for a reader: a ring. The first `sending` are with the stream. */
struct event_queue {
    struct event *events[ADMIN_EVENTS_MAX];
    uint32_t first, count, sending;
    size_t bytes;
    uint64_t unsent_before; /* at the last tick */
    uint32_t ticks_stuck;
};

struct conn {
#define CONN_MAGIC 0xc0442adau
    uint32_t magic;
    enum conn_state state;
    struct admin_server *server;
    struct stream *stream;
    struct timer timer;
    struct list link;   /* of all connections; the one that did nothing for longest is first */
    struct list queued; /* for a turn */
    struct feed feed;
    bool over_socket;
    bool under_way;    /* part of a request has come */
    bool last;         /* no further request after this answer */
    uint32_t served;   /* requests in this turn */
    uint64_t since_ms; /* of the state */
    uint64_t unsent;   /* at the last look */
    uint64_t dropped;  /* bytes read away */
    size_t pending;    /* bytes of an answer, counted by the server */
    struct call *call;
    struct text body;
    uint8_t head[CALL_HEAD_MAX]; /* of the answer; constant while it is sent */
    struct event_queue *events;
    struct list reader; /* of all readers */
};

struct watched_pool {
    const struct pool *pool;
    uint8_t *marks; /* by slot */
    uint32_t count;
};

struct admin_server {
#define ADMIN_MAGIC 0xad314a11u
    uint32_t magic;
    struct site site;
    struct loop *loop;
    char *token;
    struct acceptor address, socket;
    bool has_address, has_socket;
    struct head head; /* of whichever request is being read */
    uint8_t path_room[URI_PATH_MAX];
    struct list conns, queue, readers;
    uint32_t conn_count, address_count; /* all, and those of the address */
    uint32_t reader_count;
    size_t pending;
    int64_t units; /* work that may still be done over the address */
    uint64_t units_ms;
    struct timer turn; /* of those in the queue */
    struct timer tick;
    struct timer health_due;
    uint64_t refused; /* connections, since it was last said */
    struct watched_pool *watched;
    size_t watched_count;
};

/* ---- server.c ---- */

/* The time of this turn, for calls. */
void server_look_at_clock(struct admin_server *s);
/* Takes the price of an answer; false: there is no more work to be had for now. */
bool server_spend(struct admin_server *s, const struct conn *c, size_t bytes);
/* The connection waits for its turn. */
void server_queue(struct admin_server *s, struct conn *c);

/* ---- conn.c ---- */

/* NULL without memory: the stream is still the caller's. */
struct conn *conn_new(struct admin_server *s, struct stream *stream, bool over_socket);
void conn_close(struct conn *c, enum stream_close_how how);
/* Goes on with what the client sent meanwhile. */
void conn_resume(struct conn *c);
/* Whether it may be closed for the sake of another that comes. */
bool conn_may_give_way(const struct conn *c);

/* ---- events.c ---- */

/* The connection becomes a reader: its head has been sent. False: it is closed. */
bool events_join(struct conn *c);
void events_leave(struct conn *c);
/* The pending send of a reader is complete. */
void events_sent(struct conn *c);
/* Once a second: numbers, and who is stuck. */
void events_tick(struct admin_server *s);
/* Tells of states that changed since the last look. */
void events_look_at_health(struct admin_server *s);
void events_change(struct admin_server *s, const struct steer_change *change);
void events_fini(struct admin_server *s);

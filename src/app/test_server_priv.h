/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Inside the test server: test_server.c holds connections and talks to what is not HTTP,
 * test_server_http.c understands requests, test_server_answer.c answers them.
 *
 *   UNDECIDED ─ looks like HTTP ─▶ HTTP ─ last answer, error ─▶ LINGER ─ peer ends, or time ─▶ gone
 *        └───── does not ────────────── greeting ─────────────────▲
 */

#include "admin/feed.h"
#include "app/test_server.h"
#include "base/list.h"
#include "base/rng.h"
#include "codec/h1_write.h"
#include "io/loop.h"
#include "io/timer.h"

enum client_state {
    CLIENT_UNDECIDED, /* not enough bytes to tell whether it speaks HTTP */
    CLIENT_HTTP,
    CLIENT_WAITING, /* its answer is being delayed */
    CLIENT_LINGER,  /* answered and shut down; what still comes is read away, so that no reset of
                       ours  overtakes the answer */
};

enum answer_kind {
    ANSWER_TEXT,    /* a short text */
    ANSWER_PATTERN, /* bytes made from their offset */
    ANSWER_ECHO,    /* what the client sent */
};

struct answer {
    enum answer_kind kind;
    uint16_t status;
    bool keep_alive, head_only, chunked, http_1_0;
    bool chunk_begun, last_due; /* of the chunked coding */
    const char *text;
    uint64_t left, at; /* body bytes to be sent, and sent */
    uint64_t delay_ms;
};

struct client {
#define CLIENT_MAGIC 0xc11e0001u
    uint32_t magic;
    enum client_state state;
    struct test_server *server;
    struct stream *stream;
    struct list link;
    struct timer timer; /* undecided for too long; delay of an answer; end of lingering */
    struct feed feed;
    struct slice undecided;
    bool under_way; /* counted in server->under_way */
    bool raw;       /* what is being delayed is the greeting */
    bool sending;
    bool interim; /* what is being sent is 100 Continue */
    struct answer answer;
    uint64_t body_bytes; /* of the request so far */
    bool echo_body;      /* its body is part of the answer */
    uint8_t *echo;
    size_t echo_len, echo_cap;
    uint8_t frame[2 * H1_CHUNK_BEGIN_MAX]; /* around a chunk; constant while it is sent */
};

struct test_server {
    struct loop *loop;
    struct test_server_options options;
    struct rng rng;
    struct head head; /* of whichever request is being read */
    uint8_t path_room[URI_PATH_MAX];
    struct list clients;
    uint64_t under_way;
    char hello[TEST_SERVER_NAME_MAX + 16];   /* "Hello from B1" */
    char common[TEST_SERVER_NAME_MAX + 256]; /* the whole answer most requests get */
    size_t common_len;
    uint8_t *pattern; /* PATTERN_BYTES of it */
};

#define PATTERN_BYTES  65536u /* its period */
#define ECHO_BYTES_MAX (1024 * 1024)

/* The client is gone afterwards. */
void client_close(struct client *c, enum stream_close_how how);
/* No more is sent; waits for the peer to end. */
void client_linger(struct client *c);
/* After an answer that did not come at once: goes on with what the client sent meanwhile. */
void client_carry_on(struct client *c);
/* A line of the log, when there is one. */
void client_log(struct client *c, const char *what, struct span text);

/* A feed_event_fn: the requests of a client. */
int client_request(void *user, enum h1_event event, const struct h1_result *result);

enum answer_progress {
    ANSWER_SENT,
    ANSWER_SENDING, /* client_carry_on follows */
    ANSWER_GONE,    /* and so is the client */
};
/* Sends c->answer. */
enum answer_progress answer_begin(struct client *c);
/* The pending send is complete: goes on. */
enum answer_progress answer_go_on(struct client *c);
/* Refuses what cannot be understood, and lingers. */
void answer_refusal(struct client *c, enum reason why);
/* Makes server->common. */
void answer_prepare(struct test_server *s);

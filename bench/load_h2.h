/* SPDX-License-Identifier: MIT */
/*
 * HTTP/2 as far as a load generator needs it: frames are written and read by hand, and of header
 * blocks only the two that a connection needs are ever made: the first, which fills the peer's
 * HPACK table, and the one for all that follow. What is received of header blocks is not decoded.
 */
#pragma once

#include "load.h"

enum h2_frame {
    H2_DATA = 0,
    H2_HEADERS = 1,
    H2_RST_STREAM = 3,
    H2_SETTINGS = 4,
    H2_PUSH_PROMISE = 5,
    H2_PING = 6,
    H2_GOAWAY = 7,
    H2_WINDOW_UPDATE = 8,
    H2_CONTINUATION = 9,
};

enum {
    H2_END_STREAM = 1, /* flags */
    H2_ACK = 1,
    H2_END_HEADERS = 4,
    H2_PADDED = 8,
    H2_PRIORITY = 32,
    H2_HEAD = 9, /* bytes of a frame's head */
    H2_FRAME_MAX = 16384,
    H2_STREAM_WINDOW = BODY_MAX,
    H2_WINDOW = 16 * BODY_MAX,
};

struct h2_head {
    uint32_t length, stream;
    uint8_t type, flags;
};

struct h2 {
    bool greeted; /* server: the preface is here */
    bool begun;   /* the first header block has been sent */
    bool bare;    /* the peer's HPACK table is none, or too small */
    struct h2_head data;
    uint32_t data_left; /* of the DATA frame in `data` */
    uint64_t taken;     /* bytes of DATA since the last WINDOW_UPDATE */
    int64_t window;     /* what the peer takes on the connection */
    int64_t stream_window;
    uint32_t stream_next; /* client */
    struct h2_stream {
        uint32_t id; /* client: asked; server: to be answered, a ring */
        size_t seen;
    } streams[STREAMS_MAX];
    unsigned first, count;
    char *out;
    size_t out_len, out_max;
};

/* A header block, made once with nghttp2's HPACK encoder. */
struct h2_block {
    uint8_t bytes[512];
    size_t length;
};

/* The first message of a connection and every later one; for peers without a table, too. */
struct h2_blocks {
    struct h2_block table[2], bare[2];
};

struct h2_field {
    const char *name, *value;
};

void h2_blocks_make(const struct h2_field *fields, size_t count, struct h2_blocks *ret);
/* The one that is next on this connection. */
const struct h2_block *h2_block(struct h2 *h2, const struct h2_blocks *blocks);

struct h2 *h2_new(void);

/* Room for n more bytes of output, which are then there to be filled. */
char *h2_room(struct h2 *h2, size_t n);
void h2_frame(struct h2 *h2, enum h2_frame type, unsigned flags, uint32_t stream,
              const void *payload, size_t n);
/* SETTINGS and the window of the connection. */
void h2_greet(struct h2 *h2);
/* Sends all output in one send, or what the socket takes of it. */
bool h2_flush(struct connection *c);

/* Takes n bytes of frames. Of DATA each piece is told by `data`, with *h2->data* as the head and
 * `end` with its last, of the others the whole frame by `frame`, except SETTINGS, PING and
 * WINDOW_UPDATE, which are seen to here. False as soon as something is wrong. */
struct h2_taker {
    bool (*data)(struct connection *c, const char *bytes, size_t n, bool end);
    bool (*frame)(struct connection *c, const struct h2_head *head, const uint8_t *payload);
};
bool h2_take(struct connection *c, const struct h2_taker *taker, const char *bytes, size_t n);

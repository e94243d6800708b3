/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between the files of an HTTP/2 connection:
 *
 *   h2_conn.c          its life, what comes in, events
 *   h2_conn_held.c     input that waits for its owner, and the windows
 *   h2_conn_send.c     what goes out: frames packed, gathered, sent
 *   h2_conn_guard.c    defences: what is counted and timed
 *   h2_conn_library.c  what all connections of a worker share
 */

#include "base/slab.h"
#include "forward/h2_conn.h"

/* ---- h2_conn_library.c ---- */

/* Sizes that nghttp2's memory comes in; larger ones are rare (a field of 20 KiB) and malloc's. */
#define H2_MEMORY_CLASSES 14

struct h2_library {
    struct loop *loop;
    nghttp2_mem mem;
    nghttp2_option *option;
    nghttp2_session_callbacks *callbacks;
    size_t bytes;   /* given to nghttp2 */
    size_t held[2]; /* in buffers that hold input: of backends, of clients */
    struct slab classes[H2_MEMORY_CLASSES];
    struct slab outputs; /* struct h2_output */
    struct slab helds;   /* struct h2_held */
    struct h2_room room;
};

/* ---- input that waits (h2_conn_held.c) ---- */

/* One of 2 KiB, then of 16 KiB each: they are filled before another is taken, however small the
 * frames are. */
#define H2_HELD_PARTS 8

struct h2_held {
    uint32_t owed; /* bytes for which the connection's window has not been opened again */
    uint32_t room; /* at the end of the last part */
    uint8_t first, count;
    struct slice parts[H2_HELD_PARTS];
};

/* The owner took n bytes as they came: windows open again. */
void h2_consume(struct h2_stream *s, uint32_t n);

/* Keeps input for later. False without room: then the stream cannot go on. */
NODISCARD bool h2_hold(struct h2_stream *s, const uint8_t *p, uint32_t n);

/* The oldest part of what is held, which becomes the caller's. */
struct slice h2_held_next(struct h2_stream *s);

void h2_held_drop(struct h2_stream *s);

/* Pays what is owed to the connection's window if there is room by now. */
void h2_held_pay(struct h2_stream *s);

/* ---- its life (h2_conn.c) ---- */

/* The connection ends: `code` goes out with GOAWAY, or nothing does (H2_NO_GOAWAY). */
void h2_conn_end(struct h2_conn *c, enum reason why, uint32_t code);

/* The same outside nghttp2, and what follows of it: as h2_conn_input. */
bool h2_conn_give_up(struct h2_conn *c, enum reason why, uint32_t code);

/* Something is to be told to the stream's owner. */
void h2_stream_work(struct h2_stream *s);

/* What a code of RST_STREAM or GOAWAY means when the peer's fault made us send it. */
enum reason h2_why_of_code(const struct h2_conn *c, uint32_t code);

struct h2_stream *h2_stream_of(struct h2_conn *c, int32_t id);

static inline uint64_t h2_now_ms(const struct h2_conn *c)
{
    return loop_now(c->loop) / 1000000;
}

/* ---- output (h2_conn_send.c) ---- */

/* Gathered bytes at which a send does not wait for the end of the turn. */
#define H2_OUTPUT_BYTES (256u * 1024)
/* Pieces of a body from here on go by reference. */
#define H2_COPY_MAX 1024

struct h2_output {
    size_t count;
    uint32_t bytes;
    uint32_t used;                        /* of buf */
    struct buf *buf;                      /* what is copied goes here */
    struct slice slices[SEND_SLICES_MAX]; /* each with a reference of its own */
};

/* nghttp2's frames become output, as far as there is room. */
void h2_pack(struct h2_conn *c);

/* The same, and the head just submitted for this stream whether there is room or not. */
void h2_pack_head(struct h2_stream *s);

/* What was gathered leaves now. */
void h2_send(struct h2_conn *c);

/* Bytes of ours behind what was gathered. False without memory. */
bool h2_output_add(struct h2_conn *c, const void *p, size_t n);

void h2_output_drop(struct h2_conn *c);

/* Forgets what was given to a stream and not packed. */
void h2_stream_drop_output(struct h2_stream *s);

ssize_t h2_read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                     uint32_t *flags, nghttp2_data_source *source, void *user);
int h2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
                 nghttp2_data_source *source, void *user);
int h2_on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user);
int h2_on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                         void *user);

/* ---- input (h2_conn.c) ---- */

int h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user);
int h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                 size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                 void *user);
int h2_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user);
int h2_on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                        void *user);
int h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
               void *user);
int h2_on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user);

/* ---- defences (h2_conn_guard.c) ---- */

/* Looks at the heads of all frames before nghttp2 does. If one of them ends the connection, it is
 * to be given what came before it: of a backend, for that may complete responses; what a client
 * wanted before is not even begun. */
struct h2_verdict {
    enum reason why; /* ok: it goes on */
    uint32_t code;
    size_t before; /* bytes for nghttp2 */
};
struct h2_verdict h2_guard_input(struct h2_conn *c, struct span in);

/* nghttp2 has the same input now: what came behind a client's own reset is answered. */
void h2_guard_late(struct h2_conn *c);

/* A stream is closed; of a complete one both messages had ended. */
void h2_guard_gone(struct h2_conn *c, int32_t id, bool complete);

/* A frame begins: 0, or the connection has been ended (NGHTTP2_ERR_CALLBACK_FAILURE). */
int h2_on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user);
int h2_guard_reset(struct h2_conn *c);
/* DATA of padding alone. */
int h2_guard_padding(struct h2_conn *c);

/* nghttp2 has refused the request by itself, and knows no stream of it. */
void h2_guard_refused(struct h2_conn *c, int32_t id);

/* The block that begins, or goes on, is for a stream that takes it. */
void h2_guard_wanted(struct h2_conn *c, uint32_t frame_bytes);

/* When nghttp2 has come as far as h2_guard_input: blocks that nobody took. */
void h2_guard_blocks(struct h2_conn *c);

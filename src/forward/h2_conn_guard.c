/* SPDX-License-Identifier: MIT */
/*
 * Defences against what HTTP/2 lets a peer make us do: each is a count or a time, with a reason of
 * its own. They judge the connection as a whole; a peer that keeps to the protocol in numbers that
 * any real one stays below never meets them.
 *
 *   resets            theirs, and those their mistakes make us send: work begun and thrown away
 *   control frames    SETTINGS, PING, PRIORITY, WINDOW_UPDATE and unknown ones: each DATA frame of
 *                     ours may be answered with two of them, beyond that there are so many a second
 *   empty DATA        the same
 *   CONTINUATION      counted by nghttp2; how long a block takes is looked at here
 *   header blocks     those that no stream takes, for it was closed or refused: they have to be
 *                     decoded all the same. Each counts, and each KiB of it
 *   windows           a stream whose output waits for one is broken off after a while
 */
#include "base/limits.h"
#include "forward/h2_conn_priv.h"

#include <string.h>

/* What a response may add to the unwanted header blocks when we have broken it off: interim heads,
 * the head, trailers. */
#define UNWANTED_PER_RESPONSE 64

#define FRAME_HEAD 9u

static int refuse(struct h2_conn *c, enum reason why)
{
    h2_conn_end(c, c->server ? why : REASON_backend_h2_error, NGHTTP2_ENHANCE_YOUR_CALM);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static bool is_rapid_reset(struct h2_conn *c)
{
    if (!c->server)
        return false; /* each is an answer to a request of ours, which is all it costs us */
    uint64_t now_ms = h2_now_ms(c);
    if (now_ms - c->resets_since_ms >= H2_RESETS_MS) {
        c->resets_since_ms = now_ms;
        c->resets = 0;
    }
    return ++c->resets > H2_RESETS_MAX;
}

int h2_guard_reset(struct h2_conn *c)
{
    return is_rapid_reset(c) ? refuse(c, REASON_h2_rapid_reset) : 0;
}

/* What is counted by the second begins anew. */
static void second(struct h2_conn *c)
{
    uint64_t now_ms = h2_now_ms(c);
    if (now_ms - c->control_since_ms >= 1000) {
        c->control_since_ms = now_ms;
        c->control = c->empty = 0;
    }
}

static bool is_empty_flood(struct h2_conn *c)
{
    second(c);
    return ++c->empty > H2_EMPTY_PER_S;
}

int h2_guard_padding(struct h2_conn *c)
{
    return is_empty_flood(c) ? refuse(c, REASON_h2_empty_frames) : 0;
}

static bool is_control_flood(struct h2_conn *c)
{
    if (c->control_credit > 0) {
        c->control_credit--;
        return false;
    }
    second(c);
    return ++c->control > H2_CONTROL_PER_S;
}

/* ---- header blocks ---- */

static int32_t block_cost(uint32_t frame_bytes)
{
    return (int32_t)(1 + frame_bytes / 1024);
}

void h2_guard_wanted(struct h2_conn *c, uint32_t frame_bytes)
{
    c->unwanted -= block_cost(frame_bytes);
}

void h2_guard_blocks(struct h2_conn *c)
{
    if (LIKELY(c->unwanted <= H2_UNWANTED_MAX))
        return;
    uint64_t now_ms = h2_now_ms(c);
    if (now_ms - c->unwanted_since_ms >= H2_UNWANTED_MS) {
        c->unwanted_since_ms = now_ms;
        c->unwanted -= H2_UNWANTED_MAX;
    }
    if (c->unwanted > H2_UNWANTED_MAX)
        (void)refuse(c, REASON_h2_header_flood);
}

/* ---- closed streams ---- */

/* How a stream came to its end: what its peer may still have sent then. */
enum h2_gone {
    H2_GONE_BROKEN,   /* broken off by us: anything may be on its way */
    H2_GONE_COMPLETE, /* both messages had ended: nothing */
    H2_GONE_RESET,    /* reset by a client, behind which it may say nothing */
};

/* nghttp2 forgets a stream when it is closed and takes everything that comes for it later for what
 * was on its way when it was reset. Of a stream that both ends had completed, or that the client
 * has reset itself, nothing can be on its way (RFC 9113 5.1), and a stream that never was cannot
 * begin below those that were (5.1.1). */

/* Where that stream is remembered, or -1. */
static int find_gone(const struct h2_conn *c, int32_t id)
{
    for (int i = 0; i < (int)ARRAY_LEN(c->gone) && id != 0; i++) {
        if (c->gone[i] == id)
            return i;
    }
    return -1;
}

static void remember(struct h2_conn *c, int32_t id, enum h2_gone how)
{
    size_t at = c->gone_at++ % ARRAY_LEN(c->gone);
    c->gone[at] = id;
    c->gone_how[at] = (uint8_t)how;
    if (c->gone_at == 0)
        c->gone_at = 2 * ARRAY_LEN(c->gone); /* it went round */
}

void h2_guard_gone(struct h2_conn *c, int32_t id, bool complete)
{
    if (find_gone(c, id) < 0)
        remember(c, id, complete ? H2_GONE_COMPLETE : H2_GONE_BROKEN);
    /* A response may be on its way that is not waited for any more. */
    if (!complete && !c->server && c->unwanted > -UNWANTED_PER_RESPONSE * H2_STREAMS_MAX)
        c->unwanted -= UNWANTED_PER_RESPONSE;
}

void h2_guard_refused(struct h2_conn *c, int32_t id)
{
    if (find_gone(c, id) < 0)
        remember(c, id, H2_GONE_BROKEN); /* its trailers may be on their way */
}

static int break_rule(struct h2_conn *c, uint32_t code)
{
    h2_conn_end(c, c->server ? REASON_h2_protocol_error : REASON_backend_h2_error, code);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* That stream is to be reset again, which is counted as any reset: false when it is one too many.
 */
static bool speak_behind_reset(struct h2_conn *c, int32_t id)
{
    c->late_id = id; /* nghttp2 may not even know of the stream yet */
    return !is_rapid_reset(c);
}

void h2_guard_late(struct h2_conn *c)
{
    if (c->late_id)
        (void)nghttp2_submit_rst_stream(c->session, 0, c->late_id, NGHTTP2_STREAM_CLOSED);
    c->late_id = 0;
}

/* HEADERS of a client, in order with all that came before. */
static int guard_headers(struct h2_conn *c, int32_t id)
{
    bool old = c->server && id > 0 && id % 2 == 1 && id <= c->last_id;
    c->last_id = MAX(c->last_id, id);
    if (!old || nghttp2_session_get_stream_user_data(c->session, id))
        return 0;
    int at = find_gone(c, id);
    if (at < 0) /* behind GOAWAY requests are passed over */
        return c->gone_at > ARRAY_LEN(c->gone) || c->draining
                   ? 0
                   : break_rule(c, NGHTTP2_PROTOCOL_ERROR);
    if (c->gone_how[at] == H2_GONE_COMPLETE)
        return break_rule(c, NGHTTP2_STREAM_CLOSED);
    if (c->gone_how[at] == H2_GONE_RESET)
        return speak_behind_reset(c, id) ? 0 : refuse(c, REASON_h2_rapid_reset);
    return 0;
}

/* ---- every frame ---- */

int h2_on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    (void)session;
    struct h2_conn *c = user;
    if (hd->type == NGHTTP2_HEADERS)
        return guard_headers(c, hd->stream_id);
    if (hd->type == NGHTTP2_CONTINUATION && c->block_wanted)
        h2_guard_wanted(c, (uint32_t)hd->length);
    return 0;
}

static struct h2_verdict bad_control(struct h2_conn *c)
{
    return is_control_flood(c)
               ? (struct h2_verdict){REASON_h2_control_flood, NGHTTP2_ENHANCE_YOUR_CALM, 0}
               : (struct h2_verdict){0};
}

static int32_t stream_id_at(const uint8_t *p)
{
    return (int32_t)((uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
                     p[3]);
}

static struct h2_verdict look_at_data(struct h2_conn *c, int32_t id)
{
    bool end = (c->frame_head[4] & NGHTTP2_FLAG_END_STREAM) != 0;
    if (c->frame_left == 0 && !end && is_empty_flood(c))
        return (struct h2_verdict){REASON_h2_empty_frames, NGHTTP2_ENHANCE_YOUR_CALM, 0};
    int at = find_gone(c, id);
    if (at >= 0 && c->gone_how[at] == H2_GONE_COMPLETE)
        return (struct h2_verdict){REASON_h2_protocol_error, NGHTTP2_STREAM_CLOSED, 0};
    if (at >= 0 && c->gone_how[at] == H2_GONE_RESET && !speak_behind_reset(c, id))
        return (struct h2_verdict){REASON_h2_rapid_reset, NGHTTP2_ENHANCE_YOUR_CALM, 0};
    return (struct h2_verdict){0};
}

/* PRIORITY is obsolete, and since we say so nghttp2 does not look at it; its rules of old stand
 * (RFC 7540 5.3.1 and 6.3), and no client breaks them. */
static struct h2_verdict look_at_priority(struct h2_conn *c, int32_t id)
{
    bool whole = c->frame_have > FRAME_HEAD;
    if (id == 0 || (whole && stream_id_at(c->frame_head + FRAME_HEAD) == id))
        return (struct h2_verdict){REASON_h2_protocol_error, NGHTTP2_PROTOCOL_ERROR, 0};
    return bad_control(c);
}

/* Heads are looked at before nghttp2 has what came before them, so a client's reset is remembered
 * here and not when it has closed the stream, which may not even have begun. Those of clients are
 * counted by h2_guard_reset. */
static struct h2_verdict look_at_reset(struct h2_conn *c, int32_t id)
{
    if (!c->server)
        return bad_control(c);
    if ((id > c->last_id || h2_stream_of(c, id)) && find_gone(c, id) < 0)
        remember(c, id, H2_GONE_RESET);
    return (struct h2_verdict){0};
}

/* The head of a frame, which nghttp2 may drop without a word. */
static struct h2_verdict look_at_head(struct h2_conn *c)
{
    const uint8_t *h = c->frame_head;
    int32_t id = stream_id_at(h + 5);
    switch (h[3]) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION: c->unwanted += block_cost(c->frame_left); break;
    case NGHTTP2_DATA: return look_at_data(c, id);
    case NGHTTP2_PRIORITY: return look_at_priority(c, id);
    case NGHTTP2_RST_STREAM: return look_at_reset(c, id);
    default: return bad_control(c);
    }
    return (struct h2_verdict){0};
}

/* Bytes of a frame that are looked at: its head, of PRIORITY also the stream it depends on. */
static size_t looked_at(const struct h2_conn *c)
{
    const uint8_t *h = c->frame_head;
    bool priority =
        c->frame_have >= FRAME_HEAD && h[3] == NGHTTP2_PRIORITY && (h[0] | h[1]) == 0 && h[2] == 5;
    return priority ? sizeof(c->frame_head) : FRAME_HEAD;
}

struct h2_verdict h2_guard_input(struct h2_conn *c, struct span in)
{
    const uint8_t *begin = in.p, *frame = in.p;
    while (in.n > 0) {
        if (c->frame_left > 0) {
            size_t skip = MIN((size_t)c->frame_left, in.n);
            c->frame_left -= (uint32_t)skip;
            in.p += skip;
            in.n -= skip;
            frame = in.p;
            continue;
        }
        size_t take = MIN(looked_at(c) - c->frame_have, in.n);
        memcpy(c->frame_head + c->frame_have, in.p, take);
        c->frame_have = (uint8_t)(c->frame_have + take);
        in.p += take;
        in.n -= take;
        if (c->frame_have < looked_at(c))
            continue;
        const uint8_t *h = c->frame_head;
        c->frame_left =
            ((uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2]) - (c->frame_have - FRAME_HEAD);
        struct h2_verdict v = look_at_head(c);
        if (UNLIKELY(v.why != REASON_ok)) {
            v.why = c->server ? v.why : REASON_backend_h2_error;
            v.before = c->server ? 0 : (size_t)(frame - begin);
            return v;
        }
        c->frame_have = 0;
        frame = in.p;
    }
    return (struct h2_verdict){.before = (size_t)(in.p - begin)};
}

/* A stream whose peer takes nothing of it. */
static void look_at_stream(struct h2_stream *s, uint64_t now_ms, uint64_t stall_ms)
{
    struct h2_conn *c = s->conn;
    if (!s->blocked || s->closing || s->why || now_ms - s->moved_ms < stall_ms)
        return;
    s->why = (uint8_t)(c->server ? REASON_h2_stalled : REASON_backend_too_slow);
    (void)nghttp2_submit_rst_stream(c->session, 0, s->id, NGHTTP2_CANCEL);
    loop_defer(c->loop, &c->turn_end);
}

/* A reader that takes something now and then is slow, not gone: what is unsent shrinks. */
static bool send_stalled(struct h2_conn *c, uint64_t now_ms, uint64_t stall_ms)
{
    uint64_t unsent = stream_unsent(c->stream);
    if (unsent != c->unsent) {
        c->unsent = unsent;
        c->send_since_ms = now_ms;
    }
    return now_ms - c->send_since_ms >= stall_ms;
}

bool h2_conn_tick(struct h2_conn *c, uint64_t stall_ms, uint64_t block_ms)
{
    uint64_t now_ms = h2_now_ms(c);
    if (c->over || c->outlived)
        return !c->told;
    if (c->block_open && now_ms - c->block_since_ms >= block_ms)
        return h2_conn_give_up(c, c->server ? REASON_request_timeout : REASON_backend_too_slow,
                               NGHTTP2_ENHANCE_YOUR_CALM);
    if (c->sending)
        return !send_stalled(c, now_ms, stall_ms) ||
               h2_conn_give_up(c, c->server ? REASON_client_too_slow : REASON_backend_too_slow,
                               H2_NO_GOAWAY);
    struct h2_stream *s;
    list_each(s, &c->streams, link) {
        look_at_stream(s, now_ms, stall_ms);
        h2_held_pay(s);
    }
    return true;
}

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
 *   windows           a stream whose output waits for one is broken off after a while
 */
#include "base/limits.h"
#include "forward/h2_conn_priv.h"

static int refuse(struct h2_conn *c, enum reason why)
{
    h2_conn_end(c, c->server ? why : REASON_backend_h2_error, NGHTTP2_ENHANCE_YOUR_CALM);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int h2_guard_reset(struct h2_conn *c)
{
    if (!c->server)
        return 0; /* each is an answer to a request of ours, which is all it costs us */
    uint64_t now_ms = h2_now_ms(c);
    if (now_ms - c->resets_since_ms >= H2_RESETS_MS) {
        c->resets_since_ms = now_ms;
        c->resets = 0;
    }
    return ++c->resets > H2_RESETS_MAX ? refuse(c, REASON_h2_rapid_reset) : 0;
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

int h2_guard_empty(struct h2_conn *c)
{
    second(c);
    return ++c->empty > H2_EMPTY_PER_S ? refuse(c, REASON_h2_empty_frames) : 0;
}

static int guard_control(struct h2_conn *c)
{
    if (c->control_credit > 0) {
        c->control_credit--;
        return 0;
    }
    second(c);
    return ++c->control > H2_CONTROL_PER_S ? refuse(c, REASON_h2_control_flood) : 0;
}

int h2_on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    (void)session;
    struct h2_conn *c = user;
    switch (hd->type) {
    case NGHTTP2_DATA: break;
    case NGHTTP2_HEADERS:
        c->block_open = true;
        c->block_since_ms = h2_now_ms(c);
        return 0;
    case NGHTTP2_CONTINUATION: return 0;
    default: return guard_control(c);
    }
    c->block_open = false;
    return 0;
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
    if (c->over)
        return !c->told;
    if (c->block_open && now_ms - c->block_since_ms >= block_ms)
        return h2_conn_fail(c, c->server ? REASON_request_timeout : REASON_backend_too_slow,
                            NGHTTP2_ENHANCE_YOUR_CALM);
    if (c->sending)
        return !send_stalled(c, now_ms, stall_ms) ||
               h2_conn_fail(c, c->server ? REASON_client_too_slow : REASON_backend_too_slow,
                            H2_NO_GOAWAY);
    struct h2_stream *s;
    list_each(s, &c->streams, link)
        look_at_stream(s, now_ms, stall_ms);
    return true;
}

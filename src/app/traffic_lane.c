/* SPDX-License-Identifier: MIT */
#include "app/traffic_priv.h"

#include "base/check.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

/* How long the other end may be silent before it is asked in HTTP. */
#define NUDGE_MS 400

static struct lane *lane_of(struct stream *s)
{
    struct lane *l = s->user;
    CHECK_OBJ(l, LANE_MAGIC);
    return l;
}

static bool is_busy(const struct lane *l)
{
    return !list_linked(&l->idle);
}

static void disconnect(struct lane *l)
{
    feed_fini(&l->feed);
    stream_close(&l->stream, STREAM_CLOSE_NORMAL);
}

/* The request failed, or the connection ended between requests. */
static void give_up(struct lane *l, const char *failure)
{
    disconnect(l);
    if (is_busy(l))
        traffic_over(l, failure);
}

static void add_answer(struct lane *l, struct span piece)
{
    size_t n = MIN(piece.n, sizeof(l->answer) - l->answer_len);
    memcpy(l->answer + l->answer_len, piece.p, n);
    l->answer_len += n;
}

/* ---- HTTP ---- */

static void copy_field(const struct head *h, struct span name, char out[TRAFFIC_NAME_MAX])
{
    unsigned index = 0;
    const struct field *f = head_find_name(h, name, &index);
    out[0] = '\0';
    if (f)
        (void)snprintf(out, TRAFFIC_NAME_MAX, SPAN_FMT, SPAN_ARG(field_value(h, f)));
}

static void take_head(struct lane *l)
{
    l->status = l->head.status;
    l->keep_alive = l->head.keep_alive;
    copy_field(&l->head, span_str("x-backend"), l->name);
    copy_field(&l->head, span_str("x-poise-reason"), l->reason);
}

static enum feed_verdict take_end(struct lane *l)
{
    h1_reader_reset(&l->feed.reader);
    if (l->status < 200)
        return FEED_GO_ON;
    /* An answer to a request that is not all sent yet: nobody knows what the rest would mean. */
    bool open = l->keep_alive && l->head.framing != BODY_CLOSE && !l->sending;
    if (!open)
        disconnect(l);
    char failure[2 * TRAFFIC_NAME_MAX];
    bool refused = l->status >= 400;
    if (refused)
        (void)snprintf(failure, sizeof(failure), "HTTP %u%s%s", l->status, l->reason[0] ? " " : "",
                       l->reason);
    traffic_over(l, refused ? failure : NULL);
    return l->stream && open ? FEED_GO_ON : FEED_ENDED;
}

static int on_event(void *user, enum h1_event event, const struct h1_result *result)
{
    struct lane *l = user;
    CHECK_OBJ(l, LANE_MAGIC);
    if (!is_busy(l)) { /* an answer too many */
        disconnect(l);
        return FEED_ENDED;
    }
    switch (event) {
    case H1_HEAD: take_head(l); return FEED_GO_ON;
    case H1_BODY: add_answer(l, result->body); return FEED_GO_ON;
    case H1_END: return take_end(l);
    case H1_NEED_MORE: break;
    }
    CHECK_FAIL("a feed passes on no such event");
}

static void http_eof(struct lane *l)
{
    int event = is_busy(l) && l->begun ? h1_reader_eof(&l->feed.reader) : H1_NEED_MORE;
    if (event == H1_END) {
        l->keep_alive = false;
        (void)take_end(l);
    } else {
        give_up(l, "closed before an answer was complete");
    }
}

/* ---- raw ---- */

/* Whether the answer is a refusal in HTTP: then the same is asked again in that language. */
static bool turns_to_http(struct lane *l)
{
    static const char http[] = "HTTP/1.";
    if (!l->traffic->options.turn_http || l->answer_len < sizeof(http) - 1)
        return false;
    return memcmp(l->answer, http, sizeof(http) - 1) == 0;
}

static void restart_as_http(struct lane *l)
{
    struct traffic *t = l->traffic;
    disconnect(l);
    if (!t->http) {
        t->http = true;
        traffic_make_request(t);
    }
    lane_begin(l);
}

static void raw_eof(struct lane *l)
{
    disconnect(l);
    traffic_over(l, l->answer_len ? NULL : "closed without an answer");
}

/* ---- the stream ---- */

static void on_connected(struct stream *s)
{
    (void)lane_of(s);
}

static void on_sent(struct stream *s)
{
    lane_of(s)->sending = false;
}

static void on_data(struct stream *s, struct slice in)
{
    struct lane *l = lane_of(s);
    if (!is_busy(l)) {
        give_up(l, NULL); /* nobody asked: this connection is of no use any more */
        return;
    }
    l->begun = true;
    if (l->http) {
        int err = feed_data(&l->feed, in);
        if (err)
            give_up(l, reason_name((enum reason) - err));
        return;
    }
    add_answer(l, slice_span(in));
    if (turns_to_http(l))
        restart_as_http(l);
}

static void on_eof(struct stream *s)
{
    struct lane *l = lane_of(s);
    if (l->http)
        http_eof(l);
    else
        raw_eof(l);
}

static void on_failed(struct stream *s, enum reason why)
{
    struct lane *l = lane_of(s);
    give_up(l, why == REASON_backend_reset ? "connection reset" : reason_name(why));
}

static const struct stream_ops lane_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
};

/*
 * Who speaks HTTP waits for the end of a line that a plain message does not have. After a moment of
 * silence it gets one, and its refusal tells what it speaks. True when that was tried now.
 */
static bool nudge(struct lane *l)
{
    static const struct slice line_ends = {(const uint8_t *)"\r\n\r\n", 4, NULL};
    struct traffic *t = l->traffic;
    if (l->http || !t->options.turn_http || l->nudged || l->answer_len > 0 || !l->stream ||
        l->sending)
        return false;
    l->nudged = true;
    l->sending = stream_send(l->stream, &line_ends, 1) == SEND_PENDING;
    loop_timer_set(t->loop, &l->deadline, t->options.timeout_ms);
    return true;
}

static void on_deadline(struct timer *t)
{
    struct lane *l = container_of(t, struct lane, deadline);
    CHECK_OBJ(l, LANE_MAGIC);
    if (nudge(l))
        return;
    give_up(l, l->stream ? "no answer in time" : "no socket left");
}

static bool connect_lane(struct lane *l)
{
    struct traffic *t = l->traffic;
    l->stream = stream_connect(t->loop, &t->options.to, &lane_ops, l);
    if (!l->stream)
        return false;
    feed_init(&l->feed, t->loop, H1_RESPONSES, &l->head, on_event, l);
    stream_read(l->stream, true);
    return true;
}

void lane_begin(struct lane *l)
{
    struct traffic *t = l->traffic;
    l->http = t->http;
    l->begun = false;
    l->status = 0;
    l->name[0] = l->reason[0] = '\0';
    l->answer_len = 0;
    l->began_ns = clock_mono_ns();
    l->nudged = false;
    bool may_nudge = !l->http && t->options.turn_http && t->options.timeout_ms > NUDGE_MS;
    loop_timer_set(t->loop, &l->deadline, may_nudge ? NUDGE_MS : t->options.timeout_ms);
    if (!l->stream && !connect_lane(l)) {
        /* Told by the timer, not from here: who calls is in the middle of counting. */
        loop_timer_set(t->loop, &l->deadline, 1);
        return;
    }
    if (l->http)
        h1_reader_expect(&l->feed.reader, t->options.message ? METHOD_POST : METHOD_GET, false);
    struct slice request = {t->request, (uint32_t)t->request_len, NULL};
    l->sending = stream_send(l->stream, &request, 1) == SEND_PENDING;
}

void lane_open(struct lane *l, struct traffic *t)
{
    l->magic = LANE_MAGIC;
    l->traffic = t;
    timer_init(&l->deadline, on_deadline);
    list_init(&l->idle);
    head_init(&l->head, NULL, 0);
    feed_init(&l->feed, t->loop, H1_RESPONSES, &l->head, on_event, l);
}

void lane_close(struct lane *l)
{
    loop_timer_stop(l->traffic->loop, &l->deadline);
    disconnect(l);
    l->magic = 0;
}

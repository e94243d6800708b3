/* SPDX-License-Identifier: MIT */
/*
 * One connection: requests in, answers out, each within its limits of size and time.
 *
 *   READING ─ request whole ─▶ answered ─▶ SENDING ─▶ READING | QUEUED | LINGER
 *      └ call answers later ─▶ WAITING ─▶ SENDING ...      └ events ─▶ STREAM
 */
#include "admin/server_priv.h"
#include "base/check.h"

#include <stdlib.h>

#define IDLE_MS    30000 /* between requests */
#define REQUEST_MS 10000 /* from its first byte to its last */
#define SEND_MS    10000 /* without any progress */
#define LINGER_MS  1000

/* Bytes read away of who is being closed; a reader of events has nothing to say either. */
#define DROPPED_BYTES_MAX (1024 * 1024)

/* Requests of one connection before the others have their turn. */
#define TURN_REQUESTS_MAX 8

/* Others may take the place of who has not got further for so long. */
#define GIVE_WAY_MS 1000

static const struct h1_limits limits = {.line_bytes = ADMIN_HEAD_MAX,
                                        .head_bytes = ADMIN_HEAD_MAX,
                                        .fields = HTTP_FIELDS_MAX};

static struct conn *conn_of(struct stream *s)
{
    struct conn *c = s->user;
    CHECK_OBJ(c, CONN_MAGIC);
    return c;
}

/* ---- states ---- */

static void enter(struct conn *c, enum conn_state state, uint64_t timeout_ms)
{
    c->state = state;
    c->since_ms = c->server->site.now_ms;
    list_move_tail(&c->server->conns, &c->link);
    if (timeout_ms)
        loop_timer_set(c->server->loop, &c->timer, timeout_ms);
    else
        loop_timer_stop(c->server->loop, &c->timer);
}

bool conn_may_give_way(const struct conn *c)
{
    uint64_t quiet_ms = c->server->site.now_ms - c->since_ms;
    switch (c->state) {
    case CONN_READING: return !c->under_way || quiet_ms >= GIVE_WAY_MS;
    case CONN_SENDING: return quiet_ms >= GIVE_WAY_MS;
    case CONN_LINGER: return true;
    case CONN_QUEUED:
    case CONN_WAITING:
    case CONN_STREAM: return false;
    }
    return false;
}

static void set_pending(struct conn *c, size_t bytes)
{
    c->server->pending -= c->pending;
    c->pending = bytes;
    c->server->pending += bytes;
}

void conn_close(struct conn *c, enum stream_close_how how)
{
    struct admin_server *s = c->server;
    if (c->state == CONN_STREAM)
        events_leave(c);
    set_pending(c, 0);
    loop_timer_stop(s->loop, &c->timer);
    call_drop(&c->call);
    text_fini(&c->body);
    feed_fini(&c->feed);
    list_del(&c->queued);
    list_del(&c->link);
    s->conn_count--;
    s->address_count -= !c->over_socket;
    stream_close(&c->stream, how);
    c->magic = 0;
    free(c);
}

static void linger(struct conn *c)
{
    call_drop(&c->call);
    set_pending(c, 0);
    stream_shutdown(c->stream);
    stream_read(c->stream, true);
    enter(c, CONN_LINGER, LINGER_MS);
}

/* Ready for the next request; the clock starts when it begins. */
static void next_request(struct conn *c)
{
    call_drop(&c->call);
    set_pending(c, 0);
    text_cut(&c->body, 0);
    c->under_way = false;
    enter(c, CONN_READING, IDLE_MS);
}

/* ---- answers ---- */

static enum feed_verdict send_answer(struct conn *c, const struct slice *slices, size_t count)
{
    if (stream_send(c->stream, slices, count) == SEND_PENDING) {
        c->unsent = UINT64_MAX;
        stream_read(c->stream, false);
        enter(c, CONN_SENDING, SEND_MS);
        return FEED_PAUSE;
    }
    if (c->last) {
        linger(c);
        return FEED_ENDED;
    }
    return FEED_GO_ON;
}

/* After an answer: goes on at once, or when the others have had their turn. */
static enum feed_verdict after_answer(struct conn *c)
{
    bool affordable = server_spend(c->server, c, c->pending + c->call->work);
    next_request(c);
    if (affordable && ++c->served < TURN_REQUESTS_MAX)
        return FEED_GO_ON;
    stream_read(c->stream, false);
    server_queue(c->server, c);
    return FEED_PAUSE;
}

static enum feed_verdict join_events(struct conn *c)
{
    struct slice head = {c->head, (uint32_t)call_head(c->call, false, c->head), NULL};
    c->unsent = UINT64_MAX;
    bool pending = stream_send(c->stream, &head, 1) == SEND_PENDING;
    if (pending) { /* a socket that does not take a head at once is no reader of events */
        conn_close(c, STREAM_CLOSE_RESET);
        return FEED_ENDED;
    }
    stream_read(c->stream, true);
    enter(c, CONN_STREAM, 0);
    (void)events_join(c);
    return FEED_ENDED;
}

static void check_room(struct conn *c)
{
    struct call *call = c->call;
    bool stream = call->state == CALL_STREAM;
    if (stream && c->server->reader_count >= ADMIN_STREAMS_MAX)
        call_fail(call, 429, "too_many", NULL, "there are %d readers of events already",
                  ADMIN_STREAMS_MAX);
    else if (!stream && c->server->pending + call->out.n > ADMIN_PENDING_MAX)
        call_fail(call, 503, "unavailable", NULL, "too many answers wait to be read");
}

static enum feed_verdict answer(struct conn *c)
{
    check_room(c);
    struct call *call = c->call;
    if (call->state == CALL_STREAM && !call->head_only)
        return join_events(c);
    c->last = c->last || !call->keep_alive;
    size_t head_len = call_head(call, !c->last, c->head);
    struct slice slices[2] = {{c->head, (uint32_t)head_len, NULL},
                              {call->out.p, (uint32_t)call->out.n, NULL}};
    set_pending(c, call->out.n);
    if (c->last) {
        stream_last(c->stream);
        (void)server_spend(c->server, c,
                           c->pending + call->work); /* the next one to connect waits for it */
    }
    bool body = call->out.n > 0 && !call->head_only && call->status != 304;
    enum feed_verdict verdict = send_answer(c, slices, body ? 2 : 1);
    return verdict == FEED_GO_ON ? after_answer(c) : verdict;
}

/* An answer that came later. */
static void on_answered(void *owner, struct call *call)
{
    struct conn *c = owner;
    CHECK_OBJ(c, CONN_MAGIC);
    CHECK(c->call == call);
    CHECK(c->state == CONN_WAITING);
    server_look_at_clock(c->server);
    if (answer(c) == FEED_GO_ON)
        conn_resume(c);
}

/* What could not be understood ends the connection: where the next request begins is unknown. */
static void refuse(struct conn *c, enum reason why)
{
    int status = reason_status(why);
    call_drop(&c->call);
    c->call = call_new(&c->server->site, c->over_socket);
    if (!c->call || status == 0) {
        conn_close(c, STREAM_CLOSE_RESET);
        return;
    }
    c->last = true;
    call_fail(c->call, (uint16_t)status, "bad_request", NULL, "%s", reason_sentence(why));
    (void)answer(c);
}

/* ---- requests ---- */

static enum feed_verdict too_large(struct conn *c)
{
    c->last = true;
    call_fail(c->call, 413, "too_large", NULL, "a body may have at most %d bytes", ADMIN_BODY_MAX);
    return answer(c);
}

/* True: the client may send its body. */
static bool say_continue(struct conn *c)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct slice all = {(const uint8_t *)interim, sizeof(interim) - 1, NULL};
    return stream_send(c->stream, &all, 1) == SEND_DONE;
}

static enum feed_verdict take_head(struct conn *c)
{
    const struct head *h = &c->server->head;
    call_drop(&c->call);
    c->call = call_new(&c->server->site, c->over_socket);
    if (!c->call) {
        conn_close(c, STREAM_CLOSE_RESET);
        return FEED_ENDED;
    }
    c->call->owner = c;
    c->call->answered = on_answered;
    call_begin(c->call, h);
    bool body_due = h->framing == BODY_CHUNKED || (h->framing == BODY_LENGTH && h->body_length > 0);
    if (h->framing == BODY_LENGTH && h->body_length > ADMIN_BODY_MAX)
        return too_large(c);
    if (c->call->state == CALL_ANSWERED && body_due) { /* refused: its body is not waited for */
        c->last = true;
        return answer(c);
    }
    if (!h->expect_continue || say_continue(c))
        return FEED_GO_ON;
    conn_close(c, STREAM_CLOSE_RESET);
    return FEED_ENDED;
}

static enum feed_verdict take_body(struct conn *c, struct span piece)
{
    text_span_add(&c->body, piece);
    return text_ok(&c->body) ? FEED_GO_ON : too_large(c);
}

static enum feed_verdict take_end(struct conn *c)
{
    h1_reader_reset(&c->feed.reader);
    c->call->body = text_span(&c->body);
    if (c->call->state == CALL_ADMITTED)
        call_run(c->call);
    if (c->call->state != CALL_LATER)
        return answer(c);
    stream_read(c->stream, false);
    enter(c, CONN_WAITING, 0);
    return FEED_PAUSE;
}

static int on_event(void *user, enum h1_event event, const struct h1_result *result)
{
    struct conn *c = user;
    CHECK_OBJ(c, CONN_MAGIC);
    switch (event) {
    case H1_HEAD: return take_head(c);
    case H1_BODY: return take_body(c, result->body);
    case H1_END: return take_end(c);
    case H1_NEED_MORE: break;
    }
    CHECK_FAIL("a feed passes on no such event");
}

/* The first bytes of a request: it has so long to be whole. */
static void note_begin(struct conn *c)
{
    if (c->state != CONN_READING || c->under_way)
        return;
    c->under_way = true;
    enter(c, CONN_READING, REQUEST_MS);
}

/* ---- the stream ---- */

static void drop(struct conn *c, size_t n)
{
    c->dropped += n;
    if (c->dropped > DROPPED_BYTES_MAX)
        conn_close(c, STREAM_CLOSE_RESET);
}

static void on_data(struct stream *stream, struct slice in)
{
    struct conn *c = conn_of(stream);
    if (c->state == CONN_LINGER || c->state == CONN_STREAM) {
        drop(c, in.n);
        return;
    }
    CHECK(c->state == CONN_READING);
    server_look_at_clock(c->server);
    note_begin(c);
    c->served = 0;
    int err = feed_data(&c->feed, in);
    if (err)
        refuse(c, (enum reason) - err);
}

static void on_eof(struct stream *stream)
{
    conn_close(conn_of(stream), STREAM_CLOSE_NORMAL);
}

static void on_sent(struct stream *stream)
{
    struct conn *c = conn_of(stream);
    server_look_at_clock(c->server);
    if (c->state == CONN_STREAM) {
        events_sent(c);
    } else if (c->state == CONN_SENDING && c->last) {
        linger(c);
    } else if (c->state == CONN_SENDING) {
        c->served = 0;
        if (after_answer(c) == FEED_GO_ON)
            conn_resume(c);
    }
}

static void on_failed(struct stream *stream, enum reason why)
{
    (void)why;
    conn_close(conn_of(stream), STREAM_CLOSE_NORMAL);
}

static void on_connected(struct stream *stream)
{
    (void)conn_of(stream);
}

static const struct stream_ops conn_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
};

void conn_resume(struct conn *c)
{
    if (c->state == CONN_QUEUED)
        enter(c, CONN_READING, IDLE_MS);
    CHECK(c->state == CONN_READING);
    stream_read(c->stream, true);
    if (c->feed.kept.n == 0)
        return;
    note_begin(c);
    int err = feed_resume(&c->feed);
    if (err)
        refuse(c, (enum reason) - err);
}

/* Who takes some of its answer is slow, not stuck. */
static void check_progress(struct conn *c)
{
    uint64_t unsent = stream_unsent(c->stream);
    if (unsent >= c->unsent) {
        conn_close(c, STREAM_CLOSE_RESET);
        return;
    }
    c->unsent = unsent;
    loop_timer_set(c->server->loop, &c->timer, SEND_MS);
}

static void on_timer(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);
    CHECK_OBJ(c, CONN_MAGIC);
    server_look_at_clock(c->server);
    if (c->state == CONN_READING && c->under_way)
        refuse(c, REASON_request_timeout);
    else if (c->state == CONN_SENDING)
        check_progress(c);
    else
        conn_close(c, STREAM_CLOSE_NORMAL);
}

struct conn *conn_new(struct admin_server *s, struct stream *stream, bool over_socket)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->magic = CONN_MAGIC;
    c->server = s;
    c->stream = stream;
    c->over_socket = over_socket;
    timer_init(&c->timer, on_timer);
    list_init(&c->link);
    list_init(&c->queued);
    list_init(&c->reader);
    list_add_tail(&s->conns, &c->link);
    s->conn_count++;
    s->address_count += !over_socket;
    feed_init(&c->feed, s->loop, H1_REQUESTS, &s->head, on_event, c);
    h1_reader_init(&c->feed.reader, H1_REQUESTS, &limits);
    text_init(&c->body, ADMIN_BODY_MAX);
    stream_set_ops(stream, &conn_ops, c);
    stream_read(stream, true);
    enter(c, CONN_READING, IDLE_MS);
    return c;
}

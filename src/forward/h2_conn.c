/* SPDX-License-Identifier: MIT */
/*
 * The life of an HTTP/2 connection, and what comes in.
 *
 * nghttp2 must not be entered from its own callbacks, and a stream must not vanish while it works
 * on it. So what its callbacks say is passed on at once only where that cannot lead back into it:
 * while it receives nothing is packed (h2_pack sees to it), and the end of a stream, credit and
 * room for output are noted (h2_stream_work) and told when it has returned.
 *
 * Who owns whom: the owner has the connection and the streams; nghttp2 has its own idea of both,
 * joined by the stream's user data until h2_on_stream_close.
 */
#include "forward/h2_conn.h"

#include "base/check.h"
#include "base/limits.h"
#include "forward/h2_conn_priv.h"

#include <string.h>

#define FRAME_HEAD_BYTES 9

/* Rounds of events in one turn; what is left then waits for the next. */
#define ROUNDS_MAX 8

/* ---- reasons ---- */

enum reason h2_why_of_code(const struct h2_conn *c, uint32_t code)
{
    if (!c->server)
        return REASON_backend_h2_error;
    switch (code) {
    case NGHTTP2_FLOW_CONTROL_ERROR: return REASON_h2_flow_control;
    case NGHTTP2_COMPRESSION_ERROR: return REASON_h2_compression;
    case NGHTTP2_ENHANCE_YOUR_CALM: return REASON_h2_control_flood;
    default: return REASON_h2_protocol_error;
    }
}

/* What nghttp2 gave up for. */
static enum reason why_of_error(const struct h2_conn *c, ssize_t error)
{
    switch (error) {
    case NGHTTP2_ERR_NOMEM: return REASON_overload;
    case NGHTTP2_ERR_FLOODED: return c->server ? REASON_h2_control_flood : REASON_backend_h2_error;
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
        return c->server ? REASON_h2_continuation_flood : REASON_backend_h2_error;
    default: return c->server ? REASON_h2_protocol_error : REASON_backend_h2_error;
    }
}

static uint32_t code_of_error(ssize_t error)
{
    switch (error) {
    case NGHTTP2_ERR_NOMEM: return NGHTTP2_INTERNAL_ERROR;
    case NGHTTP2_ERR_FLOODED:
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS: return NGHTTP2_ENHANCE_YOUR_CALM;
    default: return NGHTTP2_PROTOCOL_ERROR;
    }
}

/* Why a stream was closed. */
static enum reason why_closed(const struct h2_conn *c, const struct h2_stream *s)
{
    if (s->why)
        return (enum reason)s->why;
    if (s->input_ended && s->end_out)
        return REASON_ok;
    if (s->close_code == NGHTTP2_REFUSED_STREAM && !c->server)
        return REASON_stream_refused;
    if (s->peer_reset)
        return c->server ? REASON_client_cancelled : REASON_backend_stream_reset;
    return h2_why_of_code(c, s->close_code);
}

/* ---- streams ---- */

struct h2_stream *h2_stream_of(struct h2_conn *c, int32_t id)
{
    return nghttp2_session_get_stream_user_data(c->session, id);
}

void h2_stream_work(struct h2_stream *s)
{
    if (!list_linked(&s->work))
        list_add_tail(&s->conn->work, &s->work);
    loop_defer(s->conn->loop, &s->conn->turn_end);
}

static void stream_begin(struct h2_conn *c, struct h2_stream *s, int32_t id)
{
    s->conn = c;
    s->id = id;
    s->reading = true;
    list_init(&s->link);
    list_init(&s->work);
    list_add_tail(&c->streams, &s->link);
    c->stream_count++;
}

/* ---- input ---- */

static void give_body(struct h2_stream *s, struct slice piece)
{
    s->input_due = true;
    s->conn->ops->body(s, piece);
}

/* That was all for now. */
static void tell_input(struct h2_stream *s)
{
    if (s->left || !s->input_due)
        return;
    s->input_due = false;
    s->conn->ops->input(s);
}

/* What waited goes to the owner while it reads. */
static void give_held(struct h2_stream *s)
{
    while (s->held && s->reading && !s->left) {
        struct slice part = h2_held_next(s);
        give_body(s, part);
        tell_input(s); /* who was given it may need it until it has been flushed */
        slice_put(&part);
    }
    if (s->input_ended && !s->end_told && !s->held && s->reading && !s->left) {
        s->end_told = s->input_due = true;
        s->conn->ops->end(s);
    }
}

/* ---- events when nghttp2 has returned ---- */

static void tell_closed(struct h2_stream *s, enum reason why)
{
    struct h2_conn *c = s->conn;
    CHECK(!s->closed);
    list_del(&s->link);
    list_del(&s->work);
    c->stream_count--;
    h2_held_drop(s);
    h2_stream_drop_output(s);
    s->closed = true;
    s->id = 0;
    c->ops->closed(s, why, s->close_code);
}

/* A response that has come whole is handed on before the end of its stream is told. */
static bool close_is_due(const struct h2_stream *s)
{
    return s->closing && (s->left || s->end_told || !s->input_ended || s->conn->server);
}

static void work_one(struct h2_stream *s)
{
    struct h2_conn *c = s->conn;
    if (!s->left)
        give_held(s);
    tell_input(s);
    if (!s->left && s->blocked && !h2_stream_has_output(s)) {
        s->blocked = false;
        c->ops->writable(s);
    }
    if (close_is_due(s))
        tell_closed(s, why_closed(c, s));
}

/* One round: those who get more to do meanwhile have their turn in the next. */
static void run_work(struct h2_conn *c)
{
    struct list round;
    list_init(&round);
    list_splice_tail(&round, &c->work);
    c->working = true;
    struct list *at;
    while (!c->over && (at = list_first(&round)) != NULL) {
        list_del(at);
        work_one(container_of(at, struct h2_stream, work));
    }
    list_splice_tail(&c->work, &round);
    c->working = false;
}

/* ---- the end ---- */

/* A response that has come whole and waits for its owner to read, or to hand it on. */
static bool is_unread(const struct h2_stream *s)
{
    return !s->left && s->input_ended && (!s->end_told || s->input_due);
}

/* There is no more to come, and what the peer had not said to the end is closed with `why`. False
 * when there is nothing else. */
static bool outlive(struct h2_conn *c, enum reason why)
{
    struct h2_stream *s;
    bool unread = false;
    list_each(s, &c->streams, link)
        unread |= is_unread(s);
    if (c->server || !unread)
        return false;
    c->outlived = true;
    list_each(s, &c->streams, link) {
        if (!s->closing && !is_unread(s) && !s->why)
            s->why = (uint8_t)why;
        s->closing = true;
        s->id = 0;
        h2_stream_work(s);
    }
    return true;
}

void h2_conn_end(struct h2_conn *c, enum reason why, uint32_t code)
{
    if (c->over)
        return;
    c->over = true;
    c->why = (uint8_t)why;
    c->end_code = code;
    loop_defer(c->loop, &c->turn_end);
}

/* GOAWAY as bytes of ours: nghttp2 may be past speaking. */
static void add_goaway(struct h2_conn *c)
{
    uint8_t frame[FRAME_HEAD_BYTES + 8] = {0, 0, 8, NGHTTP2_GOAWAY};
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(c->session);
    for (unsigned i = 0; i < 4; i++) {
        frame[9 + i] = (uint8_t)(last >> (24 - 8 * i));
        frame[13 + i] = (uint8_t)(c->end_code >> (24 - 8 * i));
    }
    if (h2_output_add(c, frame, sizeof(frame)))
        c->polite = true;
}

/* The last word, if nothing is half sent. */
static void say_goaway(struct h2_conn *c)
{
    if (c->end_code == H2_NO_GOAWAY || c->sending)
        return;
    add_goaway(c);
    h2_send(c);
}

/* An end that leaves something to hand on is told when that has been. */
static bool end_later(struct h2_conn *c)
{
    if (c->by_owner || c->outlived || !outlive(c, (enum reason)c->why))
        return false;
    say_goaway(c);
    h2_output_drop(c);
    stream_read(c->stream, false);
    c->session_why = c->why;
    c->why = REASON_ok;
    c->over = false;
    return true;
}

/* Every stream hears of it, then the owner of the connection. */
static void conclude(struct h2_conn *c)
{
    CHECK(c->over && !c->told && !c->receiving && !c->packing && !c->working);
    struct list *at;
    c->working = true;
    while ((at = list_first(&c->streams)) != NULL) {
        struct h2_stream *s = container_of(at, struct h2_stream, link);
        tell_closed(s, c->why ? (enum reason)c->why : why_closed(c, s));
    }
    c->working = false;
    if (!c->outlived)
        say_goaway(c);
    loop_defer_cancel(c->loop, &c->turn_end);
    c->told = true;
    c->ops->failed(c, (enum reason)c->why);
}

/* After anything that may have ended it. */
static bool settle(struct h2_conn *c)
{
    if (!c->over || c->told)
        return !c->told;
    if (c->receiving || c->packing || c->working)
        return true; /* whoever is at it concludes */
    if (end_later(c))
        return true;
    conclude(c);
    return false;
}

/* Whether nghttp2 has come to an end by itself, and that has been said. */
static void look_at_session(struct h2_conn *c)
{
    if (c->over || (!c->outlived && (c->sending || c->output)))
        return;
    if (c->outlived
            ? c->stream_count > 0
            : nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session) ||
                  outlive(c, (enum reason)c->session_why))
        return;
    c->polite = true;
    h2_conn_end(c, (enum reason)c->session_why, H2_NO_GOAWAY);
}

static void turn_end(struct deferred *d)
{
    struct h2_conn *c = container_of(d, struct h2_conn, turn_end);
    for (unsigned i = 0; i < ROUNDS_MAX && !c->over; i++) {
        run_work(c);
        h2_pack(c);
        if (list_empty(&c->work))
            break;
    }
    if (!c->over)
        h2_send(c);
    if (c->goaway_due && !c->over) {
        c->goaway_due = false;
        c->working = true; /* it may end the connection */
        c->ops->goaway(c, c->goaway_code);
        c->working = false;
    }
    look_at_session(c);
    if (!list_empty(&c->work))
        loop_defer(c->loop, d);
    settle(c);
}

/* ---- nghttp2's callbacks: what came ---- */

/* An end that one of the callbacks finds. */
static int end_inside(struct h2_conn *c, enum reason why, uint32_t code)
{
    h2_conn_end(c, why, code);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static struct h2_stream *begin_request(struct h2_conn *c, int32_t id)
{
    struct h2_stream *s = c->draining && c->last_goaway ? NULL : c->ops->begin(c);
    if (s) {
        stream_begin(c, s, id);
        (void)nghttp2_session_set_stream_user_data(c->session, id, s);
    } else {
        (void)nghttp2_submit_rst_stream(c->session, 0, id, NGHTTP2_REFUSED_STREAM);
    }
    return s;
}

int h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2_conn *c = user;
    bool request = frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    struct h2_stream *s = c->server && request ? begin_request(c, frame->hd.stream_id)
                                               : h2_stream_of(c, frame->hd.stream_id);
    c->block_open = true;
    c->block_of = s;
    c->block_since_ms = h2_now_ms(c);
    c->block_wanted = s && !s->left;
    if (c->block_wanted) {
        h2_guard_wanted(c, (uint32_t)frame->hd.length);
        s->interim = false;
        c->ops->block_begin(s, s->head_seen ? H2_BLOCK_TRAILER : H2_BLOCK_HEAD);
    }
    return c->over ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* Fields come one after the other, and then the frame that they are of: its stream is looked up
 * once.
 */
static struct h2_stream *stream_of_block(struct h2_conn *c, int32_t id)
{
    struct h2_stream *s = c->block_of;
    return LIKELY(s && s->id == id) ? s : h2_stream_of(c, id);
}

/* Also for fields that nghttp2 would drop for their characters: who reads them must know. */
int h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                 size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    (void)session;
    (void)flags;
    struct h2_conn *c = user;
    struct h2_stream *s = stream_of_block(c, frame->hd.stream_id);
    if (!s || s->left)
        return 0;
    struct span n = span_of(name, name_len);
    struct span v = span_of(value, value_len);
    if (!c->server && v.n == 3 && v.p[0] == '1' && span_eq(n, span_str(":status")))
        s->interim = true;
    int r = c->ops->field(s, n, v);
    return r < 0 ? end_inside(c, (enum reason) - r, NGHTTP2_ENHANCE_YOUR_CALM) : 0;
}

static void input_ended(struct h2_stream *s)
{
    s->input_ended = true;
    if (s->left)
        return;
    s->input_due = true;
    if (!s->held && s->reading) {
        s->end_told = true;
        s->conn->ops->end(s);
    }
    h2_stream_work(s);
}

static void on_headers(struct h2_conn *c, struct h2_stream *s, const nghttp2_frame *frame)
{
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    c->block_open = false;
    c->block_of = NULL;
    if (!s)
        return;
    enum h2_block block = s->head_seen ? H2_BLOCK_TRAILER : H2_BLOCK_HEAD;
    s->head_seen = s->head_seen || !s->interim;
    if (!s->left) {
        s->input_due = true;
        h2_stream_work(s);
        c->ops->block(s, block, end);
    }
    if (end)
        input_ended(s);
}

static int on_data_frame(struct h2_conn *c, struct h2_stream *s, const nghttp2_frame *frame)
{
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (end && s)
        input_ended(s);
    if (!end && frame->hd.length > 0 && frame->hd.length == frame->data.padlen)
        return h2_guard_padding(c);
    return 0;
}

/* The client has seen that no request beyond this point will be taken. */
static void send_last_goaway(struct h2_conn *c)
{
    if (c->last_goaway)
        return;
    c->last_goaway = true;
    (void)nghttp2_submit_goaway(c->session, 0, nghttp2_session_get_last_proc_stream_id(c->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
    loop_defer(c->loop, &c->turn_end);
}

int h2_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2_conn *c = user;
    struct h2_stream *s = frame->hd.stream_id ? stream_of_block(c, frame->hd.stream_id) : NULL;
    int r = 0;
    c->spoke = true;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS: on_headers(c, s, frame); break;
    case NGHTTP2_DATA: r = on_data_frame(c, s, frame); break;
    case NGHTTP2_RST_STREAM:
        if (s)
            s->peer_reset = true;
        r = h2_guard_reset(c);
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) && c->draining)
            send_last_goaway(c);
        break;
    case NGHTTP2_SETTINGS:
        c->settings_due |= !(frame->hd.flags & NGHTTP2_FLAG_ACK) && c->ops->settings;
        break;
    case NGHTTP2_GOAWAY:
        c->goaway_due = true;
        c->goaway_code = frame->goaway.error_code;
        break;
    default: break;
    }
    return c->over ? NGHTTP2_ERR_CALLBACK_FAILURE : r;
}

/* One more than the limit that the client has confirmed: nghttp2 ends the connection for that. */
static bool is_beyond_limit(const struct h2_conn *c, const nghttp2_frame *frame, int error)
{
    return c->server && error == NGHTTP2_ERR_PROTO && (frame->hd.stream_id & 1) &&
           frame->hd.stream_id > nghttp2_session_get_last_proc_stream_id(c->session) &&
           c->stream_count >= nghttp2_session_get_local_settings(
                                  c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

int h2_on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
    (void)session;
    struct h2_conn *c = user;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        c->block_open = false;
        c->block_of = NULL;
        if (is_beyond_limit(c, frame, error))
            return end_inside(c, REASON_h2_too_many_streams, NGHTTP2_PROTOCOL_ERROR);
        if (c->server && error == NGHTTP2_ERR_REFUSED_STREAM)
            h2_guard_refused(c, frame->hd.stream_id);
    }
    return 0;
}

/* What we cannot do for one stream is no reason to end the others. */
static void break_off(struct h2_stream *s, enum reason why)
{
    h2_held_drop(s);
    h2_stream_reset(s, s->conn->server ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL);
    s->why = (uint8_t)why;
}

int h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
               void *user)
{
    (void)flags;
    struct h2_conn *c = user;
    struct h2_stream *s = h2_stream_of(c, id);
    if (!s || s->left || s->why) {
        (void)nghttp2_session_consume_connection(session, n);
    } else if (s->reading && !s->held) {
        give_body(s, (struct slice){data, (uint32_t)n, c->input.buf});
        h2_consume(s, (uint32_t)n);
        h2_stream_work(s);
    } else if (!h2_hold(s, data, (uint32_t)n)) {
        break_off(s, REASON_overload);
    }
    return c->over ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

int h2_on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session;
    struct h2_conn *c = user;
    struct h2_stream *s = h2_stream_of(c, id);
    h2_guard_gone(c, id, s && s->input_ended && s->end_out);
    if (!s)
        return 0;
    if (c->block_of == s)
        c->block_of = NULL;
    s->id = 0;
    s->closing = true;
    s->close_code = code;
    h2_stream_work(s);
    return 0;
}

/* ---- calls ---- */

static int submit_preface(struct h2_conn *c, const struct h2_conn_options *o)
{
    nghttp2_settings_entry server[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->streams_max},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEAD_MAX},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    nghttp2_settings_entry client[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEAD_MAX},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    int r = c->server ? nghttp2_submit_settings(c->session, 0, server, ARRAY_LEN(server))
                      : nghttp2_submit_settings(c->session, 0, client, ARRAY_LEN(client));
    /* Requests of ours belong to clients that have nothing to do with each other: what waits for
     * the slow ones must not stop the others. A client of ours only stops itself. */
    uint32_t all = c->server ? 0 : o->streams_max * H2_STREAM_WINDOW;
    uint32_t window = MAX(all, H2_CONNECTION_WINDOW);
    return r ? r : nghttp2_session_set_local_window_size(c->session, 0, 0, (int32_t)window);
}

int h2_conn_init(struct h2_conn *c, struct h2_library *library, struct loop *loop,
                 struct stream *stream, const struct h2_conn_ops *ops,
                 const struct h2_conn_options *options)
{
    *c = (struct h2_conn){
        .ops = ops, .library = library, .loop = loop, .stream = stream, .server = options->server};
    c->turn_end.fn = turn_end;
    list_init(&c->streams);
    list_init(&c->work);
    int r = options->server ? nghttp2_session_server_new3(&c->session, library->callbacks, c,
                                                          library->option, &library->mem)
                            : nghttp2_session_client_new3(&c->session, library->callbacks, c,
                                                          library->option, &library->mem);
    c->frame_left = options->server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
    if (r == 0 && submit_preface(c, options) == 0) {
        loop_defer(loop, &c->turn_end);
        return 0;
    }
    h2_conn_fini(c);
    return -(int)REASON_overload;
}

void h2_conn_fini(struct h2_conn *c)
{
    CHECK(!c->receiving && !c->packing);
    struct list *at;
    while ((at = list_first(&c->streams)) != NULL) {
        struct h2_stream *s = container_of(at, struct h2_stream, link);
        CHECK(s->left);
        tell_closed(s, REASON_ok);
    }
    loop_defer_cancel(c->loop, &c->turn_end);
    h2_output_drop(c);
    nghttp2_session_del(c->session);
    c->session = NULL;
}

static void tell_settings(struct h2_conn *c)
{
    if (!c->settings_due)
        return;
    c->settings_due = false;
    c->working = true;
    c->ops->settings(c);
    c->working = false;
}

bool h2_conn_input(struct h2_conn *c, struct slice in)
{
    CHECK(!c->receiving && !c->packing && !c->working);
    if (c->over)
        return settle(c);
    if (c->outlived)
        return true;
    struct h2_verdict v = h2_guard_input(c, slice_span(in));
    c->input = in;
    c->receiving = true;
    ssize_t n = v.before > 0 ? nghttp2_session_mem_recv(c->session, in.p, v.before) : 0;
    c->receiving = false;
    c->input = (struct slice){0};
    h2_guard_late(c);
    if (n < 0) {
        h2_conn_end(c, why_of_error(c, n), code_of_error(n));
    } else if (v.why != REASON_ok) {
        h2_conn_end(c, v.why, v.code);
    } else {
        h2_guard_blocks(c);
        if (!c->over)
            tell_settings(c);
    }
    if (!c->over)
        run_work(c);
    loop_defer(c->loop, &c->turn_end);
    return settle(c);
}

bool h2_conn_sent(struct h2_conn *c)
{
    c->sending = false;
    if (!c->told)
        loop_defer(c->loop, &c->turn_end);
    return settle(c);
}

bool h2_conn_give_up(struct h2_conn *c, enum reason why, uint32_t code)
{
    h2_conn_end(c, why, code);
    return settle(c);
}

void h2_conn_eof(struct h2_conn *c, enum reason why)
{
    if (!c->over && !c->outlived && outlive(c, why))
        h2_output_drop(c);
    if (c->outlived && !c->over)
        return;
    h2_conn_end(c, c->stream_count ? why : REASON_ok, H2_NO_GOAWAY);
    settle(c);
}

bool h2_conn_fail(struct h2_conn *c, enum reason why, uint32_t code)
{
    c->by_owner = true;
    h2_conn_end(c, why, code);
    return settle(c);
}

void h2_conn_drain(struct h2_conn *c)
{
    if (c->draining || c->over)
        return;
    c->draining = true;
    (void)nghttp2_submit_shutdown_notice(c->session);
    (void)nghttp2_submit_ping(c->session, 0, NULL);
    loop_defer(c->loop, &c->turn_end);
}

void h2_conn_drain_now(struct h2_conn *c)
{
    if (c->over)
        return;
    c->draining = true;
    send_last_goaway(c);
}

uint32_t h2_conn_streams_max(const struct h2_conn *c)
{
    uint32_t max =
        nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return MIN(max, (uint32_t)H2_STREAMS_MAX);
}

uint32_t h2_conn_room(const struct h2_conn *c)
{
    if (c->over || c->outlived || !nghttp2_session_check_request_allowed(c->session))
        return 0;
    uint32_t max = h2_conn_streams_max(c);
    return max > c->stream_count ? max - c->stream_count : 0;
}

bool h2_conn_takes_websocket(const struct h2_conn *c)
{
    return nghttp2_session_get_remote_settings(c->session,
                                               NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

int h2_stream_open(struct h2_conn *c, struct h2_stream *s, const nghttp2_nv *nv, size_t count,
                   bool end)
{
    if (h2_conn_room(c) == 0)
        return -(int)REASON_stream_refused;
    int32_t id = nghttp2_submit_headers(c->session, end ? NGHTTP2_FLAG_END_STREAM : 0, -1, NULL, nv,
                                        count, s);
    if (id < 0)
        return -(int)REASON_overload;
    stream_begin(c, s, id);
    s->output_ended = s->data_begun = end; /* there is no DATA to ask for */
    h2_pack_head(s);
    return 0;
}

void h2_stream_read(struct h2_stream *s, bool on)
{
    s->reading = on;
    if (on && !s->closed && (s->held || (s->input_ended && !s->end_told)))
        h2_stream_work(s);
}

void h2_stream_recall(struct h2_stream *s)
{
    s->input_due = true;
    if (!s->closed)
        h2_stream_work(s);
}

void h2_stream_reset(struct h2_stream *s, uint32_t code)
{
    if (s->closed || s->closing || s->conn->over || s->reset_given)
        return;
    s->reset_given = true;
    h2_stream_drop_output(s);
    (void)nghttp2_submit_rst_stream(s->conn->session, 0, s->id, code);
    loop_defer(s->conn->loop, &s->conn->turn_end);
}

void h2_stream_leave(struct h2_stream *s)
{
    CHECK(!s->left);
    s->left = true;
    if (s->closed)
        return;
    h2_held_drop(s);
    if (s->closing) {
        h2_stream_work(s);
    } else if (!s->output_ended) {
        h2_stream_reset(s, NGHTTP2_CANCEL);
    } else if (!s->input_ended) {
        s->reset_due = !s->end_out;
        if (s->end_out)
            h2_stream_reset(s, NGHTTP2_NO_ERROR);
    }
}

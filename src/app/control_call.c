/* SPDX-License-Identifier: MIT */
/* One request on one connection, and what comes back until it is whole or the caller has enough. */
#include "admin/feed.h"
#include "app/control_priv.h"
#include "base/check.h"
#include "codec/h1_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The answer about 100,000 backends has some 60 MB. */
#define ANSWER_MAX  ((size_t)256 << 20)
#define ANSWER_MS   30000
#define REQUEST_MAX 131072

struct call {
#define CALL_MAGIC 0xca11c0d1u
    uint32_t magic;
    struct control *control;
    struct stream *stream;
    struct feed feed;
    struct head head;
    struct timer limit;
    control_piece_fn *piece; /* NULL: everything is kept */
    void *user;
    size_t room;
    struct control_answer *answer;
    char request[REQUEST_MAX];
};

static void over(struct call *c, const char *why)
{
    if (why) {
        c->answer->status = 0;
        (void)snprintf(c->answer->why, sizeof(c->answer->why), "%s", why);
    }
    feed_fini(&c->feed);
    stream_close(&c->stream, STREAM_CLOSE_NORMAL);
    loop_timer_stop(c->control->loop, &c->limit);
    loop_stop(c->control->loop);
}

static bool keep_piece(struct call *c, struct span piece)
{
    struct control_answer *a = c->answer;
    if (a->len + piece.n + 1 > c->room) {
        size_t room = MAX(2 * c->room, a->len + piece.n + 1);
        char *body = room <= ANSWER_MAX ? realloc(a->body, room) : NULL;
        if (!body)
            return false;
        a->body = body;
        c->room = room;
    }
    memcpy(a->body + a->len, piece.p, piece.n);
    a->len += piece.n;
    a->body[a->len] = '\0';
    return true;
}

static int take_piece(struct call *c, struct span piece)
{
    bool hand_on = c->piece && c->answer->status == 200;
    if (hand_on ? c->piece(c->user, piece) : keep_piece(c, piece))
        return FEED_GO_ON;
    over(c, hand_on ? NULL : "its answer is longer than this program takes");
    return FEED_ENDED;
}

static int on_event(void *user, enum h1_event event, const struct h1_result *result)
{
    struct call *c = user;
    CHECK_OBJ(c, CALL_MAGIC);
    switch (event) {
    case H1_HEAD:
        c->answer->status = c->head.status;
        if (c->piece && c->answer->status == 200)
            loop_timer_stop(c->control->loop, &c->limit); /* it need not end */
        return FEED_GO_ON;
    case H1_BODY: return take_piece(c, result->body);
    case H1_END:
        if (c->answer->status < 200) {
            h1_reader_reset(&c->feed.reader);
            return FEED_GO_ON;
        }
        over(c, NULL);
        return FEED_ENDED;
    case H1_NEED_MORE: break;
    }
    CHECK_FAIL("a feed passes on no such event");
}

static void on_connected(struct stream *s)
{
    CHECK_OBJ((struct call *)s->user, CALL_MAGIC);
}

static void on_sent(struct stream *s)
{
    CHECK_OBJ((struct call *)s->user, CALL_MAGIC);
}

static void on_data(struct stream *s, struct slice in)
{
    struct call *c = s->user;
    int r = feed_data(&c->feed, in);
    if (r < 0)
        over(c, "it does not speak HTTP as it should");
}

static void on_eof(struct stream *s)
{
    struct call *c = s->user;
    bool whole = c->answer->status >= 200 && h1_reader_eof(&c->feed.reader) == H1_END;
    over(c, whole ? NULL : "it closed the connection before its answer was complete");
}

/* The sentences of reasons speak of backends; this is the balancer itself. */
static const char *failure_text(enum reason why)
{
    switch (why) {
    case REASON_connect_refused: return "nothing listens there";
    case REASON_connect_unreachable: return "it cannot be reached over the network";
    case REASON_connect_failed: return "there is no such socket, or it is not ours to open";
    case REASON_backend_reset: return "it reset the connection";
    default: return reason_name(why);
    }
}

static void on_failed(struct stream *s, enum reason why)
{
    over(s->user, failure_text(why));
}

static const struct stream_ops call_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
};

static void on_limit(struct timer *t)
{
    over(container_of(t, struct call, limit), "it did not answer in time");
}

/* The host is a literal address or a loopback name: the server refuses any other. */
static bool write_request(struct call *c, const char *method, const char *path, const char *body,
                          struct span *ret_request)
{
    const struct control *control = c->control;
    struct writer w = writer_of(c->request, sizeof(c->request));
    bool unix_socket = control->address.kind == ADDRESS_UNIX;
    w_str(&w, method);
    w_str(&w, " ");
    w_str(&w, path);
    w_str(&w, " HTTP/1.1\r\n");
    h1_write_field(&w, span_str("Host"),
                   unix_socket ? span_str("localhost") : span_cstr(control->place));
    h1_write_field(&w, span_str("Connection"), span_str("close"));
    if (control->token[0]) {
        w_str(&w, "Authorization: Bearer ");
        w_str(&w, control->token);
        w_str(&w, "\r\n");
    }
    if (body) {
        h1_write_field(&w, span_str("Content-Type"), span_str("application/json"));
        h1_write_content_length(&w, strlen(body));
    }
    h1_write_head_end(&w);
    w_str(&w, body ? body : "");
    *ret_request = w_span_of_result(&w);
    return w_ok(&w);
}

static void run(struct call *c, struct span request)
{
    struct control *control = c->control;
    c->stream = stream_connect(control->loop, &control->address, &call_ops, c);
    if (!c->stream) {
        (void)snprintf(c->answer->why, sizeof(c->answer->why), "no socket can be had");
        return;
    }
    struct slice whole = {request.p, (uint32_t)request.n, NULL};
    feed_init(&c->feed, control->loop, H1_RESPONSES, &c->head, on_event, c);
    loop_timer_set(control->loop, &c->limit, ANSWER_MS);
    stream_read(c->stream, true);
    (void)stream_send(c->stream, &whole, 1);
    loop_run(control->loop);
}

static void call(struct control *control, const char *method, const char *path, const char *body,
                 control_piece_fn *piece, void *user, struct control_answer *ret_answer)
{
    struct call *c = calloc(1, sizeof(*c));
    struct span request;
    CHECK(c);
    *c = (struct call){.magic = CALL_MAGIC, .control = control, .piece = piece, .user = user};
    c->answer = ret_answer;
    *ret_answer = (struct control_answer){0};
    timer_init(&c->limit, on_limit);
    if (write_request(c, method, path, body, &request))
        run(c, request);
    else
        (void)snprintf(ret_answer->why, sizeof(ret_answer->why), "the request is too long");
    explicit_bzero(c->request, sizeof(c->request));
    free(c);
}

void control_ask(struct control *c, const char *method, const char *path, const char *body,
                 struct control_answer *ret_answer)
{
    call(c, method, path, body, NULL, NULL, ret_answer);
    if (ret_answer->status && !ret_answer->body) {
        ret_answer->body = calloc(1, 1);
        CHECK(ret_answer->body);
    }
}

void control_follow(struct control *c, const char *path, control_piece_fn *piece, void *user,
                    struct control_answer *ret_answer)
{
    call(c, "GET", path, NULL, piece, user, ret_answer);
}

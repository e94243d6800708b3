/* SPDX-License-Identifier: MIT */
/*
 * Answers. Most requests get the same bytes, made once; all others a head of their own, followed by
 * a body that is sent as far as the client takes it.
 */
#include "app/test_server_priv.h"
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_ROOM 1024
#define SEND_MAX  (1024 * 1024) /* body bytes handed over at a time */
#define CHUNK_MAX PATTERN_BYTES

static const char common_format[] = "HTTP/1.1 200 OK\r\n"
                                    "Content-Type: text/plain\r\n"
                                    "Content-Length: %zu\r\n"
                                    "X-Backend: %s\r\n"
                                    "\r\n"
                                    "%s";

void answer_prepare(struct test_server *s)
{
    int n = snprintf(s->common, sizeof(s->common), common_format, strlen(s->hello), s->options.name,
                     s->hello);
    CHECK(n > 0 && (size_t)n < sizeof(s->common));
    s->common_len = (size_t)n;
}

static bool is_common(const struct client *c)
{
    const struct answer *a = &c->answer;
    return a->kind == ANSWER_TEXT && a->status == 200 && a->text == c->server->hello &&
           a->keep_alive && !a->head_only && !a->http_1_0 && c->body_bytes == 0;
}

static bool has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void write_head(struct writer *w, const struct client *c)
{
    const struct answer *a = &c->answer;
    w_printf(w, "HTTP/1.1 %u %s\r\n", a->status, h1_status_phrase(a->status));
    h1_write_field(w, span_str("Content-Type"),
                   a->kind == ANSWER_TEXT ? span_str("text/plain")
                                          : span_str("application/octet-stream"));
    if (a->chunked)
        h1_write_field(w, span_str("Transfer-Encoding"), span_str("chunked"));
    else if (has_body(a->status))
        h1_write_content_length(w, a->left);
    h1_write_field(w, span_str("X-Backend"), span_cstr(c->server->options.name));
    if (c->body_bytes)
        w_printf(w, "X-Body-Bytes: %llu\r\n", (unsigned long long)c->body_bytes);
    if (!a->keep_alive)
        h1_write_field(w, span_str("Connection"), span_str("close"));
    else if (a->http_1_0)
        h1_write_field(w, span_str("Connection"), span_str("keep-alive"));
    h1_write_head_end(w);
}

/* Body bytes from c->answer.at on, in place; at most `max` and to the end of a period. */
static struct slice body_piece(const struct client *c, uint64_t max)
{
    const struct answer *a = &c->answer;
    const uint8_t *from = NULL;
    uint64_t n = MIN(a->left, max);
    switch (a->kind) {
    case ANSWER_TEXT: from = (const uint8_t *)a->text + a->at; break;
    case ANSWER_ECHO: from = c->echo + a->at; break;
    case ANSWER_PATTERN:
        from = c->server->pattern + a->at % PATTERN_BYTES;
        n = MIN(n, PATTERN_BYTES - a->at % PATTERN_BYTES);
        break;
    }
    return (struct slice){from, (uint32_t)n, NULL};
}

static struct slice take_body(struct client *c, uint64_t max)
{
    struct slice piece = body_piece(c, max);
    c->answer.at += piece.n;
    c->answer.left -= piece.n;
    return piece;
}

/* The next chunk with its framing, or the end of the body. */
static size_t chunk_slices(struct client *c, struct slice *slices)
{
    struct answer *a = &c->answer;
    struct writer w = writer_of(c->frame, sizeof(c->frame));
    size_t count = 1;
    if (a->left) {
        struct slice piece = take_body(c, CHUNK_MAX);
        (void)w_reserve(&w, h1_chunk_begin(c->frame, piece.n, !a->chunk_begun));
        slices[count++] = piece;
    } else {
        h1_write_chunk_last(&w, !a->chunk_begun, (struct span){0});
        a->last_due = false;
    }
    a->chunk_begun = true;
    slices[0] = (struct slice){c->frame, (uint32_t)w_len(&w), NULL};
    return count;
}

static size_t plain_slices(struct client *c, struct slice *slices, size_t room)
{
    size_t count = 0;
    uint64_t sum = 0;
    while (c->answer.left && count < room && sum < SEND_MAX) {
        slices[count] = take_body(c, SEND_MAX - sum);
        sum += slices[count++].n;
    }
    return count;
}

/* What comes next of the body; 0 when it is complete. */
static size_t next_slices(struct client *c, struct slice *slices, size_t room)
{
    if (c->answer.last_due)
        return chunk_slices(c, slices);
    return plain_slices(c, slices, room);
}

static enum answer_progress answer_over(struct client *c)
{
    if (c->under_way)
        c->server->under_way--;
    c->under_way = false;
    free(c->echo);
    c->echo = NULL;
    c->echo_len = c->echo_cap = 0;
    if (!c->answer.keep_alive)
        client_linger(c);
    return ANSWER_SENT;
}

enum answer_progress answer_go_on(struct client *c)
{
    struct slice slices[SEND_SLICES_MAX];
    size_t count;
    while (!c->sending && (count = next_slices(c, slices, SEND_SLICES_MAX)) > 0)
        c->sending = stream_send(c->stream, slices, count) == SEND_PENDING;
    return c->sending ? ANSWER_SENDING : answer_over(c);
}

static enum answer_progress send_head(struct client *c)
{
    struct buf *room = buf_get(c->server->loop, HEAD_ROOM);
    if (!room) {
        client_close(c, STREAM_CLOSE_RESET);
        return ANSWER_GONE;
    }
    struct answer *a = &c->answer;
    struct writer w = writer_of(room->data, HEAD_ROOM);
    write_head(&w, c);
    CHECK(w_ok(&w));
    if (a->head_only || !has_body(a->status))
        a->left = 0;
    a->last_due = a->chunked && !a->head_only;
    struct slice slices[SEND_SLICES_MAX] = {{room->data, (uint32_t)w_len(&w), room}};
    size_t count = 1 + next_slices(c, slices + 1, SEND_SLICES_MAX - 1);
    c->sending = stream_send(c->stream, slices, count) == SEND_PENDING;
    buf_put(&room);
    return answer_go_on(c);
}

enum answer_progress answer_begin(struct client *c)
{
    CHECK(!c->sending);
    c->state = CLIENT_HTTP;
    if (!is_common(c))
        return send_head(c);
    struct slice all = {(const uint8_t *)c->server->common, (uint32_t)c->server->common_len, NULL};
    c->answer.left = 0;
    c->sending = stream_send(c->stream, &all, 1) == SEND_PENDING;
    return answer_go_on(c);
}

void answer_refusal(struct client *c, enum reason why)
{
    int status = reason_status(why);
    if (status == 0 || c->sending) {
        client_close(c, STREAM_CLOSE_NORMAL);
        return;
    }
    const char *text = reason_sentence(why);
    c->answer = (struct answer){
        .status = (uint16_t)status, .text = text, .left = strlen(text), .keep_alive = false};
    client_log(c, "Refused", span_cstr(reason_name(why)));
    if (answer_begin(c) == ANSWER_SENDING)
        stream_read(c->stream, false);
}

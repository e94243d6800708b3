/* SPDX-License-Identifier: MIT */
/* From a request to what its answer is to be. Request bodies are read to their end first. */
#include "app/test_server_priv.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

typedef void path_fn(struct client *c, struct span argument);

static void set_text(struct client *c, int status, const char *text)
{
    c->answer.kind = ANSWER_TEXT;
    c->answer.status = (uint16_t)status;
    c->answer.text = text;
    c->answer.left = strlen(text);
}

static void set_pattern(struct client *c, uint64_t bytes)
{
    c->answer.kind = ANSWER_PATTERN;
    c->answer.left = bytes;
}

/* A number that is the rest of the path; what is none is answered with 400. */
static bool argument_number(struct client *c, struct span argument, uint64_t low, uint64_t high,
                            uint64_t *ret_n)
{
    if (span_to_u64(argument, ret_n) && *ret_n >= low && *ret_n <= high)
        return true;
    set_text(c, 400, "The number in the path is missing or out of bounds.\n");
    return false;
}

static void path_health(struct client *c, struct span argument)
{
    (void)argument;
    set_text(c, 200, "ok");
}

static void path_bytes(struct client *c, struct span argument)
{
    uint64_t n;
    if (argument_number(c, argument, 0, UINT64_MAX / 2, &n))
        set_pattern(c, n);
}

static void path_chunked(struct client *c, struct span argument)
{
    uint64_t n;
    if (!argument_number(c, argument, 0, UINT64_MAX / 2, &n))
        return;
    set_pattern(c, n);
    c->answer.chunked = !c->answer.http_1_0;
}

static void path_status(struct client *c, struct span argument)
{
    uint64_t n;
    if (argument_number(c, argument, 200, 599, &n))
        set_text(c, (int)n, c->server->hello);
}

static void path_delay(struct client *c, struct span argument)
{
    uint64_t n;
    if (argument_number(c, argument, 0, TEST_SERVER_DELAY_MAX_MS, &n))
        c->answer.delay_ms += n;
}

/* Keeps bytes for an answer that repeats them. */
static void add_echo(struct client *c, struct span piece)
{
    if (c->echo_len + piece.n > c->echo_cap) {
        size_t cap = c->echo_cap ? c->echo_cap : 1024;
        while (cap < c->echo_len + piece.n)
            cap *= 2;
        c->echo = realloc(c->echo, cap);
        CHECK(c->echo);
        c->echo_cap = cap;
    }
    memcpy(c->echo + c->echo_len, piece.p, piece.n);
    c->echo_len += piece.n;
}

static void path_headers(struct client *c, struct span argument)
{
    (void)argument;
    const struct head *h = &c->server->head;
    add_echo(c, span_of(h->base, h->head_len));
    c->answer.kind = ANSWER_ECHO;
}

static const struct path_row {
    struct span path;
    path_fn *answer;
    bool prefix;      /* an argument follows */
    bool undisturbed; /* no delay, no injected error, no limit */
    bool with_body;
} path_rows[] = {
    {.path = SPAN_INIT("/health"), .answer = path_health, .undisturbed = true},
    {.path = SPAN_INIT("/bytes/"), .answer = path_bytes, .prefix = true},
    {.path = SPAN_INIT("/chunked/"), .answer = path_chunked, .prefix = true},
    {.path = SPAN_INIT("/status/"), .answer = path_status, .prefix = true},
    {.path = SPAN_INIT("/delay/"), .answer = path_delay, .prefix = true},
    {.path = SPAN_INIT("/echo"), .answer = path_headers, .with_body = true},
    {.path = SPAN_INIT("/headers"), .answer = path_headers},
};

static const struct path_row *find_path(struct span path)
{
    for (size_t i = 0; i < ARRAY_LEN(path_rows); i++) {
        const struct path_row *row = &path_rows[i];
        if (row->prefix ? span_starts(path, row->path) : span_eq(path, row->path))
            return row;
    }
    return NULL;
}

/* What the options do to every request but those for /health. */
static void disturb(struct client *c)
{
    struct test_server *s = c->server;
    const struct test_server_options *o = &s->options;
    if (o->concurrency_max && s->under_way >= o->concurrency_max) {
        set_text(c, 503, "Too many requests are under way.\n");
        return;
    }
    s->under_way++;
    c->under_way = true;
    c->answer.delay_ms += o->delay_ms;
    if (o->jitter_ms)
        c->answer.delay_ms += rng_below(&s->rng, o->jitter_ms + 1);
    if (o->error_rate > 0 && rng_chance(&s->rng, o->error_rate))
        set_text(c, 500, "An error made on purpose.\n");
}

static enum feed_verdict continue_100(struct client *c)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct slice all = {(const uint8_t *)interim, sizeof(interim) - 1, NULL};
    c->sending = stream_send(c->stream, &all, 1) == SEND_PENDING;
    if (!c->sending)
        return FEED_GO_ON;
    c->interim = true;
    stream_read(c->stream, false);
    return FEED_PAUSE;
}

static void log_request(struct client *c, const struct head *h)
{
    if (!c->server->options.log)
        return;
    char line[512];
    struct writer w = writer_of(line, sizeof(line));
    w_span(&w, head_span(h, h->method_text));
    w_u8(&w, ' ');
    w_span(&w, span_sub(head_span(h, h->target), 0, 400));
    client_log(c, "Received", w_span_of_result(&w));
}

static enum feed_verdict take_head(struct client *c)
{
    struct test_server *s = c->server;
    const struct head *h = &s->head;
    const struct path_row *row = find_path(head_path(h));
    log_request(c, h);
    c->body_bytes = 0;
    c->answer = (struct answer){.keep_alive = h->keep_alive,
                                .head_only = h->method == METHOD_HEAD,
                                .http_1_0 = h->version_minor == 0};
    set_text(c, 200, s->hello);
    if (s->options.sized)
        set_pattern(c, s->options.body_bytes);
    if (row)
        row->answer(c, span_from(head_path(h), row->path.n));
    if (!row || !row->undisturbed)
        disturb(c);
    c->echo_body = row && row->with_body && c->answer.kind == ANSWER_ECHO;
    return h->expect_continue ? continue_100(c) : FEED_GO_ON;
}

static enum feed_verdict take_body(struct client *c, struct span piece)
{
    c->body_bytes += piece.n;
    if (c->echo_body && c->body_bytes > ECHO_BYTES_MAX) {
        c->echo_body = false;
        set_text(c, 413, "More than is echoed.\n");
    }
    if (c->echo_body)
        add_echo(c, piece);
    return FEED_GO_ON;
}

static enum feed_verdict take_end(struct client *c)
{
    h1_reader_reset(&c->feed.reader);
    if (c->answer.kind == ANSWER_ECHO)
        c->answer.left = c->echo_len;
    if (c->answer.delay_ms) {
        c->state = CLIENT_WAITING;
        loop_timer_set(c->server->loop, &c->timer, c->answer.delay_ms);
        stream_read(c->stream, false);
        return FEED_PAUSE;
    }
    switch (answer_begin(c)) {
    case ANSWER_SENT: return c->state == CLIENT_HTTP ? FEED_GO_ON : FEED_ENDED;
    case ANSWER_SENDING: stream_read(c->stream, false); return FEED_PAUSE;
    case ANSWER_GONE: break;
    }
    return FEED_ENDED;
}

int client_request(void *user, enum h1_event event, const struct h1_result *result)
{
    struct client *c = user;
    CHECK_OBJ(c, CLIENT_MAGIC);
    switch (event) {
    case H1_HEAD: return take_head(c);
    case H1_BODY: return take_body(c, result->body);
    case H1_END: return take_end(c);
    case H1_NEED_MORE: break;
    }
    CHECK_FAIL("a feed passes on no such event");
}

/* SPDX-License-Identifier: MIT */
#include "app/test_server.h"

#include "app/test_server_priv.h"
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECIDE_MS        200  /* after the first bytes */
#define DECIDE_BYTES_MAX 4096 /* of a first line */
#define LINGER_MS        1000

/* ---- log ---- */

void client_log(struct client *c, const char *what, struct span text)
{
    if (!c->server->options.log)
        return;
    char line[2048];
    struct writer w = writer_of(line, sizeof(line));
    w_escaped(&w, span_sub(text, 0, 480));
    printf("%s: '%s'\n", what, w_cstr(&w));
}

/* ---- lifetime ---- */

void client_close(struct client *c, enum stream_close_how how)
{
    struct test_server *s = c->server;
    loop_timer_stop(s->loop, &c->timer);
    if (c->under_way)
        s->under_way--;
    feed_fini(&c->feed);
    slice_put(&c->undecided);
    free(c->echo);
    list_del(&c->link);
    stream_close(&c->stream, how);
    c->magic = 0;
    free(c);
}

void client_linger(struct client *c)
{
    c->state = CLIENT_LINGER;
    loop_timer_set(c->server->loop, &c->timer, LINGER_MS);
    stream_shutdown(c->stream);
    stream_read(c->stream, true);
}

/* ---- bytes that are not HTTP ---- */

enum looks { LOOKS_HTTP, LOOKS_RAW, LOOKS_UNFINISHED };

static bool is_token_byte(uint8_t c)
{
    return ascii_is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* How bytes begin: method SP target SP "HTTP/". */
static enum looks looks_of(struct span s)
{
    static const struct span version = SPAN_INIT("HTTP/");
    if (span_starts(s, span_str("\r\n")))
        s = span_from(s, 2);
    size_t method = 0;
    while (method < s.n && method <= HTTP_METHOD_MAX && is_token_byte(s.p[method]))
        method++;
    if (method == s.n && method <= HTTP_METHOD_MAX)
        return LOOKS_UNFINISHED;
    if (method == 0 || method > HTTP_METHOD_MAX || s.p[method] != ' ')
        return LOOKS_RAW;
    struct span rest = span_from(s, method + 1);
    size_t target = 0;
    while (target < rest.n && rest.p[target] > ' ' && rest.p[target] < 0x7f)
        target++;
    if (target == rest.n)
        return LOOKS_UNFINISHED;
    if (target == 0 || rest.p[target] != ' ')
        return LOOKS_RAW;
    rest = span_sub(span_from(rest, target + 1), 0, version.n);
    if (!span_starts(version, rest))
        return LOOKS_RAW;
    return rest.n == version.n ? LOOKS_HTTP : LOOKS_UNFINISHED;
}

/* When no more can be waited for: "GET /" is the beginning of a request, "Hello" is a greeting. */
static bool rather_http(struct span s)
{
    size_t method = 0;
    while (method < s.n && s.p[method] >= 'A' && s.p[method] <= 'Z')
        method++;
    return method > 0 && span_starts(span_from(s, method), span_str(" /"));
}

static void answer_raw(struct client *c, struct span said)
{
    struct test_server *s = c->server;
    client_log(c, "Received", said);
    struct slice hello = {(const uint8_t *)s->hello, (uint32_t)strlen(s->hello), NULL};
    c->sending = stream_send(c->stream, &hello, 1) == SEND_PENDING;
    client_linger(c);
}

/* The options apply to a greeting as they do to a request. */
static void greet(struct client *c, struct span said)
{
    struct test_server *s = c->server;
    const struct test_server_options *o = &s->options;
    uint64_t delay_ms = o->delay_ms + (o->jitter_ms ? rng_below(&s->rng, o->jitter_ms + 1) : 0);
    bool full = o->concurrency_max && s->under_way >= o->concurrency_max;
    if (full || (o->error_rate > 0 && rng_chance(&s->rng, o->error_rate))) {
        client_close(c, STREAM_CLOSE_NORMAL);
    } else if (delay_ms) {
        s->under_way++;
        c->under_way = true;
        c->state = CLIENT_WAITING;
        c->raw = true;
        stream_read(c->stream, false);
        loop_timer_set(s->loop, &c->timer, delay_ms);
    } else {
        answer_raw(c, said);
    }
}

/* ---- the stream ---- */

static struct client *client_of(struct stream *s)
{
    struct client *c = s->user;
    CHECK_OBJ(c, CLIENT_MAGIC);
    return c;
}

static void speak_http(struct client *c, struct slice in)
{
    c->state = CLIENT_HTTP;
    int err = feed_data(&c->feed, in);
    if (err)
        answer_refusal(c, (enum reason) - err);
}

static enum looks decided_looks(struct span said, bool now)
{
    enum looks looks = looks_of(said);
    if (looks != LOOKS_UNFINISHED || (!now && said.n <= DECIDE_BYTES_MAX))
        return looks;
    return rather_http(said) ? LOOKS_HTTP : LOOKS_RAW;
}

static void keep_undecided(struct client *c, struct span said)
{
    slice_put(&c->undecided);
    c->undecided = slice_keep(c->server->loop, (struct slice){said.p, (uint32_t)said.n, NULL});
    if (c->undecided.n == 0)
        client_close(c, STREAM_CLOSE_RESET);
    else if (!timer_armed(&c->timer))
        loop_timer_set(c->server->loop, &c->timer, DECIDE_MS);
}

/* Looks at the first bytes, those of before and those of now; `now`: no more can be waited for. */
static void decide(struct client *c, struct slice in, bool now)
{
    uint8_t first[2 * DECIDE_BYTES_MAX];
    struct writer w = writer_of(first, sizeof(first));
    w_span(&w, slice_span(c->undecided));
    w_span(&w, span_sub(slice_span(in), 0, w_left(&w)));
    struct span said = w_span_of_result(&w);
    enum looks looks = decided_looks(said, now);
    if (looks == LOOKS_UNFINISHED) {
        keep_undecided(c, said);
        return;
    }
    loop_timer_stop(c->server->loop, &c->timer);
    if (looks == LOOKS_RAW) {
        greet(c, said);
        return;
    }
    struct slice before = c->undecided;
    c->undecided = (struct slice){0};
    if (in.n) {
        c->feed.kept = before;
        speak_http(c, in);
    } else {
        speak_http(c, before);
        slice_put(&before);
    }
}

static void on_data(struct stream *s, struct slice in)
{
    struct client *c = client_of(s);
    switch (c->state) {
    case CLIENT_UNDECIDED: decide(c, in, false); break;
    case CLIENT_HTTP: speak_http(c, in); break;
    case CLIENT_WAITING: CHECK_FAIL("not reading");
    case CLIENT_LINGER: break;
    }
}

static void on_eof(struct stream *s)
{
    struct client *c = client_of(s);
    if (c->state == CLIENT_UNDECIDED && c->undecided.n)
        decide(c, (struct slice){0}, true);
    else
        client_close(c, STREAM_CLOSE_NORMAL);
}

static void on_sent(struct stream *s)
{
    struct client *c = client_of(s);
    c->sending = false;
    if (c->state == CLIENT_LINGER)
        return;
    bool interim = c->interim;
    c->interim = false;
    if (interim || answer_go_on(c) == ANSWER_SENT)
        client_carry_on(c);
}

static void on_failed(struct stream *s, enum reason why)
{
    (void)why;
    client_close(client_of(s), STREAM_CLOSE_NORMAL);
}

static void on_connected(struct stream *s)
{
    (void)client_of(s);
}

static const struct stream_ops client_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
};

void client_carry_on(struct client *c)
{
    if (c->state != CLIENT_HTTP)
        return;
    stream_read(c->stream, true);
    int err = feed_resume(&c->feed);
    if (err)
        answer_refusal(c, (enum reason) - err);
}

static void delay_over(struct client *c)
{
    if (c->raw) {
        c->server->under_way--;
        c->under_way = false;
        answer_raw(c, (struct span){0});
    } else if (answer_begin(c) == ANSWER_SENT) {
        client_carry_on(c);
    }
}

static void on_timer(struct timer *t)
{
    struct client *c = container_of(t, struct client, timer);
    CHECK_OBJ(c, CLIENT_MAGIC);
    switch (c->state) {
    case CLIENT_UNDECIDED: decide(c, (struct slice){0}, true); break;
    case CLIENT_WAITING: delay_over(c); break;
    case CLIENT_HTTP:
    case CLIENT_LINGER: client_close(c, STREAM_CLOSE_NORMAL); break;
    }
}

/* ---- the server ---- */

static void log_connection(struct client *c)
{
    char peer[ADDRESS_TEXT_MAX];
    if (!c->server->options.log)
        return;
    struct address from = stream_peer(c->stream);
    (void)address_format(&from, peer);
    printf("Connection from %s\n", peer);
}

void test_server_accepted(struct acceptor *a, struct stream *stream)
{
    struct test_server *s = a->user;
    struct client *c = calloc(1, sizeof(*c));
    if (!c) {
        stream_close(&stream, STREAM_CLOSE_RESET);
        return;
    }
    c->magic = CLIENT_MAGIC;
    c->server = s;
    c->stream = stream;
    timer_init(&c->timer, on_timer);
    feed_init(&c->feed, s->loop, H1_REQUESTS, &s->head, client_request, c);
    list_init(&c->link);
    list_add_tail(&s->clients, &c->link);
    stream_set_ops(stream, &client_ops, c);
    stream_read(stream, true);
    log_connection(c);
}

static uint8_t *make_pattern(void)
{
    uint8_t *p = malloc(PATTERN_BYTES);
    CHECK(p);
    for (uint32_t i = 0; i < PATTERN_BYTES; i++)
        p[i] = (uint8_t)(i ^ i >> 8);
    return p;
}

struct test_server *test_server_new(struct loop *loop, const struct test_server_options *options)
{
    struct test_server *s = calloc(1, sizeof(*s));
    CHECK(s);
    s->loop = loop;
    s->options = *options;
    s->rng = rng_seed(options->seed);
    s->pattern = make_pattern();
    list_init(&s->clients);
    head_init(&s->head, s->path_room, sizeof(s->path_room));
    (void)snprintf(s->hello, sizeof(s->hello), "Hello from %s", options->name);
    answer_prepare(s);
    return s;
}

void test_server_free(struct test_server **s)
{
    struct test_server *gone = *s;
    if (!gone)
        return;
    *s = NULL;
    struct client *c;
    list_each_safe(c, &gone->clients, link)
        client_close(c, STREAM_CLOSE_NORMAL);
    free(gone->pattern);
    free(gone);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A site whose balancer only notes what it is asked: two pools of real backends, operations that
 * answer by script, and requests played as text through the reader, the call and its head. Used by
 * unit tests and the fuzz target.
 */

#include "admin/call.h"
#include "base/check.h"
#include "codec/h1.h"
#include "config/load.h"
#include "forward/forwarder.h"

#include <stdio.h>
#include <stdlib.h>

/* Of static storage: gcc's AddressSanitizer aligns stack frames to less than this needs. */
struct fake {
    struct site site;
    const struct snapshot *snapshot;
    struct pool *pools[2];
    struct front fronts[1];
    struct front *front_list[1];
    bool draining;
    enum steer_code next_code; /* of the next operation */
    char done[4096];           /* what was asked for, a line each */
    size_t done_len;
    /* operations that answer later */
    steer_done_fn *later;
    void *later_user;
    sessions_done_fn *sessions_later;
    void *sessions_user;
};

__attribute__((format(printf, 2, 3))) static inline void fake_note(struct fake *f,
                                                                   const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t left = sizeof(f->done) - f->done_len;
    int n = vsnprintf(f->done + f->done_len, left, format, args);
    va_end(args);
    f->done_len += (size_t)n < left ? (size_t)n : 0;
    f->done[f->done_len] = 0;
}

static inline void fake_result(struct fake *f, struct steer_result *ret)
{
    ret->code = f->next_code;
    if (f->next_code != STEER_OK)
        snprintf(ret->message, sizeof(ret->message), "so it is said");
    f->next_code = STEER_OK;
}

static inline void fake_view(void *user, struct steer_view *v)
{
    struct fake *f = user;
    *v = (struct steer_view){
        .snapshot = f->snapshot,
        .generation = 7,
        .pools = f->pools,
        .pool_count = 2,
        .fronts = f->front_list,
        .front_count = 1,
        .config_path = "p.yaml",
        .engine_name = "epoll",
        .worker_count = 2,
        .started_wall_ms = 1000,
        .draining = f->draining,
        .reload_ok = true,
        .reload_wall_ms = 1000,
    };
}

/* Adds nothing: the answer is that it exists, unless the address is that of B2, which is "added".
 */
static inline void fake_add(void *user, struct pool *pool, const struct steer_backend *b,
                            struct steer_result *ret)
{
    struct fake *f = user;
    fake_note(f, "add %s " SPAN_FMT " " SPAN_FMT " %u %d\n", pool_conf(pool)->name,
              SPAN_ARG(b->name), SPAN_ARG(b->address), b->weight, b->backup);
    fake_result(f, ret);
}

static inline void fake_remove(void *user, struct backend *b, struct steer_result *ret)
{
    fake_note(user, "remove %s\n", b->conf->name);
    fake_result(user, ret);
}

static inline void fake_weight(void *user, struct backend *b, uint32_t weight,
                               struct steer_result *ret)
{
    fake_note(user, "weight %s %u\n", b->conf->name, weight);
    fake_result(user, ret);
}

static inline void fake_state(void *user, struct backend *b, enum admin_state state,
                              struct steer_result *ret)
{
    fake_note(user, "state %s %d\n", b->conf->name, state);
    fake_result(user, ret);
}

static inline void fake_save(void *user, struct steer_result *ret)
{
    fake_note(user, "save\n");
    fake_result(user, ret);
}

static inline void fake_reload(void *user, bool plan_only, steer_done_fn *done, void *done_user)
{
    struct fake *f = user;
    fake_note(f, "reload %d\n", plan_only);
    CHECK(!f->later);
    f->later = done;
    f->later_user = done_user;
}

static inline void fake_upgrade(void *user, steer_done_fn *done, void *done_user)
{
    fake_reload(user, false, done, done_user);
}

static inline void fake_stop(void *user, bool now, struct steer_result *ret)
{
    fake_note(user, "stop %d\n", now);
    fake_result(user, ret);
}

static const struct steer_ops fake_ops = {
    .view = fake_view,
    .add = fake_add,
    .remove = fake_remove,
    .set_weight = fake_weight,
    .set_state = fake_state,
    .save = fake_save,
    .reload = fake_reload,
    .stop = fake_stop,
    .upgrade = fake_upgrade,
};

static inline void fake_sessions(void *user, const struct sessions_query *query,
                                 sessions_done_fn *done, void *done_user)
{
    struct fake *f = user;
    fake_note(f, "sessions %d %u\n", query->recent, query->max);
    CHECK(!f->sessions_later);
    f->sessions_later = done;
    f->sessions_user = done_user;
}

/* Carries out what was left for later. */
static inline void fake_finish(struct fake *f)
{
    static struct steer_result result;
    const struct steer_change change = {"pool", "app", "changed", "weight of B1 1 → 2", NULL};
    const struct session row = {.client = SPAN_INIT("192.0.2.1:5"),
                                .client_protocol = "HTTP/2",
                                .tls_version = SPAN_INIT("TLSv1.3"),
                                .tls_cipher = SPAN_INIT("C"),
                                .sni = SPAN_INIT("a.example"),
                                .grpc = 1,
                                .state = "queued"};
    if (f->later) {
        steer_done_fn *done = f->later;
        f->later = NULL;
        result = (struct steer_result){.message = "reloaded: 1 change"};
        if (f->next_code != STEER_OK)
            fake_result(f, &result);
        done(f->later_user, &result, &change, 1);
    }
    if (f->sessions_later) {
        sessions_done_fn *done = f->sessions_later;
        f->sessions_later = NULL;
        done(f->sessions_user, 1, &row, 1);
    }
}

static inline const char *fake_env(const char *name)
{
    (void)name;
    return NULL;
}

static inline void fake_init(struct fake *f)
{
    static const char text[] =
        "listeners: [{name: web, listen: '127.0.0.1:80', pool: app, routes: [{pool: other, match: "
        "{host: a.example, path_prefix: /v1, headers: {x-a: b}}}]}]\n"
        "pools: [{name: app, backends: [{name: B1, address: '127.0.0.1:1'}, "
        "'unix:/run/b x', 'unix:/run/b.sock']}, "
        "{name: other, backends: ['127.0.0.1:3']}]\n";
    struct diagnostics d;
    *f = (struct fake){0};
    CHECK(config_load("p.yaml", span_of(text, sizeof(text) - 1), fake_env, &d, &f->snapshot) == 0);
    diagnostics_fini(&d);
    for (uint32_t i = 0; i < 2; i++) {
        f->pools[i] = pool_new(f->snapshot, i, NULL);
        CHECK(f->pools[i]);
    }
    f->front_list[0] = &f->fronts[0];
    f->site = (struct site){
        .ops = &fake_ops,
        .ops_user = f,
        .rates = rates_new(),
        .log_tail = log_tail_new(),
        .sessions = fake_sessions,
        .sessions_user = f,
        .token = "secret-token",
        .now_ms = 5000,
        .wall_ms = 6000,
    };
}

static inline void fake_fini(struct fake *f)
{
    for (size_t i = 0; i < 2; i++)
        pool_free(&f->pools[i]);
    rates_free(&f->site.rates);
    log_tail_free(&f->site.log_tail);
    snapshot_unref(&f->snapshot);
}

static inline void fake_answered(void *owner, struct call *c)
{
    struct fake *f = owner;
    CHECK(c->site == &f->site);
}

/*
 * One request: head and body as text, in a buffer of exactly its size. Its answer (head and body)
 * as malloc'd text, or NULL where no head was there, its reading failed, or it has not come to its
 * end. A stream of events answers with its head.
 */
static inline char *fake_request(struct fake *f, bool over_socket, struct span text)
{
    static struct head head;
    static uint8_t room[URI_PATH_MAX];
    static uint8_t answer_head[CALL_HEAD_MAX];
    struct h1_reader reader;
    struct text body, answer;
    struct call *c = NULL;
    bool whole = false;
    uint8_t *copy = malloc(text.n ? text.n : 1);
    CHECK(copy);
    if (text.n)
        memcpy(copy, text.p, text.n);
    struct span left = span_of(copy, text.n);
    head_init(&head, room, sizeof(room));
    h1_reader_init(&reader, H1_REQUESTS, &h1_limits_default);
    text_init(&body, ADMIN_BODY_MAX);
    text_init(&answer, 2 * ADMIN_ANSWER_MAX);
    while (!whole) {
        struct h1_result result;
        int event = h1_reader_next(&reader, left, &head, &result);
        if (event <= 0)
            break;
        left = span_from(left, result.used);
        if (event == H1_HEAD) {
            c = call_new(&f->site, over_socket);
            CHECK(c);
            c->answered = fake_answered;
            c->owner = f;
            call_begin(c, &head);
            memset(copy, 'x', (size_t)(left.p - copy)); /* the head is gone from here on */
        } else if (event == H1_BODY) {
            text_span_add(&body, result.body);
        } else {
            whole = true;
        }
    }
    if (whole && text_ok(&body)) {
        c->body = text_span(&body);
        if (c->state == CALL_ADMITTED)
            call_run(c);
        if (c->state == CALL_LATER)
            fake_finish(f);
        CHECK(c->state == CALL_ANSWERED || c->state == CALL_STREAM);
        text_add(&answer, answer_head, call_head(c, c->keep_alive, answer_head));
        text_span_add(&answer, text_span(&c->out));
        text_u8(&answer, 0);
    }
    call_drop(&c);
    text_fini(&body);
    free(copy);
    size_t n;
    return (char *)text_take(&answer, &n);
}

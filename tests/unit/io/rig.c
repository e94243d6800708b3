/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include "base/check.h"
#include "io/socket.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const struct engine_row {
    enum loop_engine engine;
    const char *name;
} engine_rows[] = {
    {LOOP_ENGINE_EPOLL, "epoll"},
    {LOOP_ENGINE_URING, "uring"},
};

/* ---- ends ---- */

static struct end *end_of(struct stream *s)
{
    struct end *e = s->user;
    assert_ptr_equal(e->s, s);
    assert_int_equal(e->fails, 0);
    return e;
}

static void on_connected(struct stream *s)
{
    struct end *e = end_of(s);
    assert_int_equal(e->datas + e->sents + e->eofs, 0);
    e->connected++;
    if (e->on_connected)
        e->on_connected(e);
}

static void on_data(struct stream *s, struct slice in)
{
    struct end *e = end_of(s);
    assert_true(in.n > 0);
    assert_non_null(in.buf);
    assert_int_equal(e->eofs, 0);
    if (e->received < sizeof e->text - 1) {
        size_t n = MIN((size_t)in.n, sizeof e->text - 1 - e->received);
        memcpy(e->text + e->received, in.p, n);
    }
    if (e->exact) {
        for (uint32_t i = 0; i < in.n; i++) {
            if (in.p[i] != rig_byte(e->sum_at + i))
                fail_msg("byte %llu differs", (unsigned long long)(e->sum_at + i));
        }
        e->sum_at += in.n;
    }
    e->received += in.n;
    e->datas++;
    if (e->on_data)
        e->on_data(e, in);
}

static void on_eof(struct stream *s)
{
    struct end *e = end_of(s);
    assert_int_equal(e->eofs, 0);
    e->eofs++;
    if (e->on_eof)
        e->on_eof(e);
}

static void on_sent(struct stream *s)
{
    struct end *e = end_of(s);
    e->sents++;
    if (e->on_sent)
        e->on_sent(e);
}

static void on_failed(struct stream *s, enum reason why)
{
    struct end *e = end_of(s);
    e->fails++;
    e->why = why;
    if (e->on_failed)
        e->on_failed(e);
}

static void on_moved(struct stream *s, uint64_t n, bool over)
{
    struct end *e = end_of(s);
    assert_int_equal(e->eofs, 0);
    assert_true(n > 0 || over);
    e->moved += n;
    e->sum_at += n; /* what comes as data goes on from there */
    e->overs += over;
    if (e->on_moved)
        e->on_moved(e, over);
}

const struct stream_ops end_ops = {
    .connected = on_connected,
    .data = on_data,
    .eof = on_eof,
    .sent = on_sent,
    .failed = on_failed,
    .moved = on_moved,
};

void end_init(struct rig *rig, struct end *e)
{
    *e = (struct end){.rig = rig};
}

void end_close(struct end *e)
{
    stream_close(&e->s, STREAM_CLOSE_NORMAL);
}

enum send_result end_send_text(struct end *e, const char *text)
{
    struct slice s = {(const uint8_t *)text, (uint32_t)strlen(text), NULL};
    return stream_send(e->s, &s, 1);
}

/* ---- the rig ---- */

static void accepted(struct acceptor *a, struct stream *s)
{
    struct rig *rig = a->user;
    CHECK(rig->servers_count < RIG_SERVERS_MAX);
    struct end *e = &rig->servers[rig->servers_count++];
    e->rig = rig;
    e->s = s;
    stream_set_ops(s, &end_ops, e);
    if (!rig->servers_silent)
        stream_read(s, true);
    if (rig->on_accepted)
        rig->on_accepted(e);
}

static const char *keep_static(void *keeper, struct span text)
{
    char *path = keeper;
    return span_to_cstr(text, path, 256) ? path : NULL;
}

static void guard(struct timer *t)
{
    (void)t;
    CHECK_FAIL("the test hangs");
}

static void poll_done(struct timer *t)
{
    struct rig *rig = container_of(t, struct rig, poll);
    if (rig->done(rig))
        loop_stop(rig->loop);
    else
        loop_timer_set(rig->loop, t, 1);
}

void rig_open(struct rig *rig, void **state, const char *listen_on)
{
    const struct engine_row *row = *state;
    const struct loop_options options = {.engine = row->engine};
    struct loop *loop;
    assert_int_equal(loop_new(&options, &loop), 0);
    rig_open_on(rig, loop, listen_on);
}

void rig_open_on(struct rig *rig, struct loop *loop, const char *listen_on)
{
    memset(rig, 0, sizeof *rig);
    rig->loop = loop;
    (void)signal(SIGPIPE, SIG_IGN); /* as stream_bulk asks for */
    timer_init(&rig->poll, poll_done);
    timer_init(&rig->guard, guard);
    end_init(rig, &rig->client);
    if (!listen_on)
        return;
    static char path[256];
    const char *why = NULL;
    char why_buf[LISTENER_WHY_MAX];
    struct listener_options lo = {.shards = 1};
    assert_int_equal(address_parse(span_cstr(listen_on), keep_static, path, &lo.address, &why), 0);
    int rc = listener_open(&lo, &rig->listener, why_buf);
    if (rc != 0)
        fail_msg("%s", why_buf);
    assert_int_equal(acceptor_start(rig->loop, &rig->acceptor, rig->listener, 0, accepted, rig), 0);
}

void rig_close(struct rig *rig)
{
    end_close(&rig->client);
    for (unsigned i = 0; i < rig->servers_count; i++)
        end_close(&rig->servers[i]);
    loop_timer_stop(rig->loop, &rig->poll);
    loop_timer_stop(rig->loop, &rig->guard);
    if (rig->listener)
        acceptor_stop(&rig->acceptor);
    listener_close(&rig->listener);
    loop_free(&rig->loop);
    assert_null(rig->loop);
}

void rig_connect_end(struct rig *rig, struct end *e, const struct address *to)
{
    e->rig = rig;
    e->s = stream_connect(rig->loop, to, &end_ops, e);
    assert_non_null(e->s);
}

void rig_connect(struct rig *rig)
{
    rig_connect_end(rig, &rig->client, listener_address(rig->listener));
}

void rig_run(struct rig *rig, bool (*done)(struct rig *rig))
{
    rig->done = done;
    loop_timer_set(rig->loop, &rig->poll, 0);
    loop_timer_set(rig->loop, &rig->guard, 20000);
    loop_run(rig->loop);
    loop_timer_stop(rig->loop, &rig->guard);
}

static uint64_t run_until_ns;

static bool time_is_over(struct rig *rig)
{
    return loop_now(rig->loop) >= run_until_ns;
}

void rig_run_ms(struct rig *rig, unsigned ms)
{
    run_until_ns = loop_now(rig->loop) + ms * 1000000ull;
    rig_run(rig, time_is_over);
}

enum send_result rig_answer_to_doomed_send(const struct rig *rig)
{
    return strcmp(loop_engine_name(rig->loop), "uring") == 0 ? SEND_DONE : SEND_PENDING;
}

/* ---- bytes ---- */

uint8_t rig_byte(uint64_t at)
{
    return (uint8_t)(at ^ at >> 8 ^ at >> 15 ^ at >> 21);
}

void rig_fill(uint8_t *p, size_t n, uint64_t at)
{
    for (size_t i = 0; i < n; i++)
        p[i] = rig_byte(at + i);
}

/* ---- plain sockets ---- */

int rig_raw_connect(struct rig *rig)
{
    const struct address *to = listener_address(rig->listener);
    struct sockaddr_storage sa;
    socklen_t len = socket_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, len), 0);
    return fd;
}

void rig_raw_reset(int fd)
{
    socket_reset_on_close(fd);
    close(fd);
}

static int run_group(const char *group, const struct engine_row *row, const struct rig_test *tests,
                     size_t count)
{
    char name[64];
    const char *why = NULL;
    if (loop_engine_try(row->engine, &why) != 0) {
        printf("%s on %s: skipped: %s\n", group, row->name, why);
        return 0;
    }
    snprintf(name, sizeof name, "%s on %s", group, row->name);
    struct CMUnitTest *cm = calloc(count, sizeof *cm);
    CHECK(cm != NULL);
    for (size_t k = 0; k < count; k++) {
        cm[k] = (struct CMUnitTest){
            .name = tests[k].name,
            .test_func = tests[k].fn,
            .initial_state = (void *)(uintptr_t)row,
        };
    }
    int failed = _cmocka_run_group_tests(name, cm, count, NULL, NULL);
    free(cm);
    return failed;
}

int rig_main(const char *group, const struct rig_test *tests, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(engine_rows); i++)
        failed += run_group(group, &engine_rows[i], tests, count);
    return failed;
}

int rig_main_epoll(const char *group, const struct rig_test *tests, size_t count)
{
    return run_group(group, &engine_rows[0], tests, count);
}

int rig_main_uring(const char *group, const struct rig_test *tests, size_t count)
{
    return run_group(group, &engine_rows[1], tests, count);
}

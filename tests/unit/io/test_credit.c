/* SPDX-License-Identifier: MIT */
/* Credit, and how a connection ends: what waits is kept, a reset is told and never taken for an
 * end. */
#include "rig.h"

#include "io/loop_priv.h"

#include <sys/socket.h>
#include <unistd.h>

static bool server_came(struct rig *rig)
{
    return rig->servers_count == 1 && rig->client.connected;
}

static bool server_ended(struct rig *rig)
{
    return rig->server0.eofs != 0;
}

/* ---- resets and credit ---- */

static bool server_failed(struct rig *rig)
{
    return rig->server0.fails != 0;
}

static bool one_server(struct rig *rig)
{
    return rig->servers_count == 1;
}

static bool server_has_five(struct rig *rig)
{
    return rig->server0.received >= 5;
}

static void test_reset_while_reading(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    int fd = rig_raw_connect(&rig);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    rig_run(&rig, server_has_five);
    rig_raw_reset(fd);
    rig_run(&rig, server_failed);
    assert_int_equal(rig.server0.why, REASON_backend_reset);
    assert_int_equal(rig.server0.eofs, 0);
    rig_close(&rig);
}

static void stop_reading(struct end *e, struct slice in)
{
    (void)in;
    stream_read(e->s, false);
}

static void reads_once(struct end *server)
{
    server->on_data = stop_reading;
}

/* The stream is known to epoll once it waited for something. */
static void test_reset_while_not_reading(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = reads_once;
    int fd = rig_raw_connect(&rig);
    rig_run(&rig, one_server);
    rig_run_ms(&rig, 8);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    rig_run(&rig, server_has_five);
    rig_raw_reset(fd);
    rig_run(&rig, server_failed);
    assert_int_equal(rig.server0.why, REASON_backend_reset);
    rig_close(&rig);
}

/* What a client asks with its first bytes may take long: nobody has watched the connection yet. */
static void test_reset_after_first_bytes(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = reads_once;
    int fd = rig_raw_connect(&rig);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    rig_run(&rig, server_has_five);
    rig_run_ms(&rig, 8);
    rig_raw_reset(fd);
    rig_run(&rig, server_failed);
    assert_int_equal(rig.server0.why, REASON_backend_reset);
    assert_int_equal(rig.server0.datas, 1);
    rig_close(&rig);
}

/* io_uring watches only who has been served: it finds out when reading begins. */
static void test_reset_before_any_reading(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    bool is_epoll = strcmp(loop_engine_name(rig.loop), "epoll") == 0;
    rig.servers_silent = true;
    int fd = rig_raw_connect(&rig);
    rig_run(&rig, one_server);
    rig_raw_reset(fd);
    if (!is_epoll)
        stream_read(rig.server0.s, true);
    rig_run(&rig, server_failed);
    rig_close(&rig);
}

/* An end that was delivered does not wait, although the kernel goes on to show it. A poll of
 * io_uring always fires at an end, so behind that it cannot see a reset. */
static void test_end_is_no_input(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    int fd = rig_raw_connect(&rig);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    rig_run(&rig, server_ended);
    rig_run_ms(&rig, 300);
    assert_false(stream_has_input(rig.server0.s));
    rig_raw_reset(fd);
    if (strcmp(loop_engine_name(rig.loop), "epoll") == 0)
        rig_run(&rig, server_failed);
    rig_close(&rig);
}

/* Bytes that came before the reset may be a whole answer: they wait for the credit. */
static void test_bytes_before_reset_are_kept(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = reads_once;
    int fd = rig_raw_connect(&rig);
    rig_run(&rig, one_server);
    rig_run_ms(&rig, 8);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    rig_run(&rig, server_has_five);
    assert_int_equal(send(fd, "world", 5, 0), 5);
    rig_raw_reset(fd);
    rig_run_ms(&rig, 20);
    assert_int_equal(rig.server0.fails, 0);
    rig.server0.on_data = NULL;
    stream_read(rig.server0.s, true);
    rig_run(&rig, server_failed);
    assert_string_equal(rig.server0.text, "helloworld");
    assert_int_equal(rig.server0.eofs, 0);
    rig_close(&rig);
}

static void test_fin_waits_for_credit(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = reads_once;
    int fd = rig_raw_connect(&rig);
    rig_run(&rig, one_server);
    rig_run_ms(&rig, 8);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    rig_run(&rig, server_has_five);
    assert_int_equal(send(fd, "world", 5, 0), 5);
    close(fd);
    rig_run_ms(&rig, 20);
    assert_int_equal(rig.server0.received, 5);
    assert_int_equal(rig.server0.eofs + rig.server0.fails, 0);
    rig.server0.on_data = NULL;
    stream_read(rig.server0.s, true);
    rig_run(&rig, server_ended);
    assert_string_equal(rig.server0.text, "helloworld");
    rig_close(&rig);
}

/* A peer that answers early and resets: our send fails, its answer is still delivered. */
static void test_answer_before_failed_send(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.servers_silent = true;
    int fd = rig_raw_connect(&rig);
    rig_run(&rig, one_server);
    assert_int_equal(send(fd, "early", 5, 0), 5);
    rig_raw_reset(fd);
    rig_run_ms(&rig, 8);
    stream_read(rig.server0.s, true);
    assert_int_equal(end_send_text(&rig.server0, "x"), rig_answer_to_doomed_send(&rig));
    rig_run(&rig, server_failed);
    assert_string_equal(rig.server0.text, "early");
    assert_int_equal(rig.server0.eofs, 0);
    assert_int_equal(rig.server0.sents, 0);
    rig_close(&rig);
}

/* The same, with more of the answer than one turn receives. */
static void test_long_answer_before_failed_send(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.servers_silent = true;
    rig.loop->bufs.pool[BUF_LARGE].used_max = 0; /* receive by 2 KiB */
    rig.loop->bufs.pool[BUF_MEDIUM].used_max = 0;
    int fd = rig_raw_connect(&rig);
    rig_run(&rig, one_server);
    char answer[20000];
    memset(answer, 'a', sizeof answer);
    assert_int_equal(send(fd, answer, sizeof answer, 0), sizeof answer);
    rig_raw_reset(fd);
    rig_run_ms(&rig, 8);
    stream_read(rig.server0.s, true);
    assert_int_equal(end_send_text(&rig.server0, "x"), rig_answer_to_doomed_send(&rig));
    rig_run(&rig, server_failed);
    assert_int_equal(rig.server0.received, sizeof answer);
    rig_close(&rig);
}

static bool client_is_told(struct rig *rig)
{
    return rig->client.fails || rig->client.eofs;
}

static void test_reset_close_is_seen(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig_connect(&rig);
    stream_read(rig.client.s, true);
    rig_run(&rig, server_came);
    stream_close(&rig.server0.s, STREAM_CLOSE_RESET);
    rig_run(&rig, client_is_told);
    assert_int_equal(rig.client.fails, 1);
    rig_close(&rig);
}

/* ---- credit given back after a stream was served, with no event to come ---- */

struct late_credit {
    struct message m;
    struct end *server;
};

static void give_credit_late(struct loop *loop, struct message *m)
{
    (void)loop;
    stream_read(container_of(m, struct late_credit, m)->server->s, true);
}

static void ask_for_late_credit(struct end *server, struct slice in)
{
    (void)in;
    struct late_credit *late = server->rig->user;
    late->server = server;
    stream_read(server->s, false);
    loop_post(server->rig->loop, &late->m);
}

static void stop_at_eof(struct end *server)
{
    loop_stop(server->rig->loop);
}

static void late_reader(struct end *server)
{
    server->on_data = ask_for_late_credit;
    server->on_eof = stop_at_eof;
}

static void test_late_credit(void **state)
{
    struct rig rig;
    struct late_credit late = {.m = {.fn = give_credit_late}};
    rig_open(&rig, state, "127.0.0.1:0");
    rig.user = &late;
    rig.on_accepted = late_reader;
    int fd = rig_raw_connect(&rig);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    close(fd);
    alarm(60);
    loop_run(rig.loop); /* there never was a timer, which would hide a lost wake-up */
    alarm(0);
    assert_int_equal(rig.server0.eofs, 1);
    assert_int_equal(rig.server0.received, 5);
    rig_close(&rig);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"reset while reading", test_reset_while_reading},
        {"reset while not reading", test_reset_while_not_reading},
        {"reset after the first bytes", test_reset_after_first_bytes},
        {"reset before any reading", test_reset_before_any_reading},
        {"an end is no input", test_end_is_no_input},
        {"bytes before a reset are kept", test_bytes_before_reset_are_kept},
        {"bytes and FIN wait for credit", test_fin_waits_for_credit},
        {"an answer before a failed send", test_answer_before_failed_send},
        {"a long answer before a failed send", test_long_answer_before_failed_send},
        {"a reset close is seen as one", test_reset_close_is_seen},
        {"late credit", test_late_credit},
    };
    return rig_main("credit", tests, ARRAY_LEN(tests));
}

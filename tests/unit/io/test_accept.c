/* SPDX-License-Identifier: MIT */
/* Accepting: pause, shards, starving for descriptors, and a fair share for everybody. */
#include "rig.h"

#include "io/listener_priv.h"
#include "io/loop_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static bool one_server(struct rig *rig)
{
    return rig->servers_count == 1;
}

static bool client_connected(struct rig *rig)
{
    return rig->client.connected != 0;
}

static void test_pause(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    acceptor_pause(&rig.acceptor, true);
    acceptor_pause(&rig.acceptor, true);
    rig_connect(&rig);
    rig_run(&rig, client_connected); /* the kernel's queue took it */
    rig_run_ms(&rig, 12);
    assert_int_equal(rig.servers_count, 0);
    acceptor_pause(&rig.acceptor, false);
    rig_run(&rig, one_server);
    rig_close(&rig);
}

static void stop_acceptor(struct end *server)
{
    acceptor_stop(&server->rig->acceptor);
}

static void test_stop_inside_accepted(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = stop_acceptor;
    int fds[3];
    for (int i = 0; i < 3; i++)
        fds[i] = rig_raw_connect(&rig);
    rig_run_ms(&rig, 12);
    assert_int_equal(rig.servers_count, 1);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    listener_close(&rig.listener);
    rig_close(&rig);
}

static bool forty_served(struct rig *rig)
{
    for (unsigned i = 0; i < rig->servers_count; i++) {
        if (rig->servers[i].received < 5)
            return false;
    }
    return rig->servers_count == 40;
}

static void test_a_crowd(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    int fds[40];
    for (int i = 0; i < 40; i++) {
        fds[i] = rig_raw_connect(&rig);
        assert_int_equal(send(fds[i], "hello", 5, 0), 5);
    }
    rig_run(&rig, forty_served);
    assert_int_equal(loop_stats(rig.loop)->accepted, 40);
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    rig_close(&rig);
}

/* ---- streams_max and descriptors ---- */

static bool all_five(struct rig *rig)
{
    return rig->servers_count == 5;
}

static void close_first_three(struct rig *rig)
{
    for (int i = 0; i < 3; i++)
        end_close(&rig->servers[i]);
}

static void test_streams_max(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.loop->streams_max = 3;
    int fds[5];
    for (int i = 0; i < 5; i++)
        fds[i] = rig_raw_connect(&rig);
    rig_run_ms(&rig, 40);
    assert_int_equal(rig.servers_count, 3);
    assert_true(rig.acceptor.starved);
    close_first_three(&rig);
    rig_run(&rig, all_five);
    assert_false(rig.acceptor.starved);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    rig_close(&rig);
}

static bool is_starved(struct rig *rig)
{
    return rig->acceptor.starved;
}

/* In a child: the limit cannot be taken back, and a failed assertion must not run on. */
static int starve_and_recover(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    int fds[5];
    for (int i = 0; i < 5; i++)
        fds[i] = rig_raw_connect(&rig);
    const struct rlimit limit = {64, 64};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 10;
    int hog[64];
    int hogs = 0;
    while ((hog[hogs] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        hogs++;
    close(hog[--hogs]);
    close(hog[--hogs]); /* room for two of five */
    rig_run(&rig, is_starved);
    if (rig.servers_count != 2)
        return 11;
    if (stream_connect(rig.loop, listener_address(rig.listener), &end_ops, NULL))
        return 12; /* no descriptor, so no stream */
    uint64_t turns = loop_stats(rig.loop)->turns;
    rig_run_ms(&rig, 300);
    if (rig.servers_count != 2 || loop_stats(rig.loop)->accepts_starved < 2)
        return 13;
    if (loop_stats(rig.loop)->turns - turns > 1000)
        return 14; /* it spins */
    while (hogs > 0)
        close(hog[--hogs]);
    rig_run(&rig, all_five);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    rig_close(&rig);
    return 0;
}

static void test_out_of_files(void **state)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(starve_and_recover(state));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- shards ---- */

#define SHARDS 4

static unsigned came[SHARDS];

static void count_shard(struct acceptor *a, struct stream *s)
{
    came[a->shard]++;
    stream_close(&s, STREAM_CLOSE_NORMAL);
}

static bool all_came(struct rig *rig)
{
    (void)rig;
    return came[0] + came[1] + came[2] + came[3] == 40;
}

static void test_shards_share_a_port(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    const struct listener_options options = {
        .address = {.kind = ADDRESS_V4, .ip = {127, 0, 0, 1}},
        .shards = SHARDS,
        .defer_accept = true,
    };
    char why[LISTENER_WHY_MAX];
    assert_int_equal(listener_open(&options, &rig.listener, why), 0);
    assert_true(listener_address(rig.listener)->port != 0);
    struct acceptor acceptors[SHARDS];
    memset(came, 0, sizeof came);
    for (uint32_t i = 0; i < SHARDS; i++)
        assert_int_equal(
            acceptor_start(rig.loop, &acceptors[i], rig.listener, i, count_shard, &rig), 0);
    int fds[40];
    for (int i = 0; i < 40; i++) {
        fds[i] = rig_raw_connect(&rig);
        assert_int_equal(send(fds[i], "x", 1, 0), 1);
    }
    rig_run(&rig, all_came);
    unsigned used = 0;
    for (unsigned i = 0; i < SHARDS; i++)
        used += came[i] > 0;
    assert_true(used > 1); /* 40 connections on one of 4 shards: 4^-39 */
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    for (unsigned i = 0; i < SHARDS; i++)
        acceptor_stop(&acceptors[i]);
    listener_close(&rig.listener);
    rig_close(&rig);
}

/* A second acceptor at the same shard takes what the first leaves, and neither takes the other's.
 */
static void test_two_at_a_shard(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    acceptor_pause(&rig.acceptor, true);
    int fds[40];
    for (int i = 0; i < 20; i++)
        fds[i] = rig_raw_connect(&rig);
    struct acceptor second;
    memset(came, 0, sizeof came);
    assert_int_equal(acceptor_start(rig.loop, &second, rig.listener, 0, count_shard, &rig), 0);
    for (int i = 20; i < 40; i++)
        fds[i] = rig_raw_connect(&rig);
    rig_run(&rig, all_came);
    assert_int_equal(rig.servers_count, 0);
    acceptor_stop(&second);
    acceptor_pause(&rig.acceptor, false);
    int again = rig_raw_connect(&rig);
    rig_run(&rig, one_server);
    close(again);
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    rig_close(&rig);
}

/* ---- fairness ---- */

static struct buf *held[32];
static uint64_t turn_of_last;
static unsigned receives_in_turn;
static unsigned receives_most;

static void count_receives(struct end *e, struct slice in)
{
    (void)in;
    uint64_t turn = loop_stats(e->rig->loop)->turns;
    receives_in_turn = turn == turn_of_last ? receives_in_turn + 1 : 1;
    turn_of_last = turn;
    receives_most = MAX(receives_most, receives_in_turn);
}

static void count_on_accept(struct end *server)
{
    server->on_data = count_receives;
}

static bool all_received(struct rig *rig)
{
    return rig->server0.received == (uint64_t)(uintptr_t)rig->user;
}

/* While receivers hold the large buffers, 16 KiB come at a time: what a unix socket holds then
 * takes more than one turn. */
static void test_share_of_a_turn(void **state)
{
    struct rig rig;
    char where[64];
    snprintf(where, sizeof where, "unix:/tmp/test-io-share-%ld.sock", (long)getpid());
    rig_open(&rig, state, where);
    rig.on_accepted = count_on_accept;
    for (unsigned i = 0; i < 32; i++)
        held[i] = buf_get(rig.loop, 262144);
    int fd = rig_raw_connect(&rig);
    char block[8192];
    memset(block, 'x', sizeof block);
    size_t total = 0;
    while (send(fd, block, sizeof block, MSG_DONTWAIT) > 0)
        total += sizeof block;
    assert_true(total > 4 * 16384);
    rig.user = (void *)(uintptr_t)total;
    receives_most = 0;
    rig_run(&rig, all_received);
    assert_int_equal(receives_most, 4);
    close(fd);
    for (unsigned i = 0; i < 32; i++)
        buf_put(&held[i]);
    rig_close(&rig);
}

/* No buffer at all: receiving waits and goes on once there is one again. */
static void test_no_buffers(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    uint32_t most[BUF_CLASSES];
    for (unsigned c = 0; c < BUF_CLASSES; c++) {
        most[c] = rig.loop->bufs.pool[c].used_max;
        rig.loop->bufs.pool[c].used_max = 0;
    }
    int fd = rig_raw_connect(&rig);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    rig.user = (void *)5;
    rig_run(&rig, one_server);
    uint64_t turns = loop_stats(rig.loop)->turns;
    rig_run_ms(&rig, 40);
    assert_int_equal(rig.server0.received, 0);
    assert_true(loop_stats(rig.loop)->receives_starved > 0);
    assert_true(loop_stats(rig.loop)->turns - turns < 1000); /* it does not spin */
    for (unsigned c = 0; c < BUF_CLASSES; c++)
        rig.loop->bufs.pool[c].used_max = most[c];
    rig_run(&rig, all_received);
    close(fd);
    rig_close(&rig);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"pause", test_pause},
        {"stop inside accepted", test_stop_inside_accepted},
        {"a crowd", test_a_crowd},
        {"streams_max", test_streams_max},
        {"out of files", test_out_of_files},
        {"shards share a port", test_shards_share_a_port},
        {"two accept at a shard", test_two_at_a_shard},
        {"a stream's share of a turn", test_share_of_a_turn},
        {"no buffers", test_no_buffers},
    };
    return rig_main("accept", tests, ARRAY_LEN(tests));
}

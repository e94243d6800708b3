/* SPDX-License-Identifier: MIT */
/* Whole messages with descriptors, the bounds of both, and the end of the other side. */
#include "io/channel.h"

#include "io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int ends[2];
static struct channel_message m;

static int open_pair(void **state)
{
    (void)state;
    return channel_pair(ends);
}

static int close_pair(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
        ends[i] = -1;
    }
    return 0;
}

static void put(const char *text)
{
    m.byte_count = (uint32_t)strlen(text);
    m.fd_count = 0;
    memcpy(m.bytes, text, m.byte_count);
}

static void test_bounds_are_kept(void **state)
{
    (void)state;
    put("one");
    assert_int_equal(channel_send(ends[0], &m, 0), CHANNEL_OK);
    put("second");
    assert_int_equal(channel_send(ends[0], &m, 0), CHANNEL_OK);
    assert_int_equal(channel_receive(ends[1], &m, 0), CHANNEL_OK);
    assert_int_equal(m.byte_count, 3);
    assert_memory_equal(m.bytes, "one", 3);
    assert_int_equal(channel_receive(ends[1], &m, 0), CHANNEL_OK);
    assert_int_equal(m.byte_count, 6);
    assert_int_equal(channel_receive(ends[1], &m, 0), CHANNEL_NOTHING);
    assert_int_equal(channel_receive(ends[1], &m, 20), CHANNEL_NOTHING);
}

static void test_as_many_descriptors_as_fit(void **state)
{
    (void)state;
    int pipe_ends[2];
    char byte = 0;
    assert_int_equal(pipe(pipe_ends), 0);
    put("x");
    for (m.fd_count = 0; m.fd_count < CHANNEL_FDS_MAX; m.fd_count++)
        m.fds[m.fd_count] = pipe_ends[1];
    assert_int_equal(channel_send(ends[0], &m, 0), CHANNEL_OK);
    assert_int_equal(channel_receive(ends[1], &m, 0), CHANNEL_OK);
    assert_int_equal(m.fd_count, CHANNEL_FDS_MAX);
    assert_int_equal(write(m.fds[CHANNEL_FDS_MAX - 1], "y", 1), 1);
    assert_int_equal(read(pipe_ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    channel_close_fds(&m, 0);
    close(pipe_ends[1]);
    assert_int_equal(read(pipe_ends[0], &byte, 1), 0); /* all copies are closed */
    close(pipe_ends[0]);
}

/* What is longer than a message may be is refused whole. */
static void test_too_long(void **state)
{
    (void)state;
    static char bytes[CHANNEL_BYTES_MAX + 1];
    assert_int_equal(send(ends[0], bytes, sizeof(bytes), 0), (int)sizeof(bytes));
    assert_int_equal(channel_receive(ends[1], &m, 0), CHANNEL_FAILED);
}

static void test_the_other_end(void **state)
{
    (void)state;
    put("last words");
    assert_int_equal(channel_send(ends[0], &m, 0), CHANNEL_OK);
    close(ends[0]);
    ends[0] = -1;
    assert_int_equal(channel_receive(ends[1], &m, 0), CHANNEL_OK);
    assert_int_equal(channel_receive(ends[1], &m, 1000), CHANNEL_ENDED);
    put("x");
    assert_int_equal(channel_send(ends[1], &m, 0), CHANNEL_ENDED);
}

static void test_no_room(void **state)
{
    (void)state;
    enum channel_result r = CHANNEL_OK;
    put("x");
    for (int i = 0; i < 100000 && r == CHANNEL_OK; i++)
        r = channel_send(ends[0], &m, 0);
    assert_int_equal(r, CHANNEL_NOTHING);
    assert_int_equal(channel_send(ends[0], &m, 20), CHANNEL_NOTHING);
}

struct heard {
    struct loop *loop;
    struct channel_watch *watch;
    int count;
};

static void on_heard(void *user)
{
    struct heard *h = user;
    assert_int_equal(channel_receive(ends[1], &m, 0), CHANNEL_OK);
    if (++h->count < 2)
        return;
    channel_watch_close(&h->watch); /* in its own callback */
    loop_stop(h->loop);
}

static void test_watch(void **state)
{
    (void)state;
    struct heard h = {};
    const struct loop_options options = {};
    assert_int_equal(loop_new(&options, &h.loop), 0);
    assert_int_equal(channel_watch_open(h.loop, ends[1], on_heard, &h, &h.watch), 0);
    put("x");
    assert_int_equal(channel_send(ends[0], &m, 0), CHANNEL_OK);
    assert_int_equal(channel_send(ends[0], &m, 0), CHANNEL_OK);
    loop_run(h.loop);
    assert_int_equal(h.count, 2);
    assert_null(h.watch);
    loop_free(&h.loop);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)
    const struct CMUnitTest tests[] = {
        CASE(test_bounds_are_kept), CASE(test_as_many_descriptors_as_fit),
        CASE(test_too_long),        CASE(test_the_other_end),
        CASE(test_no_room),         CASE(test_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

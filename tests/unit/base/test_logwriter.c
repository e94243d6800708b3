/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/logwriter.h"

/* Generous: it only bounds how long a failing test takes. */
#define WAIT_MS 20000

static char dir[] = "/tmp/test_logwriter.XXXXXX";
static char path[64], old_path[64];
static struct logwriter *lw;

static int setup(void **state)
{
    (void)state;
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    (void)snprintf(old_path, sizeof(old_path), "%s/log.1", dir);
    assert_int_equal(logwriter_new(&lw), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    logwriter_stop(&lw);
    assert_null(lw);
    (void)unlink(path);
    (void)unlink(old_path);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static char *contents(const char *name)
{
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    static char text[1 << 22];
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = '\0';
    (void)fclose(f);
    return text;
}

static void put(struct logring *ring, const char *line)
{
    assert_true(logring_write(ring, line, strlen(line)));
}

static void lines_reach_the_file_in_order(void **state)
{
    (void)state;
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, path, &sink), 0);
    struct logring *ring = logring_new(sink, 4096);
    put(ring, "one\n");
    put(ring, "two\n");
    assert_true(logwriter_flush(lw, WAIT_MS));
    assert_string_equal(contents(path), "one\ntwo\n");
    assert_int_equal(logsink_stats(sink).bytes_written, 8);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0); /* nobody else reads logs by default */
    put(ring, "three\n");
    logring_close(&ring); /* a closed ring is drained, too */
    assert_true(logwriter_flush(lw, WAIT_MS));
    assert_string_equal(contents(path), "one\ntwo\nthree\n");
    logsink_close(&sink);
}

static void stop_drains(void **state)
{
    (void)state;
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, path, &sink), 0);
    struct logring *ring = logring_new(sink, 4096);
    put(ring, "last words\n");
    logwriter_stop(&lw);
    assert_string_equal(contents(path), "last words\n");
}

static void same_path_is_the_same_sink(void **state)
{
    (void)state;
    struct logsink *a, *b;
    assert_int_equal(logwriter_open(lw, path, &a), 0);
    assert_int_equal(logwriter_open(lw, path, &b), 0);
    assert_ptr_equal(a, b);
    logsink_close(&a);
    struct logring *ring = logring_new(b, 64); /* still open through the other reference */
    put(ring, "here\n");
    logring_close(&ring);
    logsink_close(&b);
    assert_true(logwriter_flush(lw, WAIT_MS));
    assert_string_equal(contents(path), "here\n");
}

static void errors_of_open_are_returned(void **state)
{
    (void)state;
    struct logsink *sink = NULL;
    assert_int_equal(logwriter_open(lw, "/nonexistent/dir/log", &sink), -ENOENT);
    assert_int_equal(logwriter_open(lw, dir, &sink), -EISDIR);
    assert_null(sink);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(logwriter_open(lw, path, &sink), -ENXIO); /* no reader: no waiting */
    logsink_close(&sink);
    struct logring *ring = NULL;
    logring_close(&ring);
}

static void reopen_follows_rotation(void **state)
{
    (void)state;
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, path, &sink), 0);
    struct logring *ring = logring_new(sink, 4096);
    put(ring, "before\n");
    assert_int_equal(rename(path, old_path), 0);
    logwriter_reopen(lw);
    assert_true(logwriter_flush(lw, WAIT_MS));
    put(ring, "after\n");
    assert_true(logwriter_flush(lw, WAIT_MS));
    assert_string_equal(contents(old_path), "before\n");
    assert_string_equal(contents(path), "after\n");
    assert_int_equal(logsink_stats(sink).open_errors, 0);
}

static void full_disk_is_counted_and_survived(void **state)
{
    (void)state;
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, "/dev/full", &sink), 0);
    struct logring *ring = logring_new(sink, 128);
    put(ring, "does not fit the disk\n");
    while (logsink_stats(sink).write_errors == 0)
        (void)logwriter_flush(lw, 20);
    assert_false(logwriter_flush(lw, 20));
    char line[101];
    memset(line, 'x', sizeof(line));
    line[100] = '\n';
    while (logring_write(ring, line, sizeof(line)))
        continue;
    assert_int_equal(logring_dropped(ring), 1);
    logring_close(&ring);
    assert_int_equal(logsink_stats(sink).records_dropped, 1);
}

static void record_larger_than_the_ring_is_dropped(void **state)
{
    (void)state;
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, path, &sink), 0);
    struct logring *ring = logring_new(sink, 64);
    char line[65];
    memset(line, 'x', sizeof(line));
    line[64] = '\n';
    assert_false(logring_write(ring, line, 65));
    line[63] = '\n';
    assert_true(logring_write(ring, line, 64)); /* exactly full */
    assert_true(logwriter_flush(lw, WAIT_MS));
    assert_int_equal(strlen(contents(path)), 64);
}

static void records_wrap_around(void **state)
{
    (void)state;
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, path, &sink), 0);
    struct logring *ring = logring_new(sink, 64);
    char text[64 * 40];
    struct writer expected = writer_of(text, sizeof(text));
    for (int i = 0; i < 64; i++) {
        char line[40];
        (void)snprintf(line, sizeof(line), "%0*d\n", 1 + i % 37, i % 10);
        put(ring, line);
        w_str(&expected, line);
        assert_true(logwriter_flush(lw, WAIT_MS));
    }
    assert_string_equal(contents(path), w_cstr(&expected));
}

static void set_file_size_limit(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A write that ends inside a record: once there is room again, that record is finished first. */
static void short_write_is_finished_before_others(void **state)
{
    (void)state;
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, path, &sink), 0);
    struct logring *other = logring_new(sink, 4096); /* comes first in each turn */
    struct logring *torn = logring_new(sink, 4096);
    char text[1024];
    struct writer expected = writer_of(text, sizeof(text));
    for (int i = 0; i < 10; i++)
        w_str(&expected, "a line of twenty-four b\n");
    set_file_size_limit(100);
    put(torn, w_cstr(&expected));
    while (logsink_stats(sink).write_errors == 0)
        (void)logwriter_flush(lw, 20);
    assert_int_equal(strlen(contents(path)), 100);
    put(other, "another line\n");
    (void)logwriter_flush(lw, 200);
    set_file_size_limit(0);
    assert_true(logwriter_flush(lw, WAIT_MS));
    w_str(&expected, "another line\n");
    assert_string_equal(contents(path), w_cstr(&expected));
}

/* Standard output is shared and blocking: a stalled reader must not hold the thread in write(2). */
static void stalled_stdout_blocks_nobody(void **state)
{
    (void)state;
    int fds[2], saved = dup(STDOUT_FILENO);
    struct logsink *out, *quick;
    (void)fflush(stdout);
    assert_int_equal(pipe(fds), 0);
    (void)dup2(fds[1], STDOUT_FILENO);
    int error = logwriter_open(lw, "-", &out);
    (void)dup2(saved, STDOUT_FILENO);
    (void)close(saved);
    (void)close(fds[1]);
    assert_int_equal(error, 0);
    assert_int_equal(logwriter_open(lw, path, &quick), 0);
    struct logring *ring = logring_new(out, 512 * 1024);
    char line[1000];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (int i = 0; i < 300; i++)
        assert_true(logring_write(ring, line, sizeof(line)));
    struct logring *quick_ring = logring_new(quick, 64);
    put(quick_ring, "not held up\n");
    for (int tries = 0; logsink_stats(quick).bytes_written == 0; tries++) {
        (void)logwriter_flush(lw, 20);
        assert_true(tries < WAIT_MS / 20);
    }
    (void)close(fds[0]); /* the reader goes away: an error, not a signal */
    while (logsink_stats(out).write_errors == 0)
        (void)logwriter_flush(lw, 20);
}

/* A reader that stalls stops its own log only, and gets whole lines when it goes on. */
static void stalled_pipe_blocks_nobody(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    struct logsink *slow, *quick;
    assert_int_equal(logwriter_open(lw, path, &slow), 0);
    assert_int_equal(logwriter_open(lw, old_path, &quick), 0);
    struct logring *slow_ring = logring_new(slow, 256 * 1024);
    struct logring *quick_ring = logring_new(quick, 4096);
    enum { LINES = 2000 };
    char line[128];
    for (int i = 0; i < LINES; i++) {
        int n = snprintf(line, sizeof(line), "%06d %060d\n", i, 0);
        (void)logring_write(slow_ring, line, (size_t)n);
    }
    assert_false(logwriter_flush(lw, 100)); /* more than a pipe holds */
    put(quick_ring, "not held up\n");
    while (logsink_stats(quick).bytes_written == 0)
        (void)logwriter_flush(lw, 20);

    static char text[LINES * 128];
    size_t n = 0;
    while (n < (size_t)LINES * 68) {
        ssize_t got = read(reader, text + n, sizeof(text) - n);
        if (got > 0)
            n += (size_t)got;
        else
            (void)logwriter_flush(lw, 20);
    }
    for (int i = 0; i < LINES; i++)
        assert_int_equal(strtol(text + (size_t)i * 68, NULL, 10), i);
    (void)close(reader);
}

struct producer {
    struct logsink *sink;
    int id;
    unsigned sent;
    unsigned refused; /* and tried again */
    pthread_t thread;
};

enum { PRODUCERS = 4, RECORDS = 5000 };

static void *produce(void *arg)
{
    struct producer *p = arg;
    struct logring *ring = logring_new(p->sink, 256);
    char line[64];
    for (unsigned i = 0; i < RECORDS; i++) {
        int n = snprintf(line, sizeof(line), "%d %u %.*s\n", p->id, i, (int)(i % 40),
                         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop");
        bool sent = logring_write(ring, line, (size_t)n);
        while (!sent && i % 2) { /* half of them insist, so that rings wrap many times */
            (void)sched_yield();
            p->refused++;
            sent = logring_write(ring, line, (size_t)n);
        }
        p->sent += sent;
    }
    logring_close(&ring);
    return NULL;
}

/* Lines of many producers arrive whole, each producer's in order, and sent + dropped = all, while
 * the files are reopened. */
static void many_producers_never_interleave(void **state)
{
    (void)state;
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, path, &sink), 0);
    struct producer producers[PRODUCERS];
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.sink = sink, .id = i};
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    for (int i = 0; i < 20; i++)
        logwriter_reopen(lw);
    unsigned sent = 0, refused = 0;
    for (int i = 0; i < PRODUCERS; i++) {
        (void)pthread_join(producers[i].thread, NULL);
        sent += producers[i].sent;
        refused += producers[i].refused;
    }
    assert_true(logwriter_flush(lw, WAIT_MS));
    assert_int_equal(sent + logsink_stats(sink).records_dropped, PRODUCERS * RECORDS + refused);
    struct span text = span_cstr(contents(path));
    unsigned lines = 0;
    int64_t last[PRODUCERS] = {-1, -1, -1, -1};
    while (!span_empty(text)) {
        struct span line = span_cut(&text, '\n');
        uint64_t id, seq;
        assert_true(span_to_u64(span_cut(&line, ' '), &id));
        assert_true(span_to_u64(span_cut(&line, ' '), &seq));
        assert_true(id < PRODUCERS);
        assert_true((int64_t)seq > last[id]);
        assert_int_equal(line.n, seq % 40);
        last[id] = (int64_t)seq;
        lines++;
    }
    assert_int_equal(lines, sent);
}

static void limits_are_kept(void **state)
{
    (void)state;
    struct logsink *sinks[LOG_SINKS_MAX], *more;
    char name[96];
    for (int i = 0; i < LOG_SINKS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "/dev/../dev/%.*snull", i * 2,
                       "./././././././././././././././.");
        assert_int_equal(logwriter_open(lw, name, &sinks[i]), 0);
    }
    assert_int_equal(logwriter_open(lw, path, &more), -ENOSPC);
    for (int i = 0; i < LOG_SINKS_MAX; i++)
        logsink_close(&sinks[i]);
    assert_true(logwriter_flush(lw, WAIT_MS)); /* closed ones make room */
    assert_int_equal(logwriter_open(lw, path, &more), 0);
    logsink_close(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_reach_the_file_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_drains, setup, teardown),
        cmocka_unit_test_setup_teardown(same_path_is_the_same_sink, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_of_open_are_returned, setup, teardown),
        cmocka_unit_test_setup_teardown(reopen_follows_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_is_counted_and_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(record_larger_than_the_ring_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(records_wrap_around, setup, teardown),
        cmocka_unit_test_setup_teardown(short_write_is_finished_before_others, setup, teardown),
        cmocka_unit_test_setup_teardown(stalled_stdout_blocks_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(stalled_pipe_blocks_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(many_producers_never_interleave, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_are_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Rings whose records become lines on the writer thread. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/logwriter.h"

/* Generous: it only bounds how long a failing test takes. */
#define WAIT_MS 20000

static char dir[] = "/tmp/test_formatted.XXXXXX";
static char path[64];
static struct logwriter *lw;

static int setup(void **state)
{
    (void)state;
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    assert_int_equal(logwriter_new(&lw), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    logwriter_stop(&lw);
    (void)unlink(path);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

/* The records of these tests: a number, and how many bytes of filling follow it. */
struct record {
    uint32_t number;
    uint32_t filling;
    uint8_t bytes[200];
};

#define RECORD_BYTES(filling) (offsetof(struct record, bytes) + (filling))

/* "000042 xxxx": as long as the record; odd ones of ten are left out. */
static size_t format_record(void *user, struct span packed, char *out, size_t size)
{
    if (user != &lw)
        abort();
    struct record r;
    if (size < ACCESS_RECORD_MAX || packed.n > sizeof(r))
        abort();
    memcpy(&r, packed.p, packed.n);
    if (packed.n != RECORD_BYTES(r.filling))
        abort();
    if (r.number % 10 == 9)
        return 0;
    int n = snprintf(out, size, "%06u %0*d\n", r.number, (int)r.filling + 1, 0);
    return (size_t)n;
}

/* Filling with line ends and NULs in it: records are not text. */
static bool put_record(struct logring *ring, uint32_t number)
{
    struct record r = {.number = number, .filling = number % 197};
    memset(r.bytes, number % 2 ? '\n' : 0, sizeof(r.bytes));
    return logring_write(ring, &r, RECORD_BYTES(r.filling));
}

static void check_line(const char *line, uint32_t number)
{
    char expected[256];
    (void)snprintf(expected, sizeof(expected), "%06u %0*d\n", number, (int)(number % 197) + 1, 0);
    assert_string_equal(line, expected);
}

/* Reads lines and expects all numbers but those left out. */
static void check_lines(FILE *f, uint32_t count)
{
    char line[256];
    for (uint32_t i = 0; i < count; i++) {
        if (i % 10 == 9)
            continue;
        assert_non_null(fgets(line, sizeof(line), f));
        check_line(line, i);
    }
}

/* A ring of few records, so that each length and each record wraps around at some time. */
static void records_of_every_length_wrap_around(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, path, &sink), 0);
    struct logring *ring = logring_new_formatted(sink, 512, format_record, &lw);
    for (uint32_t i = 0; i < COUNT; i++) {
        while (!put_record(ring, i))
            assert_true(logwriter_flush(lw, WAIT_MS));
    }
    logring_close(&ring);
    assert_true(logwriter_flush(lw, WAIT_MS));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    check_lines(f, COUNT);
    assert_int_equal(fgetc(f), EOF);
    (void)fclose(f);
    logsink_close(&sink);
}

/* A pipe takes less than there is; what is made of records already waits, whole and in order. */
static void a_slow_reader_gets_every_line(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, path, &sink), 0);
    struct logring *ring = logring_new_formatted(sink, 1024 * 1024, format_record, &lw);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_true(put_record(ring, i));
    assert_false(logwriter_flush(lw, 100)); /* more than a pipe holds */
    assert_int_equal(logring_dropped(ring), 0);
    assert_int_equal(fcntl(reader, F_SETFL, 0), 0);
    FILE *f = fdopen(reader, "r");
    assert_non_null(f);
    check_lines(f, COUNT);
    assert_true(logwriter_flush(lw, WAIT_MS));
    (void)fclose(f);
    logring_close(&ring);
    logsink_close(&sink);
}

static void a_full_ring_drops_and_counts(void **state)
{
    (void)state;
    struct logsink *sink;
    assert_int_equal(logwriter_open(lw, "/dev/full", &sink), 0);
    struct logring *ring = logring_new_formatted(sink, 512, format_record, &lw);
    uint64_t refused = 0;
    for (uint32_t i = 0; i < 100000; i++)
        refused += put_record(ring, i) ? 0 : 1;
    assert_true(refused > 0);
    assert_int_equal(logring_dropped(ring), refused);
    logring_close(&ring);
    logsink_close(&sink);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_of_every_length_wrap_around, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_reader_gets_every_line, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_ring_drops_and_counts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/logwriter.h"
#include "base/rng.h"

#define STAMP_MS 1795251600123 /* 2026-11-21T09:00:00.123Z */

static char line[LOG_LINE_MAX + 1];

static const char *format_line(enum log_format format, const char *message)
{
    size_t n = log_format_line(line, LOG_LINE_MAX, format, STAMP_MS, LOG_LEVEL_INFO, "health",
                               span_cstr(message));
    assert_true(n <= LOG_LINE_MAX);
    line[n] = '\0';
    return line;
}

static void text_lines(void **state)
{
    (void)state;
    assert_string_equal(
        format_line(LOG_FORMAT_TEXT, "backend is down pool=app backend=B2"),
        "2026-11-21T09:00:00.123Z info  health  backend is down pool=app backend=B2\n");
    assert_string_equal(format_line(LOG_FORMAT_TEXT, "a\nb\x1b[2J v=\"x\\n\""),
                        "2026-11-21T09:00:00.123Z info  health  a\\nb\\x1b[2J v=\"x\\n\"\n");
}

static void json_lines(void **state)
{
    (void)state;
    const char *head =
        "{\"time\":\"2026-11-21T09:00:00.123Z\",\"level\":\"info\",\"area\":\"health\",";
    const struct {
        const char *in, *out;
    } cases[] = {
        {"backend is down pool=app after=3",
         "\"message\":\"backend is down\",\"pool\":\"app\",\"after\":\"3\"}\n"},
        {"", "\"message\":\"\"}\n"},
        {"a=\"two words\" b=c", "\"message\":\"\",\"a\":\"two words\",\"b\":\"c\"}\n"},
        {"a=\"q\\\"q \\x1b\\n\" done", "\"message\":\"done\",\"a\":\"q\\\"q \\u001b\\n\"}\n"},
        {"a= =b 1=2", "\"message\":\"=b 1=2\",\"a\":\"\"}\n"},
        {"a=\"never ends", "\"message\":\"\",\"a\":\"never ends\"}\n"},
        {"x\ny \xff", "\"message\":\"x\\ny \xef\xbf\xbd\"}\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = format_line(LOG_FORMAT_JSON, cases[i].in);
        assert_int_equal(strncmp(got, head, strlen(head)), 0);
        assert_string_equal(got + strlen(head), cases[i].out);
    }
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    static char message[3 * LOG_LINE_MAX];
    memset(message, 'x', sizeof(message) - 1);
    const char *text = format_line(LOG_FORMAT_TEXT, message);
    assert_int_equal(strlen(text), LOG_LINE_MAX);
    assert_string_equal(text + LOG_LINE_MAX - 6, "xx...\n");
    const char *json = format_line(LOG_FORMAT_JSON, message);
    assert_true(span_ends(span_cstr(json), span_str("x...\"}\n")));

    /* Fields go as a whole, and the line says that some are missing. */
    message[1000] = '\0';
    memcpy(message, "m a=1 b=", 8);
    message[500] = ' ';
    memcpy(message + 501, "c=", 2);
    char small[600];
    size_t n = log_format_line(small, sizeof(small), LOG_FORMAT_JSON, STAMP_MS, LOG_LEVEL_WARN,
                               "config", span_cstr(message));
    struct span got = span_of(small, n);
    assert_true(span_ends(got, span_str(",\"truncated\":true}\n")));
    assert_true(span_find_span(got, span_str("\"a\":\"1\"")) != SPAN_NOT_FOUND);
}

/* Random bytes in, one printable line out, at any buffer size; JSON stays JSON. */
static void any_bytes_make_one_line(void **state)
{
    (void)state;
    struct rng rng = rng_seed(15);
    static const char interesting[] = "= \"\\nx\n\r\x1b\xe2\x82\xac{}";
    for (int i = 0; i < 20000; i++) {
        uint8_t message[400];
        size_t n = rng_below(&rng, sizeof(message));
        for (size_t j = 0; j < n; j++)
            message[j] = rng_chance(&rng, 0.6)
                             ? (uint8_t)interesting[rng_below(&rng, sizeof(interesting) - 1)]
                             : (uint8_t)rng_u64(&rng);
        enum log_format format = i % 2 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
        size_t size = 256 + rng_below(&rng, 700);
        char *out = test_malloc(size);
        size_t got = log_format_line(out, size, format, STAMP_MS, LOG_LEVEL_DEBUG, "area",
                                     span_of(message, n));
        struct span s = span_of(out, got);
        assert_true(got <= size);
        assert_int_equal(span_find(s, '\n'), got - 1);
        for (size_t j = 0; j + 1 < got; j++)
            assert_false(ascii_is_control((uint8_t)out[j]));
        if (format == LOG_FORMAT_JSON) {
            json_t *json = json_loadb(out, got, JSON_ALLOW_NUL, NULL);
            assert_non_null(json);
            json_decref(json);
        }
        test_free(out);
    }
}

static void values_are_quoted_when_needed(void **state)
{
    (void)state;
    char buf[32], small[8];
    assert_string_equal(log_value(buf, sizeof(buf), span_str("plain-1.2:3")), "plain-1.2:3");
    assert_string_equal(log_value(buf, sizeof(buf), span_str("two words")), "\"two words\"");
    assert_string_equal(log_value(buf, sizeof(buf), span_str("")), "\"\"");
    assert_string_equal(log_value(buf, sizeof(buf), span_str("a\" level=x\n")),
                        "\"a\\\" level=x\\n\"");
    assert_string_equal(log_value(small, sizeof(small), span_str("abcdefg")), "abcdefg");
    assert_string_equal(log_value(small, sizeof(small), span_str("abcdefgh")), "abcd...");
    assert_string_equal(log_value(small, sizeof(small), span_str("a cdefgh")), "\"a ...\"");
}

static void levels(void **state)
{
    (void)state;
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    log_set_level(LOG_LEVEL_DEBUG);
    assert_true(log_enabled(LOG_LEVEL_DEBUG));
    log_set_level(LOG_LEVEL_INFO);
}

static size_t read_file(const char *path, char *buf, size_t size)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(buf, 1, size - 1, f);
    (void)fclose(f);
    buf[n] = '\0';
    return n;
}

static unsigned count_lines(struct span text, struct span containing)
{
    unsigned n = 0;
    while (!span_empty(text))
        n += span_find_span(span_cut(&text, '\n'), containing) != SPAN_NOT_FOUND;
    return n;
}

enum { THREADS = 4, EVENTS = 2000 };

static void *log_much(void *arg)
{
    for (int i = 0; i < EVENTS; i++)
        log_info("test", "event thread=%d number=%d", *(int *)arg, i);
    return NULL;
}

static void threads_log_to_a_file(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_log.XXXXXX", path[64], other[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    (void)snprintf(other, sizeof(other), "%s/other", dir);
    struct logwriter *lw;
    assert_int_equal(logwriter_new(&lw), 0);
    assert_int_equal(log_start(lw, "/nonexistent/dir/log", LOG_FORMAT_TEXT), -ENOENT);
    assert_int_equal(log_start(lw, path, LOG_FORMAT_TEXT), 0);
    log_debug("test", "below the level");
    pthread_t threads[THREADS];
    int ids[THREADS];
    for (int i = 0; i < THREADS; i++) {
        ids[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, log_much, &ids[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    log_flush();
    log_info("test", "after the storm");
    logwriter_reopen(lw);
    assert_int_equal(log_start(lw, other, LOG_FORMAT_JSON), 0); /* moves */
    log_warn("test", "moved");
    log_stop();

    static char text[1 << 20];
    struct span all = span_of(text, read_file(path, text, sizeof(text)));
    unsigned events = count_lines(all, span_str(" info  test    event thread="));
    assert_true(events + log_dropped() == THREADS * EVENTS);
    assert_int_equal(count_lines(all, span_str("lines dropped")) > 0, log_dropped() > 0);
    assert_int_equal(count_lines(all, span_str("after the storm")), 1);
    assert_int_equal(count_lines(all, span_str("below the level")), 0);
    all = span_of(text, read_file(other, text, sizeof(text)));
    assert_int_equal(count_lines(all, span_str("\"message\":\"moved\"}")), 1);
    logwriter_stop(&lw);
    assert_int_equal(unlink(path) | unlink(other) | rmdir(dir), 0);
}

static uint64_t sum_of_dropped_said(struct span text)
{
    struct span before = span_str("lines dropped, ring full count=");
    uint64_t sum = 0, count;
    while (!span_empty(text)) {
        struct span one = span_cut(&text, '\n');
        size_t at = span_find_span(one, before);
        if (at != SPAN_NOT_FOUND) {
            assert_true(span_to_u64(span_from(one, at + before.n), &count));
            sum += count;
        }
    }
    return sum;
}

/* Lines that do not fit are missing, and the log says how many. */
static void missing_lines_are_said(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_log.XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    struct logwriter *lw;
    assert_int_equal(logwriter_new(&lw), 0);
    assert_int_equal(log_start(lw, path, LOG_FORMAT_TEXT), 0);
    uint64_t dropped_before = log_dropped();
    unsigned sent = 0;
    for (; log_dropped() < dropped_before + 3; sent++)
        log_info("test", "event %0200d", 0);

    static char text[1 << 20];
    size_t n = 0;
    for (bool asked = false;;) {
        ssize_t got = read(reader, text + n, sizeof(text) - n);
        n += got > 0 ? (size_t)got : 0;
        if (got <= 0 && logwriter_flush(lw, 20)) {
            if (asked)
                break;
            log_info("test", "room again");
            asked = true;
        }
    }
    log_stop();
    logwriter_stop(&lw);
    for (ssize_t got; (got = read(reader, text + n, sizeof(text) - n)) > 0;)
        n += (size_t)got;
    uint64_t dropped = log_dropped() - dropped_before;
    struct span all = span_of(text, n);
    assert_true(sum_of_dropped_said(all) == dropped);
    assert_int_equal(count_lines(all, span_str("room again")), 1);
    assert_int_equal(count_lines(all, span_str(" event ")), sent - dropped);
    (void)close(reader);
    assert_int_equal(unlink(path) | rmdir(dir), 0);
}

static void before_start_and_after_stop_lines_go_to_stderr(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    int saved = dup(STDERR_FILENO);
    (void)dup2(fds[1], STDERR_FILENO);
    log_error("app", "cannot bind address=%s", ":80");
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    (void)close(fds[1]);
    ssize_t n = read(fds[0], line, LOG_LINE_MAX);
    (void)close(fds[0]);
    assert_true(n > 0);
    assert_true(
        span_ends(span_of(line, (size_t)n), span_str("Z error app     cannot bind address=:80\n")));
}

/* What a tap saw. */
struct seen {
    int count;
    enum log_level level;
    char area[32], message[256];
};

static void on_tap(void *user, int64_t wall_ms, enum log_level level, const char *area,
                   struct span message)
{
    struct seen *s = user;
    assert_true(wall_ms > 0);
    s->count++;
    s->level = level;
    snprintf(s->area, sizeof(s->area), "%s", area);
    assert_true(span_to_cstr(message, s->message, sizeof(s->message)));
}

static void a_tap_sees_what_is_logged(void **state)
{
    struct seen seen = {0};
    (void)state;
    log_warn("test", "before");
    log_tap(on_tap, &seen);
    log_warn("test", "words first key=%d", 7);
    log_debug("test", "above the level");
    log_tap(NULL, NULL);
    log_warn("test", "after");
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.level, LOG_LEVEL_WARN);
    assert_string_equal(seen.area, "test");
    assert_string_equal(seen.message, "words first key=7");
}

static void pieces_of_a_message(void **state)
{
    static const struct {
        const char *key, *value;
    } wanted[] = {{"", "two"}, {"", "words"}, {"a", "1"}, {"b", "x y\\\"z\\x07"}, {"", "=odd"}};
    char quoted[64];
    char message[256];
    uint8_t plain[64];
    struct log_piece piece;
    (void)state;
    snprintf(message, sizeof(message), "two words  a=1 b=%s =odd",
             log_value(quoted, sizeof(quoted), span_str("x y\"z\x07")));
    struct span rest = span_cstr(message);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        assert_true(log_piece_next(&rest, &piece));
        assert_true(span_eq(piece.key, span_cstr(wanted[i].key)));
        assert_true(span_eq(piece.value, span_cstr(wanted[i].value)));
        if (i == 3) {
            size_t n = log_unescape(piece.value, plain, sizeof(plain));
            assert_true(span_eq(span_of(plain, n), span_str("x y\"z\x07")));
            assert_int_equal(log_unescape(piece.value, plain, 2), 2);
        }
    }
    assert_false(log_piece_next(&rest, &piece));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tap_sees_what_is_logged),
        cmocka_unit_test(pieces_of_a_message),
        cmocka_unit_test(text_lines),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(any_bytes_make_one_line),
        cmocka_unit_test(values_are_quoted_when_needed),
        cmocka_unit_test(levels),
        cmocka_unit_test(threads_log_to_a_file),
        cmocka_unit_test(missing_lines_are_said),
        cmocka_unit_test(before_start_and_after_stop_lines_go_to_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

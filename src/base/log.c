/* SPDX-License-Identifier: MIT */
/*
 * The front half of the event log: from a format and its values to one safe line, and from there to
 * stderr or the ring. Formatting happens outside the lock; the lock makes the many threads that log
 * one producer for the ring.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/logwriter.h"
#include "base/str.h"

#define LINE_BYTES_MIN 256
#define FLUSH_MS_MAX   1000

static _Atomic int level_max = LOG_LEVEL_INFO;
static _Atomic int format_now = LOG_FORMAT_TEXT;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* under the lock; all NULL while lines go to stderr */
static struct logwriter *writer;
static struct logsink *sink;
static struct logring *ring;
static uint64_t dropped_total;
static uint64_t dropped_unsaid;
static log_tap_fn *tap_fn;
static void *tap_user;

/* Where lines go instead; one thread. */
static log_tap_fn *divert_fn;
static void *divert_user;

/* Whether there is a tap: the lock is not taken for nothing. */
static _Atomic bool tapped;

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

const char *log_level_name(enum log_level level)
{
    CHECK((size_t)level < ARRAY_LEN(level_names));
    return level_names[level];
}

void log_set_level(enum log_level level)
{
    CHECK((size_t)level < ARRAY_LEN(level_names));
    atomic_store_explicit(&level_max, (int)level, memory_order_relaxed);
}

enum log_level log_level(void)
{
    return (enum log_level)atomic_load_explicit(&level_max, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return level <= log_level();
}

/* ---- values ---- */

static bool value_is_plain(struct span value)
{
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = value.p[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return value.n > 0;
}

/* Prints with `spare` bytes kept free; if that does not fit, prints what fits before a "...". */
static void w_cut(struct writer *w, struct span s, size_t spare,
                  void (*print)(struct writer *, struct span))
{
    uint8_t *begin = w->at;
    uint8_t *end = w->end;
    CHECK(w_left(w) >= spare + 3);
    w->end = end - spare;
    print(w, s);
    if (!w_ok(w)) {
        w->at = begin;
        w->failed = false;
        w->end = end - spare - 3;
        print(w, s);
        w->failed = false;
        w->end = end;
        w_str(w, "...");
    }
    w->end = end;
}

static void w_value_escaped(struct writer *w, struct span s)
{
    for (size_t i = 0; i < s.n && w_ok(w); i++) {
        if (s.p[i] == '"')
            w_bytes(w, "\\\"", 2);
        else
            w_escaped(w, span_sub(s, i, 1));
    }
}

static void w_plain(struct writer *w, struct span s)
{
    size_t n = MIN(s.n, w_left(w));
    w_bytes(w, s.p, n);
    w->failed = n < s.n;
}

const char *log_value(char *buf, size_t buf_size, struct span value)
{
    CHECK(buf_size >= 8);
    struct writer w = writer_of(buf, buf_size);
    if (value_is_plain(value)) {
        w_cut(&w, value, 1, w_plain);
        return w_cstr(&w);
    }
    w_u8(&w, '"');
    w_cut(&w, value, 2, w_value_escaped);
    w_u8(&w, '"');
    return w_cstr(&w);
}

/* ---- lines ---- */

/* The message may hold what log_value() escaped, so backslashes stay as they are. */
static void w_message(struct writer *w, struct span message)
{
    while (message.n > 0 && w_ok(w)) {
        struct span rest = message;
        struct span clean = span_cut(&rest, '\\');
        w_escaped(w, clean);
        if (clean.n < message.n)
            w_u8(w, '\\');
        message = rest;
    }
}

static void w_text_line(struct writer *w, int64_t wall_ms, enum log_level level, const char *area,
                        struct span message)
{
    w_rfc3339_ms(w, wall_ms);
    w_printf(w, " %-5s %-7s ", log_level_name(level), area);
    w_cut(w, message, 1, w_message);
    w_u8(w, '\n');
}

static bool is_key(struct span s)
{
    if (s.n == 0 || !ascii_is_alpha(s.p[0]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alnum(s.p[i]) && s.p[i] != '_' && s.p[i] != '.' && s.p[i] != '-')
            return false;
    return true;
}

/* Takes a quoted value off the start of *rest; one that does not end takes everything. */
static struct span cut_quoted(struct span *rest)
{
    struct span s = span_from(*rest, 1);
    size_t n = 0;
    while (n < s.n && s.p[n] != '"')
        n += s.p[n] == '\\' ? 2 : 1;
    *rest = span_from(s, n < s.n ? n + 1 : s.n);
    return span_sub(s, 0, n);
}

bool log_piece_next(struct span *rest, struct log_piece *ret_piece)
{
    while (rest->n > 0 && rest->p[0] == ' ')
        *rest = span_from(*rest, 1);
    if (rest->n == 0)
        return false;
    struct span after = *rest;
    struct span word = span_cut(&after, ' ');
    size_t eq = span_find(word, '=');
    if (eq == SPAN_NOT_FOUND || !is_key(span_sub(word, 0, eq))) {
        *ret_piece = (struct log_piece){.value = word};
        *rest = after;
        return true;
    }
    struct span value = span_from(word, eq + 1);
    if (span_starts(value, span_str("\""))) {
        after = span_from(*rest, eq + 1);
        value = cut_quoted(&after);
    }
    *ret_piece = (struct log_piece){.key = span_sub(word, 0, eq), .value = value};
    *rest = after;
    return true;
}

/* Undoes one escape of log_value() at the start of `s`; returns the bytes it took. */
static size_t unescape_one(struct span s, uint8_t *ret_byte)
{
    *ret_byte = s.p[0];
    if (s.p[0] != '\\' || s.n < 2)
        return 1;
    uint64_t code;
    if (s.p[1] == 'x' && s.n >= 4 && span_to_u64_hex(span_sub(s, 2, 2), &code)) {
        *ret_byte = (uint8_t)code;
        return 4;
    }
    *ret_byte = s.p[1] == 'n' ? '\n' : s.p[1] == 'r' ? '\r' : s.p[1] == 't' ? '\t' : s.p[1];
    return 2;
}

size_t log_unescape(struct span value, uint8_t *buf, size_t size)
{
    size_t n = 0;
    while (value.n > 0 && n < size)
        value = span_from(value, unescape_one(value, &buf[n++]));
    return n;
}

static void w_json_value(struct writer *w, struct span escaped)
{
    uint8_t plain[LOG_LINE_MAX];
    w_json_escaped(w, span_of(plain, log_unescape(escaped, plain, sizeof(plain))));
}

/* The bare words with single spaces between them. */
static void w_json_words(struct writer *w, struct span message)
{
    struct log_piece piece;
    bool first = true;
    while (w_ok(w) && log_piece_next(&message, &piece)) {
        if (!span_empty(piece.key))
            continue;
        if (!first)
            w_u8(w, ' ');
        w_json_escaped(w, piece.value);
        first = false;
    }
}

static void w_json_fields(struct writer *w, struct span message)
{
    struct log_piece piece;
    while (log_piece_next(&message, &piece)) {
        if (span_empty(piece.key))
            continue;
        uint8_t *before = w->at;
        w_str(w, ",\"");
        w_span(w, piece.key);
        w_str(w, "\":\"");
        w_json_value(w, piece.value);
        w_str(w, "\"");
        if (!w_ok(w)) { /* a line is whole JSON or none: the field goes, the mark says so */
            w->at = before;
            return;
        }
    }
}

static void w_json_line(struct writer *w, int64_t wall_ms, enum log_level level, const char *area,
                        struct span message)
{
    static const char cut_mark[] = ",\"truncated\":true";
    size_t tail_bytes = sizeof(cut_mark) + sizeof("\"}\n");
    w_str(w, "{\"time\":\"");
    w_rfc3339_ms(w, wall_ms);
    w_printf(w, "\",\"level\":\"%s\",\"area\":\"%s\",\"message\":\"", log_level_name(level), area);
    w_cut(w, message, tail_bytes, w_json_words);
    w_u8(w, '"');
    uint8_t *end = w->end;
    w->end -= tail_bytes - 1;
    w_json_fields(w, message);
    w->end = end;
    if (!w_ok(w)) {
        w->failed = false;
        w_str(w, cut_mark);
    }
    w_str(w, "}\n");
}

size_t log_format_line(char *buf, size_t buf_size, enum log_format format, int64_t wall_ms,
                       enum log_level level, const char *area, struct span message)
{
    CHECK(buf_size >= LINE_BYTES_MIN);
    CHECK(strlen(area) <= LOG_AREA_MAX);
    struct writer w = writer_of(buf, buf_size);
    if (format == LOG_FORMAT_JSON)
        w_json_line(&w, wall_ms, level, area, message);
    else
        w_text_line(&w, wall_ms, level, area, message);
    CHECK(w_ok(&w));
    return w_len(&w);
}

/* ---- where lines go ---- */

static size_t make_line(char line[LOG_LINE_MAX], int64_t wall_ms, enum log_level level,
                        const char *area, struct span message)
{
    enum log_format format =
        (enum log_format)atomic_load_explicit(&format_now, memory_order_relaxed);
    return log_format_line(line, LOG_LINE_MAX, format, wall_ms, level, area, message);
}

/* Under the lock. Says how many lines are missing before the first that fits again. */
static void say_dropped(void)
{
    char line[LOG_LINE_MAX];
    char text[64];
    struct writer w = writer_of(text, sizeof(text));
    w_str(&w, "lines dropped, ring full count=");
    w_u64_dec(&w, dropped_unsaid);
    size_t n = make_line(line, clock_wall_ms(), LOG_LEVEL_WARN, "log", w_span_of_result(&w));
    if (logring_write(ring, line, n))
        dropped_unsaid = 0;
}

static void emit(const char *line, size_t n)
{
    (void)pthread_mutex_lock(&lock);
    if (!ring) {
        ssize_t written = write(STDERR_FILENO, line, n);
        (void)written; /* nowhere else to say it */
    } else {
        if (dropped_unsaid > 0)
            say_dropped();
        if (dropped_unsaid > 0 || !logring_write(ring, line, n)) {
            dropped_total++;
            dropped_unsaid++;
        }
        logring_wake(ring);
    }
    (void)pthread_mutex_unlock(&lock);
}

static void tap_line(int64_t wall_ms, enum log_level level, const char *area, struct span message)
{
    (void)pthread_mutex_lock(&lock);
    if (tap_fn)
        tap_fn(tap_user, wall_ms, level, area, message);
    (void)pthread_mutex_unlock(&lock);
}

void log_event(enum log_level level, const char *area, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char message[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (n < 0)
        return;
    struct span text = span_of(message, MIN((size_t)n, sizeof(message) - 1));
    if (divert_fn) {
        divert_fn(divert_user, 0, level, area, text);
        return;
    }
    char line[LOG_LINE_MAX];
    int64_t wall_ms = clock_wall_ms();
    emit(line, make_line(line, wall_ms, level, area, text));
    if (atomic_load_explicit(&tapped, memory_order_relaxed))
        tap_line(wall_ms, level, area, text);
}

void log_divert(log_tap_fn *to, void *user)
{
    divert_fn = to;
    divert_user = user;
}

void log_tap(log_tap_fn *tap, void *user)
{
    (void)pthread_mutex_lock(&lock);
    tap_fn = tap;
    tap_user = user;
    atomic_store_explicit(&tapped, tap != NULL, memory_order_relaxed);
    (void)pthread_mutex_unlock(&lock);
}

int log_start(struct logwriter *new_writer, const char *path, enum log_format format)
{
    struct logsink *new_sink;
    int error = logwriter_open(new_writer, path, &new_sink);
    if (error)
        return error;
    struct logring *new_ring = logring_new(new_sink, LOG_RING_BYTES);
    if (!new_ring) {
        logsink_close(&new_sink);
        return -ENOMEM;
    }
    (void)pthread_mutex_lock(&lock);
    logring_close(&ring);
    logsink_close(&sink);
    writer = new_writer;
    sink = new_sink;
    ring = new_ring;
    atomic_store_explicit(&format_now, (int)format, memory_order_relaxed);
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

/* The writer in use, which the main thread alone changes. */
static struct logwriter *current_writer(void)
{
    (void)pthread_mutex_lock(&lock);
    struct logwriter *lw = writer;
    (void)pthread_mutex_unlock(&lock);
    return lw;
}

void log_stop(void)
{
    log_flush();
    (void)pthread_mutex_lock(&lock);
    logring_close(&ring);
    logsink_close(&sink);
    writer = NULL;
    atomic_store_explicit(&format_now, LOG_FORMAT_TEXT, memory_order_relaxed);
    (void)pthread_mutex_unlock(&lock);
}

void log_flush(void)
{
    struct logwriter *lw = current_writer();
    if (lw)
        (void)logwriter_flush(lw, FLUSH_MS_MAX);
}

uint64_t log_dropped(void)
{
    (void)pthread_mutex_lock(&lock);
    uint64_t dropped = dropped_total;
    (void)pthread_mutex_unlock(&lock);
    return dropped;
}

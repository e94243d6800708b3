/* SPDX-License-Identifier: MIT */
/*
 * The event log: starts, health changes, reloads, errors. Not requests (that is the access log),
 * and never from leaf code, which returns reasons instead.
 *
 *   2026-11-21T09:00:00.123Z info  health  backend is down pool=app reason=connect_refused
 *   {"time":"2026-11-21T09:00:00.123Z","level":"info","area":"health","message":"backend is down",
 *    "pool":"app","reason":"connect_refused"}                      (on one line)
 *
 * The message is free words first, then key=value; a value with spaces goes in double quotes, and a
 * value from outside goes through log_value(). Control bytes are escaped, so one event is one
 * line whatever it quotes; a line ends at LOG_LINE_MAX with "...".
 *
 * Until log_start() lines go straight to stderr; after it, to a ring that the writer thread empties
 * (base/logwriter.h). Callers never wait for a file: if the ring is full the line is dropped, and
 * how many were is said in a line of its own once there is room.
 *
 * Threads: any may log. start, stop, reopen: the main thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

struct logwriter;

enum log_level {
    LOG_LEVEL_ERROR, /* somebody must act */
    LOG_LEVEL_WARN,  /* somebody should look */
    LOG_LEVEL_INFO,  /* what an operator wants to know afterwards */
    LOG_LEVEL_DEBUG, /* what a developer wants to know */
};

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* `area` is the part of the program: "health", "config", ...; at most LOG_AREA_MAX bytes. */
PRINTF(3, 4) void log_event(enum log_level level, const char *area, const char *format, ...);

#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Makes `value` safe as the right side of key=value: quoted and escaped where needed, cut to
 * the buffer. Returns `buf`. */
const char *log_value(char *buf, size_t buf_size, struct span value);

/* From now on to `path` (a file, "-", "stdout" or "stderr") through `writer`, which must outlive
 * log_stop(). Called again it moves the log to the new place. 0, or -errno: nothing changed. */
NODISCARD int log_start(struct logwriter *writer, const char *path, enum log_format format);

/* Writes what is queued and goes back to text on stderr. */
void log_stop(void);

/* Waits until all earlier lines are written, at most a second. */
void log_flush(void);

/* Lines above the level are not made. Info at the start. Any thread. */
void log_set_level(enum log_level level);
enum log_level log_level(void);
bool log_enabled(enum log_level level);

/* Lines dropped since the start. */
uint64_t log_dropped(void);

const char *log_level_name(enum log_level level);

/*
 * A tap: sees each line that is logged, before its text is made. One at a time; NULL ends it. It is
 * called on the thread that logs, under the log's lock: it copies, does not wait and does not log.
 */
typedef void log_tap_fn(void *user, int64_t wall_ms, enum log_level level, const char *area,
                        struct span message);
void log_tap(log_tap_fn *tap, void *user);

/* From now on lines go there and nowhere else, without a stamp of the clock (wall_ms is 0): for who
 * has a time of its own, a simulator. NULL ends it. While one thread logs. */
void log_divert(log_tap_fn *to, void *user);

/*
 * The pieces of a message, one after the other: bare words have an empty key; a value is without
 * its quotes and still escaped, see log_unescape. False at the end.
 */
struct log_piece {
    struct span key, value;
};
NODISCARD bool log_piece_next(struct span *rest, struct log_piece *ret_piece);

/* What a value was before log_value(); cut at `size`. Returns its length, at most value.n. */
size_t log_unescape(struct span value, uint8_t *buf, size_t size);

/* One line as log_event() makes it, newline included, for any stamp: pure, for tests and for tools
 * that print the same way. Returns bytes written, at most buf_size; buf_size at least 256. */
size_t log_format_line(char *buf, size_t buf_size, enum log_format format, int64_t wall_ms,
                       enum log_level level, const char *area, struct span message);

/* SPDX-License-Identifier: MIT */
/*
 * One thread that writes log files, so that nobody else waits for a disk.
 *
 *   producer thread --> ring --\
 *   producer thread --> ring ---+--> sink (file, stdout, stderr)     one writer thread for all
 *   producer thread --> ring --/
 *
 * A ring has one producer (one thread at a time) and the writer thread as its consumer: no lock,
 * and no system call but one wake-up when a ring fills past half while the thread sleeps. Records
 * are whole lines ending in '\n', or what a function of the ring's makes lines of on the writer
 * thread; they reach the file whole, in order per ring, within about LOGWRITER_TICK_MS.
 *
 * Nothing a file can do blocks a producer or stops the program. What does not fit a ring is dropped
 * and counted. A write that fails (disk full, reader gone) leaves the rest in the ring, is counted,
 * and is tried again on the next tick; a slow pipe or terminal is written only as far as it takes.
 *
 * Lifetime: logwriter_new -> sinks and rings come and go -> logwriter_stop. The thread does not
 * survive fork(): start it in the process that logs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/compiler.h"

#define LOGWRITER_TICK_MS 50

struct logwriter;
struct logsink;
struct logring;

/* Starts the thread, all signals blocked in it. 0, or -errno. */
NODISCARD int logwriter_new(struct logwriter **ret_writer);

/* Drains what the files take within about a second, ends the thread, closes and frees everything,
 * rings included: producers must have ended. Leaves NULL; NULL is fine. */
void logwriter_stop(struct logwriter **writer);

/* Returns when everything that was in the rings before the call is written, or after `timeout_ms`
 * (false). Any thread; for tests and orderly ends. */
bool logwriter_flush(struct logwriter *writer, unsigned timeout_ms);

/* Opens all files anew by name at the next turn of the thread, after writing what is in the rings
 * to the old ones (log rotation). A file that cannot be opened keeps its old descriptor and counts
 * an error. Any thread. */
void logwriter_reopen(struct logwriter *writer);

/* Opens a log file for appending, made 0640 if absent. A descriptor, or -errno. Any thread. */
NODISCARD int logwriter_open_file(const char *path);

/* From now on files are opened by `fn` instead, in every writer and also to reopen them: for a
 * process that may not do so itself. It answers as logwriter_open_file, on any thread. Before the
 * first writer is made, or after the last is stopped. */
typedef int logwriter_open_fn(void *user, const char *path);
void logwriter_open_with(logwriter_open_fn *fn, void *user);

/*
 * Opens a sink for appending, made 0640 if absent. "-" and "stdout" are standard output, "stderr"
 * is standard error. The same path gives the same sink. 0, or -errno of open, -ENOSPC at
 * LOG_SINKS_MAX. Each success is matched by a logsink_close(). Any thread.
 */
NODISCARD int logwriter_open(struct logwriter *writer, const char *path, struct logsink **ret_sink);

/* Gives the sink back; it closes once its rings are drained. Leaves NULL; NULL is fine. */
void logsink_close(struct logsink **sink);

struct logsink_stats {
    uint64_t bytes_written;
    uint64_t write_errors; /* failed write calls, not lost records */
    uint64_t open_errors;
    uint64_t records_dropped; /* did not fit a ring, over all rings of the sink, closed ones too */
};
struct logsink_stats logsink_stats(struct logsink *sink);

/* A ring of `bytes` (rounded up to a power of two) into a sink. NULL out of memory or at
 * LOG_RINGS_MAX. Any thread; the caller is then its producer. */
NODISCARD struct logring *logring_new(struct logsink *sink, size_t bytes);

/* The producer has ended: the ring is drained and freed. Leaves NULL; NULL is fine. */
void logring_close(struct logring **ring);

/*
 * Queues one record of whole lines. False, and counted as dropped, if it does not fit now. The
 * producer's thread only. Never blocks.
 */
bool logring_write(struct logring *ring, const void *record, size_t n);

/* Wakes the writer now instead of at its next tick, for rare lines people wait for. */
void logring_wake(struct logring *ring);

/*
 * A ring of records that are no lines yet, so that the producer need not make text. The writer
 * thread calls `format` for each, in order: it writes whole lines to `out`, whose `size` is at
 * least ACCESS_RECORD_MAX, and returns how many bytes; 0 leaves the record out. The record lies at
 * a multiple of 8 and is gone afterwards. `user` is for that thread alone. The function logs
 * nothing and does not wait.
 */
typedef size_t logring_format_fn(void *user, struct span record, char *out, size_t size);
NODISCARD struct logring *logring_new_formatted(struct logsink *sink, size_t bytes,
                                                logring_format_fn *format, void *user);

/*
 * Room in a ring of such records for one of `n` bytes, 1 to ACCESS_RECORD_MAX, to be written in
 * place; NULL, and counted as dropped, if it does not fit now. What is at most half as long as the
 * ring fits an empty one. logring_commit queues what logring_reserve gave last; without it nothing
 * has happened. logring_write does both. The producer's thread only. Neither ever blocks.
 */
NODISCARD void *logring_reserve(struct logring *ring, size_t n);
void logring_commit(struct logring *ring);

uint64_t logring_dropped(const struct logring *ring);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Inside the log writer: logring.c has what is in a ring, how it comes in and how lines are made of
 * it; logwriter.c has the thread, which takes it out, and the files.
 *
 * Who owns what: the lists of sinks and rings are guarded by `lock`. Anybody adds to them, only the
 * writer thread takes off and frees; so the thread may walk them holding the lock only for each
 * step, and never while it writes. A sink's descriptor is the thread's alone once published.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/logwriter.h"

#define WRITER_MAGIC 0x4c4f4757u
#define SINK_MAGIC   0x4c4f4753u
#define RING_MAGIC   0x4c4f4752u

/* Values of the futex: what the writer thread does. */
enum { WRITER_SLEEPS, WRITER_AWAKE, WRITER_ASKED /* awake, and must not sleep now */ };

struct logring {
    /* set at creation */
    uint32_t magic;
    struct logsink *sink;
    size_t mask; /* size - 1 */
    uint8_t *bytes;
    logring_format_fn *format; /* NULL: records are lines */
    void *format_user;
    struct list link; /* under the writer's lock */
    _Atomic bool closed;
    /* producer; head and dropped are read by others */
    ALIGNED(CACHE_LINE_BYTES) _Atomic uint64_t head;
    uint64_t tail_seen;
    uint64_t head_reserved; /* where head will be once what is reserved is committed */
    _Atomic uint64_t dropped;
    /* writer thread; tail is read by the producer */
    ALIGNED(CACHE_LINE_BYTES) _Atomic uint64_t tail;
    uint8_t *text; /* [text_at, text_len) is to be written */
    size_t text_at;
    size_t text_len;
};

struct logsink {
    /* set at creation */
    uint32_t magic;
    struct logwriter *writer;
    char *path;
    /* under the writer's lock */
    struct list link;
    unsigned refs;
    unsigned ring_count;
    uint64_t dropped_by_closed;
    /* writer thread */
    int fd;
    bool is_file; /* a regular file: writes do not wait for a reader */
    const struct logring *torn;
    /* written by the writer thread, read by any */
    _Atomic uint64_t bytes_written;
    _Atomic uint64_t write_errors;
    _Atomic uint64_t open_errors;
};

struct logwriter {
    uint32_t magic;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t flushed;
    /* under the lock */
    struct list sinks;
    struct list rings;
    size_t sink_count;
    size_t ring_count;
    uint64_t flush_wanted;
    uint64_t flush_done;
    /* any thread */
    _Atomic bool reopen_wanted;
    _Atomic bool stop_wanted;
    ALIGNED(CACHE_LINE_BYTES) _Atomic uint32_t wake; /* a futex */
};

/* ---- logwriter.c ---- */

/* Makes the thread take another turn, whatever it is doing. Any thread. */
void logwriter_wake(struct logwriter *lw);

/* From now on the thread drains the ring; false at LOG_RINGS_MAX. */
NODISCARD bool logwriter_adopt(struct logwriter *lw, struct logring *ring);

/* ---- logring.c ---- */

/* The bytes [from, to) of the ring; the second part is empty unless they wrap. */
void logring_parts(const struct logring *ring, uint64_t from, uint64_t to,
                   struct iovec ret_parts[2]);

/* Makes lines of records up to `head`, as many as are sure to fit into `text`; false if there was
 * none left. The writer thread's. */
bool logring_format(struct logring *ring, uint64_t head);

/* Frees its memory; it must be on no list. */
void logring_free(struct logring *ring);

/* SPDX-License-Identifier: MIT */
/*
 * Who owns what: the lists of sinks and rings are guarded by `lock`. Anybody adds to them, only the
 * writer thread takes off and frees; so the thread may walk them holding the lock only for each
 * step, and never while it writes. A sink's descriptor is the thread's alone once published.
 *
 * A ring's bytes [tail, head) are whole records, except that after a short write `tail` may stand
 * inside one; the sink then remembers that ring as `torn`, and no other ring writes to it until
 * the record is finished. In a formatted ring each record lies in one piece behind its length, at a
 * multiple of RECORD_ALIGN; a length of 0 says that the rest of the buffer is left out. What has
 * been made of records and is not written yet is in the ring's `text`, for which the same holds.
 */
#include "base/logwriter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"

#define WRITER_MAGIC 0x4c4f4757u
#define SINK_MAGIC   0x4c4f4753u
#define RING_MAGIC   0x4c4f4752u
#define STOP_MS_MAX  1000u

/* Lines are made of records until no room for the longest is left, and then written together:
 * 64 KiB and more at a time. */
#define TEXT_BYTES ((size_t)64 * 1024 + ACCESS_RECORD_MAX)

/* Of a record and of its length before it, in a formatted ring. */
#define RECORD_ALIGN sizeof(uint64_t)

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

/* ---- waking ---- */

/* Makes the thread take another turn, whatever it is doing. */
static void writer_wake(struct logwriter *lw)
{
    if (atomic_exchange(&lw->wake, WRITER_ASKED) == WRITER_SLEEPS)
        (void)syscall(SYS_futex, &lw->wake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* The same from a ring that fills: while the thread is awake it will come by, and if it falls
 * asleep instead, the next record wakes it. */
static void writer_wake_if_asleep(struct logwriter *lw)
{
    if (UNLIKELY(atomic_load_explicit(&lw->wake, memory_order_relaxed) == WRITER_SLEEPS))
        writer_wake(lw);
}

static void writer_sleep(struct logwriter *lw)
{
    struct timespec tick = {.tv_nsec = (long)(LOGWRITER_TICK_MS * NS_PER_MS)};
    uint32_t awake = WRITER_AWAKE;
    if (atomic_compare_exchange_strong(&lw->wake, &awake, WRITER_SLEEPS))
        (void)syscall(SYS_futex, &lw->wake, FUTEX_WAIT_PRIVATE, WRITER_SLEEPS, &tick, NULL, 0);
    /* An exchange, to see all that whoever set it did before. */
    (void)atomic_exchange(&lw->wake, WRITER_AWAKE);
}

/* ---- files ---- */

/* A descriptor for a path, or -errno. Standard streams are duplicated, so closing is uniform. */
static int sink_open_fd(const char *path)
{
    bool out = strcmp(path, "-") == 0 || strcmp(path, "stdout") == 0;
    bool err = strcmp(path, "stderr") == 0;
    int fd;
    if (out || err)
        fd = fcntl(out ? STDOUT_FILENO : STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    else /* O_NONBLOCK: a FIFO without a reader is an error, not a wait */
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

static void sink_set_fd(struct logsink *sink, int fd)
{
    struct stat st;
    sink->fd = fd;
    sink->is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static void sink_reopen(struct logsink *sink)
{
    int fd = sink_open_fd(sink->path);
    if (fd < 0) {
        atomic_fetch_add_explicit(&sink->open_errors, 1, memory_order_relaxed);
        return;
    }
    (void)close(sink->fd);
    sink_set_fd(sink, fd);
}

/*
 * How much of the first `n` bytes to offer a pipe, socket or terminal: once it polls writable, a
 * write of up to PIPE_BUF does not wait; one that ends with a record is not torn by other writers.
 */
static size_t polite_len(const uint8_t *p, size_t n)
{
    n = MIN(n, (size_t)PIPE_BUF);
    const uint8_t *line_end = memrchr(p, '\n', n);
    return line_end ? (size_t)(line_end - p) + 1 : n;
}

static bool sink_writable_now(const struct logsink *sink)
{
    if (sink->is_file)
        return true;
    struct pollfd p = {.fd = sink->fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1;
}

/* Bytes taken, 0 if none now; errors are counted here. */
static size_t sink_write(struct logsink *sink, struct iovec parts[2])
{
    if (!sink_writable_now(sink))
        return 0;
    int count = parts[1].iov_len > 0 ? 2 : 1;
    if (!sink->is_file) {
        parts[0].iov_len = polite_len(parts[0].iov_base, parts[0].iov_len);
        count = 1;
    }
    ssize_t n = writev(sink->fd, parts, count);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        atomic_fetch_add_explicit(&sink->write_errors, 1, memory_order_relaxed);
    if (n <= 0)
        return 0;
    atomic_fetch_add_explicit(&sink->bytes_written, (uint64_t)n, memory_order_relaxed);
    return (size_t)n;
}

/* ---- draining: the writer thread ---- */

/* What a record of `n` bytes takes of a formatted ring. */
static size_t record_room(size_t n)
{
    return (sizeof(uint64_t) + n + RECORD_ALIGN - 1) & ~(RECORD_ALIGN - 1);
}

static void ring_parts(const struct logring *ring, uint64_t tail, uint64_t head,
                       struct iovec ret_parts[2])
{
    size_t n = (size_t)(head - tail);
    size_t at = (size_t)tail & ring->mask;
    size_t before_wrap = MIN(n, ring->mask + 1 - at);
    ret_parts[0] = (struct iovec){ring->bytes + at, before_wrap};
    ret_parts[1] = (struct iovec){ring->bytes, n - before_wrap};
}

/* Makes lines of records up to `head`, as many as are sure to fit; false if there was none left. */
static bool ring_format(struct logring *ring, uint64_t head)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail == head)
        return false;
    while (tail != head && TEXT_BYTES - ring->text_len >= ACCESS_RECORD_MAX) {
        size_t at = (size_t)tail & ring->mask;
        uint64_t n;
        memcpy(&n, ring->bytes + at, sizeof(n));
        if (n == 0) {
            tail += ring->mask + 1 - at;
            continue;
        }
        CHECK(n <= ACCESS_RECORD_MAX);
        size_t room = TEXT_BYTES - ring->text_len;
        struct span record = span_of(ring->bytes + at + sizeof(n), n);
        char *out = (char *)ring->text + ring->text_len;
        size_t made = ring->format(ring->format_user, record, out, room);
        CHECK(made <= room);
        ring->text_len += made;
        tail += record_room(n);
    }
    atomic_store_explicit(&ring->tail, tail, memory_order_release);
    return true;
}

/* Writes the lines made so far; false if some have to wait. */
static bool ring_write_text(struct logring *ring)
{
    struct logsink *sink = ring->sink;
    while (ring->text_at < ring->text_len) {
        struct iovec parts[2] = {
            {ring->text + ring->text_at, ring->text_len - ring->text_at},
            {NULL, 0},
        };
        size_t n = sink_write(sink, parts);
        if (n == 0)
            return false;
        ring->text_at += n;
        sink->torn = ring->text[ring->text_at - 1] == '\n' ? NULL : ring;
    }
    ring->text_at = ring->text_len = 0;
    return true;
}

static bool ring_drain_formatted(struct logring *ring, uint64_t head)
{
    do {
        if (!ring_write_text(ring))
            return false;
    } while (ring_format(ring, head));
    return true;
}

/* Writes what the ring held on entry; false if some of it has to wait. */
static bool ring_drain(struct logring *ring)
{
    struct logsink *sink = ring->sink;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (sink->torn && sink->torn != ring)
        return tail == head && ring->text_len == 0;
    if (ring->format)
        return ring_drain_formatted(ring, head);
    while (tail != head) {
        struct iovec parts[2];
        ring_parts(ring, tail, head, parts);
        size_t n = sink_write(sink, parts);
        if (n == 0)
            return false;
        tail += n;
        bool at_record_end = ring->bytes[(size_t)(tail - 1) & ring->mask] == '\n';
        sink->torn = at_record_end ? NULL : ring;
        atomic_store_explicit(&ring->tail, tail, memory_order_release);
    }
    return true;
}

static struct list *next_locked(struct logwriter *lw, struct list *head, struct list *link)
{
    (void)pthread_mutex_lock(&lw->lock);
    struct list *next = link->next;
    (void)pthread_mutex_unlock(&lw->lock);
    return next == head ? NULL : next;
}

static void ring_release(struct logring *ring)
{
    free(ring->text);
    free(ring->bytes);
    free(ring);
}

static void ring_free(struct logring *ring)
{
    struct logsink *sink = ring->sink;
    struct logwriter *lw = sink->writer;
    (void)pthread_mutex_lock(&lw->lock);
    list_del(&ring->link);
    lw->ring_count--;
    sink->ring_count--;
    sink->dropped_by_closed += atomic_load_explicit(&ring->dropped, memory_order_relaxed);
    (void)pthread_mutex_unlock(&lw->lock);
    if (sink->torn == ring)
        sink->torn = NULL;
    ring_release(ring);
}

/* True when every ring's bytes of the time of the call are written. */
static bool drain_rings(struct logwriter *lw)
{
    bool all = true;
    struct list *link = next_locked(lw, &lw->rings, &lw->rings);
    while (link) {
        struct logring *ring = list_entry(link, struct logring, link);
        link = next_locked(lw, &lw->rings, link);
        /* Read before draining: what was written before closing is then seen, too. */
        bool closed = atomic_load_explicit(&ring->closed, memory_order_acquire);
        bool drained = ring_drain(ring);
        if (closed && drained)
            ring_free(ring);
        all = all && drained;
    }
    return all;
}

static void sink_free(struct logsink *sink)
{
    (void)close(sink->fd);
    free(sink->path);
    free(sink);
}

static void reap_sinks(struct logwriter *lw)
{
    struct logsink *sink;
    (void)pthread_mutex_lock(&lw->lock);
    list_each_safe(sink, &lw->sinks, link) {
        if (sink->refs > 0 || sink->ring_count > 0)
            continue;
        list_del(&sink->link);
        lw->sink_count--;
        sink_free(sink);
    }
    (void)pthread_mutex_unlock(&lw->lock);
}

static void reopen_sinks(struct logwriter *lw)
{
    struct list *link = &lw->sinks;
    while ((link = next_locked(lw, &lw->sinks, link)) != NULL)
        sink_reopen(list_entry(link, struct logsink, link));
}

static uint64_t flush_wanted(struct logwriter *lw)
{
    (void)pthread_mutex_lock(&lw->lock);
    uint64_t wanted = lw->flush_wanted;
    (void)pthread_mutex_unlock(&lw->lock);
    return wanted;
}

static void announce_flush(struct logwriter *lw, uint64_t done)
{
    (void)pthread_mutex_lock(&lw->lock);
    if (done > lw->flush_done) {
        lw->flush_done = done;
        (void)pthread_cond_broadcast(&lw->flushed);
    }
    (void)pthread_mutex_unlock(&lw->lock);
}

/* One turn; true when nothing has to wait. */
static bool writer_turn(struct logwriter *lw)
{
    uint64_t flush = flush_wanted(lw);
    bool reopen = atomic_exchange(&lw->reopen_wanted, false);
    bool all = drain_rings(lw);
    if (reopen)
        reopen_sinks(lw);
    reap_sinks(lw);
    if (all)
        announce_flush(lw, flush);
    return all;
}

static void *writer_main(void *arg)
{
    struct logwriter *lw = arg;
    CHECK_OBJ(lw, WRITER_MAGIC);
    while (!atomic_load(&lw->stop_wanted)) {
        (void)writer_turn(lw);
        writer_sleep(lw);
    }
    for (unsigned waited_ms = 0; !writer_turn(lw) && waited_ms < STOP_MS_MAX;
         waited_ms += LOGWRITER_TICK_MS)
        writer_sleep(lw);
    return NULL;
}

/* ---- lifetime ---- */

static int start_thread(struct logwriter *lw)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    int error = pthread_sigmask(SIG_SETMASK, &all, &old);
    if (error)
        return -error;
    error = pthread_create(&lw->thread, NULL, writer_main, lw);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!error)
        (void)pthread_setname_np(lw->thread, "logwriter");
    return -error;
}

static void writer_free(struct logwriter *lw)
{
    (void)pthread_cond_destroy(&lw->flushed);
    (void)pthread_mutex_destroy(&lw->lock);
    free(lw);
}

int logwriter_new(struct logwriter **ret_writer)
{
    void *memory;
    if (posix_memalign(&memory, CACHE_LINE_BYTES, sizeof(struct logwriter)) != 0)
        return -ENOMEM;
    struct logwriter *lw = memset(memory, 0, sizeof(*lw));
    lw->magic = WRITER_MAGIC;
    lw->wake = WRITER_AWAKE;
    list_init(&lw->sinks);
    list_init(&lw->rings);
    (void)pthread_mutex_init(&lw->lock, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&lw->flushed, &attr);
    (void)pthread_condattr_destroy(&attr);
    int error = start_thread(lw);
    if (error) {
        writer_free(lw);
        return error;
    }
    *ret_writer = lw;
    return 0;
}

void logwriter_stop(struct logwriter **writer)
{
    struct logwriter *lw = *writer;
    if (!lw)
        return;
    CHECK_OBJ(lw, WRITER_MAGIC);
    atomic_store(&lw->stop_wanted, true);
    writer_wake(lw);
    (void)pthread_join(lw->thread, NULL);
    struct logring *ring;
    list_each_safe(ring, &lw->rings, link)
        ring_free(ring);
    struct logsink *sink;
    list_each_safe(sink, &lw->sinks, link) {
        list_del(&sink->link);
        sink_free(sink);
    }
    lw->magic = 0;
    writer_free(lw);
    *writer = NULL;
}

bool logwriter_flush(struct logwriter *lw, unsigned timeout_ms)
{
    CHECK_OBJ(lw, WRITER_MAGIC);
    uint64_t until_ns = clock_mono_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                             .tv_nsec = (long)(until_ns % NS_PER_S)};
    (void)pthread_mutex_lock(&lw->lock);
    uint64_t ticket = ++lw->flush_wanted;
    writer_wake(lw);
    int error = 0;
    while (lw->flush_done < ticket && error == 0)
        error = pthread_cond_timedwait(&lw->flushed, &lw->lock, &until);
    bool done = lw->flush_done >= ticket;
    (void)pthread_mutex_unlock(&lw->lock);
    return done;
}

void logwriter_reopen(struct logwriter *lw)
{
    CHECK_OBJ(lw, WRITER_MAGIC);
    atomic_store(&lw->reopen_wanted, true);
    writer_wake(lw);
}

/* ---- sinks ---- */

static struct logsink *find_sink(struct logwriter *lw, const char *path)
{
    struct logsink *sink;
    list_each(sink, &lw->sinks, link)
        if (strcmp(sink->path, path) == 0)
            return sink;
    return NULL;
}

static int add_sink(struct logwriter *lw, const char *path, struct logsink **ret_sink)
{
    if (lw->sink_count >= LOG_SINKS_MAX)
        return -ENOSPC;
    struct logsink *sink = calloc(1, sizeof(*sink));
    char *path_copy = strdup(path);
    int fd = sink && path_copy ? sink_open_fd(path) : -ENOMEM;
    if (fd < 0) {
        free(path_copy);
        free(sink);
        return fd;
    }
    sink->magic = SINK_MAGIC;
    sink->writer = lw;
    sink->path = path_copy;
    sink_set_fd(sink, fd);
    list_init(&sink->link);
    list_add_tail(&lw->sinks, &sink->link);
    lw->sink_count++;
    *ret_sink = sink;
    return 0;
}

int logwriter_open(struct logwriter *lw, const char *path, struct logsink **ret_sink)
{
    CHECK_OBJ(lw, WRITER_MAGIC);
    int error = 0;
    (void)pthread_mutex_lock(&lw->lock);
    struct logsink *sink = find_sink(lw, path);
    if (!sink)
        error = add_sink(lw, path, &sink);
    if (!error) {
        sink->refs++;
        *ret_sink = sink;
    }
    (void)pthread_mutex_unlock(&lw->lock);
    return error;
}

void logsink_close(struct logsink **sink)
{
    struct logsink *s = *sink;
    if (!s)
        return;
    CHECK_OBJ(s, SINK_MAGIC);
    struct logwriter *lw = s->writer;
    *sink = NULL;
    (void)pthread_mutex_lock(&lw->lock);
    CHECK(s->refs > 0);
    s->refs--;
    (void)pthread_mutex_unlock(&lw->lock);
}

struct logsink_stats logsink_stats(struct logsink *sink)
{
    CHECK_OBJ(sink, SINK_MAGIC);
    struct logsink_stats stats = {
        .bytes_written = atomic_load_explicit(&sink->bytes_written, memory_order_relaxed),
        .write_errors = atomic_load_explicit(&sink->write_errors, memory_order_relaxed),
        .open_errors = atomic_load_explicit(&sink->open_errors, memory_order_relaxed),
    };
    struct logwriter *lw = sink->writer;
    (void)pthread_mutex_lock(&lw->lock);
    stats.records_dropped = sink->dropped_by_closed;
    struct logring *ring;
    list_each(ring, &lw->rings, link)
        if (ring->sink == sink)
            stats.records_dropped += logring_dropped(ring);
    (void)pthread_mutex_unlock(&lw->lock);
    return stats;
}

/* ---- rings ---- */

/* Memory for a ring, all zero but its buffers, or NULL. */
static struct logring *ring_alloc(size_t size, bool with_text)
{
    void *memory = NULL;
    if (posix_memalign(&memory, CACHE_LINE_BYTES, sizeof(struct logring)) != 0)
        return NULL;
    struct logring *ring = memset(memory, 0, sizeof(*ring));
    ring->bytes = malloc(size);
    ring->text = with_text ? malloc(TEXT_BYTES) : NULL;
    if (ring->bytes && (ring->text || !with_text))
        return ring;
    ring_release(ring);
    return NULL;
}

static struct logring *ring_new(struct logsink *sink, size_t bytes, logring_format_fn *format,
                                void *user)
{
    CHECK_OBJ(sink, SINK_MAGIC);
    CHECK(bytes > 0);
    size_t size = CACHE_LINE_BYTES;
    while (size < bytes)
        size *= 2;
    struct logring *ring = ring_alloc(size, format != NULL);
    if (!ring)
        return NULL;
    ring->magic = RING_MAGIC;
    ring->sink = sink;
    ring->mask = size - 1;
    ring->format = format;
    ring->format_user = user;
    list_init(&ring->link);

    struct logwriter *lw = sink->writer;
    (void)pthread_mutex_lock(&lw->lock);
    bool room = lw->ring_count < LOG_RINGS_MAX;
    if (room) {
        list_add_tail(&lw->rings, &ring->link);
        lw->ring_count++;
        sink->ring_count++;
    }
    (void)pthread_mutex_unlock(&lw->lock);
    if (room)
        return ring;
    ring_release(ring);
    return NULL;
}

struct logring *logring_new(struct logsink *sink, size_t bytes)
{
    return ring_new(sink, bytes, NULL, NULL);
}

struct logring *logring_new_formatted(struct logsink *sink, size_t bytes, logring_format_fn *format,
                                      void *user)
{
    CHECK(format);
    return ring_new(sink, bytes, format, user);
}

void logring_close(struct logring **ring)
{
    struct logring *r = *ring;
    if (!r)
        return;
    CHECK_OBJ(r, RING_MAGIC);
    *ring = NULL;
    atomic_store_explicit(&r->closed, true, memory_order_release);
}

static void ring_copy_in(struct logring *ring, uint64_t head, const void *bytes, size_t n)
{
    struct iovec parts[2];
    ring_parts(ring, head, head + n, parts);
    memcpy(parts[0].iov_base, bytes, parts[0].iov_len);
    memcpy(parts[1].iov_base, (const uint8_t *)bytes + parts[0].iov_len, parts[1].iov_len);
}

/* Whether `needed` bytes fit behind `head`; if not, that is counted. Wakes the thread from half. */
static bool ring_has_room(struct logring *ring, uint64_t head, size_t needed)
{
    size_t size = ring->mask + 1;
    /* The consumer's line is only looked at when the last known position is not enough. */
    if (LIKELY(head + needed - ring->tail_seen <= size / 2))
        return true;
    ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    uint64_t used = head - ring->tail_seen;
    if (used + needed > size / 2)
        writer_wake_if_asleep(ring->sink->writer);
    if (needed <= size - used)
        return true;
    atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
    return false;
}

static bool write_lines(struct logring *ring, const void *lines, size_t n)
{
    CHECK(((const uint8_t *)lines)[n - 1] == '\n');
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (!ring_has_room(ring, head, n))
        return false;
    ring_copy_in(ring, head, lines, n);
    atomic_store_explicit(&ring->head, head + n, memory_order_release);
    return true;
}

bool logring_write(struct logring *ring, const void *record, size_t n)
{
    CHECK_OBJ(ring, RING_MAGIC);
    CHECK(n > 0);
    if (!ring->format)
        return write_lines(ring, record, n);
    void *room = logring_reserve(ring, n);
    if (!room)
        return false;
    memcpy(room, record, n);
    logring_commit(ring);
    return true;
}

void *logring_reserve(struct logring *ring, size_t n)
{
    CHECK_OBJ(ring, RING_MAGIC);
    CHECK(ring->format);
    CHECK(n > 0 && n <= ACCESS_RECORD_MAX);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t at = (size_t)head & ring->mask;
    size_t to_end = ring->mask + 1 - at;
    size_t needed = record_room(n);
    size_t left_out = needed > to_end ? to_end : 0;
    if (UNLIKELY(!ring_has_room(ring, head, left_out + needed)))
        return NULL;
    if (left_out) {
        memset(ring->bytes + at, 0, sizeof(uint64_t));
        at = 0;
    }
    uint64_t length = n;
    memcpy(ring->bytes + at, &length, sizeof(length));
    ring->head_reserved = head + left_out + needed;
    return ring->bytes + at + sizeof(length);
}

void logring_commit(struct logring *ring)
{
    CHECK_OBJ(ring, RING_MAGIC);
    atomic_store_explicit(&ring->head, ring->head_reserved, memory_order_release);
}

void logring_wake(struct logring *ring)
{
    CHECK_OBJ(ring, RING_MAGIC);
    writer_wake(ring->sink->writer);
}

uint64_t logring_dropped(const struct logring *ring)
{
    CHECK_OBJ(ring, RING_MAGIC);
    return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}

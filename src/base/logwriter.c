/* SPDX-License-Identifier: MIT */
/*
 * After a short write a ring's `tail` (of a formatted one, `text_at`) may stand inside a record;
 * the sink then remembers that ring as `torn`, and no other ring writes to it until the record is
 * finished.
 */
#include "base/logwriter_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define STOP_MS_MAX 1000u

/* ---- waking ---- */

void logwriter_wake(struct logwriter *lw)
{
    if (atomic_exchange(&lw->wake, WRITER_ASKED) == WRITER_SLEEPS)
        (void)syscall(SYS_futex, &lw->wake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
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

int logwriter_open_file(const char *path)
{
    /* O_NONBLOCK: a FIFO without a reader is an error, not a wait */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
    return fd < 0 ? -errno : fd;
}

static int open_here(void *user, const char *path)
{
    (void)user;
    return logwriter_open_file(path);
}

static struct {
    logwriter_open_fn *fn;
    void *user;
} opener = {.fn = open_here};

void logwriter_open_with(logwriter_open_fn *fn, void *user)
{
    opener.fn = fn ? fn : open_here;
    opener.user = user;
}

/* A descriptor for a path, or -errno. Standard streams are duplicated, so closing is uniform. */
static int sink_open_fd(const char *path)
{
    bool out = strcmp(path, "-") == 0 || strcmp(path, "stdout") == 0;
    bool err = strcmp(path, "stderr") == 0;
    if (!out && !err)
        return opener.fn(opener.user, path);
    int fd = fcntl(out ? STDOUT_FILENO : STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
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
    } while (logring_format(ring, head));
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
        logring_parts(ring, tail, head, parts);
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

static void ring_remove(struct logring *ring)
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
    logring_free(ring);
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
            ring_remove(ring);
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
    (void)pthread_setname_np(pthread_self(), "logwriter");
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
    logwriter_wake(lw);
    (void)pthread_join(lw->thread, NULL);
    struct logring *ring;
    list_each_safe(ring, &lw->rings, link)
        ring_remove(ring);
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
    logwriter_wake(lw);
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
    logwriter_wake(lw);
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

bool logwriter_adopt(struct logwriter *lw, struct logring *ring)
{
    (void)pthread_mutex_lock(&lw->lock);
    bool room = lw->ring_count < LOG_RINGS_MAX;
    if (room) {
        list_add_tail(&lw->rings, &ring->link);
        lw->ring_count++;
        ring->sink->ring_count++;
    }
    (void)pthread_mutex_unlock(&lw->lock);
    return room;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the engines share, for files of io/ alone.
 *
 * An engine is one file (or a few) with a `struct loop` at the head of its own loop and a
 * `struct stream` at the head of its own streams; the public calls go through its table. Time,
 * timers, buffers, messages and statistics are the same for all and live here.
 *
 * A turn, whatever the engine:
 *
 *      wait ── read the clock ── watches ── streams ── timers ── messages ── deferred
 *           ── free what was closed
 *
 * Events come before timers, so that bytes that arrived in time are not called late because this
 * process slept.
 */

#include "base/slab.h"
#include "io/loop.h"
#include "io/pipe.h"
#include "io/socket.h"

#include <stdatomic.h>

struct loop_watch;
struct bulk_engine; /* io/bulk_priv.h */

/* One row per engine. Every function runs on the loop's thread but for `wake`. */
struct engine {
    const char *name;
    void (*free)(struct loop *loop);
    /* Waits for events, at most wait_ms (0: only looks), reads the clock, and serves them. */
    void (*turn)(struct loop *loop, int wait_ms);
    /* Frees what was closed in this turn. */
    void (*turn_end)(struct loop *loop);
    /* How long the next turn may wait at most: 0 when work is left over. */
    uint64_t (*patience_ms)(const struct loop *loop);
    void (*wake)(struct loop *loop); /* any thread */

    struct stream *(*connect)(struct loop *loop, const struct address *to,
                              const struct stream_ops *ops, void *user);
    void (*read)(struct stream *s, bool want);
    enum send_result (*send)(struct stream *s, const struct slice *slices, size_t count);
    void (*last)(struct stream *s); /* may be NULL: bytes leave at once */
    void (*shutdown)(struct stream *s);
    void (*close)(struct stream *s, enum stream_close_how how);
    uint64_t (*unsent)(struct stream *s);
    bool (*has_left)(struct stream *s);
    bool (*has_input)(struct stream *s);
    bool (*is_ending)(struct stream *s); /* may be NULL: nobody knows */
    bool (*bulk)(struct stream *src, struct stream *dst, uint64_t bytes); /* NULL: cannot */
    const struct bulk_engine *bulks;
    void (*bulk_likely)(struct stream *src);  /* may be NULL */
    void (*bulk_follows)(struct stream *dst); /* may be NULL */
    struct address (*peer)(struct stream *s);
    struct address (*local)(struct stream *s);

    int (*accept_start)(struct acceptor *a);
    /* Called when paused or starved changed. */
    void (*accept_update)(struct acceptor *a);
    void (*accept_stop)(struct acceptor *a);

    /* The addresses of a name, at most `max`; NULL: the resolver asks DNS. */
    size_t (*resolve)(struct loop *loop, const char *host, uint16_t port,
                      struct address *ret_addresses, size_t max);

    /* Starts, changes (events) or ends (0) watching a descriptor; NULL where there are none. */
    int (*watch)(struct loop *loop, struct loop_watch *w, uint32_t events);
};

int loop_epoll_new(const struct loop_options *options, struct loop **ret_loop);
int loop_uring_new(const struct loop_options *options, struct loop **ret_loop);
int loop_uring_try(const char **ret_why);

/* ---- buffers ---- */

struct buf_pool {
    struct loop *loop;
    struct buf *free_list; /* the one put last is the one got next: it is still in the cache */
    uint32_t size;
    uint32_t used;     /* with somebody */
    uint32_t used_max; /* then buf_get fails */
    uint32_t free_count;
    uint32_t free_low; /* lowest free_count since the last trim: these were not needed */
    uint32_t free_keep;
};

struct buf_pools {
    struct buf_pool pool[BUF_CLASSES];
    struct timer trim;
};

void buf_pools_init(struct loop *loop);
void buf_pools_fini(struct loop *loop);

/* ---- the loop ---- */

struct loop {
#define LOOP_MAGIC 0x1007a001u
    uint32_t magic;
    /* set at creation */
    const struct engine *engine;
    uint32_t streams_max;

    /* this thread only */
    uint64_t now_ns;
    uint64_t wall_ms; /* 0 = not read in this turn */
    struct timer_wheel wheel;
    struct buf_pools bufs;
    struct pipe_pool pipes;
    struct slab bulk_parts;
    struct buf *receive; /* what the next receive fills; refs == 1 means nobody else holds it */
    struct list acceptors;
    struct deferred *deferred; /* in the order of asking */
    struct deferred **deferred_end;
    struct loop_stats stats;
    char path[SOCKET_PATH_BYTES]; /* of the address asked for last */

    /* shared: any thread posts and wakes */
    ALIGNED(CACHE_LINE_BYTES) _Atomic(struct message *) inbox; /* newest first */
    atomic_bool stopping;
    atomic_bool sleeping; /* or about to: who adds work must wake it */
};

/* Prepares and undoes the shared part; `loop` is the head of an engine's zeroed loop. */
void loop_init(struct loop *loop, const struct engine *engine, const struct loop_options *options);
void loop_fini(struct loop *loop);

/* Time for a new turn; the engine calls it when its wait is over. */
void loop_read_clock(struct loop *loop);

/*
 * The buffer for the next receive: large, or medium while receivers hold many large ones. It stays
 * the loop's: whoever gets a slice of it and keeps that takes a reference of his own, and the next
 * call returns another buffer. NULL when every buffer is held: try again a little later.
 */
struct buf *loop_receive_buf(struct loop *loop);

/* ---- acceptors ---- */

/* An engine's accept failed or there is no room for a stream: waits with a timer, never spins. */
void acceptor_starve(struct acceptor *a);

/* ---- watching descriptors that are no streams: signals, resolvers ---- */

/* May watch(), even end itself, and close its descriptor. */
typedef void loop_watch_fn(struct loop_watch *w, uint32_t fired);

#define LOOP_WATCH_IN  1u
#define LOOP_WATCH_OUT 2u

/* Level-triggered. Embed it; memory must outlive the watching. */
struct loop_watch {
    /* set by the owner */
    int fd;
    bool exclusive; /* several loops watch the same socket, one is to wake */
    loop_watch_fn *fn;
    void *user;
    /* the engine's */
    uint32_t events;
    uint32_t fired;
    struct list link;
    void *engine; /* what outlives the watch in the kernel, if the engine needs that */
};

void loop_watch_init(struct loop_watch *w, int fd, loop_watch_fn *fn, void *user);

/* 0 or a negative reason; events == 0 ends it and cannot fail. */
NODISCARD int loop_watch_set(struct loop *loop, struct loop_watch *w, uint32_t events);
void loop_watch_end(struct loop *loop, struct loop_watch *w);

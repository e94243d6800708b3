/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between the files of the epoll engine: loop_epoll.c (turns, watches, accepting), stream_epoll.c
 * (connections) and bulk_epoll.c (forwarding without user space).
 */

#include "io/bulk_priv.h"
#include "io/loop_priv.h"

#include <assert.h>
#include <sys/epoll.h>

#define EPOLL_EVENTS_MAX 256

struct epoll_loop {
    struct loop loop; /* first: a loop is cast to this */
    /* set at creation */
    int epfd;
    int wake_fd;
    /* this thread only */
    struct slab streams;
    struct slab blocked;
    struct list ready;            /* streams with something to do */
    struct list ready_next;       /* the same, but they had their share of this turn */
    struct list closed;           /* freed at the end of the turn */
    struct list unwatched;        /* open, with nothing to do, and epoll does not know of them */
    struct list unwatched_before; /* those that were when the timer last fired */
    struct timer watch_due;
    struct list fired;   /* watches with an event */
    struct list gone;    /* acceptors stopped in this turn */
    bool starved;        /* a receive found no buffer */
    uint16_t generation; /* of the next stream */
    struct epoll_event events[EPOLL_EVENTS_MAX];
};

/* What a stream is, besides its head: one of two cache lines while it is quiet. */
struct epoll_stream {
    struct stream s; /* first; its engine_bits are STREAM_* below */
    int fd;
    uint16_t generation; /* tells an event of ours from one of whoever had this memory before */
    uint16_t turn;       /* low bits of the turn that last served us */
    struct list link;    /* ready, ready_next, closed or unwatched */
    struct epoll_blocked *blocked; /* what waits to be sent, or NULL */
    struct bulk_part *bulk;        /* its part in bulks, or NULL */
    struct socket_ip peer;         /* of an accepted one; ADDRESS_NONE: ask the kernel */
};

static_assert(sizeof(struct epoll_stream) <= 96, "idle connections are counted in thousands");

enum epoll_stream_bit {
    STREAM_WANT_READ = 1u << 0,  /* credit */
    STREAM_READABLE = 1u << 1,   /* a receive may bring something */
    STREAM_WRITABLE = 1u << 2,   /* the kernel has room again */
    STREAM_REGISTERED = 1u << 3, /* with epoll */
    STREAM_OUT = 1u << 4,        /* registered for EPOLLOUT too */
    STREAM_PEER_DONE = 1u << 5,  /* a FIN or worse is in the kernel: receive until it shows */
    STREAM_ERROR = 1u << 6,      /* EPOLLERR came */
    STREAM_CONNECTING = 1u << 7,
    STREAM_CONNECT_DUE = 1u << 8, /* the kernel has decided about it */
    STREAM_SENDING = 1u << 9,     /* SEND_PENDING was said */
    STREAM_SHUTDOWN = 1u << 10,   /* asked for; done once nothing is pending */
    STREAM_EOF = 1u << 11,        /* delivered */
    STREAM_FAIL_DUE = 1u << 12,   /* reason in the top byte, to be told */
    STREAM_FAILED = 1u << 13,     /* told */
    STREAM_CLOSED = 1u << 14,
    STREAM_LAST = 1u << 15,         /* what is sent waits in the kernel for the FIN */
    STREAM_BULK_SRC = 1u << 16,     /* what it receives goes to another stream */
    STREAM_BULK_DST = 1u << 17,     /* SENDING is what another one receives */
    STREAM_BULK_LIKELY = 1u << 18,  /* the next receive is to leave most for a bulk */
    STREAM_BULK_FOLLOWS = 1u << 19, /* what is sent waits in the kernel for a bulk */
    STREAM_UNWATCHED = 1u << 20,    /* its link is on one of the lists of that name */
};
#define STREAM_REASON_SHIFT 24
static_assert(STREAM_WANT_READ == STREAM_READING, "stream_read looks at it");

static_assert(REASON_COUNT <= 256, "a reason fits the top byte of engine_bits");

static inline struct epoll_loop *epoll_loop_of(const struct loop *loop)
{
    CHECK(loop->magic == LOOP_MAGIC);
    return (struct epoll_loop *)(uintptr_t)loop;
}

static inline struct epoll_stream *epoll_stream_of(struct stream *s)
{
    CHECK(s->magic == STREAM_MAGIC);
    return (struct epoll_stream *)s;
}

static inline struct epoll_loop *loop_of(const struct epoll_stream *e)
{
    return epoll_loop_of(e->s.loop);
}

static inline bool has(const struct epoll_stream *e, uint32_t bits)
{
    return (e->s.engine_bits & bits) != 0;
}

static inline void set(struct epoll_stream *e, uint32_t bits)
{
    e->s.engine_bits |= bits;
}

static inline void clear(struct epoll_stream *e, uint32_t bits)
{
    e->s.engine_bits &= ~bits;
}

/* What epoll keeps for us. Streams are aligned and user space ends below 2^48, which leaves the
 * lowest bit for the kind and the top 16 for the generation. */
#define EPOLL_TAG_WATCH 1u

void epoll_streams_init(struct epoll_loop *l);
void epoll_streams_fini(struct epoll_loop *l);

/* An accepted connection, or NULL when there is no room; the descriptor is then the caller's. */
struct epoll_stream *epoll_stream_adopt(struct epoll_loop *l, int fd, const struct address *peer);

/* After a callback: one that nobody watches, and that has nothing to do, is watched soon. */
void epoll_stream_rest(struct epoll_stream *e);

/* Starts to fetch the stream of an event. */
static inline void epoll_stream_prefetch(uint64_t tag)
{
    PREFETCH((void *)(uintptr_t)(tag << 16 >> 16));
}

/* Notes what epoll said; nothing is called. */
void epoll_stream_event(struct epoll_loop *l, uint64_t tag, uint32_t events);

/* Serves every ready stream once. */
void epoll_streams_run(struct epoll_loop *l);
void epoll_streams_free_closed(struct epoll_loop *l);

/* Puts it among those to be served: in this turn, or in the next if it had its share. */
void epoll_make_ready(struct epoll_stream *e);
/* A failure, to be told from the turn. What the peer sent before may still be there. */
void epoll_fail(struct epoll_stream *e, enum reason why);
/* Has epoll report about it; `out` is EPOLLOUT to hear of room too, else 0. */
void epoll_watch(struct epoll_stream *e, uint32_t out);

/* ---- bulk_epoll.c ---- */

/* Moves what can be moved now, and tells. Only from serve(). */
void epoll_bulk_run(struct epoll_stream *src);

extern const struct bulk_engine epoll_bulks;

/* ---- rows of the engine's table ---- */

struct stream *epoll_connect(struct loop *loop, const struct address *to,
                             const struct stream_ops *ops, void *user);
void epoll_read(struct stream *s, bool want);
enum send_result epoll_send(struct stream *s, const struct slice *slices, size_t count);
void epoll_last(struct stream *s);
void epoll_shutdown(struct stream *s);
void epoll_close(struct stream *s, enum stream_close_how how);
uint64_t epoll_unsent(struct stream *s);
bool epoll_has_left(struct stream *s);
bool epoll_has_input(struct stream *s);
bool epoll_is_ending(struct stream *s);
bool epoll_bulk(struct stream *src, struct stream *dst, uint64_t bytes);
void epoll_bulk_likely(struct stream *src);
void epoll_bulk_follows(struct stream *dst);
struct address epoll_peer(struct stream *s);
struct address epoll_local(struct stream *s);

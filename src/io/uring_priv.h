/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between the files of the io_uring engine: loop_uring.c (turns, watches, accepting),
 * stream_uring.c (connections), send_uring.c (small sends that share a system call) and
 * receive_uring.c (buffers that the kernel picks from).
 *
 * What a completion belongs to stands in its user_data: kind, pointer and generation (tag_of). A
 * stream's memory outlives its last completion; the generation is a second lock on that door.
 */

#include "io/backlog.h"
#include "io/bulk_priv.h"
#include "io/loop_priv.h"
#include "io/uring.h"

#include <assert.h>

/* Entries rotate through the whole queue, so it is small enough to stay in the cache. */
#define URING_SQ_ENTRIES 256
#define URING_CQ_ENTRIES (4 * URING_SQ_ENTRIES)

/* The kernel takes provided buffers in turn, so each receive lands in the one used longest ago:
 * together they take 128 KiB, which a second-level cache keeps. */
#define URING_BUFFERS      64
#define URING_BUFFER_BYTES 2048

/* Sends up to this size are copied and go out together when the turn ends. */
#define URING_SEND_BYTES_MAX 4096
#define URING_SCRATCH_BYTES  (64 * 1024)

/* Bytes received ahead of credit, in buffers and for all streams together: beyond, streams are
 * watched without a buffer. */
#define URING_HELD_MAX     512
#define URING_HELD_ENTRIES (2 * URING_HELD_MAX)

/* So many messages must fit a provided buffer again before a stream that carried more gets them. */
#define URING_SMALL_RUN 8

/* A quiet stream that the kernel receives for is watched more cheaply after one to two of these. */
#define URING_PARK_MS 2000

/* How the engine is built; zero in a field stands for the constant above. For tests. */
struct uring_tuning {
    uint32_t sq_entries;
    uint32_t cq_entries;
    uint32_t buffers;       /* a power of two */
    uint32_t setup_without; /* setup flags not to use */
    uint32_t park_ms;
    bool no_multishot; /* as on a kernel without multishot receives */
};

int loop_uring_new_tuned(const struct loop_options *options, const struct uring_tuning *tuning,
                         struct loop **ret_loop);

/* Why the kernel cannot do it (a negative errno of uring_open), as a sentence. */
const char *uring_why(int error);

/* A small send on its way: one for each stream at most, in order of submission. */
struct uring_send {
    struct uring_stream *e; /* NULL: taken back */
    uint8_t *p;             /* in the scratch */
    uint32_t n;
    uint32_t at;    /* its place in the submission queue */
    int32_t result; /* what a completion told; silence is success */
    bool failed;    /* short, or an error */
};

/* A buffer with bytes that wait to be delivered. */
struct uring_held {
    struct buf *buf;
    uint32_t n;
    uint16_t next; /* of the same stream, or unused too; 0 = last */
};

struct uring_counters {
    uint64_t sends_queued; /* small sends that shared an io_uring_enter */
    uint64_t sends_failed; /* of those: short or refused, and sent again or told */
    uint64_t no_buffers;   /* multishot receives that ended for want of a buffer */
    uint64_t overflows;    /* turns in which the completion queue was full */
    uint64_t looks;        /* system calls for completions that the one of the turn left behind */
    uint64_t parked;
    uint64_t late; /* completions of streams closed meanwhile */
};

struct uring_loop {
    struct loop loop; /* first: a loop is cast to this */
    struct uring ring;
    /* set at creation */
    uint32_t buffers_count;
    uint32_t park_ms;
    int wake_fd;
    bool batching;  /* small sends share an io_uring_enter */
    bool multishot; /* receives; cleared if the kernel turns out not to know them */
    /* this thread only */
    struct slab streams;
    struct slab backlogs;
    struct slab watches;
    struct list ready;            /* streams with something to do */
    struct list ready_next;       /* the same, but they had their share of this turn */
    struct list closed;           /* in this turn */
    struct list closing;          /* closed, with something of theirs still in the kernel */
    struct list fired;            /* watches with an event */
    struct list unarmed;          /* watches the kernel is to be told of */
    struct list ended;            /* watches, with their last completion to come */
    struct list gone;             /* acceptors stopped in this turn */
    struct uring_stream *serving; /* whose turn it is */
    bool starved;                 /* a receive found no buffer */
    bool wake_armed;
    uint8_t generation; /* of the next stream */
    /* receiving */
    struct io_uring_buf_ring *offered;
    uint16_t offered_tail;
    uint16_t free_count;              /* places in `slots` with nothing offered */
    uint16_t free_ids[URING_BUFFERS]; /* these */
    struct buf *slots[URING_BUFFERS]; /* what is offered, by buffer id */
    uint32_t held_count;              /* buffers received ahead of credit or of this turn */
    uint16_t held_free;               /* the first unused one */
    struct uring_held held[URING_HELD_ENTRIES]; /* [0] is none */
    struct uring_stream **receiving;            /* streams with a multishot receive, in no order */
    uint32_t receiving_count;
    uint32_t receiving_room;
    uint32_t park_at; /* where the next look for quiet ones begins */
    struct timer park;
    /* sending */
    struct uring_send sends[URING_SQ_ENTRIES];
    uint32_t sends_count;
    uint32_t scratch_used;
    uint8_t *scratch;
    struct uring_counters counters;
};

struct uring_stream {
    struct stream s; /* first; its engine_bits are URING_* below */
    int fd;
    uint32_t receiving_at; /* in the loop's `receiving`, while URING_RECV */
    uint16_t turn;         /* low bits of the turn that last served us */
    uint16_t held;         /* received and not delivered yet: first of the loop's `held`, or 0 */
    uint8_t generation;
    uint8_t why;      /* it fails: enum reason */
    int8_t small;     /* messages in a row that fit a provided buffer; < 0 after larger ones */
    struct list link; /* ready, ready_next, closed or closing */
    struct backlog *backlog; /* what waits for room, or NULL */
    struct bulk_part *bulk;  /* its part in bulks, or NULL */
    struct socket_ip peer;   /* of an accepted one; ADDRESS_NONE: ask the kernel */
};

static_assert(sizeof(struct uring_stream) <= 104, "idle connections are counted in thousands");

enum uring_stream_bit {
    URING_WANT_READ = 1u << 0, /* credit */
    URING_READABLE = 1u << 1,  /* a receive of ours may bring something */
    URING_WRITABLE = 1u << 2,  /* the kernel has room again */
    URING_PEER_DONE = 1u << 3, /* a FIN or worse is in the kernel: receive until it shows */
    URING_ERROR = 1u << 4,     /* a poll said POLLERR */
    URING_END = 1u << 5,       /* the multishot receive has met the end of the stream */
    URING_CONNECTING = 1u << 6,
    URING_CONNECT_DUE = 1u << 7, /* the kernel has decided about it */
    URING_SENDING = 1u << 8,     /* SEND_PENDING was said */
    URING_QUEUED = 1u << 9,      /* a small send is on its way */
    URING_SHUTDOWN = 1u << 10,   /* asked for; done once nothing is pending */
    URING_EOF = 1u << 11,        /* delivered */
    URING_FAIL_DUE = 1u << 12,   /* `why` is to be told */
    URING_FAILED = 1u << 13,     /* told */
    URING_CLOSED = 1u << 14,
    URING_RESET = 1u << 15,    /* closed with a reset */
    URING_RECV = 1u << 16,     /* in the kernel: a multishot receive … */
    URING_IN = 1u << 17,       /* … a poll for input … */
    URING_OUT = 1u << 18,      /* … a poll for room … */
    URING_HUP = 1u << 19,      /* … a poll for a reset, while reading is off */
    URING_STOPPING = 1u << 20, /* the multishot receive was told to end */
    URING_ACTIVE = 1u << 21,   /* it brought something since we last looked for quiet ones */
    URING_HUNG_UP = 1u << 22,  /* that poll has fired: it would again, at once */
    URING_SHUT = 1u << 23,     /* the half-close is done */
    URING_LAST = 1u << 24,     /* what is sent waits in the kernel for the FIN */
    URING_BULK_SRC = 1u << 25, /* what it receives goes to another stream */
    URING_BULK_DST = 1u << 26, /* SENDING is what another one receives */
};
static_assert(URING_WANT_READ == STREAM_READING, "stream_read looks at it");
#define URING_IN_KERNEL (URING_RECV | URING_IN | URING_OUT | URING_HUP)

static_assert(REASON_COUNT <= 256, "a reason fits `why`");

/* ---- tags ---- */

enum uring_kind {
    URING_TAG_NONE, /* nobody waits for it */
    URING_TAG_RECV,
    URING_TAG_IN,
    URING_TAG_OUT,
    URING_TAG_HUP,
    URING_TAG_SEND, /* with an index of `sends` */
    URING_TAG_WATCH,
    URING_TAG_WAKE,
};

#define URING_KIND_MASK  7u /* objects are aligned to 8 */
#define URING_GENERATION 56 /* user space ends below 2^48 */

static inline uint64_t uring_tag(const struct uring_stream *e, enum uring_kind kind)
{
    return (uint64_t)(uintptr_t)e | kind | (uint64_t)e->generation << URING_GENERATION;
}

static inline void *uring_tag_object(uint64_t tag)
{
    return (void *)(uintptr_t)(tag << 8 >> 8 & ~(uint64_t)URING_KIND_MASK);
}

static inline struct uring_loop *uring_loop_of(const struct loop *loop)
{
    CHECK(loop->magic == LOOP_MAGIC);
    return (struct uring_loop *)(uintptr_t)loop;
}

static inline struct uring_stream *uring_stream_of(struct stream *s)
{
    CHECK(s->magic == STREAM_MAGIC);
    return (struct uring_stream *)s;
}

static inline bool uring_has(const struct uring_stream *e, uint32_t bits)
{
    return (e->s.engine_bits & bits) != 0;
}

static inline void uring_set(struct uring_stream *e, uint32_t bits)
{
    e->s.engine_bits |= bits;
}

static inline void uring_clear(struct uring_stream *e, uint32_t bits)
{
    e->s.engine_bits &= ~bits;
}

/* ---- loop_uring.c ---- */

/* An entry of the submission queue; makes room by submitting if it must. The ring is enabled. */
struct io_uring_sqe *uring_get_sqe(struct uring_loop *l);

/* ---- stream_uring.c ---- */

void uring_streams_init(struct uring_loop *l);
void uring_streams_fini(struct uring_loop *l);

/* An accepted connection, or NULL when there is no room; the descriptor is then the caller's. */
struct uring_stream *uring_stream_adopt(struct uring_loop *l, int fd, const struct address *peer);

/* Notes a completion; nothing is called. */
void uring_stream_event(struct uring_loop *l, const struct io_uring_cqe *cqe);

/* Serves every ready stream once. */
void uring_streams_run(struct uring_loop *l);
void uring_streams_free_closed(struct uring_loop *l);

/* To be served: in this turn, or in the next one if it had its share. */
void uring_stream_ready(struct uring_stream *e);
/* To be told from the turn. */
void uring_stream_fail(struct uring_stream *e, enum reason why);
/* Appends to what waits for room: slices as stream_send gives them, but for their first `sent`
 * bytes, or a copy. A failure is told if there is no memory. */
bool uring_stream_park(struct uring_stream *e, const struct slice *slices, size_t count,
                       size_t sent);
bool uring_stream_park_copy(struct uring_stream *e, const uint8_t *p, uint32_t n);
/* Has the kernel watch for room to send; only in a turn. */
void uring_stream_await_room(struct uring_stream *e);
/* A small send on which a closed stream waited is over. */
void uring_stream_settled(struct uring_stream *e);

/* Rows of the engine's table. */
struct stream *uring_connect(struct loop *loop, const struct address *to,
                             const struct stream_ops *ops, void *user);
void uring_read(struct stream *s, bool want);
void uring_shutdown(struct stream *s);
void uring_close_stream(struct stream *s, enum stream_close_how how);
uint64_t uring_unsent(struct stream *s);
bool uring_has_left(struct stream *s);
bool uring_has_input(struct stream *s);
bool uring_is_ending(struct stream *s);
struct address uring_peer(struct stream *s);
struct address uring_local(struct stream *s);

/* ---- send_uring.c ---- */

enum send_result uring_send(struct stream *s, const struct slice *slices, size_t count);
void uring_last(struct stream *s);

/* The stream's small send, if it is queued and not submitted, becomes the caller's: sends it now,
 * ahead of what follows. What the kernel does not take is parked. */
void uring_send_early(struct uring_stream *e);
/* The same, but it is not sent at all. */
void uring_send_drop(struct uring_stream *e);

/* Bytes of a small send that is on its way. */
uint32_t uring_send_queued(const struct uring_stream *e);

/* Notes that a small send was short or failed. */
void uring_send_event(struct uring_loop *l, const struct io_uring_cqe *cqe);

/* After the completions of an io_uring_enter were noted: what was submitted is sent. */
void uring_sends_settle(struct uring_loop *l);

/* Sends everything that waits; false when the kernel has no room for all. */
bool uring_flush(struct uring_stream *e);

/* ---- bulk_uring.c ---- */

bool uring_bulk(struct stream *src, struct stream *dst, uint64_t bytes);
/* Moves what can be moved now, and tells. Only from serve(). */
void uring_bulk_run(struct uring_stream *src);

extern const struct bulk_engine uring_bulks;

/* ---- receive_uring.c ---- */

NODISCARD int uring_buffers_init(struct uring_loop *l);
void uring_buffers_fini(struct uring_loop *l);

/* Offers as many buffers as there is room for. */
void uring_buffers_offer(struct uring_loop *l);

/* Starts and ends a multishot receive. The first is false when it is not worth it or cannot be. */
bool uring_receive_start(struct uring_stream *e);
void uring_receive_stop(struct uring_stream *e);
void uring_receive_event(struct uring_loop *l, struct uring_stream *e,
                         const struct io_uring_cqe *cqe);

/* The oldest held bytes, no longer held. There are some. */
struct slice uring_held_pop(struct uring_stream *e);
/* Offers it again unless somebody kept it. */
void uring_buffer_return(struct uring_loop *l, struct buf *b);
/* Drops what a stream holds. */
void uring_held_drop(struct uring_stream *e);

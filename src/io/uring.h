/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One io_uring instance: the two rings and the three system calls, with what the kernel has found
 * out by trying. Nothing here knows of sockets or streams.
 *
 * Declared here rather than taken from a library: it is a stable interface, a page of code, and it
 * inlines. Constants newer than the headers we build with are below, each probed before use.
 *
 * Life: uring_open() makes the rings, disabled; any thread may then queue entries. uring_enable()
 * is called by the thread that will drive it, and from then on only that thread may submit.
 * Thread rule: one thread at a time; after uring_enable, that one.
 */

#include "base/check.h"
#include "base/compiler.h"

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Newer than Linux 6.1. */
#define URING_SETUP_NO_SQARRAY (1u << 16) /* 6.6 */

struct uring {
    /* set by uring_open */
    int fd;
    uint32_t setup_flags; /* what the kernel agreed to */
    uint32_t features;
    struct io_uring_sqe *sqes;
    uint32_t sq_entries;
    uint32_t sq_mask;
    uint32_t cq_mask;
    const struct io_uring_cqe *cqes;
    uint32_t *sq_head; /* the kernel's; the other three are shared too */
    uint32_t *sq_tail;
    uint32_t *sq_flags;
    uint32_t *cq_head;
    uint32_t *cq_tail;
    void *rings;
    size_t rings_bytes;
    size_t sqes_bytes;
    /* the driving thread's */
    int enter_fd;         /* fd, or its number among the thread's registered rings */
    uint32_t enter_flags; /* of every io_uring_enter */
    uint32_t tail;        /* of entries queued; *sq_tail is behind until they are submitted */
    uint32_t seen;        /* completions taken */
    bool enabled;
    uint64_t enters; /* system calls made */
};

struct uring_options {
    uint32_t sq_entries;
    uint32_t cq_entries;
    uint32_t setup_without; /* setup flags not to ask for: to test the fall-backs */
};

/*
 * 0, or a negative errno: the kernel has none (ENOSYS), it is forbidden (EPERM, EACCES), it is too
 * old to be useful (EOPNOTSUPP), out of descriptors or memory. Asks for the best flags first and
 * does without those that the kernel refuses.
 */
NODISCARD int uring_open(struct uring *u, const struct uring_options *options);
void uring_close(struct uring *u);

/* Lets the calling thread submit. 0 or a negative errno. */
NODISCARD int uring_enable(struct uring *u);

/* Whether the kernel knows the operations [0, count) of `ops`. */
NODISCARD bool uring_knows(const struct uring *u, const uint8_t *ops, size_t count);

/* Registers a ring of `entries` provided buffers as group 0. 0 or a negative errno. */
NODISCARD int uring_register_buffers(const struct uring *u, struct io_uring_buf_ring *ring,
                                     uint32_t entries);

/*
 * Submits all that is queued and runs what is due. wait_ns: 0 only looks, UINT64_MAX waits without
 * end, anything else is the most that it waits for a completion. 0 or a negative errno; also then
 * some entries may have been submitted (uring_unsubmitted tells).
 */
int uring_enter(struct uring *u, uint64_t wait_ns);

/* Entries queued that the kernel has not taken. */
static inline uint32_t uring_unsubmitted(const struct uring *u)
{
    return u->tail - __atomic_load_n(u->sq_head, __ATOMIC_ACQUIRE);
}

/* A zeroed entry, queued in order of asking, or NULL when the queue is full. */
static inline struct io_uring_sqe *uring_sqe(struct uring *u)
{
    if (UNLIKELY(uring_unsubmitted(u) >= u->sq_entries))
        return NULL;
    struct io_uring_sqe *sqe = &u->sqes[u->tail++ & u->sq_mask];
    *sqe = (struct io_uring_sqe){0};
    return sqe;
}

/* The next completion, or NULL. It may be read until uring_seen. */
static inline const struct io_uring_cqe *uring_cqe(const struct uring *u)
{
    if (u->seen == __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE))
        return NULL;
    return &u->cqes[u->seen & u->cq_mask];
}

static inline void uring_seen(struct uring *u)
{
    u->seen++;
    __atomic_store_n(u->cq_head, u->seen, __ATOMIC_RELEASE);
}

/* poll(2)'s events as an entry has them. */
static inline uint32_t uring_poll_word(uint32_t events)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return events << 16 | events >> 16;
#else
    return events;
#endif
}

/* Completions wait in the kernel for room: they come with the next uring_enter. */
static inline bool uring_overflowed(const struct uring *u)
{
    return (__atomic_load_n(u->sq_flags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW) != 0;
}

/* Something has happened of which there is no completion yet: the next uring_enter makes it. One
 * that slept stops at the first it was asked to wait for, and each at some twenty. */
static inline bool uring_has_work(const struct uring *u)
{
    return (__atomic_load_n(u->sq_flags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0;
}

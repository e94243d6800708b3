/* SPDX-License-Identifier: MIT */
#include "io/uring.h"

#include <errno.h>
#include <linux/time_types.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000ull

/* What is worth asking for, the best first. Completions that run only when we ask for them
 * (DEFER_TASKRUN) are what makes a turn a batch; before 6.1 at least they do not interrupt us. */
static const uint32_t wishes[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | URING_SETUP_NO_SQARRAY,
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_COOP_TASKRUN,
};

#define SETUP_ALWAYS                                                      \
    (IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | \
     IORING_SETUP_R_DISABLED | IORING_SETUP_TASKRUN_FLAG)

/* 5.17: sleeping with a limit, no completion is ever lost, success may be silent. */
#define FEATURES_NEEDED                                                                           \
    (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG | \
     IORING_FEAT_CQE_SKIP)

/* ---- the system calls ---- */

static int sys_setup(uint32_t entries, struct io_uring_params *p)
{
    long fd = syscall(SYS_io_uring_setup, entries, p);
    return fd < 0 ? -errno : (int)fd;
}

static int sys_register(int fd, unsigned what, const void *arg, unsigned count)
{
    long r = syscall(SYS_io_uring_register, fd, what, arg, count);
    return r < 0 ? -errno : (int)r;
}

/* ---- life ---- */

static int setup(const struct uring_options *o, struct io_uring_params *ret_p)
{
    int fd = -EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(wishes) && fd == -EINVAL; i++) {
        if (wishes[i] & o->setup_without)
            continue;
        *ret_p = (struct io_uring_params){
            .flags = SETUP_ALWAYS | wishes[i],
            .cq_entries = o->cq_entries,
        };
        fd = sys_setup(o->sq_entries, ret_p);
    }
    return fd == -EINVAL ? -EOPNOTSUPP : fd;
}

static int map(struct uring *u, const struct io_uring_params *p)
{
    size_t sq_bytes = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
    size_t cq_bytes = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    u->rings_bytes = MAX(sq_bytes, cq_bytes);
    u->sqes_bytes = p->sq_entries * sizeof(struct io_uring_sqe);
    void *rings = mmap(NULL, u->rings_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                       u->fd, (off_t)IORING_OFF_SQ_RING);
    if (rings == MAP_FAILED)
        return -errno;
    u->rings = rings;
    void *sqes = mmap(NULL, u->sqes_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd,
                      (off_t)IORING_OFF_SQES);
    if (sqes == MAP_FAILED)
        return -errno;
    u->sqes = sqes;
    return 0;
}

static uint32_t *field(const struct uring *u, uint32_t offset)
{
    return (uint32_t *)(void *)((char *)u->rings + offset);
}

static void find_fields(struct uring *u, const struct io_uring_params *p)
{
    u->sq_entries = p->sq_entries;
    u->sq_mask = *field(u, p->sq_off.ring_mask);
    u->sq_head = field(u, p->sq_off.head);
    u->sq_tail = field(u, p->sq_off.tail);
    u->sq_flags = field(u, p->sq_off.flags);
    u->cq_mask = *field(u, p->cq_off.ring_mask);
    u->cq_head = field(u, p->cq_off.head);
    u->cq_tail = field(u, p->cq_off.tail);
    u->cqes = (const struct io_uring_cqe *)(void *)field(u, p->cq_off.cqes);
    if (p->flags & URING_SETUP_NO_SQARRAY)
        return;
    for (uint32_t i = 0; i < p->sq_entries; i++)
        field(u, p->sq_off.array)[i] = i;
}

int uring_open(struct uring *u, const struct uring_options *options)
{
    struct io_uring_params p;
    *u = (struct uring){.fd = -1};
    int fd = setup(options, &p);
    if (fd < 0)
        return fd;
    u->fd = fd;
    u->enter_fd = fd;
    u->setup_flags = p.flags;
    u->features = p.features;
    int r = (p.features & FEATURES_NEEDED) == FEATURES_NEEDED ? 0 : -EOPNOTSUPP;
    if (r == 0)
        r = map(u, &p);
    if (r < 0) {
        uring_close(u);
        return r;
    }
    find_fields(u, &p);
    return 0;
}

void uring_close(struct uring *u)
{
    if (u->sqes)
        (void)munmap(u->sqes, u->sqes_bytes);
    if (u->rings)
        (void)munmap(u->rings, u->rings_bytes);
    if (u->fd >= 0)
        (void)close(u->fd);
    *u = (struct uring){.fd = -1};
}

int uring_enable(struct uring *u)
{
    int r = sys_register(u->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (r < 0)
        return r;
    u->enabled = true;
    /* Spares each io_uring_enter the look-up of the descriptor, which costs more with threads. */
    struct io_uring_rsrc_update self = {.offset = ~0u, .data = (uint64_t)u->fd};
    if (sys_register(u->fd, IORING_REGISTER_RING_FDS, &self, 1) == 1) {
        u->enter_fd = (int)self.offset;
        u->enter_flags = IORING_ENTER_REGISTERED_RING;
    }
    return 0;
}

bool uring_knows(const struct uring *u, const uint8_t *ops, size_t count)
{
    enum { OPS = 256 };
    /* A probe and the list that follows it. */
    ALIGNED(8)
    uint8_t room[sizeof(struct io_uring_probe) + OPS * sizeof(struct io_uring_probe_op)] = {0};
    struct io_uring_probe *p = (void *)room;
    if (sys_register(u->fd, IORING_REGISTER_PROBE, p, OPS) < 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (ops[i] > p->last_op || !(p->ops[ops[i]].flags & IO_URING_OP_SUPPORTED))
            return false;
    }
    return true;
}

int uring_register_buffers(const struct uring *u, struct io_uring_buf_ring *ring, uint32_t entries)
{
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)ring, .ring_entries = entries};
    return sys_register(u->fd, IORING_REGISTER_PBUF_RING, &reg, 1);
}

/* ---- entering ---- */

int uring_enter(struct uring *u, uint64_t wait_ns)
{
    struct __kernel_timespec limit = {
        .tv_sec = (long long)(wait_ns / NS_PER_SECOND),
        .tv_nsec = (long long)(wait_ns % NS_PER_SECOND),
    };
    struct io_uring_getevents_arg arg = {
        .sigmask_sz = _NSIG / 8,
        .ts = wait_ns == UINT64_MAX ? 0 : (uint64_t)(uintptr_t)&limit,
    };
    CHECK(u->enabled);
    __atomic_store_n(u->sq_tail, u->tail, __ATOMIC_RELEASE);
    u->enters++;
    long r =
        syscall(SYS_io_uring_enter, u->enter_fd, uring_unsubmitted(u), wait_ns ? 1 : 0,
                u->enter_flags | IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
    return r < 0 ? -errno : 0;
}

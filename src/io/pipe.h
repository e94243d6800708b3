/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Pipes of one loop, through which bytes go from socket to socket inside the kernel.
 *
 * A pipe is held only while bytes are in it: whoever gets one gives it back as soon as it is empty.
 * So a handful serves thousands of streams whose peers keep up, and the pipe used next is the one
 * used last. Readers that do not keep up hold one each, with up to 256 KiB of the kernel's memory
 * that no socket is charged for: the limit of the pool bounds that, and the descriptors. A pipe
 * also counts against what the kernel allows a user; where that or the descriptors run out,
 * pipe_get says so and asks the kernel again only after a while.
 *
 * Thread rule: the loop's thread.
 */

#include "base/compiler.h"
#include "base/slab.h"

#include <stdbool.h>
#include <stdint.h>

struct pipe {
    int out; /* the end that is read */
    int in;
    uint32_t room; /* bytes asked for at once; fragments may fill it sooner */
    struct pipe *next_free;
};

struct pipe_pool {
    struct slab slab;
    struct pipe *free_list;
    uint32_t count; /* open */
    uint32_t count_max;
    uint32_t free_count;
    uint64_t refused_until_ns; /* the kernel had none */
};

/* At most count_max pipes are open at once. */
void pipe_pool_init(struct pipe_pool *pool, uint32_t count_max);

/* All pipes must be back. */
void pipe_pool_fini(struct pipe_pool *pool);

/* An empty pipe, or NULL. */
struct pipe *pipe_get(struct pipe_pool *pool, uint64_t now_ns);

/* Gives it back. One with bytes left in it is closed, as they are nobody's any more. */
void pipe_put(struct pipe_pool *pool, struct pipe *p, bool empty);

/* Closes those that nobody holds. */
void pipe_pool_trim(struct pipe_pool *pool);

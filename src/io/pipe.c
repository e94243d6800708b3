/* SPDX-License-Identifier: MIT */
#include "io/pipe.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"

#include <fcntl.h>
#include <unistd.h>

/* What is asked for. The kernel rounds it and may refuse to users who have many: its own default is
 * as good as any for what fits it, while the two pages that it leaves to a user who has too many
 * are not worth a system call each. */
#define ROOM_WANTED (256 * 1024)
#define ROOM_LEAST  (64 * 1024)

/* After the kernel refused a pipe. */
#define REFUSED_NS (UINT64_C(1000) * NS_PER_MS)

void pipe_pool_init(struct pipe_pool *pool, uint32_t count_max)
{
    *pool = (struct pipe_pool){.count_max = count_max};
    slab_init(&pool->slab, sizeof(struct pipe), 8, count_max);
}

static void pipe_close(struct pipe_pool *pool, struct pipe *p)
{
    (void)close(p->in);
    (void)close(p->out);
    slab_put(&pool->slab, p);
    pool->count--;
}

void pipe_pool_trim(struct pipe_pool *pool)
{
    while (pool->free_list) {
        struct pipe *p = pool->free_list;
        pool->free_list = p->next_free;
        pool->free_count--;
        pipe_close(pool, p);
    }
}

void pipe_pool_fini(struct pipe_pool *pool)
{
    pipe_pool_trim(pool);
    CHECK(pool->count == 0 && pool->free_count == 0);
    slab_fini(&pool->slab);
}

static struct pipe *pipe_open(struct pipe_pool *pool)
{
    struct pipe *p = slab_get(&pool->slab);
    if (!p)
        return NULL;
    int fds[2];
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) {
        slab_put(&pool->slab, p);
        return NULL;
    }
    *p = (struct pipe){.out = fds[0], .in = fds[1]};
    pool->count++;
    int room = fcntl(p->in, F_SETPIPE_SZ, ROOM_WANTED);
    if (room < 0)
        room = fcntl(p->in, F_GETPIPE_SZ);
    if (room < ROOM_LEAST) {
        pipe_close(pool, p);
        return NULL;
    }
    p->room = (uint32_t)room;
    return p;
}

struct pipe *pipe_get(struct pipe_pool *pool, uint64_t now_ns)
{
    struct pipe *p = pool->free_list;
    if (LIKELY(p != NULL)) {
        pool->free_list = p->next_free;
        pool->free_count--;
        return p;
    }
    if (pool->count >= pool->count_max || now_ns < pool->refused_until_ns)
        return NULL;
    p = pipe_open(pool);
    if (!p)
        pool->refused_until_ns = now_ns + REFUSED_NS;
    return p;
}

void pipe_put(struct pipe_pool *pool, struct pipe *p, bool empty)
{
    if (!empty || pool->free_count >= PIPES_IDLE_MAX) {
        pipe_close(pool, p);
        return;
    }
    p->next_free = pool->free_list;
    pool->free_list = p;
    pool->free_count++;
}

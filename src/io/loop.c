/* SPDX-License-Identifier: MIT */
/*
 * What every engine shares: the run of turns, time, the inbox, acceptors that starve, and the
 * public calls, which go through the engine's table.
 *
 * The inbox is a stack that any thread pushes on and the loop takes as a whole and turns over. A
 * sender wakes the loop only if it sleeps: the loop first says that it is about to, then looks into
 * the inbox once more; the sender first pushes, then asks whether the loop sleeps. Both sides use
 * sequentially consistent operations, so at least one of them sees the other.
 */
#include "io/loop.h"

#include "base/clock.h"
#include "base/limits.h"
#include "io/bulk_priv.h"
#include "io/layer.h"
#include "io/loop_priv.h"

#include <sys/resource.h>

/* Descriptors left for everything that is no stream: logs, listeners, admin. */
#define FILES_RESERVE 64

/* Even without a timer the loop looks around this often. */
#define WAIT_MS_MAX 3600000u

#define ACCEPT_RETRY_MS 100

/* ---- life ---- */

static uint32_t streams_by_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024 - FILES_RESERVE;
    uint64_t files = MIN((uint64_t)limit.rlim_cur, (uint64_t)INT32_MAX);
    return files > 2 * FILES_RESERVE ? (uint32_t)files - FILES_RESERVE : FILES_RESERVE;
}

void loop_init(struct loop *loop, const struct engine *engine, const struct loop_options *options)
{
    loop->magic = LOOP_MAGIC;
    loop->engine = engine;
    loop->streams_max = options->streams_max ? options->streams_max : streams_by_file_limit();
    list_init(&loop->acceptors);
    loop->deferred_end = &loop->deferred;
    loop_read_clock(loop);
    timer_wheel_init(&loop->wheel, loop->now_ns / NS_PER_MS);
    buf_pools_init(loop);
    pipe_pool_init(&loop->pipes, options->pipes_max ? options->pipes_max : PIPES_MAX);
    slab_init(&loop->bulk_parts, sizeof(struct bulk_part), 8, loop->streams_max);
    atomic_init(&loop->inbox, NULL);
    atomic_init(&loop->stopping, false);
    atomic_init(&loop->sleeping, false);
}

void loop_fini(struct loop *loop)
{
    CHECK(list_empty(&loop->acceptors));
    CHECK(loop->stats.streams_open == 0);
    CHECK(loop->deferred == NULL);
    buf_put(&loop->receive);
    buf_pools_fini(loop);
    pipe_pool_fini(&loop->pipes);
    slab_fini(&loop->bulk_parts);
    loop->magic = 0;
}

static loop_make_fn *provided;
static void *provided_user;

void loop_provide(loop_make_fn *make, void *user)
{
    provided = make;
    provided_user = user;
}

int loop_new(const struct loop_options *options, struct loop **ret_loop)
{
    if (provided)
        return provided(provided_user, options, ret_loop);
    switch (options->engine) {
    case LOOP_ENGINE_AUTO:
    case LOOP_ENGINE_EPOLL: return loop_epoll_new(options, ret_loop);
    case LOOP_ENGINE_URING: return loop_uring_new(options, ret_loop);
    }
    return -(int)REASON_system_error;
}

int loop_engine_try(enum loop_engine engine, const char **ret_why)
{
    return engine == LOOP_ENGINE_URING && !provided ? loop_uring_try(ret_why) : 0;
}

const char *loop_engine_name(const struct loop *loop)
{
    return loop->engine->name;
}

void loop_free(struct loop **loop)
{
    struct loop *l = *loop;
    if (!l)
        return;
    CHECK_OBJ(l, LOOP_MAGIC);
    *loop = NULL;
    l->engine->free(l);
}

const struct loop_stats *loop_stats(const struct loop *loop)
{
    return &loop->stats;
}

/* ---- time ---- */

void loop_read_clock(struct loop *loop)
{
    loop->now_ns = clock_mono_ns();
    loop->wall_ms = 0;
}

uint64_t loop_now(const struct loop *loop)
{
    return loop->now_ns;
}

uint64_t loop_wall_ms(struct loop *loop)
{
    if (loop->wall_ms == 0)
        loop->wall_ms = (uint64_t)clock_wall_ms();
    return loop->wall_ms;
}

void loop_timer_set(struct loop *loop, struct timer *t, uint64_t delay_ms)
{
    uint64_t now_ms = (loop->now_ns + NS_PER_MS - 1) / NS_PER_MS; /* up: never early */
    timer_wheel_set(&loop->wheel, t, now_ms + MIN(delay_ms, UINT64_MAX - now_ms));
}

void loop_timer_stop(struct loop *loop, struct timer *t)
{
    timer_wheel_stop(&loop->wheel, t);
}

/* ---- messages ---- */

static void wake_if_asleep(struct loop *loop)
{
    if (atomic_load(&loop->sleeping) && atomic_exchange(&loop->sleeping, false))
        loop->engine->wake(loop);
}

void loop_post(struct loop *loop, struct message *m)
{
    struct message *head = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
    do {
        m->next = head;
    } while (!atomic_compare_exchange_weak(&loop->inbox, &head, m));
    wake_if_asleep(loop);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    wake_if_asleep(loop);
}

static void run_messages(struct loop *loop)
{
    if (!atomic_load_explicit(&loop->inbox, memory_order_relaxed))
        return;
    struct message *newest = atomic_exchange(&loop->inbox, NULL);
    struct message *oldest = NULL;
    while (newest) {
        struct message *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct message *m = oldest;
        oldest = m->next;
        m->fn(loop, m);
    }
}

/* ---- the end of a turn ---- */

void loop_defer(struct loop *loop, struct deferred *d)
{
    if (d->waits)
        return;
    d->waits = true;
    d->next = NULL;
    *loop->deferred_end = d;
    loop->deferred_end = &d->next;
}

void loop_defer_cancel(struct loop *loop, struct deferred *d)
{
    struct deferred **at = &loop->deferred;
    if (!d->waits)
        return;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    if (loop->deferred_end == &d->next)
        loop->deferred_end = at;
    d->waits = false;
}

/* Those that wait now, of which there are some; what they defer waits for the next turn. Any of
 * them may cancel any other: a mark behind them says where they end. */
static NOINLINE void run_deferred(struct loop *loop)
{
    struct deferred end = {0};
    loop_defer(loop, &end);
    while (loop->deferred != &end) {
        struct deferred *d = loop->deferred;
        loop_defer_cancel(loop, d);
        d->fn(d);
    }
    loop_defer_cancel(loop, &end);
}

/* ---- turns ---- */

/* How long this turn may sleep. When it may, senders are told to wake us. */
static int wait_ms(struct loop *loop)
{
    uint64_t patience = loop->engine->patience_ms(loop);
    if (patience == 0 || loop->deferred)
        return 0;
    atomic_store(&loop->sleeping, true);
    if (atomic_load(&loop->inbox) || atomic_load(&loop->stopping))
        return 0;
    /* Not the turn's time: a long turn would make every timer late by its length. */
    uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
    uint64_t most = MIN(patience, (uint64_t)WAIT_MS_MAX);
    return (int)timer_wheel_wait_ms(&loop->wheel, now_ms, most);
}

void loop_run(struct loop *loop)
{
    CHECK_OBJ(loop, LOOP_MAGIC);
    const struct engine *engine = loop->engine;
    while (!atomic_load_explicit(&loop->stopping, memory_order_relaxed)) {
        loop->stats.turns++;
        engine->turn(loop, wait_ms(loop));
        timer_wheel_turn(&loop->wheel, loop->now_ns / NS_PER_MS);
        run_messages(loop);
        if (UNLIKELY(loop->deferred != NULL))
            run_deferred(loop);
        engine->turn_end(loop);
    }
    atomic_store(&loop->stopping, false);
}

struct buf *loop_receive_buf(struct loop *loop)
{
    struct buf *b = loop->receive;
    bool large_allowed = loop->bufs.pool[BUF_LARGE].used < BUF_LARGE_HELD_MAX;
    if (LIKELY(b && b->refs == 1 && (b->klass == BUF_LARGE || !large_allowed)))
        return b;
    buf_put(&loop->receive);
    if (large_allowed)
        b = buf_get(loop, loop->bufs.pool[BUF_LARGE].size);
    else
        b = NULL;
    if (!b)
        b = buf_get(loop, loop->bufs.pool[BUF_MEDIUM].size);
    if (!b)
        b = buf_get(loop, loop->bufs.pool[BUF_SMALL].size);
    loop->receive = b;
    return b;
}

/* ---- streams ---- */

struct stream *stream_connect(struct loop *loop, const struct address *to,
                              const struct stream_ops *ops, void *user)
{
    struct stream *s = loop->engine->connect(loop, to, ops, user);
    if (UNLIKELY(!s && loop->pipes.free_count > 0)) {
        pipe_pool_trim(&loop->pipes); /* a pipe is two descriptors */
        s = loop->engine->connect(loop, to, ops, user);
    }
    return s;
}

/* The layer that a stream is, or NULL: it is the engine's own. */
static const struct stream_layer *layer_of(struct stream *s)
{
    if (LIKELY(s->magic == STREAM_MAGIC))
        return NULL;
    CHECK_OBJ(s, STREAM_LAYER_MAGIC);
    return layered_of(s)->layer;
}

/* The engine's own stream below all layers. */
static struct stream *ground(struct stream *s)
{
    while (layer_of(s))
        s = layered_of(s)->below;
    return s;
}

void stream_read_change(struct stream *s, bool want)
{
    const struct stream_layer *layer = layer_of(s);
    if (UNLIKELY(layer != NULL))
        layer->read(s, want);
    else
        s->loop->engine->read(s, want);
}

enum send_result stream_send(struct stream *s, const struct slice *slices, size_t count)
{
    CHECK(count >= 1 && count <= SEND_SLICES_MAX);
    const struct stream_layer *layer = layer_of(s);
    if (UNLIKELY(layer != NULL))
        return layer->send(s, slices, count);
    return s->loop->engine->send(s, slices, count);
}

void stream_last(struct stream *s)
{
    const struct stream_layer *layer = layer_of(s);
    if (UNLIKELY(layer != NULL))
        layer->last(s);
    else if (s->loop->engine->last)
        s->loop->engine->last(s);
}

void stream_shutdown(struct stream *s)
{
    const struct stream_layer *layer = layer_of(s);
    if (UNLIKELY(layer != NULL))
        layer->shutdown(s);
    else
        s->loop->engine->shutdown(s);
}

void stream_close(struct stream **s, enum stream_close_how how)
{
    struct stream *stream = *s;
    if (!stream)
        return;
    const struct stream_layer *layer = layer_of(stream);
    *s = NULL;
    if (UNLIKELY(layer != NULL))
        layer->close(stream, how);
    else
        stream->loop->engine->close(stream, how);
}

uint64_t stream_unsent(struct stream *s)
{
    struct stream *own = ground(s);
    return own->loop->engine->unsent(own);
}

bool stream_has_input(struct stream *s)
{
    struct stream *own = ground(s);
    return own->loop->engine->has_input(own);
}

bool stream_is_ending(struct stream *s)
{
    struct stream *own = ground(s);
    return own->loop->engine->is_ending && own->loop->engine->is_ending(own);
}

bool stream_has_left(struct stream *s)
{
    struct stream *own = ground(s);
    return stream_is_ending(own) || own->loop->engine->has_left(own);
}

struct address stream_peer(struct stream *s)
{
    struct stream *own = ground(s);
    return own->loop->engine->peer(own);
}

struct address stream_local(struct stream *s)
{
    struct stream *own = ground(s);
    return own->loop->engine->local(own);
}

bool stream_bulk(struct stream *src, struct stream *dst, uint64_t bytes)
{
    CHECK(src != dst && src->loop == dst->loop && bytes > 0);
    const struct engine *engine = src->loop->engine;
    return !layer_of(src) && !layer_of(dst) && engine->bulk && engine->bulk(src, dst, bytes);
}

void stream_bulk_likely(struct stream *src)
{
    if (!layer_of(src) && src->loop->engine->bulk_likely)
        src->loop->engine->bulk_likely(src);
}

void stream_bulk_follows(struct stream *dst)
{
    if (!layer_of(dst) && dst->loop->engine->bulk_follows)
        dst->loop->engine->bulk_follows(dst);
}

/* ---- acceptors ---- */

static void acceptor_retry(struct timer *t)
{
    struct acceptor *a = container_of(t, struct acceptor, retry);
    a->starved = false;
    a->loop->engine->accept_update(a);
}

int acceptor_start(struct loop *loop, struct acceptor *a, struct listener *listener, uint32_t shard,
                   accepted_fn *accepted, void *user)
{
    *a = (struct acceptor){
        .accepted = accepted,
        .user = user,
        .loop = loop,
        .listener = listener,
        .shard = shard,
    };
    timer_init(&a->retry, acceptor_retry);
    list_init(&a->link);
    int rc = loop->engine->accept_start(a);
    if (rc == 0)
        list_add_tail(&loop->acceptors, &a->link);
    return rc;
}

void acceptor_pause(struct acceptor *a, bool paused)
{
    if (a->paused == paused)
        return;
    a->paused = paused;
    a->loop->engine->accept_update(a);
}

void acceptor_starve(struct acceptor *a)
{
    a->loop->stats.accepts_starved++;
    pipe_pool_trim(&a->loop->pipes); /* a pipe is two descriptors */
    a->starved = true;
    loop_timer_set(a->loop, &a->retry, ACCEPT_RETRY_MS);
    a->loop->engine->accept_update(a);
}

void acceptor_stop(struct acceptor *a)
{
    loop_timer_stop(a->loop, &a->retry);
    a->loop->engine->accept_stop(a);
    list_del(&a->link);
}

/* ---- watches ---- */

void loop_watch_init(struct loop_watch *w, int fd, loop_watch_fn *fn, void *user)
{
    *w = (struct loop_watch){.fd = fd, .fn = fn, .user = user};
    list_init(&w->link);
}

int loop_watch_set(struct loop *loop, struct loop_watch *w, uint32_t events)
{
    if (events == w->events)
        return 0;
    CHECK(loop->engine->watch != NULL);
    return loop->engine->watch(loop, w, events);
}

void loop_watch_end(struct loop *loop, struct loop_watch *w)
{
    if (w->events)
        (void)loop->engine->watch(loop, w, 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * The io_uring engine: its turns, watches of other descriptors, and accepting.
 *
 * A turn makes one system call that submits what the last one queued (sends, polls, cancellations)
 * and waits. Completions are first only noted, all of them, and served afterwards, as with epoll.
 *
 * The ring is made disabled and enabled by the thread that first runs the loop, for only that one
 * may drive it. Until then, and after the loop has stopped, nothing here needs the kernel's help:
 * what is to be watched waits on a list, what is to be closed is closed.
 */
#include "base/clock.h"
#include "io/listener_priv.h"
#include "io/socket.h"
#include "io/uring_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Connections taken per turn and acceptor while more wait. */
#define ACCEPTS_PER_TURN 8u

/* Times that a turn asks for completions that were due already, some twenty each. */
#define LOOKS_PER_TURN 32

/* ---- entering the kernel ---- */

static void note(struct uring_loop *l, const struct io_uring_cqe *cqe);

static void reap(struct uring_loop *l)
{
    for (const struct io_uring_cqe *cqe; (cqe = uring_cqe(&l->ring));) {
        struct io_uring_cqe copy = *cqe;
        uring_seen(&l->ring);
        note(l, &copy);
    }
}

static bool is_weather(int result)
{
    return result == 0 || result == -EINTR || result == -ETIME || result == -EAGAIN ||
           result == -EBUSY || result == -ENOMEM;
}

static void enter(struct uring_loop *l, uint64_t wait_ns)
{
    CHECK(is_weather(uring_enter(&l->ring, wait_ns)));
}

struct io_uring_sqe *uring_get_sqe(struct uring_loop *l)
{
    struct io_uring_sqe *sqe = uring_sqe(&l->ring);
    for (int tries = 0; UNLIKELY(!sqe); tries++) {
        CHECK(tries < 1000); /* out of memory for that long */
        enter(l, 0);
        sqe = uring_sqe(&l->ring);
        if (!sqe)
            reap(l);
    }
    return sqe;
}

/* ---- watches ---- */

/* What the kernel knows of a watch; outlives it until the last completion. */
struct uring_watch {
    struct loop_watch *w; /* NULL once ended */
    uint32_t armed;       /* the events it was armed for; 0 = not armed */
    bool stopping;
    struct list link; /* unarmed, or ended */
};

static struct uring_watch *watch_of(const struct loop_watch *w)
{
    return w->engine;
}

static void want_arming(struct uring_loop *l, struct uring_watch *u)
{
    if (!u->armed && !list_linked(&u->link))
        list_add_tail(&l->unarmed, &u->link);
}

static void stop_watch(struct uring_loop *l, struct uring_watch *u)
{
    if (u->stopping)
        return;
    u->stopping = true;
    struct io_uring_sqe *sqe = uring_get_sqe(l);
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->fd = -1;
    sqe->addr = (uint64_t)(uintptr_t)u | URING_TAG_WATCH;
}

static int watch_set(struct loop *loop, struct loop_watch *w, uint32_t events)
{
    struct uring_loop *l = uring_loop_of(loop);
    struct uring_watch *u = watch_of(w);
    if (!u) {
        u = slab_get_zeroed(&l->watches);
        if (!u)
            return -(int)REASON_overload;
        list_init(&u->link);
        u->w = w;
        w->engine = u;
    }
    w->events = events;
    if (u->armed && u->armed != events)
        stop_watch(l, u); /* armed anew with its last completion */
    if (events) {
        want_arming(l, u);
        return 0;
    }
    list_del(&w->link);
    list_del(&u->link);
    w->engine = NULL;
    u->w = NULL;
    if (u->armed)
        list_add_tail(&l->ended, &u->link);
    else
        slab_put(&l->watches, u);
    return 0;
}

/* One shot each: what is level-triggered for the owner is looked at anew in each turn. */
static void arm_watches(struct uring_loop *l)
{
    for (struct list *link; (link = list_pop(&l->unarmed));) {
        struct uring_watch *u = list_entry(link, struct uring_watch, link);
        struct io_uring_sqe *sqe = uring_get_sqe(l);
        uint32_t events = 0;
        if (u->w->events & LOOP_WATCH_IN)
            events |= POLLIN;
        if (u->w->events & LOOP_WATCH_OUT)
            events |= POLLOUT;
        if (u->w->exclusive)
            events |= EPOLLEXCLUSIVE;
        sqe->opcode = IORING_OP_POLL_ADD;
        sqe->fd = u->w->fd;
        sqe->poll32_events = uring_poll_word(events);
        sqe->user_data = (uint64_t)(uintptr_t)u | URING_TAG_WATCH;
        u->armed = u->w->events;
        u->stopping = false;
    }
}

static void watch_event(struct uring_loop *l, struct uring_watch *u, int result)
{
    struct loop_watch *w = u->w;
    u->armed = 0;
    if (!w) {
        list_del(&u->link);
        slab_put(&l->watches, u);
        return;
    }
    want_arming(l, u);
    if (result < 0 || list_linked(&w->link))
        return;
    w->fired = 0;
    if (result & (POLLIN | POLLHUP | POLLERR))
        w->fired |= LOOP_WATCH_IN & w->events;
    if (result & (POLLOUT | POLLHUP | POLLERR))
        w->fired |= LOOP_WATCH_OUT & w->events;
    if (w->fired)
        list_add_tail(&l->fired, &w->link);
}

static void run_watches(struct uring_loop *l)
{
    for (struct list *link; (link = list_pop(&l->fired));) {
        struct loop_watch *w = list_entry(link, struct loop_watch, link);
        w->fn(w, w->fired);
    }
}

/* ---- accepting ---- */

struct uring_acceptor {
    struct loop_watch watch;
    struct acceptor *acceptor; /* NULL once stopped */
    uint64_t last_turn;        /* in which connections waited */
    struct list link;          /* on gone */
};

/* Takes one connection and hands it over. False when there is none or no room. */
static bool accept_one(struct uring_loop *l, struct uring_acceptor *ua)
{
    struct acceptor *a = ua->acceptor;
    if (UNLIKELY(l->loop.stats.streams_open >= l->loop.streams_max)) {
        acceptor_starve(a);
        return false;
    }
    struct address peer;
    int fd = socket_accept(ua->watch.fd, &peer);
    if (UNLIKELY(fd < 0)) {
        if (fd == -EAGAIN)
            return false;
        if (socket_accept_may_go_on(-fd))
            return true;
        acceptor_starve(a);
        return false;
    }
    struct uring_stream *e = uring_stream_adopt(l, fd, &peer);
    if (UNLIKELY(!e)) {
        socket_reset_on_close(fd);
        (void)close(fd);
        acceptor_starve(a);
        return false;
    }
    l->loop.stats.accepted++;
    a->accepted(a, &e->s);
    return true;
}

/* As with epoll: one connection per event, more when they crowd. Not a multishot accept: that ends
 * each batch with an accept that finds nothing, which costs as much as one that succeeds, gives no
 * address, and takes what there is whatever streams_max and a pause say. */
static void accept_some(struct loop_watch *w, uint32_t fired)
{
    (void)fired;
    struct uring_acceptor *ua = container_of(w, struct uring_acceptor, watch);
    struct uring_loop *l = w->user;
    bool crowded = ua->last_turn + 1 == l->loop.stats.turns;
    ua->last_turn = l->loop.stats.turns;
    uint32_t count = crowded ? MIN(socket_waiting(w->fd), ACCEPTS_PER_TURN) : 1;
    for (uint32_t i = 0; i < count && w->events; i++) {
        if (!accept_one(l, ua))
            return;
    }
}

static void accept_update(struct acceptor *a)
{
    struct uring_acceptor *ua = a->engine;
    bool accepting = !a->paused && !a->starved;
    if (loop_watch_set(a->loop, &ua->watch, accepting ? LOOP_WATCH_IN : 0) != 0)
        acceptor_starve(a); /* no memory to watch it: the timer tries again */
}

static int accept_start(struct acceptor *a)
{
    struct uring_loop *l = uring_loop_of(a->loop);
    struct uring_acceptor *ua = calloc(1, sizeof *ua);
    if (!ua)
        return -(int)REASON_overload;
    loop_watch_init(&ua->watch, listener_fd(a->listener, a->shard), accept_some, l);
    ua->watch.exclusive = !listener_enter(a->listener, a->shard);
    ua->acceptor = a;
    list_init(&ua->link);
    int rc = loop_watch_set(a->loop, &ua->watch, LOOP_WATCH_IN);
    if (rc < 0) {
        listener_leave(a->listener, a->shard);
        free(ua);
        return rc;
    }
    a->engine = ua;
    return 0;
}

static void accept_stop(struct acceptor *a)
{
    struct uring_acceptor *ua = a->engine;
    loop_watch_end(a->loop, &ua->watch);
    listener_leave(a->listener, a->shard);
    ua->acceptor = NULL;
    a->engine = NULL;
    list_add_tail(&uring_loop_of(a->loop)->gone, &ua->link); /* we may be in its callback */
}

static void free_gone(struct uring_loop *l)
{
    for (struct list *link; (link = list_pop(&l->gone));)
        free(list_entry(link, struct uring_acceptor, link));
}

/* ---- waking ---- */

/* Each write to it is an edge; nobody ever reads. */
static void arm_wake(struct uring_loop *l)
{
    struct io_uring_sqe *sqe = uring_get_sqe(l);
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = l->wake_fd;
    sqe->len = IORING_POLL_ADD_MULTI;
    sqe->poll32_events = uring_poll_word(POLLIN);
    sqe->user_data = URING_TAG_WAKE;
    l->wake_armed = true;
}

static void wake(struct loop *loop)
{
    const uint64_t one = 1;
    ssize_t n = write(uring_loop_of(loop)->wake_fd, &one, sizeof one);
    CHECK(n == sizeof one);
}

/* ---- turns ---- */

static void note(struct uring_loop *l, const struct io_uring_cqe *cqe)
{
    switch ((enum uring_kind)(cqe->user_data & URING_KIND_MASK)) {
    case URING_TAG_NONE: return; /* a cancellation that came too late */
    case URING_TAG_RECV:
    case URING_TAG_IN:
    case URING_TAG_OUT:
    case URING_TAG_HUP: uring_stream_event(l, cqe); return;
    case URING_TAG_SEND: uring_send_event(l, cqe); return;
    case URING_TAG_WATCH: watch_event(l, uring_tag_object(cqe->user_data), cqe->res); return;
    case URING_TAG_WAKE:
        if (!(cqe->flags & IORING_CQE_F_MORE))
            l->wake_armed = false;
        return;
    }
}

/* Takes all completions, those too that the kernel keeps for want of room. */
static void reap_ready(struct uring_loop *l)
{
    reap(l);
    if (LIKELY(!uring_overflowed(&l->ring)))
        return;
    l->counters.overflows++;
    do {
        enter(l, 0);
        reap(l);
    } while (uring_overflowed(&l->ring));
}

/* What has happened until now is noted before anything is served: who finds a stream without input
 * may rely on it. The limits are for a flood: one turn is not to use up the buffers of all. */
static void reap_all(struct uring_loop *l)
{
    reap_ready(l);
    for (int i = 0; UNLIKELY(uring_has_work(&l->ring)) && i < LOOKS_PER_TURN; i++) {
        if (l->free_count > l->buffers_count / 2 && l->multishot)
            return;
        l->counters.looks++;
        enter(l, 0);
        reap_ready(l);
    }
}

static uint64_t patience_ms(const struct loop *loop)
{
    const struct uring_loop *l = uring_loop_of(loop);
    if (list_empty(&l->ready) && list_empty(&l->ready_next))
        return UINT64_MAX;
    return l->starved ? TIMER_TICK_MS : 0;
}

static void begin(struct uring_loop *l)
{
    CHECK(uring_enable(&l->ring) == 0);
    uring_buffers_offer(l);
}

static void turn(struct loop *loop, int wait_ms)
{
    struct uring_loop *l = uring_loop_of(loop);
    if (UNLIKELY(!l->ring.enabled))
        begin(l);
    if (UNLIKELY(!l->wake_armed))
        arm_wake(l);
    arm_watches(l);
    enter(l, (uint64_t)wait_ms * NS_PER_MS);
    atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
    loop_read_clock(loop);
    reap_all(l);
    uring_sends_settle(l);
    run_watches(l);
    uring_streams_run(l);
}

static void turn_end(struct loop *loop)
{
    struct uring_loop *l = uring_loop_of(loop);
    if (!list_empty(&l->closed))
        uring_streams_free_closed(l);
    if (!list_empty(&l->gone))
        free_gone(l);
    if (l->free_count > 0)
        uring_buffers_offer(l);
    /* Nobody may drive the ring after this: what was said to be sent or closed is. */
    if (UNLIKELY(atomic_load_explicit(&loop->stopping, memory_order_relaxed))) {
        enter(l, 0);
        reap_all(l);
        uring_sends_settle(l);
    }
}

/* ---- life ---- */

static void free_parts(struct uring_loop *l)
{
    uring_close(&l->ring);
    if (l->wake_fd >= 0)
        (void)close(l->wake_fd);
    free(l->scratch);
    free(l);
}

/* Entries that were never submitted, for the loop was stopped for good: their files are ours. */
static void close_unsubmitted(struct uring_loop *l)
{
    for (uint32_t n = uring_unsubmitted(&l->ring); n > 0; n--) {
        const struct io_uring_sqe *sqe = &l->ring.sqes[(l->ring.tail - n) & l->ring.sq_mask];
        if (sqe->opcode == IORING_OP_CLOSE)
            (void)close(sqe->fd);
    }
}

static void loop_uring_free(struct loop *loop)
{
    struct uring_loop *l = uring_loop_of(loop);
    close_unsubmitted(l);
    uring_close(&l->ring); /* ends all that is in the kernel; no completion comes any more */
    uring_streams_fini(l);
    uring_buffers_fini(l);
    loop_fini(loop);
    free_gone(l);
    for (struct list *link; (link = list_pop(&l->ended));)
        slab_put(&l->watches, list_entry(link, struct uring_watch, link));
    slab_fini(&l->watches);
    free_parts(l);
}

static const struct engine engine_uring = {
    .name = "uring",
    .free = loop_uring_free,
    .turn = turn,
    .turn_end = turn_end,
    .patience_ms = patience_ms,
    .wake = wake,
    .connect = uring_connect,
    .read = uring_read,
    .send = uring_send,
    .last = uring_last,
    .shutdown = uring_shutdown,
    .close = uring_close_stream,
    .unsent = uring_unsent,
    .has_left = uring_has_left,
    .has_input = uring_has_input,
    .is_ending = uring_is_ending,
    .bulk = uring_bulk,
    .bulks = &uring_bulks,
    .peer = uring_peer,
    .local = uring_local,
    .accept_start = accept_start,
    .accept_update = accept_update,
    .accept_stop = accept_stop,
    .watch = watch_set,
};

const char *uring_why(int error)
{
    switch (-error) {
    case ENOSYS: return "this kernel has no io_uring";
    case EPERM:
    case EACCES:
        return "io_uring is forbidden here (kernel.io_uring_disabled, or a container's filter)";
    case EOPNOTSUPP: return "this kernel's io_uring is too old; it takes Linux 6.0";
    case ENOMEM: return "out of memory that may be locked; raise the limit (ulimit -l)";
    case EMFILE:
    case ENFILE: return "out of file descriptors; raise the limit (ulimit -n)";
    default: return strerror(-error);
    }
}

static int reason_of(int error)
{
    switch (-error) {
    case EMFILE:
    case ENFILE: return -(int)REASON_out_of_files;
    case ENOMEM: return -(int)REASON_overload;
    default: return -(int)REASON_system_error;
    }
}

static const uint8_t ops_needed[] = {
    IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_RECV,
    IORING_OP_SEND,     IORING_OP_CLOSE,        IORING_OP_NOP,
};

static int open_parts(struct uring_loop *l, const struct uring_tuning *t)
{
    const struct uring_options options = {
        .sq_entries = t->sq_entries ? t->sq_entries : URING_SQ_ENTRIES,
        .cq_entries = t->cq_entries ? t->cq_entries : URING_CQ_ENTRIES,
        .setup_without = t->setup_without,
    };
    CHECK(options.sq_entries <= URING_SQ_ENTRIES);
    int r = uring_open(&l->ring, &options);
    if (r < 0)
        return r;
    if (!uring_knows(&l->ring, ops_needed, ARRAY_LEN(ops_needed)))
        return -EOPNOTSUPP;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0)
        return -errno;
    l->scratch = aligned_alloc(CACHE_LINE_BYTES, URING_SCRATCH_BYTES);
    if (!l->scratch)
        return -ENOMEM;
    l->buffers_count = t->buffers ? t->buffers : URING_BUFFERS;
    CHECK(l->buffers_count <= URING_BUFFERS);
    l->park_ms = t->park_ms ? t->park_ms : URING_PARK_MS;
    l->multishot = !t->no_multishot;
    /* Before 6.1 a send that was short might not tell how much it took. */
    l->batching = (l->ring.setup_flags & IORING_SETUP_DEFER_TASKRUN) != 0;
    return uring_buffers_init(l);
}

int loop_uring_new_tuned(const struct loop_options *options, const struct uring_tuning *tuning,
                         struct loop **ret_loop)
{
    struct uring_loop *l = aligned_alloc(CACHE_LINE_BYTES, sizeof *l);
    if (!l)
        return -(int)REASON_overload;
    memset(l, 0, sizeof *l);
    l->ring.fd = -1;
    l->wake_fd = -1;
    int r = open_parts(l, tuning);
    if (r < 0) {
        free_parts(l);
        return reason_of(r);
    }
    loop_init(&l->loop, &engine_uring, options);
    list_init(&l->fired);
    list_init(&l->unarmed);
    list_init(&l->ended);
    list_init(&l->gone);
    timer_init(&l->park, NULL);
    slab_init(&l->watches, sizeof(struct uring_watch), 8, 0);
    uring_streams_init(l);
    *ret_loop = &l->loop;
    return 0;
}

int loop_uring_new(const struct loop_options *options, struct loop **ret_loop)
{
    static const struct uring_tuning ordinary;
    return loop_uring_new_tuned(options, &ordinary, ret_loop);
}

int loop_uring_try(const char **ret_why)
{
    struct uring ring;
    const struct uring_options options = {.sq_entries = 4, .cq_entries = 16};
    int r = uring_open(&ring, &options);
    if (r == 0 && !uring_knows(&ring, ops_needed, ARRAY_LEN(ops_needed)))
        r = -EOPNOTSUPP;
    uring_close(&ring);
    if (r == 0)
        return 0;
    *ret_why = uring_why(r);
    return reason_of(r);
}

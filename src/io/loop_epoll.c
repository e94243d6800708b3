/* SPDX-License-Identifier: MIT */
/*
 * The epoll engine: its turns, watches of other descriptors, and accepting.
 *
 * Events are first only noted, all of them, and served afterwards. So nothing that a callback
 * closes or frees can have an event still waiting in this turn.
 */
#include "io/epoll_priv.h"
#include "io/listener_priv.h"
#include "io/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Connections taken per turn and acceptor while more wait: few, so that those that are open are not
 * kept waiting by a flood of new ones. */
#define ACCEPTS_PER_TURN 8u

/* ---- accepting ---- */

struct epoll_acceptor {
    struct loop_watch watch;
    struct acceptor *acceptor; /* NULL once stopped */
    uint64_t last_turn;        /* in which connections waited */
    struct list link;          /* on gone */
};

/* Takes one connection and hands it over. False when there is none or no room. */
static bool accept_one(struct epoll_loop *l, struct epoll_acceptor *ea)
{
    struct acceptor *a = ea->acceptor;
    if (UNLIKELY(l->loop.stats.streams_open >= l->loop.streams_max)) {
        acceptor_starve(a);
        return false;
    }
    struct address peer;
    int fd = socket_accept(ea->watch.fd, &peer);
    if (UNLIKELY(fd < 0)) {
        if (fd == -EAGAIN)
            return false;
        if (socket_accept_may_go_on(-fd))
            return true;
        acceptor_starve(a);
        return false;
    }
    struct epoll_stream *e = epoll_stream_adopt(l, fd, &peer);
    if (UNLIKELY(!e)) {
        socket_reset_on_close(fd);
        (void)close(fd);
        acceptor_starve(a);
        return false;
    }
    l->loop.stats.accepted++;
    a->accepted(a, &e->s);
    epoll_stream_rest(e);
    return true;
}

/* An accept that finds nothing costs as much as one that succeeds, so it is avoided: one connection
 * per event, and if there was one in the turn before too, as many as the kernel says are waiting. A
 * unix socket cannot tell: there until one finds nothing. */
static void accept_some(struct loop_watch *w, uint32_t fired)
{
    (void)fired;
    struct epoll_acceptor *ea = container_of(w, struct epoll_acceptor, watch);
    struct epoll_loop *l = w->user;
    bool crowded = ea->last_turn + 1 == l->loop.stats.turns;
    ea->last_turn = l->loop.stats.turns;
    uint32_t count = crowded ? MIN(socket_waiting(w->fd), ACCEPTS_PER_TURN) : 1;
    for (uint32_t i = 0; i < count && w->events; i++) {
        if (!accept_one(l, ea))
            return;
    }
}

static void accept_update(struct acceptor *a)
{
    struct epoll_acceptor *ea = a->engine;
    bool accepting = !a->paused && !a->starved;
    if (loop_watch_set(a->loop, &ea->watch, accepting ? LOOP_WATCH_IN : 0) != 0)
        acceptor_starve(a); /* no memory to watch it: the timer tries again */
}

static int accept_start(struct acceptor *a)
{
    struct epoll_loop *l = epoll_loop_of(a->loop);
    struct epoll_acceptor *ea = calloc(1, sizeof *ea);
    if (!ea)
        return -(int)REASON_overload;
    loop_watch_init(&ea->watch, listener_fd(a->listener, a->shard), accept_some, l);
    ea->watch.exclusive = !listener_enter(a->listener, a->shard);
    ea->acceptor = a;
    list_init(&ea->link);
    int rc = loop_watch_set(a->loop, &ea->watch, LOOP_WATCH_IN);
    if (rc < 0) {
        listener_leave(a->listener, a->shard);
        free(ea);
        return rc;
    }
    a->engine = ea;
    return 0;
}

static void accept_stop(struct acceptor *a)
{
    struct epoll_acceptor *ea = a->engine;
    loop_watch_end(a->loop, &ea->watch);
    listener_leave(a->listener, a->shard);
    ea->acceptor = NULL;
    a->engine = NULL;
    list_add_tail(&epoll_loop_of(a->loop)->gone, &ea->link); /* we may be in its callback */
}

static void free_gone(struct epoll_loop *l)
{
    for (struct list *link; (link = list_pop(&l->gone));)
        free(list_entry(link, struct epoll_acceptor, link));
}

/* ---- watches ---- */

static int watch_set(struct loop *loop, struct loop_watch *w, uint32_t events)
{
    struct epoll_loop *l = epoll_loop_of(loop);
    struct epoll_event event = {.data.u64 = (uint64_t)(uintptr_t)w | EPOLL_TAG_WATCH};
    if (events & LOOP_WATCH_IN)
        event.events |= EPOLLIN;
    if (events & LOOP_WATCH_OUT)
        event.events |= EPOLLOUT;
    int op = EPOLL_CTL_MOD;
    if (!events)
        op = EPOLL_CTL_DEL;
    else if (!w->events)
        op = EPOLL_CTL_ADD;
    if (w->exclusive && op == EPOLL_CTL_ADD)
        event.events |= EPOLLEXCLUSIVE;
    if (epoll_ctl(l->epfd, op, w->fd, &event) != 0 && op != EPOLL_CTL_DEL)
        return -(int)REASON_system_error;
    w->events = events;
    if (!events)
        list_del(&w->link);
    return 0;
}

static void watch_event(struct epoll_loop *l, struct loop_watch *w, uint32_t events)
{
    if (list_linked(&w->link))
        return;
    w->fired = 0;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        w->fired |= LOOP_WATCH_IN & w->events;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        w->fired |= LOOP_WATCH_OUT & w->events;
    list_add_tail(&l->fired, &w->link);
}

static void run_watches(struct epoll_loop *l)
{
    for (struct list *link; (link = list_pop(&l->fired));) {
        struct loop_watch *w = list_entry(link, struct loop_watch, link);
        w->fn(w, w->fired);
    }
}

/* ---- turns ---- */

static uint64_t patience_ms(const struct loop *loop)
{
    const struct epoll_loop *l = epoll_loop_of(loop);
    if (list_empty(&l->ready) && list_empty(&l->ready_next))
        return UINT64_MAX;
    return l->starved ? TIMER_TICK_MS : 0;
}

static void turn(struct loop *loop, int wait_ms)
{
    struct epoll_loop *l = epoll_loop_of(loop);
    int n = epoll_wait(l->epfd, l->events, EPOLL_EVENTS_MAX, wait_ms);
    atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
    loop_read_clock(loop);
    CHECK(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++) {
        uint64_t tag = l->events[i].data.u64;
        epoll_stream_prefetch(l->events[MIN(i + 2, n - 1)].data.u64);
        if (tag & EPOLL_TAG_WATCH)
            watch_event(l, (struct loop_watch *)(uintptr_t)(tag - EPOLL_TAG_WATCH),
                        l->events[i].events);
        else if (tag)
            epoll_stream_event(l, tag, l->events[i].events);
    }
    run_watches(l);
    epoll_streams_run(l);
}

static void turn_end(struct loop *loop)
{
    struct epoll_loop *l = epoll_loop_of(loop);
    if (!list_empty(&l->closed))
        epoll_streams_free_closed(l);
    if (!list_empty(&l->gone))
        free_gone(l);
}

static void wake(struct loop *loop)
{
    const uint64_t one = 1;
    ssize_t n = write(epoll_loop_of(loop)->wake_fd, &one, sizeof one);
    CHECK(n == sizeof one);
}

/* ---- life ---- */

static void loop_epoll_free(struct loop *loop)
{
    struct epoll_loop *l = epoll_loop_of(loop);
    loop_fini(loop);
    free_gone(l);
    epoll_streams_fini(l);
    (void)close(l->wake_fd);
    (void)close(l->epfd);
    free(l);
}

static const struct engine engine_epoll = {
    .name = "epoll",
    .free = loop_epoll_free,
    .turn = turn,
    .turn_end = turn_end,
    .patience_ms = patience_ms,
    .wake = wake,
    .connect = epoll_connect,
    .read = epoll_read,
    .send = epoll_send,
    .last = epoll_last,
    .shutdown = epoll_shutdown,
    .close = epoll_close,
    .unsent = epoll_unsent,
    .has_left = epoll_has_left,
    .has_input = epoll_has_input,
    .is_ending = epoll_is_ending,
    .bulk = epoll_bulk,
    .bulks = &epoll_bulks,
    .bulk_likely = epoll_bulk_likely,
    .bulk_follows = epoll_bulk_follows,
    .peer = epoll_peer,
    .local = epoll_local,
    .accept_start = accept_start,
    .accept_update = accept_update,
    .accept_stop = accept_stop,
    .watch = watch_set,
};

static int open_descriptors(struct epoll_loop *l)
{
    l->wake_fd = -1;
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epfd < 0)
        return errno;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0)
        return errno;
    /* Edge-triggered: each write wakes, and nobody ever has to read it. Its tag is 0. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    return epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->wake_fd, &event) == 0 ? 0 : errno;
}

int loop_epoll_new(const struct loop_options *options, struct loop **ret_loop)
{
    struct epoll_loop *l = aligned_alloc(CACHE_LINE_BYTES, sizeof *l);
    if (!l)
        return -(int)REASON_overload;
    memset(l, 0, sizeof *l);
    int err = open_descriptors(l);
    if (err) {
        if (l->epfd >= 0)
            (void)close(l->epfd);
        if (l->wake_fd >= 0)
            (void)close(l->wake_fd);
        free(l);
        return err == EMFILE || err == ENFILE ? -(int)REASON_out_of_files
                                              : -(int)REASON_system_error;
    }
    loop_init(&l->loop, &engine_epoll, options);
    list_init(&l->fired);
    list_init(&l->gone);
    epoll_streams_init(l);
    *ret_loop = &l->loop;
    return 0;
}

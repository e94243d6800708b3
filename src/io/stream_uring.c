/* SPDX-License-Identifier: MIT */
/*
 * Streams over io_uring.
 *
 * Completions and calls only note what there is to do (engine_bits) and put the stream on the ready
 * list; serve() does it, once a turn and stream, and is the only place that calls back and the only
 * one that asks the kernel to watch.
 *
 * Receiving goes two ways. Streams with small messages have a multishot receive (receive_uring.c).
 * All others are polled for input and received from by ourselves into large buffers: those that
 * carry bulk, new ones (many live for one message), quiet ones (a poll is a third of the memory in
 * the kernel). While a multishot receive is in the kernel nobody else receives: order would be
 * lost.
 *
 * Closing: a request in the kernel holds the file, so close() alone would send no FIN. Each request
 * is told to end, then the file is closed, in this order by the same io_uring_enter; the stream's
 * memory is free after the last completion. Requests are named by their tag: to cancel by
 * descriptor the kernel looks through all there are.
 */
#include "io/kernel.h"
#include "io/socket.h"
#include "io/uring_priv.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Share of one stream in a turn, by number of receives. */
#define RECEIVES_PER_TURN 4

/* How long a closed stream may take for what was accepted for sending before. */
#define LINGER_MS 60000

static inline struct uring_loop *loop_of(const struct uring_stream *e)
{
    return uring_loop_of(e->s.loop);
}

static inline bool has(const struct uring_stream *e, uint32_t bits)
{
    return uring_has(e, bits);
}

static inline void set(struct uring_stream *e, uint32_t bits)
{
    uring_set(e, bits);
}

static inline void clear(struct uring_stream *e, uint32_t bits)
{
    uring_clear(e, bits);
}

/* ---- life ---- */

void uring_streams_init(struct uring_loop *l)
{
    uint32_t max = l->loop.streams_max;
    /* Twice: those closed lately keep their memory until their last completion. */
    slab_init(&l->streams, sizeof(struct uring_stream), 8, 2 * (size_t)max);
    slab_init(&l->backlogs, sizeof(struct backlog), 8, 2 * (size_t)max);
    list_init(&l->ready);
    list_init(&l->ready_next);
    list_init(&l->closed);
    list_init(&l->closing);
}

static struct uring_stream *new_stream(struct uring_loop *l, uint32_t bits)
{
    if (l->loop.stats.streams_open >= l->loop.streams_max)
        return NULL;
    struct uring_stream *e = slab_get(&l->streams);
    if (!e)
        return NULL;
    *e = (struct uring_stream){
        .s = {.magic = STREAM_MAGIC, .engine_bits = bits, .loop = &l->loop},
        .fd = -1,
        .generation = l->generation++,
        .turn = (uint16_t)(l->loop.stats.turns - 1),
        .small = -1,
    };
    list_init(&e->link);
    struct loop_stats *stats = &l->loop.stats;
    stats->streams_open++;
    stats->streams_peak = MAX(stats->streams_peak, stats->streams_open);
    return e;
}

struct uring_stream *uring_stream_adopt(struct uring_loop *l, int fd, const struct address *peer)
{
    struct uring_stream *e = new_stream(l, URING_READABLE);
    if (!e)
        return NULL;
    e->fd = fd;
    e->peer = socket_ip_of(peer);
    return e;
}

void uring_stream_ready(struct uring_stream *e)
{
    if (list_linked(&e->link))
        return;
    struct uring_loop *l = loop_of(e);
    bool served = e->turn == (uint16_t)l->loop.stats.turns;
    list_add_tail(served ? &l->ready_next : &l->ready, &e->link);
}

/* serve() does what is due at its end anyhow. */
static void ready_unless_served(struct uring_stream *e)
{
    if (loop_of(e)->serving != e)
        uring_stream_ready(e);
}

void uring_stream_fail(struct uring_stream *e, enum reason why)
{
    if (has(e, URING_FAIL_DUE | URING_FAILED | URING_CLOSED))
        return;
    set(e, URING_FAIL_DUE);
    e->why = (uint8_t)why;
    uring_stream_ready(e);
}

/* ---- what waits for room ---- */

static struct backlog *backlog_of(struct uring_stream *e)
{
    if (!e->backlog) {
        e->backlog = slab_get(&loop_of(e)->backlogs);
        if (e->backlog)
            backlog_init(e->backlog, e);
    }
    return e->backlog;
}

static bool parked(struct uring_stream *e, bool done)
{
    if (!done)
        uring_stream_fail(e, REASON_overload);
    else
        ready_unless_served(e); /* to be polled for room */
    return done;
}

bool uring_stream_park(struct uring_stream *e, const struct slice *slices, size_t count,
                       size_t sent)
{
    struct backlog *b = backlog_of(e);
    return parked(e, b && backlog_has_room(b, count) &&
                         backlog_add(e->s.loop, b, slices, count, sent));
}

bool uring_stream_park_copy(struct uring_stream *e, const uint8_t *p, uint32_t n)
{
    struct backlog *b = backlog_of(e);
    return parked(e, b && backlog_add_copy(e->s.loop, b, p, n));
}

static void drop_backlog(struct uring_stream *e)
{
    if (!e->backlog)
        return;
    loop_timer_stop(e->s.loop, &e->backlog->linger);
    backlog_clear(e->backlog);
    slab_put(&loop_of(e)->backlogs, e->backlog);
    e->backlog = NULL;
}

/* ---- polls ---- */

static void poll_start(struct uring_stream *e, uint32_t bit, enum uring_kind kind, uint32_t events)
{
    struct io_uring_sqe *sqe = uring_get_sqe(loop_of(e));
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = e->fd;
    sqe->poll32_events = uring_poll_word(events);
    sqe->user_data = uring_tag(e, kind);
    set(e, bit);
}

static void cancel(struct uring_stream *e, enum uring_kind kind)
{
    struct io_uring_sqe *sqe = uring_get_sqe(loop_of(e));
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->fd = -1;
    sqe->addr = uring_tag(e, kind);
}

void uring_stream_await_room(struct uring_stream *e)
{
    if (!has(e, URING_OUT))
        poll_start(e, URING_OUT, URING_TAG_OUT, POLLOUT);
}

/* Has the kernel watch for whatever is awaited. */
static void arm(struct uring_stream *e)
{
    if (has(e, URING_CLOSED | URING_FAILED | URING_FAIL_DUE))
        return;
    bool connecting = has(e, URING_CONNECTING);
    if ((connecting && !has(e, URING_CONNECT_DUE | URING_OUT)) ||
        (!connecting && e->backlog && !has(e, URING_WRITABLE | URING_OUT | URING_QUEUED)))
        poll_start(e, URING_OUT, URING_TAG_OUT, POLLOUT);
    if (connecting)
        return;
    if (has(e, URING_WANT_READ) && !has(e, URING_EOF)) {
        if (!e->held && !has(e, URING_READABLE | URING_RECV | URING_IN) && !uring_receive_start(e))
            poll_start(e, URING_IN, URING_TAG_IN, POLLIN | POLLRDHUP);
    } else if (!has(e, URING_RECV | URING_IN | URING_HUP | URING_HUNG_UP)) {
        poll_start(e, URING_HUP, URING_TAG_HUP, 0);
    }
}

/* ---- closing ---- */

/* Closes the file, ending what is in the kernel first. */
static void release(struct uring_stream *e)
{
    struct uring_loop *l = loop_of(e);
    int fd = e->fd;
    e->fd = -1;
    if (has(e, URING_RESET))
        socket_reset_on_close(fd);
    else if (has(e, URING_LAST))
        (void)shutdown(fd, SHUT_WR); /* with bytes unread a close alone would drop what waits */
    if (!has(e, URING_IN_KERNEL)) {
        (void)close(fd);
        return;
    }
    uring_receive_stop(e);
    if (has(e, URING_IN))
        cancel(e, URING_TAG_IN);
    if (has(e, URING_OUT))
        cancel(e, URING_TAG_OUT);
    if (has(e, URING_HUP))
        cancel(e, URING_TAG_HUP);
    struct io_uring_sqe *sqe = uring_get_sqe(l);
    sqe->opcode = IORING_OP_CLOSE;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->fd = fd;
}

static void linger_over(struct timer *t);

/* What was accepted before the close and not taken by the kernel is still delivered. */
static void linger(struct uring_stream *e)
{
    if (e->backlog->linger.fn == NULL) {
        e->backlog->linger.fn = linger_over;
        loop_timer_set(e->s.loop, &e->backlog->linger, LINGER_MS);
    }
    if (!has(e, URING_OUT))
        poll_start(e, URING_OUT, URING_TAG_OUT, POLLOUT);
}

void uring_close_stream(struct stream *s, enum stream_close_how how)
{
    struct uring_stream *e = uring_stream_of(s);
    struct uring_loop *l = loop_of(e);
    CHECK(!has(e, URING_CLOSED));
    if (UNLIKELY(e->bulk))
        bulk_part_drop(e->bulk);
    if (how == STREAM_CLOSE_RESET)
        uring_send_drop(e);
    else
        uring_send_early(e);
    const uint32_t dropped = URING_SENDING | URING_FAIL_DUE | URING_FAILED | URING_CONNECTING;
    if (how == STREAM_CLOSE_RESET || has(e, dropped))
        drop_backlog(e);
    uring_held_drop(e);
    s->engine_bits &= URING_IN_KERNEL | URING_STOPPING | URING_QUEUED | URING_LAST;
    set(e, URING_CLOSED | (how == STREAM_CLOSE_RESET ? URING_RESET : 0));
    s->ops = NULL;
    list_move_tail(&l->closed, &e->link);
    l->loop.stats.streams_open--;
    if (!has(e, URING_QUEUED))
        uring_stream_settled(e);
}

void uring_stream_settled(struct uring_stream *e)
{
    if (e->fd < 0)
        return;
    if (e->backlog)
        linger(e);
    else
        release(e);
}

static void linger_on(struct uring_stream *e)
{
    if (!uring_flush(e) && backlog_bytes(e->backlog) > 0) {
        linger(e);
        return;
    }
    drop_backlog(e);
    release(e);
}

static void linger_over(struct timer *t)
{
    struct backlog *b = container_of(t, struct backlog, linger);
    struct uring_stream *e = b->owner;
    set(e, URING_RESET);
    drop_backlog(e);
    release(e);
}

static bool is_gone(const struct uring_stream *e)
{
    return e->fd < 0 && !has(e, URING_IN_KERNEL | URING_QUEUED);
}

static void free_stream(struct uring_stream *e)
{
    e->s.magic = 0;
    slab_put(&loop_of(e)->streams, e);
}

void uring_streams_free_closed(struct uring_loop *l)
{
    for (struct list *link; (link = list_pop(&l->closed));) {
        struct uring_stream *e = list_entry(link, struct uring_stream, link);
        if (is_gone(e))
            free_stream(e);
        else
            list_add_tail(&l->closing, &e->link);
    }
}

/* The ring is closed: nothing of the streams is in the kernel any more. */
void uring_streams_fini(struct uring_loop *l)
{
    list_splice_tail(&l->closing, &l->closed); /* from closed */
    for (struct list *link; (link = list_pop(&l->closing));) {
        struct uring_stream *e = list_entry(link, struct uring_stream, link);
        if (e->backlog)
            (void)uring_flush(e);
        drop_backlog(e);
        if (e->fd >= 0)
            (void)close(e->fd);
        free_stream(e);
    }
    slab_fini(&l->streams);
    slab_fini(&l->backlogs);
}

/* ---- completions ---- */

/* What a poll found, as for epoll. */
static void note_poll(struct uring_stream *e, uint32_t events)
{
    if (UNLIKELY(has(e, URING_EOF)))
        events &= ~(uint32_t)(POLLIN | POLLRDHUP); /* that end was delivered */
    if (events & (POLLIN | POLLRDHUP | POLLHUP | POLLERR))
        set(e, URING_READABLE);
    if (events & (POLLRDHUP | POLLHUP | POLLERR))
        set(e, URING_PEER_DONE);
    if (events & POLLERR)
        set(e, URING_ERROR);
}

static void note_closed(struct uring_loop *l, struct uring_stream *e, uint32_t bit)
{
    l->counters.late++;
    if (bit == URING_OUT && e->fd >= 0 && e->backlog && !has(e, URING_QUEUED))
        linger_on(e);
    if (is_gone(e))
        list_move_tail(&l->closed, &e->link);
}

static void poll_event(struct uring_loop *l, struct uring_stream *e, uint32_t bit, int result)
{
    clear(e, bit);
    if (has(e, URING_CLOSED)) {
        note_closed(l, e, bit);
        return;
    }
    if (result == -ECANCELED)
        return;
    if (result < 0) {
        uring_stream_fail(e, REASON_overload); /* no memory to watch it */
        return;
    }
    if (bit == URING_HUP)
        set(e, URING_HUNG_UP);
    if (has(e, URING_CONNECTING))
        set(e, URING_CONNECT_DUE);
    else
        note_poll(e, (uint32_t)result);
    if (bit == URING_OUT && e->backlog)
        set(e, URING_WRITABLE);
    if (has(e, URING_BULK_DST))
        bulk_part_writable(e->bulk);
    uring_stream_ready(e);
}

void uring_stream_event(struct uring_loop *l, const struct io_uring_cqe *cqe)
{
    struct uring_stream *e = uring_tag_object(cqe->user_data);
    CHECK(e->s.magic == STREAM_MAGIC);
    CHECK(e->generation == (uint8_t)(cqe->user_data >> URING_GENERATION));
    CHECK(e->s.loop == &l->loop);
    switch ((enum uring_kind)(cqe->user_data & URING_KIND_MASK)) {
    case URING_TAG_RECV:
        uring_receive_event(l, e, cqe);
        if (has(e, URING_CLOSED) && is_gone(e))
            list_move_tail(&l->closed, &e->link);
        return;
    case URING_TAG_IN: poll_event(l, e, URING_IN, cqe->res); return;
    case URING_TAG_OUT: poll_event(l, e, URING_OUT, cqe->res); return;
    case URING_TAG_HUP: poll_event(l, e, URING_HUP, cqe->res); return;
    default: CHECK_FAIL("a completion of a stream");
    }
}

/* ---- connecting ---- */

struct stream *uring_connect(struct loop *loop, const struct address *to,
                             const struct stream_ops *ops, void *user)
{
    struct uring_loop *l = uring_loop_of(loop);
    struct sockaddr_storage sa;
    socklen_t sa_len = socket_sockaddr(to, &sa);
    int fd = socket_new(socket_family(to));
    if (fd < 0)
        return NULL;
    struct uring_stream *e = new_stream(l, URING_CONNECTING);
    if (!e) {
        (void)close(fd);
        return NULL;
    }
    e->fd = fd;
    stream_set_ops(&e->s, ops, user);
    loop->stats.connects++;
    if (connect(fd, (const struct sockaddr *)&sa, sa_len) == 0)
        set(e, URING_CONNECT_DUE);
    else if (errno != EINPROGRESS && errno != EINTR)
        uring_stream_fail(e, socket_connect_reason(errno));
    uring_stream_ready(e);
    return &e->s;
}

static void shut_if_due(struct uring_stream *e)
{
    const uint32_t before = URING_SENDING | URING_CONNECTING | URING_QUEUED | URING_SHUT;
    if (!has(e, URING_SHUTDOWN) || has(e, before) || e->backlog)
        return;
    set(e, URING_SHUT);
    /* Directly: the ring's own operation would always go through a thread. */
    if (shutdown(e->fd, SHUT_WR) != 0 && errno != ENOTCONN)
        uring_stream_fail(e, socket_stream_reason(errno));
}

void uring_shutdown(struct stream *s)
{
    struct uring_stream *e = uring_stream_of(s);
    CHECK(!has(e, URING_BULK_DST));
    if (has(e, URING_SHUTDOWN | URING_FAILED))
        return;
    set(e, URING_SHUTDOWN);
    uring_send_early(e);
    shut_if_due(e);
}

static void finish_connect(struct uring_stream *e)
{
    clear(e, URING_CONNECT_DUE);
    int err = socket_error(e->fd);
    if (err) {
        clear(e, URING_READABLE);
        uring_stream_fail(e, socket_connect_reason(err));
        return;
    }
    clear(e, URING_CONNECTING);
    if (e->backlog)
        set(e, URING_WRITABLE);
    shut_if_due(e);
    e->s.ops->connected(&e->s);
}

/* ---- sending ---- */

bool uring_has_left(struct stream *s)
{
    return socket_has_left(uring_stream_of(s)->fd);
}

uint64_t uring_unsent(struct stream *s)
{
    struct uring_stream *e = uring_stream_of(s);
    int queued = 0;
    if (ioctl(e->fd, SIOCOUTQ, &queued) != 0)
        queued = 0;
    uint64_t parked_bytes = e->backlog ? backlog_bytes(e->backlog) : 0;
    uint64_t piped = has(e, URING_BULK_DST) ? e->bulk->from->queued : 0;
    return (uint64_t)queued + uring_send_queued(e) + parked_bytes + piped;
}

static void flush(struct uring_stream *e)
{
    if (!uring_flush(e)) {
        if (has(e, URING_FAIL_DUE))
            drop_backlog(e);
        return;
    }
    drop_backlog(e);
    bool pending = has(e, URING_SENDING);
    clear(e, URING_SENDING);
    shut_if_due(e);
    if (pending)
        e->s.ops->sent(&e->s);
}

/* ---- receiving ---- */

bool uring_is_ending(struct stream *s)
{
    return has(uring_stream_of(s), URING_PEER_DONE | URING_ERROR | URING_END);
}

bool uring_has_input(struct stream *s)
{
    struct uring_stream *e = uring_stream_of(s);
    return e->held != 0 || has(e, URING_READABLE | URING_PEER_DONE | URING_ERROR);
}

void uring_read(struct stream *s, bool want)
{
    struct uring_stream *e = uring_stream_of(s);
    CHECK(!has(e, URING_CLOSED));
    if (!want) {
        clear(e, URING_WANT_READ);
        if (!has(e, URING_RECV | URING_IN | URING_HUP | URING_HUNG_UP | URING_CONNECTING))
            ready_unless_served(e); /* to be watched for a reset */
        return;
    }
    if (has(e, URING_WANT_READ | URING_FAILED))
        return;
    set(e, URING_WANT_READ);
    if (has(e, URING_EOF | URING_CONNECTING))
        return;
    if (!has(e, URING_RECV | URING_IN))
        set(e, URING_READABLE); /* nobody watched: have a look */
    if (e->held || has(e, URING_READABLE))
        uring_stream_ready(e);
}

static inline bool may_receive(const struct uring_stream *e)
{
    const uint32_t never =
        URING_EOF | URING_CONNECTING | URING_FAILED | URING_CLOSED | URING_BULK_SRC;
    if (has(e, never) || !has(e, URING_WANT_READ))
        return false;
    return e->held || (e->s.engine_bits & (URING_READABLE | URING_RECV)) == URING_READABLE;
}

static void deliver_held(struct uring_stream *e, size_t *received)
{
    struct uring_loop *l = loop_of(e);
    struct slice in = uring_held_pop(e);
    *received += in.n;
    e->s.ops->data(&e->s, in);
    uring_buffer_return(l, in.buf);
}

/* How the next messages of this stream will be received. */
static void note_size(struct uring_stream *e, size_t n)
{
    if (n >= URING_BUFFER_BYTES)
        e->small = -URING_SMALL_RUN;
    else if (e->small <= 0)
        e->small++;
}

static void receive_end(struct uring_stream *e, ssize_t n)
{
    clear(e, URING_READABLE);
    if (n == -EAGAIN) {
        clear(e, URING_PEER_DONE);
    } else if (n < 0) {
        uring_stream_fail(e, socket_stream_reason((int)-n));
    } else if (!has(e, URING_FAIL_DUE)) {
        /* After an error the kernel says "end" although bytes are missing: that is no eof. */
        clear(e, URING_PEER_DONE); /* nothing of it waits any more */
        set(e, URING_EOF);
        e->s.ops->eof(&e->s);
    }
}

/* Receives once and delivers. False when there is, or may be, no more to receive now. */
static bool receive_once(struct uring_stream *e, size_t *received)
{
    struct uring_loop *l = loop_of(e);
    if (e->held) {
        deliver_held(e, received);
        return true;
    }
    if (has(e, URING_END)) {
        receive_end(e, 0);
        return false;
    }
    struct buf *b = loop_receive_buf(&l->loop);
    if (UNLIKELY(!b)) {
        l->starved = true;
        l->loop.stats.receives_starved++;
        return true; /* stays readable: again next turn, after a pause */
    }
    ssize_t n = kernel_recv(e->fd, b->data, b->size);
    if (n == -EINTR)
        return true;
    if (UNLIKELY(n <= 0)) {
        receive_end(e, n);
        return false;
    }
    /* Less than asked for shows the kernel is empty; the next watch looks first, in any case. But
     * a FIN that was seen is still to come. */
    if ((size_t)n < b->size && !has(e, URING_PEER_DONE))
        clear(e, URING_READABLE);
    note_size(e, (size_t)n);
    *received += (size_t)n;
    e->s.ops->data(&e->s, (struct slice){b->data, (uint32_t)n, b});
    return true;
}

static void receive(struct uring_stream *e)
{
    size_t received = 0;
    for (int i = 0; i < RECEIVES_PER_TURN && received < RECEIVE_BYTES_PER_TURN; i++) {
        if (!may_receive(e) || !receive_once(e, &received) || loop_of(e)->starved)
            break;
    }
    if (may_receive(e))
        uring_stream_ready(e);
}

/* ---- one stream's turn ---- */

/* Looks for a reset that no receive and no send of ours would find. Bytes that came before it are
 * left for when they are wanted: they may be a complete answer. */
static void find_reset(struct uring_stream *e)
{
    if (bulk_part_goes_on(e->bulk))
        return; /* later, if the bulk does not find it */
    clear(e, URING_ERROR);
    if (may_receive(e) || e->held || has(e, URING_FAIL_DUE | URING_CONNECTING))
        return;
    int unread = 0;
    if (!has(e, URING_EOF) && ioctl(e->fd, FIONREAD, &unread) == 0 && unread > 0)
        return;
    int err = socket_error(e->fd);
    if (err)
        uring_stream_fail(e, socket_stream_reason(err));
}

static void tell_failed(struct uring_stream *e)
{
    enum reason why = (enum reason)e->why;
    drop_backlog(e);
    uring_held_drop(e);
    if (e->bulk)
        bulk_part_drop(e->bulk);
    clear(e, URING_FAIL_DUE | URING_WANT_READ | URING_SENDING);
    set(e, URING_FAILED);
    list_del(&e->link);
    e->s.ops->failed(&e->s, why);
}

/* A failure waits for the bytes before it, and those for credit, unless a send awaits an answer. */
static bool failure_waits(const struct uring_stream *e)
{
    return may_receive(e) || bulk_part_goes_on(e->bulk) || (e->held && !has(e, URING_SENDING));
}

/* Does all that is due, in an order users can rely on: connected, sent, data, eof, failed. The
 * stream may be closed in any callback; its memory stays until the turn ends. */
static void serve(struct uring_stream *e)
{
    e->turn = (uint16_t)e->s.loop->stats.turns;
    if (has(e, URING_CONNECT_DUE))
        finish_connect(e);
    if (has(e, URING_WRITABLE) && !has(e, URING_CONNECTING | URING_QUEUED | URING_CLOSED)) {
        if (e->backlog)
            flush(e);
        else
            shut_if_due(e);
        clear(e, URING_WRITABLE);
    }
    if (has(e, URING_ERROR))
        find_reset(e);
    if (has(e, URING_RECV) && !has(e, URING_END))
        clear(e, URING_READABLE); /* it brings what there is by itself */
    if (may_receive(e))
        receive(e);
    if (UNLIKELY(has(e, URING_BULK_SRC))) {
        uring_bulk_run(e);
        if (may_receive(e)) /* the end, or what the bulk did not take */
            receive(e);
    }
    if (has(e, URING_FAIL_DUE) && !failure_waits(e))
        tell_failed(e);
    arm(e);
}

void uring_streams_run(struct uring_loop *l)
{
    l->starved = false;
    list_splice_tail(&l->ready, &l->ready_next);
    for (struct list *link; (link = list_pop(&l->ready));) {
        l->serving = list_entry(link, struct uring_stream, link);
        serve(l->serving);
    }
    l->serving = NULL;
}

/* ---- addresses ---- */

struct address uring_peer(struct stream *s)
{
    struct uring_stream *e = uring_stream_of(s);
    if (LIKELY(e->peer.kind == ADDRESS_V4 || e->peer.kind == ADDRESS_V6))
        return socket_ip_address(&e->peer);
    return socket_name(e->fd, SOCKET_PEER, s->loop->path);
}

struct address uring_local(struct stream *s)
{
    return socket_name(uring_stream_of(s)->fd, SOCKET_LOCAL, s->loop->path);
}

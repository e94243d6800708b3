/* SPDX-License-Identifier: MIT */
/*
 * Streams over edge-triggered epoll.
 *
 * Calls and events only note what there is to do (engine_bits) and put the stream on the ready
 * list; serve() does it, once a turn and stream, and is the only place that calls back. A call
 * tries the system call at once where that can spare a wake-up, but never reports from there.
 *
 * A stream is registered with epoll when something would block for the first time, not before: an
 * accepted connection is received from at once, and one that lives for a single request may never
 * be registered at all. One that waits for longer is, by a timer: its peer's reset ends what waits.
 * What must stay true: while registered, READABLE (WRITABLE) is off only after the kernel said or
 * showed that it has no more, so that an edge will follow.
 */
#include "io/epoll_priv.h"
#include "io/kernel.h"
#include "io/push.h"
#include "io/socket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Share of one stream in a turn, by number of receives. */
#define RECEIVES_PER_TURN 4

/* A stream that nobody watches is registered after one to two of these. */
#define WATCH_MS 100

/* A buffer for small pieces that wait; those above half of it are kept where they are. */
#define JOIN_BYTES 2048

/* Slices that wait for room, each with a reference of ours if it has a buffer. */
struct epoll_blocked {
    uint32_t first;
    uint32_t count;
    struct buf *joined; /* while parking: where small pieces gather */
    struct slice slices[SEND_SLICES_MAX];
};

/* ---- life ---- */

static void watch_resting(struct timer *t);

void epoll_streams_init(struct epoll_loop *l)
{
    uint32_t max = l->loop.streams_max;
    /* Twice: those closed in this turn keep their memory until its end. */
    slab_init(&l->streams, sizeof(struct epoll_stream), 32, 2 * (size_t)max);
    slab_init(&l->blocked, sizeof(struct epoll_blocked), 8, max);
    list_init(&l->ready);
    list_init(&l->ready_next);
    list_init(&l->closed);
    list_init(&l->unwatched);
    list_init(&l->unwatched_before);
    timer_init(&l->watch_due, watch_resting);
}

void epoll_streams_fini(struct epoll_loop *l)
{
    loop_timer_stop(&l->loop, &l->watch_due);
    epoll_streams_free_closed(l);
    slab_fini(&l->streams);
    slab_fini(&l->blocked);
}

static struct epoll_stream *new_stream(struct epoll_loop *l, uint32_t bits)
{
    if (l->loop.stats.streams_open >= l->loop.streams_max)
        return NULL;
    struct epoll_stream *e = slab_get(&l->streams);
    if (!e)
        return NULL;
    *e = (struct epoll_stream){
        .s = {.magic = STREAM_MAGIC, .engine_bits = bits, .loop = &l->loop},
        .fd = -1,
        .generation = l->generation++,
        .turn = (uint16_t)(l->loop.stats.turns - 1),
    };
    list_init(&e->link);
    struct loop_stats *stats = &l->loop.stats;
    stats->streams_open++;
    stats->streams_peak = MAX(stats->streams_peak, stats->streams_open);
    return e;
}

struct epoll_stream *epoll_stream_adopt(struct epoll_loop *l, int fd, const struct address *peer)
{
    struct epoll_stream *e = new_stream(l, STREAM_READABLE);
    if (!e)
        return NULL;
    e->fd = fd;
    e->peer = socket_ip_of(peer);
    return e;
}

static void leave_unwatched(struct epoll_stream *e)
{
    list_del(&e->link);
    clear(e, STREAM_UNWATCHED);
}

void epoll_make_ready(struct epoll_stream *e)
{
    if (has(e, STREAM_UNWATCHED))
        leave_unwatched(e);
    if (list_linked(&e->link))
        return;
    struct epoll_loop *l = loop_of(e);
    bool served = e->turn == (uint16_t)l->loop.stats.turns;
    list_add_tail(served ? &l->ready_next : &l->ready, &e->link);
}

/* To be told from the turn. What the peer sent before may still be there to be received. */
void epoll_fail(struct epoll_stream *e, enum reason why)
{
    if (has(e, STREAM_FAIL_DUE | STREAM_FAILED | STREAM_CLOSED))
        return;
    set(e, STREAM_FAIL_DUE | (uint32_t)why << STREAM_REASON_SHIFT);
    epoll_make_ready(e);
}

static void drop_blocked(struct epoll_stream *e)
{
    if (!e->blocked)
        return;
    struct epoll_blocked *b = e->blocked;
    for (uint32_t i = b->first; i < b->count; i++)
        slice_put(&b->slices[i]);
    slab_put(&loop_of(e)->blocked, b);
    e->blocked = NULL;
}

void epoll_close(struct stream *s, enum stream_close_how how)
{
    struct epoll_stream *e = epoll_stream_of(s);
    struct epoll_loop *l = loop_of(e);
    CHECK(!has(e, STREAM_CLOSED));
    if (UNLIKELY(e->bulk))
        bulk_part_drop(e->bulk);
    if (how == STREAM_CLOSE_RESET)
        socket_reset_on_close(e->fd);
    else if (has(e, STREAM_LAST) && !has(e, STREAM_SHUTDOWN))
        (void)shutdown(e->fd, SHUT_WR); /* with bytes unread a close alone would drop what waits */
    (void)close(e->fd);                 /* leaves epoll with its last descriptor */
    e->fd = -1;
    drop_blocked(e);
    s->engine_bits = STREAM_CLOSED;
    s->ops = NULL;
    list_move_tail(&l->closed, &e->link);
    l->loop.stats.streams_open--;
}

void epoll_streams_free_closed(struct epoll_loop *l)
{
    for (struct list *link; (link = list_pop(&l->closed));) {
        struct epoll_stream *e = list_entry(link, struct epoll_stream, link);
        e->s.magic = 0;
        slab_put(&l->streams, e);
    }
}

/* ---- epoll ---- */

void epoll_watch(struct epoll_stream *e, uint32_t out)
{
    if (has(e, STREAM_REGISTERED) && (!out || has(e, STREAM_OUT)))
        return;
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLRDHUP | EPOLLET | out,
        .data.u64 = (uint64_t)(uintptr_t)e | (uint64_t)e->generation << 48,
    };
    int op = has(e, STREAM_REGISTERED) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(loop_of(e)->epfd, op, e->fd, &event) != 0) {
        epoll_fail(e, REASON_overload); /* no memory, or too many watches for this user */
        return;
    }
    set(e, STREAM_REGISTERED | (out ? STREAM_OUT : 0));
}

void epoll_stream_rest(struct epoll_stream *e)
{
    const uint32_t never = STREAM_REGISTERED | STREAM_CLOSED | STREAM_FAILED;
    if (LIKELY(has(e, never)) || list_linked(&e->link))
        return;
    struct epoll_loop *l = loop_of(e);
    set(e, STREAM_UNWATCHED);
    list_add_tail(&l->unwatched, &e->link);
    if (!timer_armed(&l->watch_due))
        loop_timer_set(&l->loop, &l->watch_due, WATCH_MS);
}

/* Those that rest for long enough. */
static void watch_resting(struct timer *t)
{
    struct epoll_loop *l = container_of(t, struct epoll_loop, watch_due);
    while (!list_empty(&l->unwatched_before)) {
        struct epoll_stream *e = list_entry(l->unwatched_before.next, struct epoll_stream, link);
        leave_unwatched(e);
        epoll_watch(e, 0);
    }
    list_splice_tail(&l->unwatched_before, &l->unwatched);
    if (!list_empty(&l->unwatched_before))
        loop_timer_set(&l->loop, t, WATCH_MS);
}

void epoll_stream_event(struct epoll_loop *l, uint64_t tag, uint32_t events)
{
    struct epoll_stream *e = (struct epoll_stream *)(uintptr_t)(tag << 16 >> 16);
    /* A descriptor that a child inherited keeps reporting after we closed ours. */
    if (e->s.magic != STREAM_MAGIC || e->generation != (uint16_t)(tag >> 48))
        return;
    CHECK(e->s.loop == &l->loop);
    if (has(e, STREAM_CLOSED | STREAM_FAILED))
        return;
    if (has(e, STREAM_CONNECTING)) {
        set(e, STREAM_CONNECT_DUE);
        epoll_make_ready(e);
    }
    if (UNLIKELY(has(e, STREAM_EOF)))
        events &= ~(uint32_t)(EPOLLIN | EPOLLRDHUP); /* that end was delivered */
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        set(e, STREAM_READABLE);
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        set(e, STREAM_PEER_DONE);
    if (events & EPOLLERR)
        set(e, STREAM_ERROR);
    if (e->blocked && events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        set(e, STREAM_WRITABLE);
    if (has(e, STREAM_BULK_DST) && events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        bulk_part_writable(e->bulk);
    if (has(e, STREAM_WANT_READ | STREAM_WRITABLE | STREAM_ERROR))
        epoll_make_ready(e);
}

/* ---- connecting ---- */

struct stream *epoll_connect(struct loop *loop, const struct address *to,
                             const struct stream_ops *ops, void *user)
{
    struct epoll_loop *l = epoll_loop_of(loop);
    struct sockaddr_storage sa;
    socklen_t sa_len = socket_sockaddr(to, &sa);
    int fd = socket_new(socket_family(to));
    if (fd < 0)
        return NULL;
    struct epoll_stream *e = new_stream(l, STREAM_CONNECTING);
    if (!e) {
        (void)close(fd);
        return NULL;
    }
    e->fd = fd;
    stream_set_ops(&e->s, ops, user);
    loop->stats.connects++;
    if (connect(fd, (const struct sockaddr *)&sa, sa_len) == 0) {
        set(e, STREAM_CONNECT_DUE);
        epoll_make_ready(e);
    } else if (errno == EINPROGRESS || errno == EINTR) {
        epoll_watch(e, EPOLLOUT);
    } else {
        epoll_fail(e, socket_connect_reason(errno));
    }
    return &e->s;
}

/* ---- sending ---- */

/*
 * Small pieces in a row, such as chunk framing, go into one buffer: else a reader that stalls would
 * hold a buffer for every few bytes. False when no buffer could be had.
 */
static bool join(struct epoll_stream *e, struct epoll_blocked *b, struct slice piece)
{
    struct slice *last = b->count > 0 ? &b->slices[b->count - 1] : NULL;
    uint32_t used = last && last->buf == b->joined ? last->n : 0;
    if (!b->joined || !used || used + piece.n > b->joined->size) {
        b->joined = buf_get(e->s.loop, JOIN_BYTES);
        if (!b->joined)
            return false;
        b->slices[b->count++] = (struct slice){b->joined->data, 0, b->joined};
        last = &b->slices[b->count - 1];
        used = 0;
    }
    memcpy(b->joined->data + used, piece.p, piece.n);
    last->n = used + piece.n;
    return true;
}

static bool keep(struct epoll_stream *e, struct epoll_blocked *b, struct slice piece)
{
    if (piece.n <= JOIN_BYTES / 2)
        return join(e, b, piece);
    if (!piece.buf) {
        b->slices[b->count++] = piece;
        return true;
    }
    struct slice kept = slice_keep(e->s.loop, piece);
    if (kept.n == 0)
        return false;
    b->slices[b->count++] = kept;
    return true;
}

/* Keeps what is left after the first `sent` bytes until there is room. */
static void park(struct epoll_stream *e, const struct slice *slices, size_t count, size_t sent)
{
    struct epoll_blocked *b = slab_get(&loop_of(e)->blocked);
    if (!b) {
        epoll_fail(e, REASON_overload);
        return;
    }
    b->first = 0;
    b->count = 0;
    b->joined = NULL;
    for (size_t i = 0; i < count; i++) {
        struct slice left = slices[i];
        size_t skip = MIN(sent, (size_t)left.n);
        sent -= skip;
        left.p += skip;
        left.n -= (uint32_t)skip;
        if (left.n > 0 && !keep(e, b, left)) {
            e->blocked = b;
            epoll_fail(e, REASON_overload);
            return;
        }
    }
    e->blocked = b;
}

enum send_result epoll_send(struct stream *s, const struct slice *slices, size_t count)
{
    struct epoll_stream *e = epoll_stream_of(s);
    CHECK(!has(e, STREAM_SENDING | STREAM_SHUTDOWN | STREAM_FAILED | STREAM_CLOSED));
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK(slices[i].n > 0);
        total += slices[i].n;
    }
    if (UNLIKELY(has(e, STREAM_CONNECTING | STREAM_FAIL_DUE))) {
        set(e, STREAM_SENDING);
        if (!has(e, STREAM_FAIL_DUE))
            park(e, slices, count, 0);
        return SEND_PENDING;
    }
    bool waits = has(e, STREAM_LAST | STREAM_BULK_FOLLOWS);
    ssize_t sent = push_slices(e->fd, slices, count, waits ? MSG_MORE : 0);
    if (LIKELY(sent == (ssize_t)total))
        return SEND_DONE;
    clear(e, STREAM_BULK_FOLLOWS);
    set(e, STREAM_SENDING);
    if (sent < 0) {
        set(e, STREAM_READABLE | STREAM_PEER_DONE);
        epoll_fail(e, socket_stream_reason((int)-sent));
        return SEND_PENDING;
    }
    park(e, slices, count, (size_t)sent);
    clear(e, STREAM_WRITABLE);
    epoll_watch(e, EPOLLOUT);
    return SEND_PENDING;
}

bool epoll_has_left(struct stream *s)
{
    return socket_has_left(epoll_stream_of(s)->fd);
}

uint64_t epoll_unsent(struct stream *s)
{
    struct epoll_stream *e = epoll_stream_of(s);
    const struct epoll_blocked *b = e->blocked;
    int queued = 0;
    if (ioctl(e->fd, SIOCOUTQ, &queued) != 0)
        queued = 0;
    uint64_t unsent = (uint64_t)queued;
    for (size_t i = b ? b->first : 0; b && i < b->count; i++)
        unsent += b->slices[i].n;
    if (has(e, STREAM_BULK_DST))
        unsent += e->bulk->from->queued;
    return unsent;
}

bool epoll_has_input(struct stream *s)
{
    return has(epoll_stream_of(s), STREAM_READABLE | STREAM_PEER_DONE | STREAM_ERROR);
}

bool epoll_is_ending(struct stream *s)
{
    return has(epoll_stream_of(s), STREAM_PEER_DONE | STREAM_ERROR);
}

void epoll_last(struct stream *s)
{
    set(epoll_stream_of(s), STREAM_LAST);
}

static void shut_now(struct epoll_stream *e)
{
    if (shutdown(e->fd, SHUT_WR) != 0 && errno != ENOTCONN)
        epoll_fail(e, socket_stream_reason(errno));
}

void epoll_shutdown(struct stream *s)
{
    struct epoll_stream *e = epoll_stream_of(s);
    CHECK(!has(e, STREAM_BULK_DST));
    if (has(e, STREAM_SHUTDOWN | STREAM_FAILED))
        return;
    set(e, STREAM_SHUTDOWN);
    if (!has(e, STREAM_SENDING | STREAM_CONNECTING))
        shut_now(e);
}

/* Forgets what the kernel took; true when nothing is left. */
static bool advance(struct epoll_blocked *b, size_t sent)
{
    while (b->first < b->count) {
        struct slice *head = &b->slices[b->first];
        if (sent < head->n) {
            head->p += sent;
            head->n -= (uint32_t)sent;
            return false;
        }
        sent -= head->n;
        slice_put(head);
        b->first++;
    }
    return true;
}

static void flush(struct epoll_stream *e)
{
    struct epoll_blocked *b = e->blocked;
    ssize_t sent = push_slices(e->fd, b->slices + b->first, b->count - b->first, 0);
    if (sent < 0) {
        drop_blocked(e);
        set(e, STREAM_READABLE | STREAM_PEER_DONE);
        epoll_fail(e, socket_stream_reason((int)-sent));
        return;
    }
    clear(e, STREAM_WRITABLE);
    if (!advance(b, (size_t)sent)) {
        epoll_watch(e, EPOLLOUT);
        return;
    }
    drop_blocked(e);
    clear(e, STREAM_SENDING);
    if (has(e, STREAM_SHUTDOWN))
        shut_now(e);
    e->s.ops->sent(&e->s);
}

/* ---- receiving ---- */

void epoll_read(struct stream *s, bool want)
{
    struct epoll_stream *e = epoll_stream_of(s);
    CHECK(!has(e, STREAM_CLOSED));
    if (!want) {
        clear(e, STREAM_WANT_READ);
        return;
    }
    if (has(e, STREAM_WANT_READ | STREAM_FAILED))
        return;
    set(e, STREAM_WANT_READ);
    if (!has(e, STREAM_REGISTERED) && !has(e, STREAM_CONNECTING))
        set(e, STREAM_READABLE); /* nobody watched: have a look */
    if (has(e, STREAM_READABLE) && !has(e, STREAM_EOF | STREAM_CONNECTING))
        epoll_make_ready(e);
}

/* Receives once and delivers. False when there is, or may be, no more to receive now. */
static bool receive_once(struct epoll_stream *e, size_t *received)
{
    struct epoll_loop *l = loop_of(e);
    struct buf *b = loop_receive_buf(&l->loop);
    if (UNLIKELY(!b)) {
        l->starved = true;
        l->loop.stats.receives_starved++;
        return true; /* stays readable: again next turn, after a pause */
    }
    size_t room = b->size;
    if (UNLIKELY(has(e, STREAM_BULK_LIKELY))) {
        clear(e, STREAM_BULK_LIKELY);
        room = MIN(room, (size_t)BULK_FIRST_BYTES);
    }
    ssize_t n = kernel_recv(e->fd, b->data, room);
    if (LIKELY(n > 0)) {
        /* Less than asked for shows the kernel is empty; then an edge announces more. But a FIN had
         * its edge already. */
        if ((size_t)n < room && !has(e, STREAM_PEER_DONE))
            clear(e, STREAM_READABLE);
        *received += (size_t)n;
        e->s.ops->data(&e->s, (struct slice){b->data, (uint32_t)n, b});
        return true;
    }
    if (n == -EINTR)
        return true;
    clear(e, STREAM_READABLE);
    if (n == -EAGAIN) {
        clear(e, STREAM_PEER_DONE);
    } else if (n < 0) {
        epoll_fail(e, socket_stream_reason((int)-n));
    } else if (!has(e, STREAM_FAIL_DUE)) {
        /* After an error the kernel says "end" although bytes are missing: that is no eof. */
        clear(e, STREAM_PEER_DONE); /* nothing of it waits any more */
        set(e, STREAM_EOF);
        e->s.ops->eof(&e->s);
    }
    return false;
}

static inline bool may_receive(const struct epoll_stream *e)
{
    const uint32_t needed = STREAM_WANT_READ | STREAM_READABLE;
    const uint32_t never =
        STREAM_EOF | STREAM_CONNECTING | STREAM_FAILED | STREAM_CLOSED | STREAM_BULK_SRC;
    return (e->s.engine_bits & (needed | never)) == needed;
}

static void receive(struct epoll_stream *e)
{
    size_t received = 0;
    for (int i = 0; i < RECEIVES_PER_TURN && received < RECEIVE_BYTES_PER_TURN; i++) {
        if (!may_receive(e) || !receive_once(e, &received) || loop_of(e)->starved)
            break;
    }
    if (may_receive(e))
        epoll_make_ready(e);
}

/* ---- one stream's turn ---- */

static void finish_connect(struct epoll_stream *e)
{
    clear(e, STREAM_CONNECT_DUE);
    /* Without this sign there is no error to ask for. */
    int err = has(e, STREAM_ERROR | STREAM_PEER_DONE) ? socket_error(e->fd) : 0;
    if (err) {
        clear(e, STREAM_READABLE);
        epoll_fail(e, socket_connect_reason(err));
        return;
    }
    clear(e, STREAM_CONNECTING);
    if (e->blocked)
        set(e, STREAM_WRITABLE);
    if (has(e, STREAM_SHUTDOWN) && !has(e, STREAM_SENDING))
        shut_now(e);
    e->s.ops->connected(&e->s);
}

/* Looks for a reset that no receive and no send of ours would find. Bytes that came before it are
 * left for when they are wanted: they may be a complete answer. */
static void find_reset(struct epoll_stream *e)
{
    if (bulk_part_goes_on(e->bulk))
        return; /* later, if the bulk does not find it */
    clear(e, STREAM_ERROR);
    if (may_receive(e) || has(e, STREAM_FAIL_DUE | STREAM_CONNECTING))
        return;
    int unread = 0;
    if (!has(e, STREAM_EOF) && ioctl(e->fd, FIONREAD, &unread) == 0 && unread > 0)
        return;
    int err = socket_error(e->fd);
    if (err)
        epoll_fail(e, socket_stream_reason(err));
}

static void tell_failed(struct epoll_stream *e)
{
    enum reason why = (enum reason)(e->s.engine_bits >> STREAM_REASON_SHIFT);
    drop_blocked(e);
    if (e->bulk)
        bulk_part_drop(e->bulk);
    clear(e, STREAM_FAIL_DUE | STREAM_WANT_READ | STREAM_SENDING);
    set(e, STREAM_FAILED);
    list_del(&e->link);
    e->s.ops->failed(&e->s, why);
}

/* Does all that is due, in an order users can rely on: connected, sent, data, eof, failed. The
 * stream may be closed in any callback; its memory stays until the turn ends. */
static void serve(struct epoll_stream *e)
{
    e->turn = (uint16_t)e->s.loop->stats.turns;
    if (has(e, STREAM_CONNECT_DUE))
        finish_connect(e);
    if (e->blocked && has(e, STREAM_WRITABLE) && !has(e, STREAM_CONNECTING))
        flush(e);
    if (has(e, STREAM_ERROR))
        find_reset(e);
    if (may_receive(e))
        receive(e);
    if (UNLIKELY(has(e, STREAM_BULK_SRC))) {
        epoll_bulk_run(e);
        if (may_receive(e)) /* the end, or what the bulk did not take */
            receive(e);
    }
    if (has(e, STREAM_FAIL_DUE) && !may_receive(e) && !bulk_part_goes_on(e->bulk))
        tell_failed(e);
    const uint32_t quiet = STREAM_CLOSED | STREAM_FAILED | STREAM_EOF | STREAM_CONNECTING |
                           STREAM_READABLE | STREAM_REGISTERED;
    if (has(e, STREAM_WANT_READ) && !has(e, quiet))
        epoll_watch(e, 0);
    epoll_stream_rest(e);
}

/* With many connections each one is cold when its turn comes; who uses it is two or three lines. */
static void prefetch_user(const struct epoll_stream *e)
{
    const uint8_t *user = e->s.user;
    PREFETCH(user);
    PREFETCH(user + CACHE_LINE_BYTES);
    PREFETCH(user + 2 * CACHE_LINE_BYTES);
}

void epoll_streams_run(struct epoll_loop *l)
{
    l->starved = false;
    list_splice_tail(&l->ready, &l->ready_next);
    for (struct list *link; (link = list_pop(&l->ready));) {
        if (!list_empty(&l->ready))
            prefetch_user(list_entry(l->ready.next, struct epoll_stream, link));
        serve(list_entry(link, struct epoll_stream, link));
    }
}

/* ---- addresses ---- */

struct address epoll_peer(struct stream *s)
{
    struct epoll_stream *e = epoll_stream_of(s);
    if (LIKELY(e->peer.kind == ADDRESS_V4 || e->peer.kind == ADDRESS_V6))
        return socket_ip_address(&e->peer);
    return socket_name(e->fd, SOCKET_PEER, s->loop->path);
}

struct address epoll_local(struct stream *s)
{
    return socket_name(epoll_stream_of(s)->fd, SOCKET_LOCAL, s->loop->path);
}

/* SPDX-License-Identifier: MIT */
/*
 * Forwarding without user space. The test is the relay in the middle, on the same loop:
 *
 *      talker ──▶ src ══ stream_bulk ══▶ dst ──▶ taker
 *
 * Every byte is checked by its position.
 */
#include "base/rng.h"
#include "io/loop_priv.h"
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB       (1024u * 1024)
#define PIECE_MAX (192u * 1024)

/* Sends `total` bytes from an end, in pieces of up to piece_max, with a pause now and then. */
struct talker {
    struct end *e;
    uint64_t total;
    uint64_t sent;
    uint32_t piece_max;
    unsigned pause_of; /* one in so many pieces is followed by a pause; 0: none */
    bool shut;         /* FIN at the end */
    uint8_t *piece;
    struct timer again;
};

/* Takes with a pause after one in so many receives; 0: none. */
struct taker {
    struct end *e;
    unsigned pause_of;
    struct timer again;
};

struct play {
    struct rig rig;
    struct rng rng;
    struct end left, right; /* outside */
    struct end *src, *dst;  /* the relay's: servers[0] and [1] */
    struct talker talkers[2];
    struct taker takers[2];
    uint64_t bytes; /* of each bulk */
    bool both_ways;
    bool begun, refused;
    uint64_t wanted;
    unsigned stuck; /* looks in a row that found the pipe full */
};

static unsigned short_writes; /* so many times a socket takes only a part, though it has room */
static unsigned missed_reads; /* so many times bytes come just after we were told "none" */

/* In place of the C library's. */
ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
    bool from_pipe = fcntl(in, F_GETPIPE_SZ) > 0;
    unsigned *left = from_pipe ? &short_writes : &missed_reads;
    if (*left > 0 && n > 1000) {
        --*left;
        n = from_pipe ? 1000 : 0;
    }
    errno = EAGAIN;
    if (n == 0)
        return -1;
    return (ssize_t)syscall(SYS_splice, in, in_at, out, out_at, n, flags);
}

static struct play *play_of(const struct end *e)
{
    return container_of(e->rig, struct play, rig);
}

/* ---- the talker ---- */

static void talk(struct talker *t)
{
    struct play *p = play_of(t->e);
    while (t->e->s && !t->e->fails && t->sent < t->total) {
        uint32_t n = 1 + (uint32_t)rng_below(&p->rng, t->piece_max);
        n = (uint32_t)MIN((uint64_t)n, t->total - t->sent);
        rig_fill(t->piece, n, t->sent);
        t->sent += n;
        struct slice s = {t->piece, n, NULL};
        if (stream_send(t->e->s, &s, 1) == SEND_PENDING)
            return;
        if (t->pause_of && rng_below(&p->rng, t->pause_of) == 0) {
            loop_timer_set(p->rig.loop, &t->again, 1);
            return;
        }
    }
    if (t->e->s && !t->e->fails && t->shut)
        stream_shutdown(t->e->s);
}

static void talk_again(struct timer *timer)
{
    talk(container_of(timer, struct talker, again));
}

static void talk_on(struct end *e)
{
    struct play *p = play_of(e);
    talk(e == &p->left ? &p->talkers[0] : &p->talkers[1]);
}

/* ---- the taker ---- */

static void take_again(struct timer *timer)
{
    struct taker *t = container_of(timer, struct taker, again);
    if (t->e->s && !t->e->fails)
        stream_read(t->e->s, true);
}

static void taken(struct end *e, struct slice in)
{
    (void)in;
    struct play *p = play_of(e);
    struct taker *t = e == &p->right ? &p->takers[0] : &p->takers[1];
    if (t->pause_of && rng_below(&p->rng, t->pause_of) == 0) {
        stream_read(e->s, false);
        loop_timer_set(p->rig.loop, &t->again, 2);
    }
}

/* ---- the relay ---- */

static bool begin(struct play *p, struct end *from, struct end *to)
{
    bool begun = stream_bulk(from->s, to->s, p->bytes);
    p->refused |= !begun;
    return begun;
}

static void both_here(struct end *server)
{
    struct play *p = play_of(server);
    if (p->rig.servers_count < 2)
        return;
    /* Who is who: the one whose peer is the left end. */
    struct address left = stream_local(p->left.s);
    struct address peer = stream_peer(p->rig.servers[0].s);
    bool first = left.kind == ADDRESS_UNIX || address_equal(&left, &peer);
    p->src = &p->rig.servers[first ? 0 : 1];
    p->dst = &p->rig.servers[first ? 1 : 0];
    p->src->exact = p->dst->exact = true;
    if (p->bytes)
        (void)begin(p, p->src, p->dst);
    if (p->both_ways)
        (void)begin(p, p->dst, p->src);
    p->begun = true;
}

/* The relay passes an end on. */
static void pass_end(struct end *e)
{
    struct play *p = play_of(e);
    struct end *to = e == p->src ? p->dst : p->src;
    stream_shutdown(to->s);
}

/* What a bulk left over goes through user space. */
static void pass_data(struct end *e, struct slice in)
{
    struct play *p = play_of(e);
    struct end *to = e == p->src ? p->dst : p->src;
    if (stream_send(to->s, &in, 1) == SEND_PENDING)
        stream_read(e->s, false);
}

static void pass_more(struct end *e)
{
    struct play *p = play_of(e);
    struct end *from = e == p->src ? p->dst : p->src;
    stream_read(from->s, true);
}

static bool both_begun(struct rig *rig)
{
    return container_of(rig, struct play, rig)->begun;
}

static void open_play(struct play *p, void **state, const char *where, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    p->rng = rng_seed(seed);
    rig_open(&p->rig, state, where);
    p->rig.servers_silent = true;
    p->rig.on_accepted = both_here;
    struct end *outside[2] = {&p->left, &p->right};
    for (unsigned i = 0; i < 2; i++) {
        end_init(&p->rig, outside[i]);
        outside[i]->exact = true;
        outside[i]->on_data = taken;
        outside[i]->on_sent = talk_on;
        p->talkers[i] = (struct talker){.e = outside[i], .piece_max = PIECE_MAX};
        p->talkers[i].piece = malloc(PIECE_MAX);
        timer_init(&p->talkers[i].again, talk_again);
        p->takers[i] = (struct taker){.e = outside[1 - i]};
        timer_init(&p->takers[i].again, take_again);
    }
}

/* Both connections stand and the bulks are begun on return. */
static void connect_play(struct play *p)
{
    const struct address *to = listener_address(p->rig.listener);
    rig_connect_end(&p->rig, &p->left, to);
    rig_connect_end(&p->rig, &p->right, to);
    rig_run(&p->rig, both_begun);
    stream_read(p->left.s, true);
    stream_read(p->right.s, true);
}

static void close_play(struct play *p)
{
    end_close(&p->left);
    end_close(&p->right);
    for (unsigned i = 0; i < 2; i++) {
        loop_timer_stop(p->rig.loop, &p->talkers[i].again);
        loop_timer_stop(p->rig.loop, &p->takers[i].again);
        free(p->talkers[i].piece);
    }
    rig_close(&p->rig);
}

static struct loop_stats stats_of(const struct play *p)
{
    return *loop_stats(p->rig.loop);
}

/* ---- what is moved ---- */

static bool right_has_all(struct rig *rig)
{
    const struct play *p = container_of(rig, struct play, rig);
    return p->right.received >= p->wanted;
}

static void keep_data(struct end *e, struct slice in)
{
    (void)in;
    assert_int_equal(play_of(e)->right.fails, 0);
}

/* Exactly so many bytes, not one more; the rest is data again. */
static void check_counted(void **state, const char *where, uint64_t bytes, uint64_t more)
{
    struct play p;
    open_play(&p, state, where, bytes + more);
    p.bytes = p.wanted = bytes;
    connect_play(&p);
    assert_false(p.refused);
    p.src->on_data = keep_data;
    p.talkers[0].total = bytes + more;
    talk(&p.talkers[0]);
    rig_run(&p.rig, right_has_all);
    rig_run_ms(&p.rig, 20);
    assert_int_equal(p.right.received, bytes);
    assert_int_equal(p.src->moved, bytes);
    assert_int_equal(p.src->overs, 1);
    assert_int_equal(p.src->received, more);
    assert_int_equal(p.dst->sents, 0);
    assert_int_equal(stats_of(&p).bulks, 1);
    assert_int_equal(stats_of(&p).bulk_bytes, bytes);
    assert_false(stream_has_input(p.src->s)); /* as quiet as it looks */
    struct slice after = {(const uint8_t *)"after", 5, NULL};
    p.right.exact = false;
    assert_int_equal(stream_send(p.dst->s, &after, 1), SEND_DONE);
    p.wanted = bytes + 5;
    rig_run(&p.rig, right_has_all);
    close_play(&p);
}

static void test_counted(void **state)
{
    const uint64_t sizes[] = {1, 4096, 65535, 65536, 65537, 262144, 1000003, 9 * MIB};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        check_counted(state, "127.0.0.1:0", sizes[i], 0);
        check_counted(state, "127.0.0.1:0", sizes[i], 1);
        check_counted(state, "127.0.0.1:0", sizes[i], 300000);
    }
}

/* Less than all is no sign that the destination is full: epoll would say nothing of room later. */
static void test_short_writes(void **state)
{
    for (unsigned count = 1; count < 8; count++) {
        short_writes = count;
        check_counted(state, "127.0.0.1:0", 500000, 0);
        assert_int_equal(short_writes, 0);
    }
}

/* What came in between does not end the bulk. */
static void test_missed_reads(void **state)
{
    missed_reads = 1;
    check_counted(state, "127.0.0.1:0", 500000, 1);
    assert_int_equal(missed_reads, 0);
}

static void test_counted_unix(void **state)
{
    char where[64];
    snprintf(where, sizeof where, "unix:/tmp/test-io-bulk-%ld.sock", (long)getpid());
    check_counted(state, where, 3 * MIB + 1, 0);
    check_counted(state, where, 65536, 70000);
}

static bool both_ended(struct rig *rig)
{
    const struct play *p = container_of(rig, struct play, rig);
    return p->right.eofs && p->left.eofs;
}

static void pass_in_copy_too(struct end *e)
{
    e->on_data = pass_data;
    e->on_sent = pass_more;
    e->on_eof = pass_end;
}

/* A relay with pauses at all four ends: nothing is lost, doubled or swapped, whether it goes
 * through the kernel or, after a bulk that gave up, through user space. */
static void check_both_ways(void **state, uint64_t seed, uint32_t piece_max, unsigned pause_of,
                            uint64_t total)
{
    struct play p;
    open_play(&p, state, "127.0.0.1:0", seed);
    p.bytes = BULK_UNTIL_EOF;
    p.both_ways = true;
    connect_play(&p);
    pass_in_copy_too(p.src);
    pass_in_copy_too(p.dst);
    for (unsigned i = 0; i < 2; i++) {
        p.talkers[i].total = 1 + rng_below(&p.rng, total);
        p.talkers[i].piece_max = piece_max;
        p.talkers[i].pause_of = pause_of;
        p.talkers[i].shut = true;
        p.takers[i].pause_of = pause_of;
        talk(&p.talkers[i]);
    }
    rig_run(&p.rig, both_ended);
    assert_int_equal(p.right.received, p.talkers[0].total);
    assert_int_equal(p.left.received, p.talkers[1].total);
    assert_int_equal(p.src->moved + p.src->received, p.talkers[0].total);
    assert_int_equal(p.dst->moved + p.dst->received, p.talkers[1].total);
    assert_int_equal(p.src->eofs + p.dst->eofs, 2);
    assert_int_equal(stats_of(&p).bulk_bytes, p.src->moved + p.dst->moved);
    assert_true(stats_of(&p).bulk_bytes > 0);
    close_play(&p);
}

static void test_both_ways(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++)
        check_both_ways(state, seed, PIECE_MAX, 12, 8 * MIB);
}

static void test_both_ways_small_pieces(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++)
        check_both_ways(state, seed, 3000, 40, MIB);
}

/* ---- ends ---- */

static bool src_ended(struct rig *rig)
{
    const struct play *p = container_of(rig, struct play, rig);
    return p->src->eofs || p->src->fails;
}

static void test_end_comes_early(void **state)
{
    struct play p;
    open_play(&p, state, "127.0.0.1:0", 1);
    p.bytes = 2 * MIB;
    connect_play(&p);
    p.takers[0].pause_of = 1;
    p.talkers[0].total = MIB + 17;
    p.talkers[0].shut = true;
    talk(&p.talkers[0]);
    rig_run(&p.rig, src_ended);
    assert_int_equal(p.src->eofs, 1);
    assert_int_equal(p.src->overs, 0);
    assert_int_equal(p.src->moved, MIB + 17); /* all of it before the end is told */
    p.wanted = MIB + 17;
    rig_run(&p.rig, right_has_all);
    stream_shutdown(p.dst->s);
    rig_run_ms(&p.rig, 10);
    assert_int_equal(p.right.eofs, 1);
    close_play(&p);
}

static bool some_moved(struct rig *rig)
{
    const struct play *p = container_of(rig, struct play, rig);
    return p->src->moved >= p->wanted || p->src->eofs || p->src->fails || p->dst->fails;
}

static void test_source_resets(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct play p;
        open_play(&p, state, "127.0.0.1:0", seed);
        p.bytes = seed % 2 ? 64 * MIB : BULK_UNTIL_EOF;
        connect_play(&p);
        p.takers[0].pause_of = 2;
        p.talkers[0].total = 64 * MIB;
        p.talkers[0].pause_of = 3;
        talk(&p.talkers[0]);
        p.wanted = rng_below(&p.rng, 6 * MIB);
        rig_run(&p.rig, some_moved);
        stream_close(&p.left.s, STREAM_CLOSE_RESET);
        rig_run(&p.rig, src_ended);
        assert_int_equal(p.src->eofs, 0);
        assert_int_equal(p.src->fails, 1);
        assert_int_equal(p.src->why, REASON_backend_reset);
        /* The other one is idle and may be used. */
        assert_int_equal(end_send_text(p.dst, "x"), SEND_DONE);
        p.right.exact = false;
        p.wanted = p.src->moved + 1;
        rig_run(&p.rig, right_has_all);
        assert_int_equal(p.right.received, p.src->moved + 1);
        close_play(&p);
    }
}

static bool dst_failed(struct rig *rig)
{
    return container_of(rig, struct play, rig)->dst->fails != 0;
}

static void test_destination_resets(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct play p;
        open_play(&p, state, "127.0.0.1:0", seed);
        p.bytes = seed % 2 ? 64 * MIB : BULK_UNTIL_EOF;
        connect_play(&p);
        p.takers[0].pause_of = 2;
        p.talkers[0].total = 64 * MIB;
        talk(&p.talkers[0]);
        p.wanted = rng_below(&p.rng, 6 * MIB);
        rig_run(&p.rig, some_moved);
        stream_close(&p.right.s, STREAM_CLOSE_RESET);
        rig_run(&p.rig, dst_failed);
        uint64_t moved = p.src->moved;
        p.src->exact = false; /* some were lost in between */
        rig_run_ms(&p.rig, 10);
        assert_int_equal(p.src->fails + p.src->eofs + p.src->overs, 0);
        assert_int_equal(p.src->moved, moved);
        assert_int_equal(p.src->received, 0); /* its reading is off */
        stream_read(p.src->s, true);
        rig_run_ms(&p.rig, 10);
        assert_true(p.src->received > 0);
        close_play(&p);
    }
}

/* Both peers reset while both directions are full: each side must be told, none waits for the
 * other.
 */
static void read_other(struct end *e)
{
    struct play *p = play_of(e);
    struct end *other = e == p->src ? p->dst : p->src;
    other->exact = false;
    if (!other->fails)
        stream_read(other->s, true);
}

static bool both_failed(struct rig *rig)
{
    const struct play *p = container_of(rig, struct play, rig);
    return p->src->fails && p->dst->fails;
}

static void test_both_reset(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct play p;
        open_play(&p, state, "127.0.0.1:0", seed);
        p.bytes = BULK_UNTIL_EOF;
        p.both_ways = true;
        connect_play(&p);
        p.src->on_failed = p.dst->on_failed = read_other;
        stream_read(p.left.s, false);
        stream_read(p.right.s, false);
        for (unsigned i = 0; i < 2; i++) {
            p.talkers[i].total = 64 * MIB;
            talk(&p.talkers[i]);
        }
        rig_run_ms(&p.rig, 5 * (unsigned)seed);
        stream_close(&p.left.s, STREAM_CLOSE_RESET);
        if (seed % 2)
            rig_run_ms(&p.rig, 3);
        stream_close(&p.right.s, STREAM_CLOSE_RESET);
        rig_run(&p.rig, both_failed);
        close_play(&p);
    }
}

/* ---- closing inside callbacks ---- */

enum who { WHO_SRC = 1, WHO_DST = 2 };

static unsigned closed_who;

static void close_some(struct end *e, bool over)
{
    struct play *p = play_of(e);
    (void)over;
    if (p->src->moved < 300000)
        return;
    struct stream *src = p->src->s;
    if (closed_who & WHO_SRC)
        stream_close(&p->src->s, STREAM_CLOSE_RESET);
    if (closed_who & WHO_DST)
        stream_close(&p->dst->s, STREAM_CLOSE_RESET);
    p->src->closed_by_hook = true;
    if (!(closed_who & WHO_SRC))
        stream_read(src, false);
}

static bool src_hook_closed(struct rig *rig)
{
    return container_of(rig, struct play, rig)->src->closed_by_hook;
}

static void test_close_in_moved(void **state)
{
    for (closed_who = WHO_SRC; closed_who <= (WHO_SRC | WHO_DST); closed_who++) {
        struct play p;
        open_play(&p, state, "127.0.0.1:0", closed_who);
        p.bytes = 64 * MIB;
        p.takers[0].pause_of = 2;
        connect_play(&p);
        p.src->on_moved = close_some;
        p.talkers[0].total = 64 * MIB;
        talk(&p.talkers[0]);
        rig_run(&p.rig, src_hook_closed);
        uint64_t moved = p.src->moved;
        rig_run_ms(&p.rig, 10);
        assert_int_equal(p.src->moved, moved);
        if (closed_who == WHO_SRC)
            assert_int_equal(end_send_text(p.dst, "x"), SEND_DONE); /* idle */
        close_play(&p);
    }
}

/* The next begins where the last ended, in its very callback. */
static void next_bulk(struct end *e, bool over)
{
    struct play *p = play_of(e);
    if (over && p->src->overs < 10)
        assert_true(stream_bulk(p->src->s, p->dst->s, p->bytes));
}

static void test_next_in_moved(void **state)
{
    struct play p;
    open_play(&p, state, "127.0.0.1:0", 7);
    p.bytes = 123457;
    connect_play(&p);
    p.src->on_moved = next_bulk;
    p.talkers[0].total = p.wanted = 10 * p.bytes;
    talk(&p.talkers[0]);
    rig_run(&p.rig, right_has_all);
    rig_run_ms(&p.rig, 5);
    assert_int_equal(p.src->overs, 10);
    assert_int_equal(p.right.received, 10 * p.bytes);
    assert_int_equal(p.src->datas, 0);
    close_play(&p);
}

/* ---- credit ---- */

/* The pipe has stayed full for a while. */
static bool src_stuck(struct rig *rig)
{
    struct play *p = container_of(rig, struct play, rig);
    bool full = p->src->moved > 0 && rig->loop->pipes.free_count < rig->loop->pipes.count;
    p->stuck = full ? p->stuck + 1 : 0;
    return p->stuck > 20;
}

static bool way_is_clear(struct rig *rig)
{
    const struct play *p = container_of(rig, struct play, rig);
    return p->src->moved == p->right.received && stream_unsent(p->dst->s) == 0;
}

static void test_credit(void **state)
{
    struct play p;
    open_play(&p, state, "127.0.0.1:0", 1);
    p.bytes = p.talkers[0].total = p.wanted = 8 * MIB;
    connect_play(&p);
    stream_read(p.right.s, false);
    talk(&p.talkers[0]);
    rig_run(&p.rig, src_stuck);
    assert_true(stream_unsent(p.dst->s) > 0);
    stream_read(p.src->s, false);
    stream_read(p.right.s, true);
    rig_run(&p.rig, way_is_clear);
    uint64_t drained = p.src->moved; /* what was on its way is out, no more was taken */
    assert_true(drained < 8 * MIB);
    rig_run_ms(&p.rig, 20);
    assert_int_equal(p.src->moved, drained);
    stream_read(p.src->s, true);
    rig_run(&p.rig, right_has_all);
    assert_int_equal(p.right.received, 8 * MIB);
    close_play(&p);
}

/* ---- where it cannot be done, or should not ---- */

static struct rlimit no_more_files(void)
{
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    assert_true(next >= 0);
    close(next);
    struct rlimit now = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

static void test_no_pipe(void **state)
{
    struct play p;
    open_play(&p, state, "127.0.0.1:0", 1);
    connect_play(&p);
    struct rlimit before = no_more_files();
    bool begun = stream_bulk(p.src->s, p.dst->s, 1000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(begun);
    assert_true(stats_of(&p).pipes_starved >= 1);
    /* Nothing has changed. */
    p.src->on_data = pass_data;
    stream_read(p.src->s, true);
    p.talkers[0].total = p.wanted = 1000;
    talk(&p.talkers[0]);
    rig_run(&p.rig, right_has_all);
    assert_int_equal(stats_of(&p).bulk_bytes, 0);
    close_play(&p);
}

/* Pipes run out while a bulk waits for its source, holding none: the rest comes as data. */
static void test_pipes_run_out(void **state)
{
    struct play p;
    open_play(&p, state, "127.0.0.1:0", 1);
    p.bytes = 500000;
    connect_play(&p);
    p.src->on_data = pass_data;
    p.talkers[0].piece_max = 1;
    p.talkers[0].total = 1; /* one byte, then the rest */
    p.wanted = 1;
    talk(&p.talkers[0]);
    rig_run(&p.rig, right_has_all);
    pipe_pool_trim(&p.rig.loop->pipes);
    struct rlimit before = no_more_files();
    p.talkers[0].total = p.wanted = 500000;
    p.talkers[0].piece_max = PIECE_MAX;
    p.src->on_sent = pass_more;
    p.dst->on_sent = pass_more;
    talk(&p.talkers[0]);
    rig_run(&p.rig, right_has_all);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(p.src->overs, 1);
    assert_int_equal(p.src->moved, 1);
    assert_int_equal(p.src->received, 499999);
    assert_int_equal(p.right.received, 500000);
    close_play(&p);
}

/* With its only pipe held by a reader that takes nothing, a loop opens no other. */
static void test_pipes_max(void **state)
{
    struct play p;
    open_play(&p, state, "127.0.0.1:0", 1);
    p.rig.loop->pipes.count_max = 1;
    p.talkers[0].total = p.wanted = 8 * MIB;
    connect_play(&p);
    stream_read(p.right.s, false);
    assert_true(stream_bulk(p.src->s, p.dst->s, 8 * MIB));
    talk(&p.talkers[0]);
    rig_run(&p.rig, src_stuck);
    assert_false(stream_bulk(p.dst->s, p.src->s, 1000));
    assert_int_equal(stats_of(&p).pipes_starved, 1);
    stream_read(p.right.s, true);
    rig_run(&p.rig, right_has_all);
    close_play(&p);
}

static bool src_over(struct rig *rig)
{
    return container_of(rig, struct play, rig)->src->overs != 0;
}

/* Small messages are better copied: the bulk gives up by itself. */
static void test_small_messages(void **state)
{
    struct play p;
    open_play(&p, state, "127.0.0.1:0", 1);
    p.bytes = BULK_UNTIL_EOF;
    connect_play(&p);
    pass_in_copy_too(p.src);
    pass_in_copy_too(p.dst);
    p.talkers[0].total = 64 * 1000;
    p.talkers[0].piece_max = 100;
    p.talkers[0].pause_of = 2;
    talk(&p.talkers[0]);
    rig_run(&p.rig, src_over);
    assert_true(p.src->moved < 64 * 1000);
    p.wanted = 64 * 1000;
    p.talkers[0].pause_of = 0;
    rig_run(&p.rig, right_has_all);
    assert_int_equal(p.src->moved + p.src->received, 64 * 1000);
    assert_int_equal(p.src->overs, 1);
    close_play(&p);
}

static void test_not_now(void **state)
{
    struct play p;
    open_play(&p, state, "127.0.0.1:0", 1);
    connect_play(&p);
    stream_read(p.right.s, false);
    uint8_t *much = calloc(1, 16 * MIB);
    struct slice s = {much, 16 * MIB, NULL};
    assert_int_equal(stream_send(p.dst->s, &s, 1), SEND_PENDING);
    assert_false(stream_bulk(p.src->s, p.dst->s, 1000)); /* a send is pending */
    assert_true(stream_bulk(p.dst->s, p.src->s, 1000));  /* the other way it may go */
    struct stream *new =
        stream_connect(p.rig.loop, listener_address(p.rig.listener), &end_ops, &p.rig.client);
    p.rig.client.s = new;
    assert_false(stream_bulk(new, p.src->s, 1000)); /* not connected, and src is sending */
    end_close(&p.rig.client);
    end_close(p.dst);
    stream_shutdown(p.src->s);
    close_play(&p);
    free(much);
}

/* ---- many at once: the pool of pipes ---- */

static void test_pipes_are_kept(void **state)
{
    struct play p;
    open_play(&p, state, "127.0.0.1:0", 3);
    p.bytes = 200000;
    connect_play(&p);
    p.src->on_moved = next_bulk;
    p.talkers[0].total = p.wanted = 10 * p.bytes;
    talk(&p.talkers[0]);
    rig_run(&p.rig, right_has_all);
    rig_run_ms(&p.rig, 5);
    assert_int_equal(p.rig.loop->pipes.count, 1); /* ten bulks, one pipe */
    assert_int_equal(p.rig.loop->pipes.free_count, 1);
    close_play(&p);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"counted", test_counted},
        {"short_writes", test_short_writes},
        {"missed_reads", test_missed_reads},
        {"counted_unix", test_counted_unix},
        {"both_ways", test_both_ways},
        {"both_ways_small_pieces", test_both_ways_small_pieces},
        {"end_comes_early", test_end_comes_early},
        {"source_resets", test_source_resets},
        {"destination_resets", test_destination_resets},
        {"both_reset", test_both_reset},
        {"close_in_moved", test_close_in_moved},
        {"next_in_moved", test_next_in_moved},
        {"credit", test_credit},
        {"no_pipe", test_no_pipe},
        {"pipes_run_out", test_pipes_run_out},
        {"pipes_max", test_pipes_max},
        {"small_messages", test_small_messages},
        {"not_now", test_not_now},
        {"pipes_are_kept", test_pipes_are_kept},
    };
    return rig_main("bulk", tests, ARRAY_LEN(tests));
}

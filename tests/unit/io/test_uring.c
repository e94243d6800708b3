/* SPDX-License-Identifier: MIT */
/*
 * The traps of io_uring, each with a test that falls into it if the engine does. What every engine
 * promises is tested elsewhere, on this one too.
 *
 * Not used at all, which test_operations checks: zero-copy sends (on loopback and for small
 * messages slower, and two completions each), timeouts of the ring (our timers cost less), the
 * ring's own shutdown (goes through a thread), links (a short send would break them). Buffers are
 * not registered for fixed reads either (they count against RLIMIT_MEMLOCK): test_no_locked_memory.
 */
#include "rig.h"

#include "io/uring_priv.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_tuned(struct rig *rig, const struct uring_tuning *tuning)
{
    const struct loop_options options = {.engine = LOOP_ENGINE_URING};
    struct loop *loop;
    assert_int_equal(loop_uring_new_tuned(&options, tuning, &loop), 0);
    rig_open_on(rig, loop, "127.0.0.1:0");
}

static struct uring_stream *engine_of(const struct end *e)
{
    return uring_stream_of(e->s);
}

static uint64_t awaited; /* bytes, of all servers */

static bool received_all(struct rig *rig)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < rig->servers_count; i++)
        sum += rig->servers[i].received;
    return sum >= awaited;
}

static void put(int fd, const void *p, size_t n)
{
    assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), n);
}

/* Connects and says enough small things for a multishot receive to be worth it. */
static int connect_small(struct rig *rig)
{
    unsigned before = rig->servers_count;
    int fd = rig_raw_connect(rig);
    for (int i = 0; i < 4; i++) {
        put(fd, "ping", 4);
        awaited += 4;
        rig_run(rig, received_all);
    }
    rig_run_ms(rig, 2);
    assert_int_equal(rig->servers_count, before + 1);
    assert_true(uring_has(engine_of(&rig->servers[before]), URING_RECV));
    return fd;
}

static void open_ordinary(struct rig *rig)
{
    static const struct uring_tuning ordinary;
    awaited = 0;
    open_tuned(rig, &ordinary);
}

/* ---- buffers ---- */

static const struct buf *seen[2 * URING_BUFFERS];
static unsigned seen_count;

static void note_buffer(struct end *e, struct slice in)
{
    (void)e;
    for (unsigned i = 0; i < seen_count; i++) {
        if (seen[i] == in.buf)
            return;
    }
    assert_true(seen_count < ARRAY_LEN(seen));
    seen[seen_count++] = in.buf;
}

/* They rotate, so all of them together must stay in the cache, and come back once delivered. */
static void test_buffers_rotate(void **state)
{
    (void)state;
    static_assert(URING_BUFFERS * URING_BUFFER_BYTES <= 256 * 1024, "within a second-level cache");
    struct rig rig;
    open_ordinary(&rig);
    struct uring_loop *l = uring_loop_of(rig.loop);
    int fd = connect_small(&rig);
    seen_count = 0;
    rig.server0.on_data = note_buffer;
    for (unsigned i = 0; i < 3 * URING_BUFFERS; i++) {
        put(fd, "ping", 4);
        awaited += 4;
        rig_run(&rig, received_all);
    }
    assert_in_range(seen_count, URING_BUFFERS / 2, URING_BUFFERS);
    rig_run_ms(&rig, 2);
    assert_int_equal(l->free_count, 0); /* all are offered */
    assert_int_equal(l->held_count, 0);
    close(fd);
    rig_close(&rig);
}

/* A multishot receive ends when there is no buffer: nothing is lost, nobody is forgotten. */
static void test_out_of_buffers(void **state)
{
    (void)state;
    enum { CONNECTIONS = 16, BYTES = 1500 };
    const struct uring_tuning tuning = {.buffers = 4};
    struct rig rig;
    awaited = 0;
    open_tuned(&rig, &tuning);
    struct uring_loop *l = uring_loop_of(rig.loop);
    int fds[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = connect_small(&rig);
    uint8_t bytes[BYTES];
    rig_fill(bytes, sizeof bytes, 0);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        rig.servers[i].exact = true;
        put(fds[i], bytes, sizeof bytes);
        awaited += sizeof bytes;
    }
    rig_run(&rig, received_all);
    assert_true(l->counters.no_buffers > 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        put(fds[i], "again", 5); /* received once more, one way or the other */
        rig.servers[i].exact = false;
        awaited += 5;
    }
    rig_run(&rig, received_all);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    rig_close(&rig);
}

/* One that floods without being given credit cannot take the buffers of all. */
static void test_flood_without_credit(void **state)
{
    (void)state;
    enum { BYTES = 256 * 1024 };
    static uint8_t bytes[BYTES];
    struct rig rig;
    open_ordinary(&rig);
    struct uring_loop *l = uring_loop_of(rig.loop);
    int fd = connect_small(&rig);
    stream_read(rig.server0.s, false);
    rig_fill(bytes, sizeof bytes, 0);
    ssize_t sent = 0;
    for (int i = 0; i < 10; i++) {
        ssize_t n = send(fd, bytes + sent, sizeof bytes - (size_t)sent, MSG_DONTWAIT);
        sent += n > 0 ? n : 0;
        rig_run_ms(&rig, 2);
        assert_in_range(l->held_count, 0, URING_BUFFERS);
    }
    assert_true(l->held_count > 0); /* it did take some: this tests something */
    assert_int_equal(l->counters.no_buffers, 0);
    assert_false(uring_has(engine_of(&rig.server0), URING_RECV));
    rig_run_ms(&rig, 2);
    assert_int_equal(l->free_count, 0); /* others took the places of the held ones */
    rig.server0.exact = true;
    awaited += (uint64_t)sent;
    stream_read(rig.server0.s, true);
    rig_run(&rig, received_all);
    close(fd);
    rig_close(&rig);
}

/* ---- closing ---- */

/* The peer has seen the end; does not wait. */
static bool has_ended(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static bool nothing_is_closing(struct rig *rig)
{
    return list_empty(&uring_loop_of(rig->loop)->closing);
}

/* What is in the kernel holds the file: it must be told to end, or the peer never sees a FIN. */
static void test_close_cancels(void **state)
{
    (void)state;
    struct rig rig;
    open_ordinary(&rig);
    struct uring_loop *l = uring_loop_of(rig.loop);
    int fd = connect_small(&rig);
    end_close(&rig.server0);
    rig_run_ms(&rig, 10);
    assert_true(has_ended(fd));
    assert_true(l->counters.late > 0); /* the last completion came after the close */
    rig_run(&rig, nothing_is_closing);
    assert_int_equal(l->receiving_count, 0);
    close(fd);
    rig_close(&rig);
}

/* A half-close is made at once, not by the ring, and leaves the other direction alone. */
static void test_shutdown_is_direct(void **state)
{
    (void)state;
    struct rig rig;
    open_ordinary(&rig);
    int fd = connect_small(&rig);
    stream_shutdown(rig.server0.s);
    assert_true(has_ended(fd)); /* before any turn */
    put(fd, "more", 4);
    awaited += 4;
    rig_run(&rig, received_all);
    close(fd);
    rig_close(&rig);
}

/* ---- sending ---- */

static const uint8_t *outgoing;

static void answer_in_pieces(struct end *e, struct slice in)
{
    (void)in;
    const struct slice pieces[] = {
        {outgoing, 100, NULL},
        {outgoing + 100, 3000, NULL},
        {outgoing + 3100, 2000, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        assert_int_equal(stream_send(e->s, &pieces[i], 1), SEND_DONE);
        assert_in_range(uring_loop_of(e->s->loop)->sends_count, 0, 1);
    }
}

/* Several in flight would be reordered as soon as the first one has to wait. */
static void test_one_send_in_flight(void **state)
{
    (void)state;
    enum { BYTES = 5100 };
    uint8_t bytes[BYTES];
    uint8_t got[BYTES + 1];
    struct rig rig;
    open_ordinary(&rig);
    rig_fill(bytes, sizeof bytes, 0);
    outgoing = bytes;
    int fd = connect_small(&rig);
    rig.server0.on_data = answer_in_pieces;
    put(fd, "?", 1);
    awaited++;
    rig_run(&rig, received_all);
    rig_run_ms(&rig, 2);
    size_t n = 0;
    for (ssize_t r; (r = recv(fd, got + n, sizeof got - n, MSG_DONTWAIT)) > 0;)
        n += (size_t)r;
    assert_int_equal(n, BYTES);
    assert_memory_equal(got, bytes, BYTES);
    close(fd);
    rig_close(&rig);
}

/* ---- operations ---- */

static bool is_expected(const struct io_uring_sqe *sqe)
{
    if (sqe->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_IO_DRAIN | IOSQE_ASYNC))
        return false;
    switch (sqe->opcode) {
    case IORING_OP_NOP:
    case IORING_OP_POLL_ADD:
    case IORING_OP_ASYNC_CANCEL:
    case IORING_OP_RECV:
    case IORING_OP_CLOSE: return true;
    case IORING_OP_SEND: return (sqe->msg_flags & MSG_WAITALL) && (sqe->msg_flags & MSG_DONTWAIT);
    default: return false;
    }
}

static void never(struct timer *t)
{
    (void)t;
    CHECK_FAIL("far in the future");
}

/* What the queue still remembers of a life with everything in it. */
static void test_operations(void **state)
{
    (void)state;
    struct rig rig;
    open_ordinary(&rig);
    const struct uring *u = &uring_loop_of(rig.loop)->ring;
    struct timer t;
    timer_init(&t, never);
    loop_timer_set(rig.loop, &t, 1000000);
    int fd = connect_small(&rig);
    assert_int_equal(end_send_text(&rig.server0, "hello"), SEND_DONE);
    rig_run_ms(&rig, 2);
    stream_shutdown(rig.server0.s);
    end_close(&rig.server0);
    rig_run_ms(&rig, 2);
    unsigned sends = 0;
    assert_in_range(u->tail, 1, u->sq_entries); /* none was written over */
    for (uint32_t i = 0; i < u->tail; i++) {
        assert_true(is_expected(&u->sqes[i]));
        sends += u->sqes[i].opcode == IORING_OP_SEND;
    }
    assert_int_equal(sends, 1);
    loop_timer_stop(rig.loop, &t);
    close(fd);
    rig_close(&rig);
}

/* ---- completions ---- */

/* More at once than the queue has room for: the kernel keeps them, and they are asked for. */
static void test_completions_overflow(void **state)
{
    (void)state;
    enum { CONNECTIONS = 48 };
    const struct uring_tuning tuning = {.sq_entries = 4, .cq_entries = 8};
    struct rig rig;
    awaited = 0;
    open_tuned(&rig, &tuning);
    int fds[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = connect_small(&rig);
    for (int i = 0; i < CONNECTIONS; i++)
        put(fds[i], "all at once", 11);
    awaited += CONNECTIONS * 11;
    rig_run(&rig, received_all);
    assert_true(uring_loop_of(rig.loop)->counters.overflows > 0);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    rig_close(&rig);
    open_ordinary(&rig);
    const struct uring *u = &uring_loop_of(rig.loop)->ring;
    assert_true(u->cq_mask + 1 >= 4 * u->sq_entries);
    rig_close(&rig);
}

struct pair {
    struct loop_watch watches[2];
    struct loop *loop;
    uint64_t turns[2];
    int fd;
};

static void note_turn(struct loop_watch *w, uint32_t fired)
{
    (void)fired;
    struct pair *p = w->user;
    p->turns[w - p->watches] = loop_stats(p->loop)->turns;
    loop_watch_end(p->loop, w);
    if (p->turns[0] && p->turns[1])
        loop_stop(p->loop);
}

static void *write_later(void *fd)
{
    const uint64_t one = 1;
    (void)usleep(20000); /* the loop sleeps, or finds it before it does: the same is expected */
    CHECK(write(*(int *)fd, &one, sizeof one) == sizeof one);
    return NULL;
}

/* A sleep ends with the first completion. All that had happened by then belongs to that turn. */
static void test_turn_notes_all(void **state)
{
    (void)state;
    struct rig rig;
    open_ordinary(&rig);
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one); /* one processor: both have happened before the loop runs */
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    struct pair p = {.loop = rig.loop, .fd = eventfd(0, EFD_CLOEXEC)};
    for (int i = 0; i < 2; i++) {
        loop_watch_init(&p.watches[i], p.fd, note_turn, &p);
        assert_int_equal(loop_watch_set(rig.loop, &p.watches[i], LOOP_WATCH_IN), 0);
    }
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_later, &p.fd), 0);
    loop_run(rig.loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(p.turns[0], p.turns[1]);
    close(p.fd);
    rig_close(&rig);
}

static void *run_rig(void *arg)
{
    rig_run(arg, received_all);
    return NULL;
}

/* Only one thread may drive a ring: the one that runs the loop, not the one that made it. */
static void test_made_here_run_there(void **state)
{
    (void)state;
    struct rig rig;
    open_ordinary(&rig);
    int fd = rig_raw_connect(&rig);
    put(fd, "hello", 5);
    awaited = 5;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_rig, &rig), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(rig.server0.text, "hello");
    close(fd);
    rig_close(&rig);
}

/* ---- memory ---- */

static bool all_are_parked(struct rig *rig)
{
    return uring_loop_of(rig->loop)->receiving_count == 0;
}

/* A multishot receive holds three times what a poll does: a quiet stream must not keep it. */
static void test_quiet_streams_are_parked(void **state)
{
    (void)state;
    const struct uring_tuning tuning = {.park_ms = 50};
    struct rig rig;
    awaited = 0;
    open_tuned(&rig, &tuning);
    int fd = connect_small(&rig);
    rig_run(&rig, all_are_parked);
    rig_run_ms(&rig, 2);
    assert_true(uring_loop_of(rig.loop)->counters.parked > 0);
    assert_true(uring_has(engine_of(&rig.server0), URING_IN));
    put(fd, "still there?", 12);
    awaited += 12;
    rig_run(&rig, received_all);
    close(fd);
    rig_close(&rig);
}

/* ---- where it is forbidden ---- */

static bool child_says(bool (*fn)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn() ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool opens(enum loop_engine engine)
{
    const struct loop_options options = {.engine = engine};
    struct loop *loop = NULL;
    if (loop_new(&options, &loop) != 0)
        return false;
    loop_free(&loop);
    return true;
}

static bool without_locked_memory(void)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0))
        return false;
    const char *why = NULL;
    bool can = loop_engine_try(LOOP_ENGINE_URING, &why) == 0;
    if (opens(LOOP_ENGINE_URING) != can || (!can && !why))
        return false; /* it must not be promised and then refused */
    return opens(LOOP_ENGINE_AUTO);
}

/* No buffer is pinned, so the limit is not met by what we do; were it, the rest goes on. */
static void test_no_locked_memory(void **state)
{
    (void)state;
    struct rig rig;
    open_ordinary(&rig);
    int fd = connect_small(&rig);
    char path[64];
    char line[256];
    unsigned pinned = 1;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", uring_loop_of(rig.loop)->ring.fd);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) && sscanf(line, "UserBufs: %u", &pinned) != 1)
        continue;
    (void)fclose(f);
    assert_int_equal(pinned, 0);
    close(fd);
    rig_close(&rig);
    assert_true(child_says(without_locked_memory));
}

static bool forbid_uring(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {ARRAY_LEN(rules), rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool where_forbidden(void)
{
    const char *why = NULL;
    if (!forbid_uring() || loop_engine_try(LOOP_ENGINE_URING, &why) == 0)
        return false;
    return why && strstr(why, "forbidden") && !opens(LOOP_ENGINE_URING) && opens(LOOP_ENGINE_AUTO);
}

/* As in most containers: asked for by name it says why not, left to us the other one runs. */
static void test_forbidden(void **state)
{
    (void)state;
    assert_true(child_says(where_forbidden));
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"buffers rotate", test_buffers_rotate},
        {"out of buffers", test_out_of_buffers},
        {"flood without credit", test_flood_without_credit},
        {"close cancels", test_close_cancels},
        {"shutdown is direct", test_shutdown_is_direct},
        {"one send in flight", test_one_send_in_flight},
        {"operations", test_operations},
        {"completions overflow", test_completions_overflow},
        {"a turn notes all", test_turn_notes_all},
        {"made here, run there", test_made_here_run_there},
        {"quiet streams are parked", test_quiet_streams_are_parked},
        {"no locked memory", test_no_locked_memory},
        {"forbidden", test_forbidden},
    };
    return rig_main_uring("uring", tests, ARRAY_LEN(tests));
}

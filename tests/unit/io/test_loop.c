/* SPDX-License-Identifier: MIT */
/* Turns, time and messages between threads. */
#include "rig.h"

#include "base/limits.h"
#include "io/loop_priv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- timers and time ---- */

static uint64_t fired_at;
static unsigned fired_count;
static struct loop *fired_loop;

static void note(struct timer *t)
{
    (void)t;
    fired_at = loop_now(fired_loop);
    fired_count++;
}

static bool has_fired(struct rig *rig)
{
    (void)rig;
    return fired_count > 0;
}

static void test_timer_is_never_early(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    fired_loop = rig.loop;
    for (uint64_t delay = 0; delay < 12; delay++) {
        struct timer t;
        timer_init(&t, note);
        fired_count = 0;
        uint64_t from = loop_now(rig.loop);
        loop_timer_set(rig.loop, &t, delay);
        rig_run(&rig, has_fired);
        assert_int_equal(fired_count, 1);
        assert_true(fired_at >= from + delay * 1000000);
    }
    rig_close(&rig);
}

static void test_stopped_timer(void **state)
{
    struct rig rig;
    struct timer t;
    rig_open(&rig, state, NULL);
    timer_init(&t, note);
    fired_count = 0;
    loop_timer_set(rig.loop, &t, 4);
    loop_timer_stop(rig.loop, &t);
    loop_timer_set(rig.loop, &t, UINT64_MAX); /* never */
    rig_run_ms(&rig, 20);
    loop_timer_stop(rig.loop, &t);
    assert_int_equal(fired_count, 0);
    rig_close(&rig);
}

struct late {
    struct deferred d;
    struct rig *rig;
    struct late *defers;  /* when it runs */
    struct late *cancels; /* when it runs */
    unsigned runs;
    uint64_t turn;
};

static unsigned late_order;
static struct late *late_runs[8];

static void run_late(struct deferred *d)
{
    struct late *l = container_of(d, struct late, d);
    l->runs++;
    l->turn = loop_stats(l->rig->loop)->turns;
    late_runs[late_order++] = l;
    if (l->defers)
        loop_defer(l->rig->loop, &l->defers->d);
    l->defers = NULL;
    if (l->cancels)
        loop_defer_cancel(l->rig->loop, &l->cancels->d);
}

/* Deferred by a message, so that it is known to belong to a turn. */
struct asking {
    struct message m;
    struct late *late;
    uint64_t turn;
};

static void defer_late(struct loop *loop, struct message *m)
{
    struct asking *a = container_of(m, struct asking, m);
    a->turn = loop_stats(loop)->turns;
    loop_defer(loop, &a->late->d);
    loop_defer(loop, &a->late->d); /* it waits already */
}

static bool ran_three(struct rig *rig)
{
    (void)rig;
    return late_order == 3;
}

static void test_deferred(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    late_order = 0;
    struct late last = {.d.fn = run_late, .rig = &rig};
    struct late first = {.d.fn = run_late, .rig = &rig, .defers = &last};
    struct late second = {.d.fn = run_late, .rig = &rig};
    struct late never = {.d.fn = run_late, .rig = &rig};
    struct asking a = {.m.fn = defer_late, .late = &first};
    struct asking b = {.m.fn = defer_late, .late = &second};
    loop_post(rig.loop, &a.m);
    loop_post(rig.loop, &b.m);
    loop_defer(rig.loop, &never.d);
    loop_defer_cancel(rig.loop, &never.d);
    loop_defer_cancel(rig.loop, &never.d);
    rig_run(&rig, ran_three);
    assert_ptr_equal(late_runs[0], &first);
    assert_ptr_equal(late_runs[1], &second);
    assert_ptr_equal(late_runs[2], &last);
    assert_int_equal(first.turn, a.turn);
    assert_int_equal(second.turn, a.turn);
    assert_int_equal(last.turn, a.turn + 1);
    assert_int_equal(never.runs, 0);
    rig_close(&rig);
}

/* The last of the list is cancelled: what is deferred after it must still run. */
static void test_deferred_after_cancel(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    late_order = 0;
    struct late l[4] = {
        {.d.fn = run_late}, {.d.fn = run_late}, {.d.fn = run_late}, {.d.fn = run_late}};
    for (size_t i = 0; i < ARRAY_LEN(l); i++)
        l[i].rig = &rig;
    loop_defer(rig.loop, &l[0].d);
    loop_defer(rig.loop, &l[1].d);
    loop_defer_cancel(rig.loop, &l[1].d);
    loop_defer(rig.loop, &l[2].d);
    loop_defer(rig.loop, &l[3].d);
    rig_run(&rig, ran_three);
    assert_ptr_equal(late_runs[0], &l[0]);
    assert_ptr_equal(late_runs[1], &l[2]);
    assert_ptr_equal(late_runs[2], &l[3]);
    rig_close(&rig);
}

static bool ran_two(struct rig *rig)
{
    (void)rig;
    return late_order == 2;
}

/* One of a turn cancels the last of the same turn. */
static void test_deferred_cancels_last(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    late_order = 0;
    struct late last = {.d.fn = run_late, .rig = &rig};
    struct late next = {.d.fn = run_late, .rig = &rig};
    struct late first = {.d.fn = run_late, .rig = &rig, .defers = &next, .cancels = &last};
    loop_defer(rig.loop, &first.d);
    loop_defer(rig.loop, &last.d);
    rig_run(&rig, ran_two);
    assert_ptr_equal(late_runs[0], &first);
    assert_ptr_equal(late_runs[1], &next);
    assert_int_equal(next.turn, first.turn + 1);
    assert_int_equal(last.runs, 0);
    rig_close(&rig);
}

static void test_wall_clock(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    uint64_t ms = loop_wall_ms(rig.loop);
    assert_true(ms > 1600000000000u);
    usleep(3000);
    assert_int_equal(loop_wall_ms(rig.loop), ms); /* stands still within a turn */
    rig_run_ms(&rig, 4);
    assert_true(loop_wall_ms(rig.loop) != ms);
    rig_close(&rig);
}

/* ---- messages ---- */

#define SENDERS    4
#define PER_SENDER 20000

struct numbered {
    struct message m;
    unsigned sender;
    unsigned number;
};

static struct loop *post_loop;
static unsigned next_number[SENDERS];
static unsigned got;
static struct numbered *numbered;

static void take_numbered(struct loop *loop, struct message *m)
{
    struct numbered *x = container_of(m, struct numbered, m);
    assert_ptr_equal(loop, post_loop);
    assert_int_equal(x->number, next_number[x->sender]);
    next_number[x->sender]++;
    if (++got == SENDERS * PER_SENDER)
        loop_stop(loop);
}

static void *send_numbered(void *arg)
{
    unsigned sender = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < PER_SENDER; i++) {
        struct numbered *x = &numbered[sender * PER_SENDER + i];
        *x = (struct numbered){.m = {.fn = take_numbered}, .sender = sender, .number = i};
        loop_post(post_loop, &x->m);
        if (i % 4096 == 0)
            usleep(200); /* so that the loop falls asleep now and then */
    }
    return NULL;
}

/* No timer is armed: a lost wake-up hangs here. */
static void test_messages_of_many_threads(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    post_loop = rig.loop;
    got = 0;
    memset(next_number, 0, sizeof next_number);
    numbered = calloc(SENDERS * PER_SENDER, sizeof *numbered);
    pthread_t threads[SENDERS];
    for (uintptr_t i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_numbered, (void *)i), 0);
    alarm(60);
    loop_run(rig.loop);
    alarm(0);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(got, SENDERS * PER_SENDER);
    free(numbered);
    rig_close(&rig);
}

/* Two loops on two threads hand one message to and fro; both sleep each time. */
#define ROUNDS 20000

struct ball {
    struct message m;
    struct loop *sides[2];
    unsigned round;
};

static void bounce(struct loop *loop, struct message *m)
{
    struct ball *ball = container_of(m, struct ball, m);
    if (++ball->round >= ROUNDS) {
        loop_stop(ball->sides[0]);
        loop_stop(ball->sides[1]);
        return;
    }
    loop_post(loop == ball->sides[0] ? ball->sides[1] : ball->sides[0], m);
}

static void *run_other(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void test_ping_pong(void **state)
{
    struct rig a;
    struct rig b;
    rig_open(&a, state, NULL);
    rig_open(&b, state, NULL);
    struct ball ball = {.m = {.fn = bounce}, .sides = {a.loop, b.loop}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_other, b.loop), 0);
    loop_post(b.loop, &ball.m);
    alarm(60);
    loop_run(a.loop);
    pthread_join(thread, NULL);
    alarm(0);
    assert_int_equal(ball.round, ROUNDS);
    rig_close(&a);
    rig_close(&b);
}

static unsigned dropped_calls;

static void count_call(struct loop *loop, struct message *m)
{
    (void)loop;
    (void)m;
    dropped_calls++;
}

static void test_waiting_messages_are_dropped(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    struct message m = {.fn = count_call};
    loop_post(rig.loop, &m);
    rig_close(&rig);
    assert_int_equal(dropped_calls, 0);
}

static void post_again(struct loop *loop, struct message *m)
{
    if (++got < 1000)
        loop_post(loop, m);
    else
        loop_stop(loop);
}

static void test_post_from_own_message(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    struct message m = {.fn = post_again};
    got = 0;
    loop_post(rig.loop, &m);
    alarm(60);
    loop_run(rig.loop);
    alarm(0);
    assert_int_equal(got, 1000);
    rig_close(&rig);
}

static void *stop_soon(void *arg)
{
    usleep(20000);
    loop_stop(arg);
    return NULL;
}

static void test_stop_from_a_thread(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, rig.loop), 0);
    alarm(60);
    loop_run(rig.loop); /* sleeps without a timer */
    alarm(0);
    pthread_join(thread, NULL);
    assert_true(loop_stats(rig.loop)->turns < 100);
    loop_stop(rig.loop);
    loop_run(rig.loop); /* a stop that came before is kept */
    rig_close(&rig);
}

/* ---- watches ---- */

struct pipe_watch {
    struct loop_watch w;
    struct loop_watch other;
    struct rig *rig;
    unsigned calls;
};

static void end_both(struct loop_watch *w, uint32_t fired)
{
    struct pipe_watch *p = w->user;
    assert_int_equal(fired, LOOP_WATCH_IN);
    p->calls++;
    loop_watch_end(p->rig->loop, &p->w);
    loop_watch_end(p->rig->loop, &p->other); /* its event is in the same turn: must not come */
}

static void test_watch_ended_by_another(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    if (!rig.loop->engine->watch) {
        rig_close(&rig);
        skip();
    }
    int fds[2];
    int fds2[2];
    assert_int_equal(pipe(fds) | pipe(fds2), 0);
    struct pipe_watch p = {.rig = &rig};
    loop_watch_init(&p.w, fds[0], end_both, &p);
    loop_watch_init(&p.other, fds2[0], end_both, &p);
    assert_int_equal(loop_watch_set(rig.loop, &p.w, LOOP_WATCH_IN), 0);
    assert_int_equal(loop_watch_set(rig.loop, &p.other, LOOP_WATCH_IN), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(write(fds2[1], "x", 1), 1);
    rig_run_ms(&rig, 12);
    assert_int_equal(p.calls, 1);
    close(fds[0]);
    close(fds[1]);
    close(fds2[0]);
    close(fds2[1]);
    rig_close(&rig);
}

/* ---- pipes ---- */

static void test_pipes_max(void **state)
{
    (void)state;
    const struct loop_options few = {.engine = LOOP_ENGINE_AUTO, .pipes_max = 3};
    const struct loop_options usual = {.engine = LOOP_ENGINE_AUTO};
    struct loop *loop;
    assert_int_equal(loop_new(&few, &loop), 0);
    assert_int_equal(loop->pipes.count_max, 3);
    loop_free(&loop);
    assert_int_equal(loop_new(&usual, &loop), 0);
    assert_int_equal(loop->pipes.count_max, PIPES_MAX);
    loop_free(&loop);
}

/* A pipe that nobody holds gives way to a connection. */
static void test_connection_before_idle_pipe(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    struct pipe *pipe = pipe_get(&rig.loop->pipes, 0);
    assert_non_null(pipe);
    pipe_put(&rig.loop->pipes, pipe, true);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    close(next);
    struct rlimit now = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    rig.client.s = stream_connect(rig.loop, listener_address(rig.listener), &end_ops, &rig.client);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_non_null(rig.client.s);
    assert_int_equal(rig.loop->pipes.count, 0);
    rig_close(&rig);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"a timer is never early", test_timer_is_never_early},
        {"a stopped timer", test_stopped_timer},
        {"deferred to the end of the turn", test_deferred},
        {"deferred after a cancelled one", test_deferred_after_cancel},
        {"deferred that cancels the last", test_deferred_cancels_last},
        {"wall clock", test_wall_clock},
        {"messages of many threads", test_messages_of_many_threads},
        {"ping pong of two loops", test_ping_pong},
        {"waiting messages are dropped", test_waiting_messages_are_dropped},
        {"posting from a message", test_post_from_own_message},
        {"stop from a thread", test_stop_from_a_thread},
        {"a watch ended by another", test_watch_ended_by_another},
        {"limit of pipes", test_pipes_max},
        {"a connection before an idle pipe", test_connection_before_idle_pipe},
    };
    return rig_main("loop", tests, ARRAY_LEN(tests));
}

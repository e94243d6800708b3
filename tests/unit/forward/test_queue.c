/* SPDX-License-Identifier: MIT */
/*
 * The queue across threads: every waiter is granted exactly once or cancelled, the limit of the
 * backend is never passed, and nobody is forgotten.
 */
#include "base/check.h"
#include "config/load.h"
#include "forward/queue.h"
#include "pick/pick.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define WORKERS 3
#define ROUNDS  3000
#define LIMIT   2

static const char text[] = "listeners: [{name: web, listen: \":8080\", pool: app}]\n"
                           "pools: [{name: app, max_connections: 2, queue: {max: 2},\n"
                           "         backends: [127.0.0.1:1]}]\n";

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static struct pool *pool_from(const char *yaml, const struct snapshot **s)
{
    struct diagnostics d;
    assert_int_equal(config_load("test", span_cstr(yaml), no_env, &d, s), 0);
    diagnostics_fini(&d);
    struct pool *p = pool_new(*s, 0, NULL);
    assert_non_null(p);
    assert_true(queue_attach(p));
    return p;
}

static void pool_gone(struct pool *p, const struct snapshot *s)
{
    queue_detach(p);
    pool_free(&p);
    snapshot_unref(&s);
}

/* ---- one thread ---- */

static int granted_count;

static void count_grant(struct queue_entry *e, struct backend *b)
{
    (void)e;
    (void)b;
    granted_count++;
}

static void test_full_and_cancel(void **state)
{
    (void)state;
    const struct snapshot *s;
    struct pool *p = pool_from(text, &s);
    struct loop *loop;
    struct loop_options o = {.engine = LOOP_ENGINE_AUTO};
    assert_int_equal(loop_new(&o, &loop), 0);
    struct queue_entry a, b, c;
    assert_int_equal(queue_wait(p, &a, loop, count_grant), 0);
    assert_int_equal(queue_wait(p, &b, loop, count_grant), 0);
    assert_int_equal(queue_wait(p, &c, loop, count_grant), -(int)REASON_queue_full);
    assert_true(queue_cancel(&b));
    assert_int_equal(atomic_load(&p->waiting), 1);
    queue_release(p, &p->backends[0]); /* grants a: the message is on its way */
    assert_int_equal(atomic_load(&p->waiting), 0);
    assert_false(queue_cancel(&a));
    assert_ptr_equal(a.backend, &p->backends[0]);
    assert_int_equal(atomic_load(&p->backends[0].in_flight), 1);
    pick_done(&p->backends[0]);
    loop_free(&loop);
    pool_gone(p, s);
}

/* ---- many threads ---- */

struct waiter {
    struct loop *loop;
    struct pool *pool;
    struct queue_entry entry;
    struct rng rng;
    struct message start;
    uint32_t rounds, granted, picked, full;
    pthread_t thread;
};

static _Atomic uint32_t running_now, passed_limit;

static void next_round(struct waiter *w);

static void use_place(struct waiter *w, struct backend *b)
{
    if (atomic_fetch_add(&running_now, 1) >= LIMIT)
        atomic_fetch_add(&passed_limit, 1);
    atomic_fetch_sub(&running_now, 1);
    pick_done(b);
    queue_release(w->pool, b);
    loop_post(w->loop, &w->start);
}

static void on_granted(struct queue_entry *e, struct backend *b)
{
    struct waiter *w = container_of(e, struct waiter, entry);
    w->granted++;
    use_place(w, b);
}

/* As the exchange does it: pick, else wait and pick once more. */
static void next_round(struct waiter *w)
{
    struct pick_request request = {0};
    struct backend *b;
    if (w->rounds++ >= ROUNDS) {
        loop_stop(w->loop);
        return;
    }
    if (pick_backend(w->pool, &request, &w->rng, &b) == PICK_OK) {
        w->picked++;
        use_place(w, b);
        return;
    }
    if (queue_wait(w->pool, &w->entry, w->loop, on_granted) < 0) {
        w->full++;
        loop_post(w->loop, &w->start);
        return;
    }
    if (pick_backend(w->pool, &request, &w->rng, &b) != PICK_OK)
        return;
    if (queue_cancel(&w->entry)) {
        w->picked++;
        use_place(w, b);
    } else {
        pick_done(b);
        queue_release(w->pool, b);
    }
}

static void on_start(struct loop *loop, struct message *m)
{
    (void)loop;
    next_round(container_of(m, struct waiter, start));
}

static void *waiter_main(void *arg)
{
    struct waiter *w = arg;
    loop_run(w->loop);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    const struct snapshot *s;
    struct pool *p = pool_from(text, &s);
    struct waiter w[WORKERS] = {0};
    for (int i = 0; i < WORKERS; i++) {
        struct loop_options o = {.engine = LOOP_ENGINE_AUTO};
        assert_int_equal(loop_new(&o, &w[i].loop), 0);
        w[i].pool = p;
        w[i].rng = rng_seed((uint64_t)i);
        w[i].start.fn = on_start;
        loop_post(w[i].loop, &w[i].start);
        assert_int_equal(pthread_create(&w[i].thread, NULL, waiter_main, &w[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(w[i].thread, NULL);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(w[i].granted + w[i].picked + w[i].full, ROUNDS);
        loop_free(&w[i].loop);
    }
    assert_int_equal(atomic_load(&passed_limit), 0);
    assert_int_equal(atomic_load(&p->waiting), 0);
    assert_int_equal(atomic_load(&p->backends[0].in_flight), 0);
    pool_gone(p, s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_and_cancel),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

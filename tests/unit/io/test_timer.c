/* SPDX-License-Identifier: MIT */
/* The wheel against a naive model: a flat array of deadlines. */
#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define TIMERS 200

struct timer_in_test {
    struct timer t;
    uint64_t deadline_ms; /* the model: 0 = not armed */
    unsigned fired;
};

static struct timer_wheel wheel;
static struct timer_in_test timers[TIMERS];
static uint64_t now_ms; /* of the turn that runs */
static uint64_t random_state;

static uint64_t random_u64(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 17 ^ random_state << 31;
}

/* From a tick to a century: each level of the wheel, and beyond the last. */
static uint64_t random_delay(void)
{
    static const uint64_t spans[] = {1,       16,       300,       20000,
                                     1200000, 90000000, 400000000, 3000000000000};
    return random_u64() % spans[random_u64() % (sizeof spans / sizeof spans[0])];
}

static void set(struct timer_in_test *x, uint64_t deadline_ms)
{
    x->deadline_ms = deadline_ms;
    timer_wheel_set(&wheel, &x->t, deadline_ms);
}

static void fired(struct timer *t)
{
    struct timer_in_test *x = container_of(t, struct timer_in_test, t);
    assert_true(x->deadline_ms != 0);
    assert_true(x->deadline_ms <= now_ms); /* never early */
    assert_false(timer_armed(t));
    x->deadline_ms = 0;
    x->fired++;
    struct timer_in_test *other = &timers[random_u64() % TIMERS];
    switch (random_u64() % 4) {
    case 0: set(x, now_ms + random_delay()); break;
    case 1: set(other, now_ms + random_delay()); break;
    case 2:
        timer_wheel_stop(&wheel, &other->t);
        other->deadline_ms = 0;
        break;
    default: break;
    }
}

/* A deadline of this very tick may be served in the next one, none later. */
static void check_model(void)
{
    uint64_t soonest = UINT64_MAX;
    for (size_t i = 0; i < TIMERS; i++) {
        const struct timer_in_test *x = &timers[i];
        assert_int_equal(timer_armed(&x->t), x->deadline_ms != 0);
        if (!x->deadline_ms)
            continue;
        uint64_t up = (x->deadline_ms + TIMER_TICK_MS - 1) / TIMER_TICK_MS * TIMER_TICK_MS;
        if (up + TIMER_TICK_MS <= now_ms)
            fail_msg("a deadline was missed");
        soonest = MIN(soonest, up);
    }
    uint64_t wait = timer_wheel_wait_ms(&wheel, now_ms, 1000000000000000);
    if (soonest == UINT64_MAX)
        return;
    assert_true(now_ms + wait <= MAX(soonest, now_ms + TIMER_TICK_MS)); /* never sleeps over one */
}

static void run_seed(uint64_t seed)
{
    random_state = seed;
    now_ms = random_u64() % 100000000000;
    timer_wheel_init(&wheel, now_ms);
    for (size_t i = 0; i < TIMERS; i++) {
        timers[i] = (struct timer_in_test){0};
        timer_init(&timers[i].t, fired);
    }
    for (int step = 0; step < 3000; step++) {
        for (uint64_t n = random_u64() % 6; n > 0; n--) {
            struct timer_in_test *x = &timers[random_u64() % TIMERS];
            if (random_u64() % 5 == 0) {
                timer_wheel_stop(&wheel, &x->t);
                x->deadline_ms = 0;
            } else {
                set(x, now_ms + random_delay() + 1);
            }
        }
        if (random_u64() % 3)
            now_ms += timer_wheel_wait_ms(&wheel, now_ms, 5000000000);
        else
            now_ms += random_delay() % 100000000;
        timer_wheel_turn(&wheel, now_ms);
        check_model();
    }
}

static void test_against_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        run_seed(seed);
    unsigned total = 0;
    for (size_t i = 0; i < TIMERS; i++)
        total += timers[i].fired;
    assert_true(total > 500); /* the test tests something */
}

static unsigned count;

static void count_up(struct timer *t)
{
    (void)t;
    count++;
}

static void test_exact_tick(void **state)
{
    (void)state;
    static const uint64_t delays[] = {1,     4,     252,     256,      260,
                                      16384, 16388, 1048576, 67108864, 70000000};
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        struct timer t;
        timer_wheel_init(&wheel, 1000);
        timer_init(&t, count_up);
        count = 0;
        timer_wheel_set(&wheel, &t, 1000 + delays[i]);
        uint64_t up = (1000 + delays[i] + 3) / 4 * 4;
        timer_wheel_turn(&wheel, up - 1);
        assert_int_equal(count, 0);
        timer_wheel_turn(&wheel, up);
        assert_int_equal(count, 1);
        timer_wheel_turn(&wheel, up + 100000000);
        assert_int_equal(count, 1);
    }
}

/* What makes it fit for timeouts: pushing back does not move the timer, pulling in does. */
static void test_push_back_only_stores(void **state)
{
    (void)state;
    struct timer t;
    timer_wheel_init(&wheel, 0);
    timer_init(&t, count_up);
    count = 0;
    timer_wheel_set(&wheel, &t, 1000);
    struct list *neighbour = t.link.next;
    for (uint64_t now = 4; now < 900; now += 4) {
        timer_wheel_set(&wheel, &t, now + 1000);
        assert_ptr_equal(t.link.next, neighbour);
    }
    timer_wheel_turn(&wheel, 1895);
    assert_int_equal(count, 0);
    timer_wheel_turn(&wheel, 1900);
    assert_int_equal(count, 1);
    timer_wheel_set(&wheel, &t, 100000);
    timer_wheel_set(&wheel, &t, 1904);
    timer_wheel_turn(&wheel, 1904);
    assert_int_equal(count, 2);
}

static void test_wait(void **state)
{
    (void)state;
    struct timer t;
    timer_wheel_init(&wheel, 10000);
    timer_init(&t, count_up);
    assert_int_equal(timer_wheel_wait_ms(&wheel, 10000, 777), 777);
    timer_wheel_set(&wheel, &t, 10100);
    assert_int_equal(timer_wheel_wait_ms(&wheel, 10000, 777), 100);
    assert_int_equal(timer_wheel_wait_ms(&wheel, 10000, 50), 50);
    assert_int_equal(timer_wheel_wait_ms(&wheel, 10098, 777), 2);
    assert_int_equal(timer_wheel_wait_ms(&wheel, 20000, 777), 0);
    timer_wheel_stop(&wheel, &t);
    timer_wheel_stop(&wheel, &t); /* again does nothing */
    timer_wheel_set(&wheel, &t, UINT64_MAX);
    timer_wheel_turn(&wheel, 500000000);
    assert_true(timer_armed(&t));
    timer_wheel_stop(&wheel, &t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_exact_tick),
        cmocka_unit_test(test_push_back_only_stores),
        cmocka_unit_test(test_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

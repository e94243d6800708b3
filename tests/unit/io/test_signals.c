/* SPDX-License-Identifier: MIT */
#include "io/signals.h"

#include "rig.h"

#include <unistd.h>

static unsigned hups;
static unsigned terms;

static void on_signal(struct signals *s, int signal, void *user)
{
    (void)s;
    assert_ptr_equal(user, &hups);
    hups += signal == SIGHUP;
    terms += signal == SIGTERM;
}

static bool both_came(struct rig *rig)
{
    (void)rig;
    return hups && terms;
}

static sigset_t two_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    return set;
}

static void test_signals_are_events(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    hups = terms = 0;
    struct signals *signals;
    sigset_t set = two_signals();
    assert_int_equal(signals_open(rig.loop, &set, on_signal, &hups, &signals), 0);
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGTERM);
    assert_int_equal(hups + terms, 0);
    rig_run(&rig, both_came);
    assert_int_equal(hups, 1);
    assert_int_equal(terms, 1);
    signals_close(&signals);
    assert_null(signals);
    signals_close(&signals);
    rig_close(&rig);
}

static struct signals *to_close;

static void close_at_first(struct signals *s, int signal, void *user)
{
    (void)signal;
    (void)user;
    assert_ptr_equal(s, to_close);
    hups++;
    signals_close(&to_close);
}

static void test_close_inside(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    hups = 0;
    sigset_t set = two_signals();
    assert_int_equal(signals_open(rig.loop, &set, close_at_first, NULL, &to_close), 0);
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGTERM);
    rig_run_ms(&rig, 12);
    assert_int_equal(hups, 1);
    assert_null(to_close);
    /* the other one still waits, blocked: take it away before the test ends */
    const struct timespec now = {0};
    while (sigtimedwait(&set, NULL, &now) > 0)
        ;
    rig_close(&rig);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"signals are events", test_signals_are_events},
        {"close inside the callback", test_close_inside},
    };
    return rig_main("signals", tests, ARRAY_LEN(tests));
}

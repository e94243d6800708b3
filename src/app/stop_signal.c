/* SPDX-License-Identifier: MIT */
#include "app/stop_signal.h"

#include "io/loop.h"

static void on_signal(struct signals *s, int signal, void *user)
{
    (void)s;
    (void)signal;
    loop_stop(user);
}

int stop_signal_open(struct loop *loop, struct signals **ret_signals)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    return signals_open(loop, &set, on_signal, loop, ret_signals);
}

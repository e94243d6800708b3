/* SPDX-License-Identifier: MIT */
#include "io/signals.h"

#include "io/loop_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct signals {
    struct loop_watch watch;
    struct loop *loop;
    signals_fn *fn;
    void *user;
    bool in_callback;
    bool closed; /* in the callback: freed after it */
};

static void readable(struct loop_watch *w, uint32_t fired)
{
    (void)fired;
    struct signals *s = container_of(w, struct signals, watch);
    s->in_callback = true;
    struct signalfd_siginfo info;
    while (!s->closed && read(s->watch.fd, &info, sizeof info) == (ssize_t)sizeof info)
        s->fn(s, (int)info.ssi_signo, s->user);
    s->in_callback = false;
    if (s->closed)
        free(s);
}

int signals_open(struct loop *loop, const sigset_t *set, signals_fn *fn, void *user,
                 struct signals **ret_signals)
{
    if (pthread_sigmask(SIG_BLOCK, set, NULL) != 0)
        return -(int)REASON_system_error;
    struct signals *s = calloc(1, sizeof *s);
    if (!s)
        return -(int)REASON_overload;
    int fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        int err = errno;
        free(s);
        return err == EMFILE || err == ENFILE ? -(int)REASON_out_of_files
                                              : -(int)REASON_system_error;
    }
    s->loop = loop;
    s->fn = fn;
    s->user = user;
    loop_watch_init(&s->watch, fd, readable, s);
    int rc = loop_watch_set(loop, &s->watch, LOOP_WATCH_IN);
    if (rc < 0) {
        (void)close(fd);
        free(s);
        return rc;
    }
    *ret_signals = s;
    return 0;
}

void signals_close(struct signals **signals)
{
    struct signals *s = *signals;
    if (!s)
        return;
    *signals = NULL;
    loop_watch_end(s->loop, &s->watch);
    (void)close(s->watch.fd);
    s->closed = true;
    if (!s->in_callback)
        free(s);
}

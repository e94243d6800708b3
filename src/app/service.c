/* SPDX-License-Identifier: MIT */
#include "app/service.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

void service_init(struct service *s)
{
    uint64_t us = 0;
    s->watchdog_ms = sd_watchdog_enabled(0, &us) > 0 ? us / US_PER_S * MS_PER_S : 0;
}

void service_ready(const struct service *s)
{
    (void)s;
    (void)sd_notify(0, "READY=1");
}

void service_reloading(const struct service *s)
{
    (void)s;
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
                     (unsigned long long)(clock_mono_ns() / NS_PER_US));
}

void service_stopping(const struct service *s)
{
    (void)s;
    (void)sd_notify(0, "STOPPING=1");
}

void service_alive(const struct service *s)
{
    if (s->watchdog_ms)
        (void)sd_notify(0, "WATCHDOG=1");
}

uint32_t service_sockets(int **ret_fds)
{
    int n = sd_listen_fds(1);
    *ret_fds = n > 0 ? calloc((size_t)n, sizeof(int)) : NULL;
    if (!*ret_fds)
        return 0;
    for (int i = 0; i < n; i++)
        (*ret_fds)[i] = SD_LISTEN_FDS_START + i;
    return (uint32_t)n;
}

#else

void service_init(struct service *s)
{
    s->watchdog_ms = 0;
}

void service_ready(const struct service *s)
{
    (void)s;
}

void service_reloading(const struct service *s)
{
    (void)s;
}

void service_stopping(const struct service *s)
{
    (void)s;
}

void service_alive(const struct service *s)
{
    (void)s;
}

uint32_t service_sockets(int **ret_fds)
{
    *ret_fds = NULL;
    return 0;
}
#endif

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The service manager: systemd, if it started us and the program was built with libsystemd; else
 * nothing happens. Thread rule: the supervisor's one thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct service {
    uint64_t watchdog_ms; /* it wants a sign of life at least this often; 0 = it does not */
};

/* Looks at what the environment says. */
void service_init(struct service *s);

void service_ready(const struct service *s);
void service_reloading(const struct service *s);
void service_stopping(const struct service *s);
void service_alive(const struct service *s);

/* Sockets it has opened for us, in ret_fds (malloc'd); how many. To be asked once. */
uint32_t service_sockets(int **ret_fds);

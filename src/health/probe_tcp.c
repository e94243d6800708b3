/* SPDX-License-Identifier: MIT */
/* The TCP probe: a backend that accepts a connection is well. */
#include "health/probe.h"

static void tcp_connected(struct probe *p)
{
    probe_end(p, REASON_ok);
}

const struct probe_kind probe_tcp = {.connected = tcp_connected};

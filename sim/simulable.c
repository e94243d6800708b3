/* SPDX-License-Identifier: MIT */
#include "sim/simulable.h"

#include <stdio.h>

bool simulable(const struct snapshot *s, char *ret_why, size_t why_size)
{
    for (size_t i = 0; i < s->pool_count; i++) {
        const struct pool_conf *pool = &s->pools[i];
        const char *what = pool->protocol == PROTOCOL_HTTP2   ? "HTTP/2 to its backends"
                           : pool->health.type == HEALTH_GRPC ? "health checks of type grpc"
                                                              : NULL;
        if (!what)
            continue;
        (void)snprintf(
            ret_why, why_size,
            "pool %s has %s, which the simulator does not speak; it speaks HTTP/1 and TCP",
            pool->name, what);
        return false;
    }
    return true;
}

static void note_listener(const struct listener_conf *l, simulable_note_fn *note, void *user)
{
    char text[256];
    if (l->tls.enabled) {
        (void)snprintf(text, sizeof(text), "listener %s: TLS is left out", l->name);
        note(user, text);
    }
    if (l->proxy_count > 0) {
        (void)snprintf(text, sizeof(text), "listener %s: PROXY headers are left out", l->name);
        note(user, text);
    }
}

static void note_pool(const struct pool_conf *p, simulable_note_fn *note, void *user)
{
    char text[256];
    if (p->tls.enabled) {
        (void)snprintf(text, sizeof(text), "pool %s: TLS is left out", p->name);
        note(user, text);
    }
    if (p->proxy_protocol != PROXY_NONE) {
        (void)snprintf(text, sizeof(text), "pool %s: PROXY headers are left out", p->name);
        note(user, text);
    }
}

void simulable_notes(const struct snapshot *s, simulable_note_fn *note, void *user)
{
    for (size_t i = 0; i < s->listener_count; i++)
        note_listener(&s->listeners[i], note, user);
    for (size_t i = 0; i < s->pool_count; i++)
        note_pool(&s->pools[i], note, user);
}

/* SPDX-License-Identifier: MIT */
#include "accept/gate.h"

#include "accept/greeting.h"
#include "forward/client.h"

#include <stdlib.h>

struct gate {
    struct acceptor acceptor;
    struct forwarder *f;
    const struct inlet *inlet;
    _Atomic uint64_t *taken;
};

static bool is_full(const struct front *front, const struct listener_conf *conf)
{
    uint32_t limit = conf->max_connections;
    return limit && atomic_load_explicit(&front->connections, memory_order_relaxed) >= limit;
}

static void on_accepted(struct acceptor *a, struct stream *s)
{
    struct gate *g = a->user;
    struct front *front = atomic_load_explicit(&g->inlet->front, memory_order_acquire);
    const struct listener_conf *conf = front_conf(front)->conf;
    uint64_t taken = atomic_load_explicit(g->taken, memory_order_relaxed) + 1;
    atomic_store_explicit(g->taken, taken, memory_order_relaxed);
    account_connection(g->f->account, &front->key);
    bool http = conf->protocol == PROTOCOL_HTTP;
    bool greets = greeting_due(conf);
    if (is_full(front, conf)) {
        if (greets)
            greeting_refuse(g->f, front, s, REASON_too_many_connections);
        else if (http)
            client_h1_refuse(g->f, front, s, REASON_too_many_connections);
        else
            stream_close(&s, STREAM_CLOSE_RESET);
    } else if (greets) {
        greeting_open(g->f, front, s);
    } else if (http) {
        client_h1_open(g->f, front, s);
    } else {
        client_tcp_open(g->f, front, s);
    }
}

int gate_open(struct forwarder *f, struct inlet *inlet, uint32_t shard, _Atomic uint64_t *taken,
              struct gate **ret_gate)
{
    struct gate *g = calloc(1, sizeof(*g));
    if (!g)
        return -(int)REASON_overload;
    g->f = f;
    g->inlet = inlet;
    g->taken = taken;
    int r = acceptor_start(f->loop, &g->acceptor, inlet->listener, shard, on_accepted, g);
    if (r < 0) {
        free(g);
        return r;
    }
    *ret_gate = g;
    return 0;
}

void gate_pause(struct gate *g, bool paused)
{
    acceptor_pause(&g->acceptor, paused);
}

void gate_look(struct gate *g)
{
    if (g->acceptor.paused)
        return;
    acceptor_pause(&g->acceptor, true);
    acceptor_pause(&g->acceptor, false);
}

void gate_close(struct gate **gate)
{
    if (!*gate)
        return;
    acceptor_stop(&(*gate)->acceptor);
    free(*gate);
    *gate = NULL;
}

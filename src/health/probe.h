/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Private to health/: one probe of one backend, from connecting to its result.
 *
 *   probe_begin ──▶ connecting ──connected──▶ kind->connected … kind->data, kind->eof ──▶ probe_end
 *                       └── refused, timeout, reset, probe_cancel ─────────────────────────▲
 *
 * A kind of probe is one file and one row in probe.c's table. The driver here owns the stream and
 * the time limit, which covers connecting and the answer together. Exactly one `done` follows each
 * successful probe_begin, never from inside it, unless the probe is cancelled.
 *
 * Thread rule: the control loop's.
 */

#include "account/reason.h"
#include "config/snapshot.h"
#include "forward/dial.h"
#include "io/loop.h"

struct probe;

typedef void probe_done_fn(struct probe *p, enum reason result);

struct probe_kind {
    /* Makes *p->state ready; 0 or a negative reason. NULL: no state. */
    int (*begin)(struct probe *p, const struct address *to);
    void (*connected)(struct probe *p);
    void (*data)(struct probe *p, struct slice in); /* NULL: never asked for */
    void (*sent)(struct probe *p);                  /* a send is complete; NULL: no matter */
    void (*end)(struct probe *p);                   /* frees the state; NULL: none */
};

extern const struct probe_kind probe_tcp, probe_http, probe_http2, probe_grpc;

struct probe {
    /* set at creation */
    struct dialer *dialer;
    struct loop *loop;
    const struct pool_conf *pool;
    const struct health_conf *conf; /* the pool's */
    const struct backend_conf *backend;
    const struct probe_kind *kind; /* NULL: this backend is not probed */
    probe_done_fn *done;

    /* while one is under way */
    struct stream *stream;
    struct timer deadline;
    bool connected;
    void *state; /* the kind's */

    const char *detail; /* of the last result: what TLS says it was, or NULL; static text */
};

/* `pool` may be replaced later by one of which probe_same says so. */
void probe_init(struct probe *p, struct dialer *dialer, const struct pool_conf *pool,
                const struct backend_conf *backend, probe_done_fn *done);

/* Whether that configuration of the pool asks for the same probes. */
bool probe_same(const struct probe *p, const struct pool_conf *pool);

/* Starts a probe over a connection such as exchanges have, in which we speak for ourselves (`what`
 * is only read during the call). 0, or a negative reason of our own (out_of_files, overload):
 * nothing was found out about the backend then. */
NODISCARD int probe_begin(struct probe *p, const struct dial *what);

/* For kinds: the probe is over. Calls done, which may begin the next one. */
void probe_end(struct probe *p, enum reason result);

/* For kinds: the host that is asked, as the configuration says or else by its address. */
void probe_write_host(struct writer *w, const struct probe *p, const struct address *to);

/* For kinds: whether a response with that status is a good one. */
bool probe_expects(const struct health_conf *conf, uint16_t status);

/* For kinds: what the connection is to HTTP/2. */
static inline struct span probe_scheme(const struct probe *p)
{
    return p->pool->tls.enabled ? span_str("https") : span_str("http");
}

/* Ends a probe without a result, if one is under way. */
void probe_cancel(struct probe *p);

static inline bool probe_running(const struct probe *p)
{
    return p->stream != NULL;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What one worker needs to forward: its loop, its slabs, its idle upstream connections, the place
 * where outgoing bytes are gathered, and its account. One per worker, made before the worker runs
 * and freed after; everything in it belongs to that thread.
 */

#include "account/account.h"
#include "account/board.h"
#include "account/recorder.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/slab.h"
#include "codec/h1.h"
#include "forward/dial.h"
#include "forward/front.h"
#include "forward/side.h"
#include "io/loop.h"
#include "pick/pool.h"

#include <stdatomic.h>
#include <stdint.h>

struct challenge; /* forward/challenge.h */
struct client;
struct h2_library;
struct idle_set;
struct tls_worker;

/* Twice the longest head, so that a head and framing always fit after a flush. */
#define OUTBOX_SCRATCH_BYTES (2 * HTTP_HEAD_MAX)

/*
 * Outgoing bytes on their way to one side: slices gathered between two flushes, and a scratch
 * buffer for heads and chunk framing that are made here. There is one per worker, not one per
 * connection: whoever gathers flushes before anybody else starts (outbox_for sees to it), so an
 * idle connection pays nothing for it.
 */
struct outbox {
    struct side *owner;
    bool last; /* the end of this direction follows what was gathered: see stream_last */
    size_t count;
    uint32_t scratch_used;
    struct buf *scratch; /* BUF_HEAD */
    struct slice slices[SEND_SLICES_MAX];
};

/* How an exchange with a backend went, for passive health: REASON_ok or the backend's fault. */
typedef void forwarder_report_fn(void *user, struct backend *b, enum reason result,
                                 uint64_t now_ms);

/* Sees to it that challenge_answer is called, soon and not from inside. */
typedef void forwarder_challenge_fn(void *user, struct challenge *c);

/* A head while it is received, with room for a path that must be rewritten. */
struct head_room {
    struct head head;
    uint8_t path[URI_PATH_MAX];
};

struct forwarder {
    /* set at creation */
    struct loop *loop;
    struct account *account;
    struct recorder *recorder; /* or NULL */
    forwarder_report_fn *report;
    void *report_user;
    forwarder_challenge_fn *challenge; /* or NULL: there are none */
    void *challenge_user;
    uint32_t index;    /* of the worker */
    bool log_fields;   /* the access log wants user agent and referer */
    uint64_t quiet_ms; /* how long a quiet keep-alive connection is still held in a drain */

    /* this worker only */
    struct rng rng;
    struct slab heads;     /* struct head_room, while a head is being received */
    struct slab messages;  /* struct h1_message, while one is on its way in */
    struct slab exchanges; /* struct exchange */
    struct slab clients;   /* client connections */
    struct slab upstreams; /* upstream connections, HTTP/1 */
    struct slab tcp_backends;
    struct slab shared_upstreams;  /* upstream connections, HTTP/2 */
    struct slab upstream_requests; /* … and the exchanges on them */
    struct h2_library *h2;
    struct dialer dialer;    /* to backends */
    struct slab h2_clients;  /* client connections that speak HTTP/2 */
    struct slab h2_requests; /* … and their requests */
    struct idle_set *idle;
    struct tls_worker *tls; /* what its TLS streams share */
    struct outbox outbox;
    struct list client_list; /* every client connection, for the drain */
    uint32_t client_count, clients_max;
    struct list challenges; /* asked for and not yet answered */
    uint32_t challenge_count;
    /* Called when there is no room for another client, and when there is again. */
    void (*full)(void *user, bool full);
    void *full_user;
    bool draining;
    void (*drained)(void *user); /* called when draining and the last client has gone */
    void *drained_user;
};

struct forwarder_options {
    struct loop *loop;
    struct account *account;
    struct recorder *recorder; /* or NULL */
    forwarder_report_fn *report;
    void *report_user;
    forwarder_challenge_fn *challenge; /* or NULL: there are none */
    void *challenge_user;
    uint32_t index;
    uint32_t clients_max;
    bool log_fields;
    uint64_t quiet_ms;
    uint64_t seed;
};

/* 0, or a negative reason. */
NODISCARD int forwarder_init(struct forwarder *f, const struct forwarder_options *o);

/* From now on exchanges are accounted to this access log, or NULL. Where there is no room for it,
 * they are to none, and a negative reason is returned. On the worker's thread. */
NODISCARD int forwarder_log_to(struct forwarder *f, struct access_log *log);

/* Everything must be closed: call forwarder_close_all first. */
void forwarder_fini(struct forwarder *f);

/*
 * Begins the drain: requests under way finish, and the next request on a quiet keep-alive
 * connection is still served, with "Connection: close"; a connection that stays quiet for quiet_ms
 * is closed. `drained` is called once no client is left (perhaps at once, from inside this call).
 */
void forwarder_drain(struct forwarder *f, void (*drained)(void *user), void *user);

/*
 * The same for the clients of one front, which takes no more of them on this worker: it is marked
 * as leaving already. front->stays' `gone` is called once none is left here (perhaps at once).
 */
void forwarder_drain_front(struct forwarder *f, struct front *front);

/* Ends what is left of them now (REASON_shutting_down). */
void forwarder_close_front(struct forwarder *f, const struct front *front);

/* Ends every exchange and connection now (REASON_shutting_down). */
void forwarder_close_all(struct forwarder *f);

/* Closes the idle connections to a backend that takes nothing new any more. */
void forwarder_forget_backend(struct forwarder *f, const struct backend *b);

/* Bookkeeping of client connections, used by the client sides. The link is taken off the list. */
void forwarder_client_opened(struct forwarder *f, struct client *c);
void forwarder_client_closed(struct forwarder *f, struct client *c);

/* `to` takes the place of `from`, and its arrival. */
void forwarder_client_became(struct forwarder *f, struct client *from, struct client *to);

/* ---- outbox ---- */

/* The outbox, empty or already this side's; another side's bytes are flushed first. */
struct outbox *outbox_for(struct forwarder *f, struct side *owner);

/* The CR LF that ends a chunk. */
extern const struct slice outbox_crlf;

/* Adds bytes; adjacent pieces of one buffer become one slice. False when it is full: flush first.
 */
bool outbox_add(struct outbox *o, struct slice s);

/* Room for `bytes` in the scratch buffer (at most 64 KiB since the last flush), or NULL. Call
 * outbox_commit with what was really written; that adds the slice. */
uint8_t *outbox_reserve(struct forwarder *f, struct outbox *o, uint32_t bytes);
void outbox_commit(struct outbox *o, uint32_t bytes);

/* Sends what was gathered; the outbox is empty afterwards. SEND_DONE when there was nothing. */
enum send_result outbox_send(struct forwarder *f, struct outbox *o, struct stream *to);

/* Forgets what was gathered for `owner`. */
void outbox_drop(struct forwarder *f, struct side *owner);

/* Whether a few more slices and chunk framing fit before the next flush. */
static inline bool outbox_has_room(const struct outbox *o)
{
    return o->count + 8 < SEND_SLICES_MAX && o->scratch_used < OUTBOX_SCRATCH_BYTES / 2;
}

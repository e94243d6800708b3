/* SPDX-License-Identifier: MIT */
/*
 * The worker's resources for forwarding. Slabs are bounded by the number of clients the worker may
 * have: every client has one exchange, or as many as its HTTP/2 streams, and every exchange at most
 * one upstream connection in use; idle ones come on top and are bounded by the pools' own setting.
 */
#include "forward/forwarder.h"

#include "base/check.h"
#include "codec/arrival.h"
#include "forward/challenge.h"
#include "forward/client.h"
#include "forward/exchange.h"
#include "forward/h1_conn.h"
#include "forward/h2_conn.h"
#include "forward/idle.h"
#include "forward/tcp_side.h"
#include "forward/tls_stream.h"
#include "forward/upstream.h"
#include "forward/upstream_h2.h"

#include <stdlib.h>
#include <string.h>

int forwarder_init(struct forwarder *f, const struct forwarder_options *o)
{
    memset(f, 0, sizeof(*f));
    f->loop = o->loop;
    f->account = o->account;
    f->recorder = o->recorder;
    f->report = o->report;
    f->report_user = o->report_user;
    f->challenge = o->challenge;
    f->challenge_user = o->challenge_user;
    f->index = o->index;
    f->log_fields = o->log_fields;
    f->quiet_ms = o->quiet_ms;
    f->clients_max = o->clients_max;
    f->rng = rng_seed(o->seed);
    list_init(&f->client_list);
    list_init(&f->challenges);
    f->idle = idle_set_new();
    f->h2 = h2_library_new(o->loop);
    int rc = f->idle && f->h2 ? tls_worker_new(o->loop, &f->tls) : -(int)REASON_overload;
    if (rc < 0) {
        idle_set_free(&f->idle);
        return rc;
    }
    slab_init(&f->heads, sizeof(struct head_room), 8, o->clients_max);
    slab_init(&f->messages, sizeof(struct h1_message), 8, 2 * (size_t)o->clients_max);
    slab_init(&f->exchanges, sizeof(struct exchange), 64,
              MAX((size_t)o->clients_max, (size_t)EXCHANGES_MAX));
    slab_init(&f->clients, client_object_bytes(), 8, (size_t)o->clients_max + 1); /* for a take */
    slab_init(&f->upstreams, sizeof(struct upstream), 8, 0);
    slab_init(&f->shared_upstreams, upstream_h2_object_bytes(), 8, 0);
    slab_init(&f->upstream_requests, upstream_request_object_bytes(), 8, 0);
    slab_init(&f->tcp_backends, tcp_backend_object_bytes(), 8, o->clients_max);
    dialer_init(&f->dialer, o->loop, f->tls);
    slab_init(&f->h2_clients, client_h2_object_bytes(), 8, o->clients_max);
    slab_init(&f->h2_requests, client_h2_request_bytes(), 8, 0); /* by connections and streams */
    return 0;
}

int forwarder_log_to(struct forwarder *f, struct access_log *log)
{
    int r = account_log_to(f->account, log);
    f->log_fields = account_has_log(f->account);
    return r;
}

void forwarder_fini(struct forwarder *f)
{
    CHECK(f->client_count == 0);
    CHECK(f->outbox.count == 0);
    challenge_drop_all(f);
    buf_put(&f->outbox.scratch);
    idle_set_free(&f->idle);
    dialer_fini(&f->dialer);
    slab_fini(&f->upstream_requests);
    slab_fini(&f->shared_upstreams);
    h2_library_free(&f->h2);
    slab_fini(&f->h2_requests);
    slab_fini(&f->h2_clients);
    tls_worker_free(&f->tls);
    slab_fini(&f->tcp_backends);
    slab_fini(&f->upstreams);
    slab_fini(&f->clients);
    slab_fini(&f->exchanges);
    slab_fini(&f->messages);
    slab_fini(&f->heads);
}

/* ---- clients and the drain ---- */

static void tell_drained(struct forwarder *f)
{
    if (f->draining && f->client_count == 0 && f->drained) {
        void (*drained)(void *) = f->drained;
        f->drained = NULL;
        drained(f->drained_user);
    }
}

void forwarder_client_opened(struct forwarder *f, struct client *c)
{
    list_init(&c->link);
    list_add_tail(&f->client_list, &c->link);
    f->client_count++;
    if (f->client_count == f->clients_max && f->full)
        f->full(f->full_user, true);
}

void forwarder_client_closed(struct forwarder *f, struct client *c)
{
    CHECK(f->client_count > 0);
    list_del(&c->link);
    if (UNLIKELY(c->arrival != NULL))
        free(c->arrival);
    c->arrival = NULL;
    if (UNLIKELY(front_leaving(c->front)))
        front_client_gone(&c->front->stays[f->index]);
    if (f->client_count-- == f->clients_max && f->full)
        f->full(f->full_user, false);
    tell_drained(f);
}

void forwarder_client_became(struct forwarder *f, struct client *from, struct client *to)
{
    CHECK(from->f == f && from->front == to->front);
    list_init(&to->link);
    list_add_tail(&from->link,
                  &to->link); /* a client that a walk over the list is at stays there */
    list_del(&from->link);
    to->arrival = from->arrival;
    from->arrival = NULL;
    from->stream = NULL;
}

void forwarder_drain(struct forwarder *f, void (*drained)(void *user), void *user)
{
    f->draining = true;
    f->drained = drained;
    f->drained_user = user;
    struct list *next;
    for (struct list *at = f->client_list.next; at != &f->client_list; at = next) {
        next = at->next;
        client_drain(container_of(at, struct client, link));
    }
    tell_drained(f);
}

void forwarder_drain_front(struct forwarder *f, struct front *front)
{
    struct front_stay *stay = &front->stays[f->index];
    CHECK(front_leaving(front) && !stay->counted);
    struct list *next;
    stay->counted = true;
    stay->clients = 1; /* held until all are counted */
    for (struct list *at = f->client_list.next; at != &f->client_list; at = next) {
        struct client *c = container_of(at, struct client, link);
        next = at->next;
        if (c->front == front) {
            stay->clients++;
            client_drain(c);
        }
    }
    front_client_gone(stay);
}

void forwarder_close_front(struct forwarder *f, const struct front *front)
{
    struct list *at = f->client_list.next;
    while (at != &f->client_list) {
        struct client *c = container_of(at, struct client, link);
        at = at->next;
        if (c->front == front)
            client_close_now(c);
    }
}

void forwarder_close_all(struct forwarder *f)
{
    f->draining = true;
    while (!list_empty(&f->client_list))
        client_close_now(container_of(list_first(&f->client_list), struct client, link));
    idle_close_all(f->idle);
}

void forwarder_forget_backend(struct forwarder *f, const struct backend *b)
{
    idle_close_backend(f->idle, b);
}

struct address client_peer(const struct client *c)
{
    return c->arrival ? c->arrival->peer : stream_peer(c->stream);
}

struct address client_side_local(struct side *s)
{
    return stream_local(container_of(s, struct client, side)->stream);
}

/* ---- outbox ---- */

const struct slice outbox_crlf = {(const uint8_t *)"\r\n", 2, NULL};

struct outbox *outbox_for(struct forwarder *f, struct side *owner)
{
    struct outbox *o = &f->outbox;
    if (o->owner != owner) {
        struct side *before = o->owner;
        if (o->count > 0 && !before->ops->flush(before) && before->x)
            exchange_blocked(before->x, before);
        CHECK(o->count == 0);
        o->owner = owner;
    }
    o->last = false;
    return o;
}

bool outbox_add(struct outbox *o, struct slice s)
{
    if (s.n == 0)
        return true;
    if (o->count > 0) {
        struct slice *last = &o->slices[o->count - 1];
        if (last->buf == s.buf && last->p + last->n == s.p) {
            last->n += s.n;
            return true;
        }
    }
    if (o->count == SEND_SLICES_MAX)
        return false;
    o->slices[o->count++] = s;
    return true;
}

/* After everything was sent the scratch starts anew, unless the loop still holds a part of it. */
static void scratch_recycle(struct outbox *o)
{
    if (o->scratch && o->scratch->refs > 1)
        buf_put(&o->scratch);
    o->scratch_used = 0;
}

uint8_t *outbox_reserve(struct forwarder *f, struct outbox *o, uint32_t bytes)
{
    if (!o->scratch) {
        o->scratch = buf_get(f->loop, OUTBOX_SCRATCH_BYTES);
        o->scratch_used = 0;
        if (!o->scratch)
            return NULL;
    }
    if (bytes > o->scratch->size - o->scratch_used || o->count == SEND_SLICES_MAX)
        return NULL;
    return o->scratch->data + o->scratch_used;
}

void outbox_commit(struct outbox *o, uint32_t bytes)
{
    CHECK(bytes <= o->scratch->size - o->scratch_used);
    struct slice s = {o->scratch->data + o->scratch_used, bytes, o->scratch};
    o->scratch_used += bytes;
    CHECK(outbox_add(o, s));
}

enum send_result outbox_send(struct forwarder *f, struct outbox *o, struct stream *to)
{
    (void)f;
    size_t count = o->count;
    if (count == 0)
        return SEND_DONE;
    o->count = 0;
    if (o->last)
        stream_last(to);
    o->last = false;
    enum send_result result = stream_send(to, o->slices, count);
    scratch_recycle(o);
    return result;
}

void outbox_drop(struct forwarder *f, struct side *owner)
{
    struct outbox *o = &f->outbox;
    if (o->owner == owner) {
        o->count = 0;
        o->owner = NULL;
        scratch_recycle(o);
    }
}

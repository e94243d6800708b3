/* SPDX-License-Identifier: MIT */
/*
 * A cable is its two ends and the events on their way between them. It goes when both ends are
 * closed and the last event has arrived; `pending` counts them. What must stay true: events of one
 * direction arrive in the order in which they were sent, whatever the jitter.
 */
#include "sim/cable.h"

#include "base/check.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "base/map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BYTES_FIRST 512

struct key {
    uint8_t bytes[20];
};

struct name {
    struct list link;
    char text[ADDRESS_TEXT_MAX];
};

struct entry {
    struct list link;
    struct key key;
    struct host *host;
};

struct network {
    struct world *world;
    uint64_t latency_ns, jitter_ns;
    struct rng rng;
    struct map hosts; /* key to struct entry */
    struct list entries, names, cables;
};

struct cable {
    struct list link;
    struct network *network;
    struct host *hosts[2]; /* of each end; NULL: nobody's */
    struct cable_end ends[2];
    struct address to;
    uint64_t last_ns[2]; /* the arrival of the last event at each end */
    uint32_t pending;
};

struct held {
    world_fn *fn;
    struct cable *cable;
    uint64_t argument;
};

/* ---- hosts ---- */

static struct key key_of(const struct address *a)
{
    struct key k = {{0}};
    if (a->kind == ADDRESS_UNIX) {
        uint64_t hash = XXH3_64bits(a->text, strlen(a->text));
        memcpy(k.bytes, &hash, sizeof(hash));
    } else {
        memcpy(k.bytes, a->ip, sizeof(a->ip));
    }
    memcpy(k.bytes + 16, &a->port, sizeof(a->port));
    k.bytes[18] = (uint8_t)a->kind;
    return k;
}

static struct span key_span(const struct key *k)
{
    return span_of(k->bytes, sizeof(k->bytes));
}

struct network *network_new(struct world *w, uint64_t latency_ns, uint64_t jitter_ns)
{
    struct network *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->world = w;
    n->latency_ns = latency_ns;
    n->jitter_ns = jitter_ns;
    n->rng = world_rng(w, "network", 0);
    map_init(&n->hosts, 1);
    list_init(&n->entries);
    list_init(&n->names);
    list_init(&n->cables);
    return n;
}

static void cable_free(struct cable *x)
{
    list_del(&x->link);
    free(x->ends[0].bytes);
    free(x->ends[1].bytes);
    free(x);
}

void network_free(struct network **network)
{
    struct network *n = *network;
    if (!n)
        return;
    while (!list_empty(&n->cables))
        cable_free(list_entry(list_first(&n->cables), struct cable, link));
    for (struct list *link; (link = list_pop(&n->entries));)
        free(list_entry(link, struct entry, link));
    for (struct list *link; (link = list_pop(&n->names));)
        free(list_entry(link, struct name, link));
    map_fini(&n->hosts);
    free(n);
    *network = NULL;
}

void host_add(struct network *n, struct host *h)
{
    struct entry *e = world_must(calloc(1, sizeof(*e)));
    h->network = n;
    h->refuses = h->black_hole = false;
    e->key = key_of(&h->address);
    e->host = h;
    list_init(&e->link);
    list_add_tail(&n->entries, &e->link);
    CHECK(map_put(&n->hosts, key_span(&e->key), e) == 0);
}

void host_fini(struct host *h)
{
    free(h->held);
    h->held = NULL;
}

struct host *network_find(struct network *n, const struct address *a)
{
    struct key key = key_of(a);
    const struct entry *e = map_get(&n->hosts, key_span(&key));
    return e ? e->host : NULL;
}

/* From 1 in the order of asking. */
static uint32_t number_of(struct network *n, const char *text)
{
    uint32_t number = 1;
    struct name *name;
    list_each(name, &n->names, link) {
        if (strcmp(name->text, text) == 0)
            return number;
        number++;
    }
    name = world_must(calloc(1, sizeof(*name)));
    (void)snprintf(name->text, sizeof(name->text), "%s", text);
    list_init(&name->link);
    list_add_tail(&n->names, &name->link);
    return number;
}

/* Names get 100.64.0.1 and on, which no network of the outside has. */
struct address network_resolve(struct network *n, const char *name, uint16_t port)
{
    uint32_t number = number_of(n, name);
    struct address a = {.kind = ADDRESS_V4, .port = port};
    const uint8_t ip[4] = {100, (uint8_t)(64 + (number >> 16)), (uint8_t)(number >> 8),
                           (uint8_t)number};
    memcpy(a.ip, ip, sizeof(ip));
    return a;
}

void host_refuse(struct host *h, bool refuses)
{
    h->refuses = refuses;
}

void host_black_hole(struct host *h, bool black_hole)
{
    struct held *held = h->held;
    size_t count = h->held_count;
    h->black_hole = black_hole;
    if (black_hole || count == 0)
        return;
    h->held = NULL;
    h->held_count = h->held_room = 0;
    /* Now, and not as events of this instant: one that was to arrive now anyway would overtake. */
    for (size_t i = 0; i < count; i++)
        held[i].fn(held[i].cable, held[i].argument);
    free(held);
}

static void hold(struct host *h, world_fn *fn, struct cable *x, uint64_t argument)
{
    if (h->held_count == h->held_room) {
        h->held_room = MAX((size_t)64, 2 * h->held_room);
        h->held = world_must(realloc(h->held, h->held_room * sizeof(h->held[0])));
    }
    h->held[h->held_count++] = (struct held){fn, x, argument};
}

static bool is_held(struct cable *x, world_fn *fn, uint64_t argument)
{
    for (size_t i = 0; i < 2; i++) {
        if (x->hosts[i] && x->hosts[i]->black_hole) {
            hold(x->hosts[i], fn, x, argument);
            return true;
        }
    }
    return false;
}

/* ---- on the way ---- */

static inline size_t side_of(const struct cable_end *e)
{
    return (size_t)(e - e->cable->ends);
}

struct cable_end *cable_other(const struct cable_end *e)
{
    return &e->cable->ends[1 - side_of(e)];
}

static uint64_t travel_ns(struct cable *x)
{
    const struct network *n = x->network;
    uint64_t ns = n->latency_ns;
    for (size_t i = 0; i < 2; i++)
        ns += x->hosts[i] ? x->hosts[i]->latency_ns : 0;
    if (n->jitter_ns)
        ns += (uint64_t)(-log(1.0 - rng_double(&x->network->rng)) * (double)n->jitter_ns);
    return ns;
}

/* Sends an event to the end `side`. */
static void send_event(struct cable *x, size_t side, world_fn *fn, uint64_t argument)
{
    struct world *w = x->network->world;
    uint64_t at = MAX(world_now(w) + travel_ns(x), x->last_ns[side]);
    x->last_ns[side] = at;
    x->pending++;
    world_at(w, at, fn, x, argument);
}

/* An event is over. True when the cable is gone with it. */
static bool is_over(struct cable *x)
{
    x->pending--;
    if (x->pending > 0 || !x->ends[0].closed || !x->ends[1].closed)
        return false;
    cable_free(x);
    return true;
}

static bool is_told(const struct cable_end *e)
{
    return !e->closed && !e->dead && e->ops;
}

static void fail(struct cable_end *e, enum reason why)
{
    bool told = is_told(e);
    e->dead = true;
    if (told)
        e->ops->failed(e, why);
}

static void on_reset(void *what, uint64_t side)
{
    struct cable *x = what;
    if (is_held(x, on_reset, side))
        return;
    if (!is_over(x))
        fail(&x->ends[side], REASON_backend_reset);
}

static void on_refused(void *what, uint64_t side)
{
    struct cable *x = what;
    if (is_held(x, on_refused, side))
        return;
    x->ends[1 - side].closed = true;
    if (!is_over(x))
        fail(&x->ends[side], REASON_connect_refused);
}

/* What arrives where nobody is any more is answered with a reset. */
static bool arrives_nowhere(struct cable *x, size_t side)
{
    if (!x->ends[side].closed)
        return false;
    if (!x->ends[1 - side].closed)
        send_event(x, 1 - side, on_reset, 1 - side);
    return true;
}

static void on_bytes(void *what, uint64_t argument)
{
    struct cable *x = what;
    size_t side = argument & 1;
    struct cable_end *e = &x->ends[side];
    if (is_held(x, on_bytes, argument))
        return;
    bool nowhere = arrives_nowhere(x, side);
    if (is_over(x) || nowhere || e->dead)
        return;
    e->arrived += (uint32_t)(argument >> 1);
    CHECK(e->arrived <= e->put);
    if (is_told(e))
        e->ops->input(e);
}

static void on_end(void *what, uint64_t side)
{
    struct cable *x = what;
    struct cable_end *e = &x->ends[side];
    if (is_held(x, on_end, side))
        return;
    if (is_over(x) || e->closed || e->dead)
        return;
    e->end_arrived = true;
    if (is_told(e))
        e->ops->input(e);
}

static void on_room(void *what, uint64_t side)
{
    struct cable *x = what;
    struct cable_end *e = &x->ends[side];
    if (is_held(x, on_room, side))
        return;
    if (!is_over(x) && is_told(e))
        e->ops->room(e);
}

static void on_opened(void *what, uint64_t side)
{
    struct cable *x = what;
    struct cable_end *e = &x->ends[side];
    if (is_held(x, on_opened, side))
        return;
    if (!is_over(x) && is_told(e))
        e->ops->opened(e);
}

/* The first packet has come to where it was sent. */
static void on_dialled(void *what, uint64_t side)
{
    struct cable *x = what;
    struct cable_end *e = &x->ends[side];
    struct host *h = x->hosts[side];
    if (is_held(x, on_dialled, side))
        return;
    /* The answer is sent before the event is over, so that the cable outlives it. */
    if (x->ends[1 - side].closed) {
        e->closed = true;
    } else if (h && !h->refuses && h->arrived(h, &x->to, e)) {
        send_event(x, 1 - side, on_opened, 1 - side);
    } else {
        e->closed = true;
        send_event(x, 1 - side, on_refused, 1 - side);
    }
    (void)is_over(x);
}

struct cable_end *cable_dial(struct network *n, struct host *from, const struct address *me,
                             struct host *at, const struct address *to, const struct cable_ops *ops,
                             void *user)
{
    struct cable *x = world_must(calloc(1, sizeof(*x)));
    x->network = n;
    list_init(&x->link);
    list_add_tail(&n->cables, &x->link);
    x->hosts[0] = from;
    x->hosts[1] = at ? at : network_find(n, to);
    x->to = *to;
    for (size_t i = 0; i < 2; i++)
        x->ends[i].cable = x;
    x->ends[0].ops = ops;
    x->ends[0].user = user;
    x->ends[0].peer = *to;
    x->ends[1].peer = *me;
    send_event(x, 1, on_dialled, 1);
    return &x->ends[0];
}

/* ---- bytes ---- */

/* Where `n` more bytes may be put. */
static uint8_t *tail(struct cable_end *e, uint32_t n)
{
    if (e->taken == e->put)
        e->taken = e->arrived = e->put = 0;
    if (e->put + n <= e->bytes_room)
        return e->bytes + e->put;
    uint32_t waiting = e->put - e->taken;
    if (e->taken > 0) {
        memmove(e->bytes, e->bytes + e->taken, waiting);
        e->arrived -= e->taken;
        e->put = waiting;
        e->taken = 0;
    }
    uint32_t room = MAX(e->bytes_room, (uint32_t)BYTES_FIRST);
    while (room < e->put + n)
        room *= 2;
    if (room > e->bytes_room)
        e->bytes = world_must(realloc(e->bytes, room));
    e->bytes_room = room;
    return e->bytes + e->put;
}

uint32_t cable_put(struct cable_end *e, const void *bytes, uint32_t n)
{
    struct cable_end *other = cable_other(e);
    CHECK(!e->closed && !e->shut);
    uint32_t taken = MIN(n, cable_room(e));
    e->wants_room = taken < n;
    if (taken == 0)
        return 0;
    memcpy(tail(other, taken), bytes, taken);
    other->put += taken;
    other->unsaid += taken;
    return taken;
}

void cable_flush(struct cable_end *e)
{
    struct cable_end *other = cable_other(e);
    size_t side = side_of(other);
    uint32_t n = other->unsaid;
    other->unsaid = 0;
    if (n > 0)
        send_event(e->cable, side, on_bytes, (uint64_t)n << 1 | side);
}

void cable_take(struct cable_end *e, uint32_t n)
{
    struct cable_end *other = cable_other(e);
    CHECK(n <= e->arrived - e->taken);
    e->taken += n;
    if (!other->wants_room || other->closed || n == 0)
        return;
    other->wants_room = false;
    send_event(e->cable, side_of(other), on_room, side_of(other));
}

uint32_t cable_unread(const struct cable_end *e)
{
    const struct cable_end *other = cable_other(e);
    return other->put - other->taken;
}

void cable_shut(struct cable_end *e)
{
    size_t side = side_of(cable_other(e));
    if (e->shut || e->dead)
        return;
    cable_flush(e);
    e->shut = true;
    send_event(e->cable, side, on_end, side);
}

void cable_close(struct cable_end **end, bool reset)
{
    struct cable_end *e = *end;
    if (!e)
        return;
    *end = NULL;
    size_t side = side_of(cable_other(e));
    CHECK(!e->closed);
    if (!e->dead) {
        cable_flush(e);
        if (reset || e->arrived > e->taken)
            send_event(e->cable, side, on_reset, side);
        else
            cable_shut(e);
    }
    e->closed = true;
    if (e->cable->pending == 0 && cable_other(e)->closed)
        cable_free(e->cable);
}

/* SPDX-License-Identifier: MIT */
/*
 * c-ares on a loop: its sockets are watches, its clock is one timer. It may call back inside any
 * of its own calls, so its answers are only stored, and told from the query's timer.
 *
 * A lookup cannot be taken back from c-ares. It is an object of its own, which forgets its query
 * when that is cancelled or too late.
 */
#include "io/resolver.h"

#include "io/loop_priv.h"
#include "io/socket.h"

#include <ares.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define TRY_MS_DEFAULT      1000
#define TRIES_DEFAULT       3
#define DEADLINE_MS_DEFAULT 5000

/* Larger answers come by TCP: this much passes every path in one piece (DNS flag day 2020). */
#define EDNS_BYTES 1232

/* c-ares opens a UDP and perhaps a TCP socket per server. */
#define WATCHES_MAX 32

struct resolver {
#define RESOLVER_MAGIC 0x4e501a01u
    uint32_t magic;
    struct loop *loop;
    ares_channel channel;
    uint32_t deadline_ms;
    uint32_t queries_count;
    struct timer timer;                     /* when c-ares wants to look after its own timeouts */
    struct loop_watch watches[WATCHES_MAX]; /* free: fd < 0 */
};

struct resolver_lookup {
    struct resolver_query *query; /* NULL: nobody waits any more */
};

/* ---- c-ares on the loop ---- */

static void arm_timer(struct resolver *r)
{
    struct timeval tv;
    if (!ares_timeout(r->channel, NULL, &tv)) {
        loop_timer_stop(r->loop, &r->timer);
        return;
    }
    uint64_t ms = (uint64_t)tv.tv_sec * 1000 + (uint64_t)(tv.tv_usec + 999) / 1000;
    loop_timer_set(r->loop, &r->timer, ms);
}

static void time_passed(struct timer *t)
{
    struct resolver *r = container_of(t, struct resolver, timer);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer(r);
}

static void socket_ready(struct loop_watch *w, uint32_t fired)
{
    struct resolver *r = w->user;
    CHECK_OBJ(r, RESOLVER_MAGIC);
    int fd = w->fd; /* c-ares may close it meanwhile */
    ares_process_fd(r->channel, fired & LOOP_WATCH_IN ? fd : ARES_SOCKET_BAD,
                    fired & LOOP_WATCH_OUT ? fd : ARES_SOCKET_BAD);
    arm_timer(r);
}

static struct loop_watch *find_watch(struct resolver *r, int fd)
{
    for (size_t i = 0; i < WATCHES_MAX; i++) {
        if (r->watches[i].fd == fd)
            return &r->watches[i];
    }
    return NULL;
}

/* c-ares says what it waits for on a socket; neither means that it closes it now. */
static void socket_state(void *user, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = user;
    CHECK_OBJ(r, RESOLVER_MAGIC);
    struct loop_watch *w = find_watch(r, fd);
    if (!readable && !writable) {
        if (w) {
            loop_watch_end(r->loop, w);
            w->fd = -1;
        }
        return;
    }
    if (!w) {
        w = find_watch(r, -1);
        if (!w)
            return; /* more servers than anybody has: the lookup times out */
        loop_watch_init(w, fd, socket_ready, r);
    }
    uint32_t events = (readable ? LOOP_WATCH_IN : 0) | (writable ? LOOP_WATCH_OUT : 0);
    if (loop_watch_set(r->loop, w, events) != 0)
        w->fd = -1;
}

/* ---- answers ---- */

static void finish(struct resolver_query *q, enum reason why)
{
    q->why = why;
    q->lookup = NULL;
    loop_timer_set(q->resolver->loop, &q->timer, 0);
}

/* Addresses of a kind we know, each once. */
static void add_address(struct resolver_query *q, const struct ares_addrinfo_node *node)
{
    struct sockaddr_storage sa = {0};
    if (q->count == RESOLVER_ADDRESSES_MAX || node->ai_addrlen > sizeof sa)
        return;
    memcpy(&sa, node->ai_addr, node->ai_addrlen);
    if (sa.ss_family != AF_INET && sa.ss_family != AF_INET6)
        return;
    struct address a;
    socket_address(&sa, node->ai_addrlen, NULL, &a);
    a.port = q->port;
    for (uint32_t i = 0; i < q->count; i++) {
        if (address_equal(&q->addresses[i], &a))
            return;
    }
    q->addresses[q->count++] = a;
}

static void looked_up(void *user, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct resolver_lookup *lookup = user;
    struct resolver_query *q = lookup->query;
    free(lookup);
    if (q) {
        for (struct ares_addrinfo_node *n = info ? info->nodes : NULL; n; n = n->ai_next)
            add_address(q, n);
        if (status == ARES_ENOMEM)
            finish(q, REASON_overload);
        else
            finish(q, q->count > 0 ? REASON_ok : REASON_unresolved);
    }
    if (info)
        ares_freeaddrinfo(info);
}

/* Either the answer is there or the deadline is. */
static void tell(struct timer *t)
{
    struct resolver_query *q = container_of(t, struct resolver_query, timer);
    if (q->lookup) {
        q->lookup->query = NULL;
        q->lookup = NULL;
        q->why = REASON_unresolved;
        q->count = 0;
    }
    q->resolver->queries_count--;
    q->fn(q, q->why, q->addresses, q->count);
}

/* ---- the resolver ---- */

static bool open_channel(struct resolver *r, const struct resolver_options *o)
{
    struct ares_options ao = {
        .flags = ARES_FLAG_EDNS,
        .ednspsz = EDNS_BYTES,
        .timeout = o->try_ms ? (int)MIN(o->try_ms, 60000u) : TRY_MS_DEFAULT,
        .tries = o->tries ? (int)MIN(o->tries, 10u) : TRIES_DEFAULT,
        .lookups = (char[]){"fb"}, /* the hosts file, then DNS */
        .sock_state_cb = socket_state,
        .sock_state_cb_data = r,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
               ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
    if (ares_init_options(&r->channel, &ao, mask) != ARES_SUCCESS)
        return false;
    if (!o->servers || ares_set_servers_ports_csv(r->channel, o->servers) == ARES_SUCCESS)
        return true;
    ares_destroy(r->channel);
    return false;
}

int resolver_new(struct loop *loop, const struct resolver_options *options,
                 struct resolver **ret_resolver)
{
    static const struct resolver_options defaults;
    const struct resolver_options *o = options ? options : &defaults;
    bool asks_dns = !loop->engine->resolve;
    if (asks_dns && (!loop->engine->watch || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS))
        return -(int)REASON_system_error;
    struct resolver *r = calloc(1, sizeof *r);
    if (!r) {
        if (asks_dns)
            ares_library_cleanup();
        return -(int)REASON_overload;
    }
    r->magic = RESOLVER_MAGIC;
    r->loop = loop;
    r->deadline_ms = o->deadline_ms ? o->deadline_ms : DEADLINE_MS_DEFAULT;
    timer_init(&r->timer, time_passed);
    for (size_t i = 0; i < WATCHES_MAX; i++)
        r->watches[i].fd = -1;
    if (asks_dns && !open_channel(r, o)) {
        ares_library_cleanup();
        free(r);
        return -(int)REASON_system_error;
    }
    *ret_resolver = r;
    return 0;
}

void resolver_free(struct resolver **resolver)
{
    struct resolver *r = *resolver;
    if (!r)
        return;
    CHECK_OBJ(r, RESOLVER_MAGIC);
    CHECK(r->queries_count == 0);
    *resolver = NULL;
    if (!r->loop->engine->resolve) {
        ares_destroy(r->channel); /* ends the lookups nobody waits for, closes the sockets */
        ares_library_cleanup();
    }
    loop_timer_stop(r->loop, &r->timer);
    r->magic = 0;
    free(r);
}

/* An IP address needs no lookup; c-ares would ask a name server about it all the same. */
static bool is_ip(struct resolver_query *q, const char *host)
{
    struct address a = {.port = q->port};
    if (inet_pton(AF_INET, host, a.ip) == 1)
        a.kind = ADDRESS_V4;
    else if (inet_pton(AF_INET6, host, a.ip) == 1)
        a.kind = ADDRESS_V6;
    else
        return false;
    q->addresses[q->count++] = a;
    return true;
}

void resolver_lookup(struct resolver *r, struct resolver_query *q, const char *host, uint16_t port,
                     resolved_fn *fn)
{
    CHECK_OBJ(r, RESOLVER_MAGIC);
    q->resolver = r;
    q->fn = fn;
    q->port = port;
    q->why = REASON_unresolved;
    q->count = 0;
    timer_init(&q->timer, tell);
    q->lookup = NULL;
    r->queries_count++;
    if (is_ip(q, host)) {
        finish(q, REASON_ok);
        return;
    }
    if (r->loop->engine->resolve) {
        q->count = (uint32_t)r->loop->engine->resolve(r->loop, host, port, q->addresses,
                                                      RESOLVER_ADDRESSES_MAX);
        finish(q, q->count > 0 ? REASON_ok : REASON_unresolved);
        return;
    }
    q->lookup = calloc(1, sizeof *q->lookup);
    if (!q->lookup) {
        finish(q, REASON_overload);
        return;
    }
    q->lookup->query = q;
    loop_timer_set(r->loop, &q->timer, r->deadline_ms);
    const struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT,
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    ares_getaddrinfo(r->channel, host, NULL, &hints, looked_up, q->lookup);
    arm_timer(r);
}

void resolver_cancel(struct resolver_query *q)
{
    if (!q->resolver || !timer_armed(&q->timer))
        return;
    loop_timer_stop(q->resolver->loop, &q->timer);
    if (q->lookup)
        q->lookup->query = NULL;
    q->lookup = NULL;
    q->resolver->queries_count--;
}

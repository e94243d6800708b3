/* SPDX-License-Identifier: MIT */
/*
 * The server owns its connections; a connection owns its call until it is answered. Work over the
 * address is paid for in units: who finds none left waits in the queue, and so do new connections.
 */
#include "admin/server.h"

#include "admin/server_priv.h"
#include "base/check.h"
#include "base/log.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS   1000
#define TURN_MS   4  /* of the queue */
#define HEALTH_MS 20 /* changes of so long are told together */

#define NS_PER_MS 1000000u

#define UNIT_BYTES 4096

/* Saved up by who did not ask for long. */
#define UNITS_MAX ADMIN_UNITS_PER_S

/* ---- work ---- */

void server_look_at_clock(struct admin_server *s)
{
    s->site.now_ms = loop_now(s->loop) / NS_PER_MS;
    s->site.wall_ms = loop_wall_ms(s->loop);
}

static void earn(struct admin_server *s)
{
    server_look_at_clock(s);
    uint64_t passed_ms = MIN(s->site.now_ms - s->units_ms, (uint64_t)TICK_MS);
    int64_t earned = (int64_t)(passed_ms * ADMIN_UNITS_PER_S / 1000);
    if (earned == 0)
        return;
    s->units = MIN(s->units + earned, (int64_t)UNITS_MAX);
    s->units_ms = s->site.now_ms;
}

static void arm_turn(struct admin_server *s)
{
    if (!timer_armed(&s->turn))
        loop_timer_set(s->loop, &s->turn, TURN_MS);
}

bool server_spend(struct admin_server *s, const struct conn *c, size_t bytes)
{
    if (c->over_socket)
        return true;
    earn(s);
    s->units -= 1 + (int64_t)(bytes / UNIT_BYTES);
    return s->units > 0;
}

void server_queue(struct admin_server *s, struct conn *c)
{
    c->state = CONN_QUEUED;
    loop_timer_stop(s->loop, &c->timer);
    list_add_tail(&s->queue, &c->queued);
    arm_turn(s);
}

/* Each of those that wait now has one turn, as far as the work goes. */
static void on_turn(struct timer *t)
{
    struct admin_server *s = container_of(t, struct admin_server, turn);
    struct list now, later;
    earn(s);
    list_init(&now);
    list_init(&later);
    list_splice_tail(&now, &s->queue);
    struct list *link;
    while ((link = list_pop(&now)) != NULL) {
        struct conn *c = container_of(link, struct conn, queued);
        CHECK_OBJ(c, CONN_MAGIC);
        if (!c->over_socket && s->units <= 0) {
            list_add_tail(&later, &c->queued);
            continue;
        }
        c->served = 0;
        conn_resume(c);
    }
    list_splice_tail(&later, &s->queue);
    list_splice_tail(&s->queue, &later);
    if (s->has_address)
        acceptor_pause(&s->address, s->units <= 0);
    if (!list_empty(&s->queue) || s->units <= 0)
        arm_turn(s);
}

/* ---- connections ---- */

/* A place for one more at the cost of who has been quiet for longest; false: there is none. */
static bool make_room(struct admin_server *s, bool over_socket)
{
    bool full = s->conn_count >= ADMIN_CONNECTIONS_MAX ||
                (!over_socket && s->address_count >= ADMIN_CONNECTIONS_MAX - ADMIN_SOCKET_KEPT);
    struct conn *c;
    if (!full)
        return true;
    list_each(c, &s->conns, link) {
        if (c->over_socket == over_socket && conn_may_give_way(c)) {
            conn_close(c, STREAM_CLOSE_RESET);
            return true;
        }
    }
    return false;
}

static void accepted(struct admin_server *s, struct stream *stream, bool over_socket)
{
    server_look_at_clock(s);
    if (!make_room(s, over_socket) || !conn_new(s, stream, over_socket)) {
        s->refused++;
        stream_close(&stream, STREAM_CLOSE_RESET);
    }
}

static void on_accepted_address(struct acceptor *a, struct stream *stream)
{
    struct admin_server *s = a->user;
    CHECK_OBJ(s, ADMIN_MAGIC);
    accepted(s, stream, false);
    earn(s);
    if (--s->units <= 0) {
        acceptor_pause(a, true);
        arm_turn(s);
    }
}

static void on_accepted_socket(struct acceptor *a, struct stream *stream)
{
    struct admin_server *s = a->user;
    CHECK_OBJ(s, ADMIN_MAGIC);
    accepted(s, stream, true);
}

/* ---- time ---- */

static void on_tick(struct timer *t)
{
    struct admin_server *s = container_of(t, struct admin_server, tick);
    struct steer_view view = {0};
    loop_timer_set(s->loop, &s->tick, TICK_MS);
    earn(s);
    s->site.ops->view(s->site.ops_user, &view);
    rates_tick(s->site.rates, &view, s->site.now_ms);
    if (s->refused > 0) {
        log_warn("admin", "connections refused count=%llu; the limit is %d",
                 (unsigned long long)s->refused, ADMIN_CONNECTIONS_MAX);
        s->refused = 0;
    }
    if (s->site.changes_refused > 0) {
        log_warn("admin", "changes refused for want of the token count=%llu",
                 (unsigned long long)s->site.changes_refused);
        s->site.changes_refused = 0;
    }
    events_look_at_health(s);
    events_tick(s);
}

static void on_health_due(struct timer *t)
{
    struct admin_server *s = container_of(t, struct admin_server, health_due);
    server_look_at_clock(s);
    events_look_at_health(s);
}

void admin_server_rotation_changed(struct admin_server *s)
{
    if (s->reader_count > 0 && !timer_armed(&s->health_due))
        loop_timer_set(s->loop, &s->health_due, HEALTH_MS);
}

void admin_server_changed(struct admin_server *s, const struct steer_change *change)
{
    server_look_at_clock(s);
    events_change(s, change);
}

/* ---- lifetime ---- */

static void forget_token(struct admin_server *s)
{
    if (s->token)
        explicit_bzero(s->token, strlen(s->token));
    free(s->token);
    s->token = NULL;
    s->site.token = NULL;
}

bool admin_server_set_token(struct admin_server *s, const char *token)
{
    char *copy = token ? strdup(token) : NULL;
    if (token && !copy)
        return false;
    forget_token(s);
    s->token = copy;
    s->site.token = copy;
    return true;
}

static int start(struct admin_server *s, const struct admin_options *o)
{
    int r = 0;
    if (o->address) {
        r = acceptor_start(s->loop, &s->address, o->address, 0, on_accepted_address, s);
        s->has_address = r == 0;
    }
    if (r == 0 && o->socket) {
        r = acceptor_start(s->loop, &s->socket, o->socket, 0, on_accepted_socket, s);
        s->has_socket = r == 0;
    }
    return r;
}

static void init(struct admin_server *s, const struct admin_options *o)
{
    s->magic = ADMIN_MAGIC;
    s->loop = o->loop;
    s->site = (struct site){
        .ops = o->ops,
        .ops_user = o->ops_user,
        .rates = rates_new(),
        .sessions = o->sessions,
        .sessions_user = o->sessions_user,
    };
    head_init(&s->head, s->path_room, sizeof(s->path_room));
    list_init(&s->conns);
    list_init(&s->queue);
    list_init(&s->readers);
    timer_init(&s->turn, on_turn);
    timer_init(&s->tick, on_tick);
    timer_init(&s->health_due, on_health_due);
    server_look_at_clock(s);
    s->units = UNITS_MAX;
    s->units_ms = s->site.now_ms;
}

int admin_server_new(const struct admin_options *o, struct admin_server **ret_server)
{
    struct admin_server *s = calloc(1, sizeof(*s));
    if (!s)
        return -(int)REASON_overload;
    /* Now, while files may be opened: the hash of objects wants a seed. */
    json_object_seed(0);
    init(s, o);
    int r =
        s->site.rates && admin_server_set_token(s, o->token) ? start(s, o) : -(int)REASON_overload;
    if (r < 0) {
        admin_server_free(&s);
        return r;
    }
    loop_timer_set(s->loop, &s->tick, TICK_MS);
    *ret_server = s;
    return 0;
}

void admin_server_free(struct admin_server **server)
{
    struct admin_server *s = *server;
    if (!s)
        return;
    *server = NULL;
    CHECK_OBJ(s, ADMIN_MAGIC);
    if (s->has_address)
        acceptor_stop(&s->address);
    if (s->has_socket)
        acceptor_stop(&s->socket);
    struct conn *c;
    list_each_safe(c, &s->conns, link)
        conn_close(c, STREAM_CLOSE_NORMAL);
    loop_timer_stop(s->loop, &s->turn);
    loop_timer_stop(s->loop, &s->tick);
    loop_timer_stop(s->loop, &s->health_due);
    events_fini(s);
    rates_free(&s->site.rates);
    forget_token(s);
    s->magic = 0;
    free(s);
}

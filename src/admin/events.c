/* SPDX-License-Identifier: MIT */
/*
 * Events for those who listen. Each is made once and shared by its readers, who hold it until it is
 * sent. A reader that does not keep up gets no ticks; when even the rest does not fit its queue, or
 * it has taken nothing for a while, it is closed.
 *
 * Log lines come from any thread through a tap: they wait in a ring, which is dropped from when it
 * is full, and a message wakes this thread.
 */
#include "admin/look.h"
#include "admin/server_priv.h"
#include "admin/show.h"
#include "base/check.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Seconds in which a reader must have taken something. */
#define STUCK_TICKS_MAX 10

/* Of one look at health; what is beyond is seen in the next tick. */
#define HEALTH_EVENTS_MAX 64

/* ---- events ---- */

static void event_put(struct event *e)
{
    if (--e->refs > 0)
        return;
    free(e->p);
    free(e);
}

static void begin(struct text *t, const char *kind)
{
    text_init(t, ADMIN_EVENT_BYTES_MAX);
    text_str(t, "event: ");
    text_str(t, kind);
    text_str(t, "\ndata: ");
}

/* With one reference; NULL without memory. */
static struct event *finish(struct text *t)
{
    text_str(t, "\n\n");
    struct event *e = calloc(1, sizeof(*e));
    size_t n;
    uint8_t *p = text_take(t, &n);
    if (!e || !p) {
        free(e);
        free(p);
        return NULL;
    }
    *e = (struct event){.refs = 1, .n = n, .p = p};
    return e;
}

/* ---- one reader ---- */

static struct event **slot(struct event_queue *q, uint32_t i)
{
    return &q->events[(q->first + i) % ADMIN_EVENTS_MAX];
}

static void pop(struct event_queue *q, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct event *e = *slot(q, i);
        q->bytes -= e->n;
        event_put(e);
    }
    q->first = (q->first + count) % ADMIN_EVENTS_MAX;
    q->count -= count;
}

static void flush(struct conn *c)
{
    struct event_queue *q = c->events;
    while (q->sending == 0 && q->count > 0) {
        struct slice slices[SEND_SLICES_MAX];
        uint32_t n = MIN(q->count, (uint32_t)SEND_SLICES_MAX);
        for (uint32_t i = 0; i < n; i++)
            slices[i] = (struct slice){(*slot(q, i))->p, (uint32_t)(*slot(q, i))->n, NULL};
        if (stream_send(c->stream, slices, n) == SEND_PENDING)
            q->sending = n;
        else
            pop(q, n);
    }
}

void events_sent(struct conn *c)
{
    struct event_queue *q = c->events;
    uint32_t sent = q->sending;
    q->sending = 0;
    q->ticks_stuck = 0;
    pop(q, sent);
    flush(c);
}

/* Takes a reference of its own. The connection may be closed by this. */
static void push(struct conn *c, struct event *e)
{
    struct event_queue *q = c->events;
    if (q->count == ADMIN_EVENTS_MAX || q->bytes + e->n > ADMIN_EVENT_BYTES_MAX) {
        conn_close(c, STREAM_CLOSE_RESET);
        return;
    }
    e->refs++;
    *slot(q, q->count++) = e;
    q->bytes += e->n;
    flush(c);
}

/* Gives the event to all, and the caller's reference away. */
static void publish(struct admin_server *s, struct event *e, bool droppable)
{
    struct conn *c;
    if (!e)
        return;
    list_each_safe(c, &s->readers, reader) {
        if (!droppable || c->events->count == 0)
            push(c, e);
    }
    event_put(e);
}

/* ---- log lines ---- */

struct tapped_line {
    int64_t wall_ms;
    enum log_level level;
    char area[LOG_AREA_MAX + 1];
    size_t n;
    uint8_t text[LOG_LINE_MAX];
};

/* One for the process, as there is one event log: so a message on its way to a loop that has ended
 * harms nobody. */
static struct {
    pthread_mutex_t lock;
    /* under the lock */
    struct admin_server *server; /* NULL: nobody listens */
    struct tapped_line lines[ADMIN_LOG_LINES];
    uint32_t first, count;
    uint64_t dropped;
    bool posted;
    struct message message;
} tap = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Any thread, under the log's lock. */
static void on_line(void *user, int64_t wall_ms, enum log_level level, const char *area,
                    struct span message)
{
    (void)user;
    pthread_mutex_lock(&tap.lock);
    if (!tap.server || tap.count == ADMIN_LOG_LINES) {
        tap.dropped++;
        pthread_mutex_unlock(&tap.lock);
        return;
    }
    struct tapped_line *l = &tap.lines[(tap.first + tap.count++) % ADMIN_LOG_LINES];
    l->wall_ms = wall_ms;
    l->level = level;
    CHECK(span_to_cstr(span_cstr(area), l->area, sizeof(l->area)));
    l->n = MIN(message.n, sizeof(l->text));
    memcpy(l->text, message.p, l->n);
    if (!tap.posted) {
        tap.posted = true;
        loop_post(tap.server->loop, &tap.message);
    }
    pthread_mutex_unlock(&tap.lock);
}

/* The bare words of a message, in one text. */
static void put_words(struct json *j, struct span message)
{
    char words[LOG_LINE_MAX];
    struct writer w = writer_of(words, sizeof(words));
    struct log_piece piece;
    while (log_piece_next(&message, &piece)) {
        if (piece.key.n > 0)
            continue;
        if (w_len(&w) > 0)
            w_u8(&w, ' ');
        w_span(&w, piece.value);
    }
    j_span(j, "message", w_span_of_result(&w));
}

static void put_fields(struct json *j, struct span message)
{
    struct log_piece piece;
    j_object(j, "fields");
    while (log_piece_next(&message, &piece)) {
        uint8_t value[LOG_LINE_MAX];
        char key[LOG_LINE_MAX];
        if (piece.key.n == 0 || !span_to_cstr(piece.key, key, sizeof(key)))
            continue;
        j_span(j, key, span_of(value, log_unescape(piece.value, value, sizeof(value))));
    }
    j_end(j);
}

static struct event *line_event(const struct tapped_line *l)
{
    struct text t;
    begin(&t, "log");
    struct json j = j_of(&t);
    j_object(&j, NULL);
    j_time(&j, "at", (uint64_t)l->wall_ms);
    j_str(&j, "level", log_level_name(l->level));
    j_str(&j, "area", l->area);
    put_words(&j, span_of(l->text, l->n));
    put_fields(&j, span_of(l->text, l->n));
    j_end(&j);
    return finish(&t);
}

/* The oldest line; false when there is none, and then the next one posts a message again. */
static bool take_line(struct tapped_line *ret_line, struct admin_server **ret_server)
{
    pthread_mutex_lock(&tap.lock);
    bool any = tap.server && tap.count > 0;
    if (any) {
        *ret_server = tap.server;
        *ret_line = tap.lines[tap.first];
        tap.first = (tap.first + 1) % ADMIN_LOG_LINES;
        tap.count--;
    } else {
        tap.posted = false;
    }
    pthread_mutex_unlock(&tap.lock);
    return any;
}

static void on_lines(struct loop *loop, struct message *m)
{
    struct tapped_line line;
    struct admin_server *s;
    (void)loop;
    (void)m;
    while (take_line(&line, &s))
        publish(s, line_event(&line), false);
}

/* A message of before may still be on its way: it serves the next as well, in the same loop. */
static void listen_to_log(struct admin_server *s)
{
    pthread_mutex_lock(&tap.lock);
    tap.server = s;
    tap.first = tap.count = 0;
    tap.message.fn = on_lines;
    pthread_mutex_unlock(&tap.lock);
    log_tap(on_line, NULL);
}

static void stop_listening(bool loop_ends)
{
    log_tap(NULL, NULL);
    pthread_mutex_lock(&tap.lock);
    tap.server = NULL;
    tap.count = 0;
    if (loop_ends)
        tap.posted = false;
    pthread_mutex_unlock(&tap.lock);
}

/* ---- health ---- */

static void forget_watched(struct admin_server *s)
{
    for (size_t i = 0; i < s->watched_count; i++)
        free(s->watched[i].marks);
    free(s->watched);
    s->watched = NULL;
    s->watched_count = 0;
}

/* As many places as there are pools, those of other pools than before empty. False: no memory. */
static bool watch_pools(struct admin_server *s, const struct steer_view *view)
{
    if (view->pool_count != s->watched_count) {
        forget_watched(s);
        s->watched = calloc(view->pool_count ? view->pool_count : 1, sizeof(s->watched[0]));
        if (!s->watched)
            return false;
        s->watched_count = view->pool_count;
    }
    for (size_t i = 0; i < view->pool_count; i++) {
        struct watched_pool *w = &s->watched[i];
        if (w->pool == view->pools[i] && w->count <= look_slots(w->pool))
            continue;
        free(w->marks);
        *w = (struct watched_pool){.pool = view->pools[i]};
    }
    return true;
}

/* Slots that are new stand as they are now: nothing has changed there yet. */
static bool grow_marks(struct watched_pool *w, const struct pool *pool)
{
    uint32_t count = look_slots(pool);
    if (w->count >= count)
        return true;
    uint8_t *marks = realloc(w->marks, count);
    if (!marks)
        return false;
    w->marks = marks;
    for (; w->count < count; w->count++) {
        const struct backend *b = look_backend(pool, w->count);
        marks[w->count] = b ? look_mark(b) : 0;
    }
    return true;
}

static struct event *health_event(const struct steer_view *view, const struct backend *b)
{
    struct text t;
    struct standing standing;
    look_standing(view, b, &standing);
    begin(&t, "health");
    struct json j = j_of(&t);
    j_object(&j, NULL);
    j_str(&j, "pool", look_pool_conf(b->pool)->name);
    j_str(&j, "backend", b->conf->name);
    j_str(&j, "state", standing.state);
    j_str(&j, "admin_state", standing.admin_state);
    if (standing.has_reason) {
        j_str(&j, "reason", reason_name(standing.reason));
        j_str(&j, "reason_text", reason_sentence(standing.reason));
    }
    j_end(&j);
    return finish(&t);
}

static void look_at_pool(struct admin_server *s, const struct steer_view *view,
                         struct watched_pool *w, uint32_t *left)
{
    if (!grow_marks(w, w->pool))
        return;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct backend *b = look_backend(w->pool, i);
        uint8_t mark = b ? look_mark(b) : 0;
        if (mark == w->marks[i])
            continue;
        w->marks[i] = mark;
        if (!b || *left == 0)
            continue;
        (*left)--;
        publish(s, health_event(view, b), false);
    }
}

void events_look_at_health(struct admin_server *s)
{
    struct steer_view view = {0};
    uint32_t left = HEALTH_EVENTS_MAX;
    if (s->reader_count == 0)
        return;
    s->site.ops->view(s->site.ops_user, &view);
    if (!watch_pools(s, &view))
        return;
    for (size_t i = 0; i < s->watched_count; i++)
        look_at_pool(s, &view, &s->watched[i], &left);
}

/* ---- changes and ticks ---- */

void events_change(struct admin_server *s, const struct steer_change *change)
{
    struct text t;
    if (s->reader_count == 0)
        return;
    begin(&t, "change");
    struct json j = j_of(&t);
    j_object(&j, NULL);
    j_str(&j, "what", change->what);
    j_str(&j, "name", change->name);
    j_str(&j, "change", change->change);
    j_str(&j, "detail", change->detail);
    j_end(&j);
    publish(s, finish(&t), false);
}

static struct show show_of(const struct admin_server *s, const struct steer_view *view)
{
    return (struct show){
        .view = view,
        .rates = s->site.rates,
        .now_ms = s->site.now_ms,
        .wall_ms = s->site.wall_ms,
        .backends_max = ADMIN_TICK_BACKENDS,
    };
}

static struct event *tick_event(struct admin_server *s)
{
    struct text t;
    struct steer_view view = {0};
    s->site.ops->view(s->site.ops_user, &view);
    struct show show = show_of(s, &view);
    begin(&t, "tick");
    struct json j = j_of(&t);
    j_object(&j, NULL);
    show_status(&j, "status", &show);
    show_listeners(&j, &show);
    show_pools(&j, &show);
    j_end(&j);
    return finish(&t);
}

static void close_stuck(struct admin_server *s)
{
    struct conn *c;
    list_each_safe(c, &s->readers, reader) {
        struct event_queue *q = c->events;
        if (q->sending == 0)
            continue;
        uint64_t unsent = stream_unsent(c->stream);
        q->ticks_stuck = unsent < q->unsent_before ? 0 : q->ticks_stuck + 1;
        q->unsent_before = unsent;
        if (q->ticks_stuck > STUCK_TICKS_MAX)
            conn_close(c, STREAM_CLOSE_RESET);
    }
}

void events_tick(struct admin_server *s)
{
    close_stuck(s);
    if (s->reader_count > 0)
        publish(s, tick_event(s), true);
}

/* ---- coming and going ---- */

static struct event *hello_event(struct admin_server *s)
{
    struct text t;
    struct steer_view view = {0};
    s->site.ops->view(s->site.ops_user, &view);
    struct show show = show_of(s, &view);
    begin(&t, "hello");
    struct json j = j_of(&t);
    show_status(&j, NULL, &show);
    return finish(&t);
}

bool events_join(struct conn *c)
{
    struct admin_server *s = c->server;
    struct event *hello = hello_event(s);
    c->events = calloc(1, sizeof(*c->events));
    if (!c->events || !hello) {
        if (hello)
            event_put(hello);
        conn_close(c, STREAM_CLOSE_RESET);
        return false;
    }
    if (s->reader_count++ == 0) {
        listen_to_log(s);
        forget_watched(s);
    }
    events_look_at_health(s);
    list_add_tail(&s->readers, &c->reader);
    push(c, hello);
    event_put(hello);
    return true;
}

void events_leave(struct conn *c)
{
    if (!c->events)
        return;
    list_del(&c->reader);
    pop(c->events, c->events->count);
    free(c->events);
    c->events = NULL;
    if (--c->server->reader_count == 0)
        stop_listening(false);
}

void events_fini(struct admin_server *s)
{
    CHECK(s->reader_count == 0);
    stop_listening(true);
    forget_watched(s);
}

/* SPDX-License-Identifier: MIT */
/*
 * What the TLS streams of a loop share: buffers, the ration of costly steps, and the end of a turn,
 * at which those are served that could not be when they asked.
 */
#include "forward/tls_stream_priv.h"

#include <stdlib.h>

/* Steps with public-key operations that one turn takes: 0.1 to 2 ms each. */
#define STEPS_PER_TURN 2

/* Clients that have left which one turn lets go. */
#define LEFT_PER_TURN 64

/* OpenSSL's buffers of a stream that was quiet for one to two of these are given back. */
#define IDLE_MS 250

static void run_later(struct deferred *d);

/* Every stream that has used OpenSSL's buffers lately is on the list; one look finds it used, the
 * next one not. */
static void release_idle(struct timer *t)
{
    struct tls_worker *w = container_of(t, struct tls_worker, idle);
    struct tls_stream *s;
    list_each_safe(s, &w->warm, warm) {
        if (!has(s, TS_USED)) {
            tls_session_idle(&s->session);
            list_del(&s->warm);
        }
        clear(s, TS_USED);
    }
    if (!list_empty(&w->warm))
        loop_timer_set(w->loop, t, IDLE_MS);
}

void tls_note_use(struct tls_stream *s)
{
    set(s, TS_USED);
    if (LIKELY(list_linked(&s->warm)))
        return;
    list_add_tail(&s->w->warm, &s->warm);
    if (!timer_armed(&s->w->idle))
        loop_timer_set(s->w->loop, &s->w->idle, IDLE_MS);
}

int tls_worker_new(struct loop *loop, struct tls_worker **ret_worker)
{
    struct tls_worker *w = calloc(1, sizeof *w);
    if (!w)
        return -(int)REASON_overload;
    w->loop = loop;
    w->later.fn = run_later;
    slab_init(&w->streams, sizeof(struct tls_stream), 64, 0);
    slab_init(&w->parked, sizeof(struct parked), 8, 0);
    list_init(&w->ready);
    for (size_t i = 0; i < ARRAY_LEN(w->queues); i++)
        list_init(&w->queues[i]);
    list_init(&w->warm);
    timer_init(&w->idle, release_idle);
    tls_out_init(&w->out, loop);
    *ret_worker = w;
    return 0;
}

void tls_worker_free(struct tls_worker **worker)
{
    struct tls_worker *w = *worker;
    if (!w)
        return;
    *worker = NULL;
    CHECK(w->streams_open == 0);
    loop_defer_cancel(w->loop, &w->later);
    loop_timer_stop(w->loop, &w->idle);
    tls_out_fini(&w->out);
    buf_put(&w->plain);
    slab_fini(&w->parked);
    slab_fini(&w->streams);
    free(w);
}

/* Room for a delivery; as with the loop's own receives, whoever keeps a part takes a reference. */
struct buf *tls_plain_room(struct tls_worker *w)
{
    struct buf *b = w->plain;
    if (LIKELY(b && b->refs == 1))
        return b;
    buf_put(&w->plain);
    static const size_t sizes[] = {256 * 1024, 64 * 1024};
    for (size_t i = 0; !w->plain && i < ARRAY_LEN(sizes); i++)
        w->plain = buf_get(w->loop, sizes[i]);
    return w->plain;
}

/* Who waits longest, of those whose turn it is; NULL when nobody waits. */
static struct tls_stream *first_waiting(struct tls_worker *w)
{
    struct list *link = list_first(&w->queues[w->backends_next]);
    if (!link)
        link = list_first(&w->queues[!w->backends_next]);
    return link ? list_entry(link, struct tls_stream, link) : NULL;
}

/* Whether this turn may take a costly step of s; if not it waits its turn. */
bool tls_take_step(struct tls_worker *w, bool from_queue)
{
    uint64_t turn = loop_stats(w->loop)->turns;
    if (w->turn != turn) {
        w->turn = turn;
        w->steps = STEPS_PER_TURN;
    }
    if (w->steps == 0 || (!from_queue && first_waiting(w)))
        return false;
    w->steps--;
    return true;
}

/* ---- whose turn it is ---- */

void tls_enqueue(struct tls_stream *s)
{
    struct tls_worker *w = s->w;
    set(s, TS_QUEUED);
    w->waiting++;
    list_add_tail(&w->queues[s->session.is_client], &s->link);
    loop_defer(w->loop, &w->later);
}

/* Has run_later look at it. */
void tls_make_ready(struct tls_stream *s)
{
    if (!list_linked(&s->link))
        list_add_tail(&s->w->ready, &s->link);
    loop_defer(s->w->loop, &s->w->later);
}

/* In a crowd no step is wasted on who cannot answer any more. */
static bool has_left(const struct tls_stream *s)
{
    return s->w->waiting > STEPS_PER_TURN && !s->session.is_client && !s->session.hello &&
           stream_has_left(s->layered.below);
}

static void serve_waiting(struct tls_worker *w)
{
    unsigned leaving = LEFT_PER_TURN;
    for (struct tls_stream *s; (s = first_waiting(w)) != NULL;) {
        if (leaving > 0 && has_left(s)) {
            leaving--;
            tls_stream_left(s);
            continue;
        }
        if (!tls_take_step(w, true))
            break;
        list_del(&s->link);
        w->backends_next = !s->session.is_client;
        struct slice in = s->held;
        s->held = (struct slice){0};
        clear(s, TS_QUEUED);
        w->waiting--;
        tls_stream_step(s, in);
        slice_put(&in);
    }
}

static void run_later(struct deferred *d)
{
    struct tls_worker *w = container_of(d, struct tls_worker, later);
    struct list now = LIST_INIT(now);
    list_splice_tail(&now, &w->ready);
    for (struct list *link; (link = list_pop(&now));)
        tls_stream_serve(list_entry(link, struct tls_stream, link));
    serve_waiting(w);
    if (first_waiting(w))
        loop_defer(w->loop, &w->later);
}

/* SPDX-License-Identifier: MIT */
/*
 * A meter for each object that has ever counted something, found by the number of its key and
 * thrown away with it. What the latency window needs (2 KiB) is there only while there is traffic.
 *
 *   window: |  2 s  |  2 s  |  2 s  |  2 s  | 0..2 s |   counts of each bucket; their sum is shown
 */
#include "admin/rates.h"

#include "account/account.h"
#include "account/board.h"
#include "admin/look.h"
#include "base/check.h"
#include "forward/forwarder.h"

#include <stdlib.h>
#include <string.h>

#define PARTS        5
#define PART_TICKS   (RATES_LATENCY_SECONDS / PARTS)
#define WINDOW_TICKS (PARTS * PART_TICKS)

struct window {
    uint32_t part, ticks; /* the one being filled, and for how long */
    uint32_t counts[PARTS][LATENCY_BUCKETS];
};

struct meter {
    uint32_t birth, seen; /* whose it is, and the last tick that found it alive */
    uint32_t quiet;       /* ticks since something was counted */
    uint32_t next, count; /* of the history */
    double per_second;
    uint64_t requests;              /* at the last tick */
    uint32_t last[LATENCY_BUCKETS]; /* the same; the low bits will do for differences */
    uint32_t history[RATES_HISTORY];
    struct window *window;
};

/* By number of the key. */
struct meters {
    struct meter **at;
    uint32_t room;
};

struct rates {
    uint32_t tick;
    uint64_t ticked_ms;
    double elapsed_s; /* between the last two */
    struct meter *process;
    struct meters listeners, pools, backends;
};

/* ---- meters ---- */

static void meter_free(struct meter **m)
{
    if (*m)
        free((*m)->window);
    free(*m);
    *m = NULL;
}

static struct meter *meter_find(const struct meters *ms, struct board_key key)
{
    struct meter *m = key.number < ms->room ? ms->at[key.number] : NULL;
    return m && m->birth == key.birth ? m : NULL;
}

static bool make_room(struct meters *ms, uint32_t number)
{
    if (number < ms->room)
        return true;
    uint32_t room = MAX(MAX(2 * ms->room, number + 1), 16u);
    struct meter **at = realloc(ms->at, room * sizeof(struct meter *));
    if (!at)
        return false;
    memset(&at[ms->room], 0, (room - ms->room) * sizeof(struct meter *));
    ms->at = at;
    ms->room = room;
    return true;
}

/* NULL without memory. */
static struct meter *meter_get(struct meters *ms, struct board_key key)
{
    struct meter *m = meter_find(ms, key);
    if (m || key.birth == 0 || !make_room(ms, key.number))
        return m;
    meter_free(&ms->at[key.number]);
    m = ms->at[key.number] = calloc(1, sizeof(*m));
    if (m)
        m->birth = key.birth;
    return m;
}

/* Meters of what is gone. */
static void sweep(struct meters *ms, uint32_t tick)
{
    for (uint32_t i = 0; i < ms->room; i++) {
        if (ms->at[i] && ms->at[i]->seen != tick)
            meter_free(&ms->at[i]);
    }
}

static void meters_fini(struct meters *ms)
{
    for (uint32_t i = 0; i < ms->room; i++)
        meter_free(&ms->at[i]);
    free(ms->at);
}

/* ---- a tick ---- */

static void window_turn(struct window *w)
{
    if (++w->ticks < PART_TICKS)
        return;
    w->ticks = 0;
    w->part = (w->part + 1) % PARTS;
    memset(w->counts[w->part], 0, sizeof(w->counts[0]));
}

static void meter_note(struct meter *m, const struct rates *r, uint64_t requests)
{
    /* A pool's counts shrink when a listener goes that used it. */
    uint64_t more = requests > m->requests ? requests - m->requests : 0;
    m->requests = requests;
    m->seen = r->tick;
    m->quiet = more ? 0 : m->quiet + 1;
    m->per_second = r->elapsed_s > 0 ? (double)more / r->elapsed_s : 0;
    m->history[m->next] = (uint32_t)MIN(more, (uint64_t)UINT32_MAX);
    m->next = (m->next + 1) % RATES_HISTORY;
    m->count = MIN(m->count + 1, (uint32_t)RATES_HISTORY);
    if (m->window)
        window_turn(m->window);
    if (m->window && m->quiet > WINDOW_TICKS) {
        free(m->window);
        m->window = NULL;
    }
}

static void meter_tick(struct meter *m, const struct rates *r, const struct board_sum *now)
{
    bool shrunk = now->requests < m->requests;
    meter_note(m, r, now->requests);
    if (m->quiet == 0 && !m->window)
        m->window = calloc(1, sizeof(*m->window));
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        uint32_t more = (uint32_t)now->latency.buckets[i] - m->last[i];
        m->last[i] = (uint32_t)now->latency.buckets[i];
        if (m->window && m->quiet == 0 && !shrunk)
            m->window->counts[m->window->part][i] += more;
    }
}

static void tick_backend(struct rates *r, const struct account_board *board,
                         const struct backend *b)
{
    struct meter *m = meter_find(&r->backends, b->key);
    uint64_t requests = board_backend_requests(board, b->key);
    if (!m && requests == 0)
        return;
    if (m && m->requests == requests) {
        meter_note(m, r, requests);
        return;
    }
    m = meter_get(&r->backends, b->key);
    struct board_sum sum = {0};
    if (m && board_backend(board, b->key, &sum))
        meter_tick(m, r, &sum);
}

static void tick_pool(struct rates *r, const struct account_board *board, const struct pool *pool)
{
    struct board_sum sum = {0};
    uint64_t classes[BOARD_CLASSES] = {0};
    board_pool(board, pool->key, &sum, classes);
    struct meter *m = meter_get(&r->pools, pool->key);
    if (m)
        meter_tick(m, r, &sum);
    for (uint32_t i = 0; i < look_slots(pool); i++) {
        const struct backend *b = look_backend(pool, i);
        if (b)
            tick_backend(r, board, b);
    }
}

static void tick_listener(struct rates *r, const struct account_board *board,
                          const struct front *front)
{
    struct board_sum sum = {0};
    uint64_t classes[BOARD_CLASSES] = {0};
    board_listener(board, front->key, &sum, classes);
    struct meter *m = meter_get(&r->listeners, front->key);
    if (m)
        meter_tick(m, r, &sum);
}

static void tick_process(struct rates *r, const struct account_board *board)
{
    struct board_sum sum = {0};
    uint64_t classes[BOARD_CLASSES] = {0};
    board_process(board, &sum, classes);
    if (!r->process)
        r->process = calloc(1, sizeof(*r->process));
    if (r->process)
        meter_tick(r->process, r, &sum);
}

void rates_tick(struct rates *r, const struct steer_view *view, uint64_t now_ms)
{
    r->tick++;
    r->elapsed_s =
        r->ticked_ms && now_ms > r->ticked_ms ? (double)(now_ms - r->ticked_ms) / 1000 : 1;
    r->ticked_ms = now_ms;
    if (!view->board)
        return;
    tick_process(r, view->board);
    for (size_t i = 0; i < view->front_count; i++)
        tick_listener(r, view->board, view->fronts[i]);
    for (size_t i = 0; i < view->pool_count; i++)
        tick_pool(r, view->board, view->pools[i]);
    sweep(&r->listeners, r->tick);
    sweep(&r->pools, r->tick);
    sweep(&r->backends, r->tick);
}

struct rates *rates_new(void)
{
    return calloc(1, sizeof(struct rates));
}

void rates_free(struct rates **r)
{
    struct rates *gone = *r;
    if (!gone)
        return;
    *r = NULL;
    meter_free(&gone->process);
    meters_fini(&gone->listeners);
    meters_fini(&gone->pools);
    meters_fini(&gone->backends);
    free(gone);
}

/* ---- rows ---- */

static void show_latency(const struct window *w, struct rates_row *row)
{
    uint32_t counts[LATENCY_BUCKETS] = {0};
    uint64_t total = 0;
    for (size_t part = 0; part < PARTS; part++) {
        for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
            counts[i] += w->counts[part][i];
            total += w->counts[part][i];
        }
    }
    row->timed = total > 0;
    row->p50_ms = latency_quantile_ms(counts, total, 0.5);
    row->p90_ms = latency_quantile_ms(counts, total, 0.9);
    row->p99_ms = latency_quantile_ms(counts, total, 0.99);
    row->max_ms = latency_quantile_ms(counts, total, 1);
}

static void show_meter(const struct meter *m, struct rates_row *row)
{
    if (!m)
        return;
    row->requests_per_second = m->per_second;
    row->history_count = m->count;
    for (uint32_t i = 0; i < m->count; i++)
        row->history[i] = m->history[(m->next + RATES_HISTORY - m->count + i) % RATES_HISTORY];
    if (m->window)
        show_latency(m->window, row);
}

static void show_sum(const struct board_sum *sum, struct rates_row *row)
{
    row->requests = sum->requests;
    row->failures = sum->failures;
    row->retries = sum->retries;
    row->bytes_in = sum->bytes_in;
    row->bytes_out = sum->bytes_out;
}

static_assert(ARRAY_LEN(((struct rates_row *)0)->codes) == BOARD_CLASSES, "codes by class");

void rates_process(const struct rates *r, const struct steer_view *view, struct rates_row *ret_row)
{
    struct board_sum sum = {0};
    *ret_row = (struct rates_row){0};
    if (view->board)
        board_process(view->board, &sum, ret_row->codes);
    show_sum(&sum, ret_row);
    show_meter(r->process, ret_row);
}

void rates_listener(const struct rates *r, const struct steer_view *view, const struct front *front,
                    struct rates_row *ret_row)
{
    struct board_sum sum = {0};
    *ret_row = (struct rates_row){0};
    if (view->board)
        board_listener(view->board, front->key, &sum, ret_row->codes);
    show_sum(&sum, ret_row);
    show_meter(meter_find(&r->listeners, front->key), ret_row);
}

void rates_pool(const struct rates *r, const struct steer_view *view, const struct pool *pool,
                struct rates_row *ret_row)
{
    struct board_sum sum = {0};
    *ret_row = (struct rates_row){0};
    if (view->board)
        board_pool(view->board, pool->key, &sum, ret_row->codes);
    show_sum(&sum, ret_row);
    show_meter(meter_find(&r->pools, pool->key), ret_row);
}

void rates_backend(const struct rates *r, const struct steer_view *view, const struct backend *b,
                   struct rates_row *ret_row)
{
    struct board_sum sum = {0};
    *ret_row = (struct rates_row){0};
    if (view->board && board_backend(view->board, b->key, &sum))
        board_backend_classes(view->board, b->key, ret_row->codes);
    show_sum(&sum, ret_row);
    show_meter(meter_find(&r->backends, b->key), ret_row);
}

uint64_t rates_connections(const struct rates *r, const struct steer_view *view,
                           const struct front *front)
{
    (void)r;
    return view->board ? board_connections(view->board, front->key) : 0;
}

uint64_t rates_reason(const struct rates *r, const struct steer_view *view, enum reason reason)
{
    (void)r;
    return view->board ? board_reason(view->board, reason) : 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The wheel. A slot of level L covers 64^L ticks and comes up at the first of them:
 *
 *   level 0   the next 64 ticks, one a slot          slot comes up: fire what is due
 *   level 1   the next 64 blocks of 64 ticks         slot comes up: file again, one level down
 *   level 2   the next 64 blocks of 4096 ticks       ...
 *   level 3   the next 64 blocks of 262144 ticks (18 hours); later deadlines wait in its last block
 *
 * Turning jumps from one occupied slot to the next, so a long sleep costs nothing. What must stay
 * true: filed_ticks is the tick at which the slot comes up, now_ticks < filed_ticks <= deadline.
 */
#include "io/timer.h"

#include <assert.h>

#define LEVEL_BITS 6

static_assert(TIMER_SLOTS == 1 << LEVEL_BITS, "slots are counted by bits of a tick");
static_assert(TIMER_SLOTS == 64, "occupied has one bit a slot");

void timer_init(struct timer *t, timer_fn *fn)
{
    list_init(&t->link);
    t->deadline_ticks = 0;
    t->filed_ticks = 0;
    t->fn = fn;
}

void timer_wheel_init(struct timer_wheel *w, uint64_t now_ms)
{
    w->now_ticks = now_ms / TIMER_TICK_MS;
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        w->occupied[level] = 0;
        for (unsigned slot = 0; slot < TIMER_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
    }
}

/* Puts a timer into the slot that comes up last before `ticks`, or at it. `ticks` is past, but for
 * timers that a level above hands down at the very tick they are due. */
static void file_timer(struct timer_wheel *w, struct timer *t, uint64_t ticks)
{
    unsigned level = 0;
    unsigned shift = 0;
    while ((ticks >> shift) - (w->now_ticks >> shift) > TIMER_SLOTS && level < TIMER_LEVELS - 1) {
        level++;
        shift += LEVEL_BITS;
    }
    uint64_t block = MIN(ticks >> shift, (w->now_ticks >> shift) + TIMER_SLOTS);
    unsigned slot = (unsigned)(block % TIMER_SLOTS);
    t->filed_ticks = block << shift;
    w->occupied[level] |= 1ull << slot;
    list_add_tail(&w->slots[level][slot], &t->link);
}

void timer_wheel_set(struct timer_wheel *w, struct timer *t, uint64_t deadline_ms)
{
    uint64_t ticks = deadline_ms / TIMER_TICK_MS + (deadline_ms % TIMER_TICK_MS != 0);
    ticks = MAX(ticks, w->now_ticks + 1);
    bool filed = timer_armed(t);
    t->deadline_ticks = ticks;
    if (filed && ticks >= t->filed_ticks)
        return; /* its slot comes up early enough: that is when it is filed again */
    list_del(&t->link);
    file_timer(w, t, ticks);
}

void timer_wheel_stop(struct timer_wheel *w, struct timer *t)
{
    (void)w;
    list_del(&t->link);
    t->deadline_ticks = 0;
}

static uint64_t rotate_right(uint64_t bits, unsigned by)
{
    return bits >> (by % 64) | bits << (-by % 64);
}

/* The tick at which the next occupied slot comes up; UINT64_MAX if there is none. */
static uint64_t next_tick(const struct timer_wheel *w)
{
    uint64_t next = UINT64_MAX;
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        if (!w->occupied[level])
            continue;
        unsigned shift = level * LEVEL_BITS;
        uint64_t block = (w->now_ticks >> shift) + 1;
        uint64_t ahead = rotate_right(w->occupied[level], (unsigned)(block % TIMER_SLOTS));
        block += (unsigned)__builtin_ctzll(ahead);
        next = MIN(next, block << shift);
    }
    return next;
}

/* Empties a slot into `out`. */
static void take_slot(struct timer_wheel *w, unsigned level, unsigned slot, struct list *out)
{
    w->occupied[level] &= ~(1ull << slot);
    list_splice_tail(out, &w->slots[level][slot]);
}

/* Slots of upper levels that come up now hand their timers down; those due now reach level 0. */
static void cascade(struct timer_wheel *w)
{
    for (unsigned level = TIMER_LEVELS - 1; level > 0; level--) {
        unsigned shift = level * LEVEL_BITS;
        if (w->now_ticks & ((1ull << shift) - 1))
            continue;
        struct list due = LIST_INIT(due);
        take_slot(w, level, (unsigned)((w->now_ticks >> shift) % TIMER_SLOTS), &due);
        for (struct list *link; (link = list_pop(&due));) {
            struct timer *t = list_entry(link, struct timer, link);
            file_timer(w, t, t->deadline_ticks);
        }
    }
}

static void fire(struct timer_wheel *w)
{
    struct list due = LIST_INIT(due);
    take_slot(w, 0, (unsigned)(w->now_ticks % TIMER_SLOTS), &due);
    for (struct list *link; (link = list_pop(&due));) {
        struct timer *t = list_entry(link, struct timer, link);
        if (t->deadline_ticks > w->now_ticks) {
            file_timer(w, t, t->deadline_ticks);
            continue;
        }
        t->deadline_ticks = 0;
        t->fn(t);
    }
}

void timer_wheel_turn(struct timer_wheel *w, uint64_t now_ms)
{
    uint64_t until = now_ms / TIMER_TICK_MS;
    while (w->now_ticks < until) {
        uint64_t next = next_tick(w);
        if (next > until) {
            w->now_ticks = until;
            return;
        }
        w->now_ticks = next;
        cascade(w);
        fire(w);
    }
}

uint64_t timer_wheel_wait_ms(const struct timer_wheel *w, uint64_t now_ms, uint64_t max_ms)
{
    uint64_t next = next_tick(w);
    if (next > UINT64_MAX / TIMER_TICK_MS)
        return max_ms;
    uint64_t next_ms = next * TIMER_TICK_MS;
    return next_ms <= now_ms ? 0 : MIN(next_ms - now_ms, max_ms);
}

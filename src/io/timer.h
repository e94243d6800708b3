/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Timers: a hierarchical wheel (Varghese and Lauck, 1987), four levels of 64 slots, one tick a
 * millisecond-scale step, made for deadlines that are pushed back all the time and seldom fire.
 *
 * An armed timer sits in the slot of the deadline it had when it was filed. Pushing the deadline
 * back only stores the new one; when the old slot comes up the timer is filed again. So a
 * connection that is busy costs a store per request and a re-filing per old deadline.
 *
 * The wheel is pure: time is an argument. The loop owns one wheel and turns it once a turn.
 * Thread rule: the loop's thread. Memory: a timer is embedded in its owner, which must stop it
 * before it goes.
 */

#include "base/compiler.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct timer;
typedef void timer_fn(struct timer *t);

struct timer {
    struct list link;        /* in its slot while armed, else unlinked */
    uint64_t deadline_ticks; /* when it is to fire; 0 = not armed */
    uint64_t filed_ticks;    /* when its slot comes up; never after the deadline */
    timer_fn *fn;
};

/* Milliseconds per tick: the resolution of every timeout. A timer never fires early. */
#define TIMER_TICK_MS 4

#define TIMER_LEVELS 4
#define TIMER_SLOTS  64

struct timer_wheel {
    uint64_t now_ticks;
    uint64_t occupied[TIMER_LEVELS]; /* a bit per slot that may hold timers */
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timer_init(struct timer *t, timer_fn *fn);
static inline bool timer_armed(const struct timer *t)
{
    return t->deadline_ticks != 0;
}

void timer_wheel_init(struct timer_wheel *w, uint64_t now_ms);
void timer_wheel_set(struct timer_wheel *w, struct timer *t, uint64_t deadline_ms);
void timer_wheel_stop(struct timer_wheel *w, struct timer *t);

/* Fires every timer whose deadline is at or before now_ms. Callbacks may set and stop any timer. */
void timer_wheel_turn(struct timer_wheel *w, uint64_t now_ms);

/* Milliseconds until the wheel needs turning again, at most `max_ms`; a lower bound of the next
 * deadline, so a wake-up may find nothing to do. */
uint64_t timer_wheel_wait_ms(const struct timer_wheel *w, uint64_t now_ms, uint64_t max_ms);

/* SPDX-License-Identifier: MIT */
/*
 * The machine's clocks. Time is an argument everywhere in this program, so that a simulation can
 * own it; only these may include this header: io (the loop's time), log (the stamp of an event
 * line) and app (start-up, test tools). Everybody else takes `now` as a parameter.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#define MS_PER_S  1000u
#define US_PER_S  1000000u
#define NS_PER_US 1000u
#define NS_PER_MS 1000000u
#define NS_PER_S  1000000000u

/* Never steps back, stands still while the machine sleeps; its zero means nothing. */
static inline uint64_t clock_mono_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Milliseconds since 1970 (UTC); may jump either way when somebody sets the clock. */
static inline int64_t clock_wall_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * (int64_t)MS_PER_S + ts.tv_nsec / (int64_t)NS_PER_MS;
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The world: virtual time, and what happens when.
 *
 *   world_at(w, t, fn, …) ─▶ heap by (time, order of asking) ─▶ world_run: now := t, fn(…)
 *
 * Nothing here or above reads a clock or asks the kernel for anything: the same seed gives the same
 * sequence of events, to the byte. What is left to chance comes from generators that each have a
 * purpose of their own (world_rng), so that a question more in one place changes no answer in
 * another.
 *
 * Lifetime: world_new .. world_free, around everything that lives in it. What was asked for can not
 * be taken back: who goes away first waits for its events (cable.h), or tells them apart by the
 * argument. Thread rule: one thread.
 */

#include "base/compiler.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;

typedef void world_fn(void *what, uint64_t argument);

/* NULL: out of memory. */
struct world *world_new(uint64_t seed);

/* Leaves NULL; accepts NULL. What was still to happen does not. */
void world_free(struct world **w);

/* Nanoseconds since the beginning. */
uint64_t world_now(const struct world *w);

/* Has fn(what, argument) called at a time not before now; of two at the same time the one asked for
 * first comes first. */
void world_at(struct world *w, uint64_t at_ns, world_fn *fn, void *what, uint64_t argument);

/* Lets happen what is due until `until_ns`, at most, or until world_stop; then it is that time. */
void world_run(struct world *w, uint64_t until_ns);

/* Makes world_run return after what happens now. */
void world_stop(struct world *w);

/* A generator for one purpose. */
struct rng world_rng(const struct world *w, const char *purpose, uint64_t index);

/* Events that have happened. */
uint64_t world_events(const struct world *w);

/* Memory for models. A simulation that runs out of memory cannot go on and ends the program. */
void *world_must(void *p);

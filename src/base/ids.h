/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Small numbers for things that come and go, so that others can keep arrays about them: the lowest
 * that was given back is given out next, else the one after the highest.
 *
 * Thread rule: one thread.
 */

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

struct ids {
    uint32_t next;  /* never given out so far: all numbers below have been */
    uint32_t *free; /* a heap, the lowest first */
    uint32_t free_count, capacity;
};

#define IDS_NONE UINT32_MAX

void ids_init(struct ids *ids);
void ids_fini(struct ids *ids);

/* IDS_NONE when out of memory. */
NODISCARD uint32_t ids_get(struct ids *ids);

/* Must be one that ids_get gave out. Cannot fail. */
void ids_put(struct ids *ids, uint32_t id);

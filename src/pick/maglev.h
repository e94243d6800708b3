/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Maglev hashing (Eisenbud and others, NSDI 2016, section 3.4): a table that maps a key to a member
 * with one load, gives every member its share to within a per cent, and moves few keys when a
 * member goes.
 *
 * Each member has its own order of preference over the places of the table, made from the hash of
 * its name alone: so neither the order in the configuration nor a restart moves a key, and two
 * balancers with the same members agree. Members take turns in claiming the next free place they
 * like best; one of weight w gets w turns in the time the heaviest gets its own.
 *
 * Pure. Build cost: about M * ln(M) steps.
 */

#include "base/bytes.h"
#include "base/compiler.h"

#include <stdint.h>

struct maglev_member {
    struct span name;
    uint32_t weight; /* 1..BACKEND_WEIGHT_MAX */
    uint32_t value;  /* what the table holds for it */
};

/*
 * Places for that many members: a prime at least 100 times as large, so that shares differ by less
 * than 1 %, up to 4,194,319 (16 MiB; 100,000 members then get 42 places each). It must be chosen by
 * the members configured, not by those in rotation: a change of the size moves nearly every key.
 */
uint32_t maglev_size(uint32_t members);

/* Fills table[0..size). n >= 1. 0, or -1 out of memory. */
NODISCARD int maglev_build(uint32_t *table, uint32_t size, const struct maglev_member *members,
                           uint32_t n);

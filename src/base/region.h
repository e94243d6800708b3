/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A region: address space for the largest array there may be, so that it grows without moving.
 *
 * Pages that were never written cost nothing; all of it reads as zeros. A small array in a large
 * region must not be given a huge page by the kernel: say how much of it will probably be used.
 */

#include <stddef.h>

/* NULL when out of memory. Aligned to a page. */
void *region_new(size_t bytes, size_t likely_bytes);

/* The same `bytes`. */
void region_free(void *region, size_t bytes);

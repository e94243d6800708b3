/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Smooth weighted schedules: in what order to take turns so that each member gets exactly its share
 * per round and its turns lie as far apart as they can.
 *
 * Weights are divided by their greatest common divisor; a round has as many places as they sum to,
 * and member i appears exactly weight[i] times in it. Weights 5:1:1 give a a b a c a a; equal
 * weights give each once, in order.
 *
 * A round is bounded: when the sum exceeds SCHEDULE_MAX (for 10,000 backends: a mean weight above
 * 104), weights are scaled down to fit, each rounded to the nearest whole number and at least 1.
 *
 * Pure. Cost: O(length * log(number of distinct weights)).
 */

#include "base/compiler.h"
#include "base/limits.h"

#include <stdint.h>

/*
 * Fills *ret_places (malloc, the caller frees) with indices 0..n-1 into weights, which are
 * 1..BACKEND_WEIGHT_MAX, n >= 1. 0, or -1 out of memory.
 */
NODISCARD int schedule_new(const uint32_t *weights, uint32_t n, uint32_t **ret_places,
                           uint32_t *ret_length);

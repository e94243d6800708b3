/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What differs between two blocks of the same kind, option by option of the table. Blocks within
 * (timeouts, limits, health, tls with its certificates) are compared too, lists of blocks (routes,
 * pools, backends) are not: who has two of those knows which belong together.
 *
 * Thread rule: any thread; pure.
 */

#include "config/option.h"
#include "config/snapshot.h"

#include <stddef.h>

/* Longest text of a value that is told; a longer one ends with "...". */
#define COMPARE_TEXT_MAX 160

/* `path` is "timeouts.idle"; a value that is not set is "none", and of secrets nothing is told. */
typedef void config_differs_fn(void *user, const char *path, const char *before, const char *after);

/* Owners are the structs that the scope's values go to (struct listener_conf, the snapshot for the
 * scopes of its own, ...); each belongs to its snapshot. Returns how many options differ. */
size_t config_compare(enum scope scope, const struct snapshot *a, const void *owner_a,
                      const struct snapshot *b, const void *owner_b, config_differs_fn *differs,
                      void *user);

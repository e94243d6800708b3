/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the process uses of the machine, from /proc and getrusage.
 *
 * Thread rule: the control thread.
 */

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

double usage_cpu_seconds(void);

enum usage { USAGE_RESIDENT_BYTES, USAGE_VIRTUAL_BYTES, USAGE_FILES, USAGE_FILES_MAX };

/* False where the system does not tell (a sandbox without /proc). */
NODISCARD bool usage_get(enum usage what, uint64_t *ret_value);

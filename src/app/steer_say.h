/* SPDX-License-Identifier: MIT */
#pragma once

/* How an operation on the running balancer went, filled in by printf. `field` is the part of the
 * request that was wrong, or NULL. */

#include "admin/steer.h"
#include "base/compiler.h"

void steer_say(struct steer_result *ret, enum steer_code code, const char *field,
               const char *format, ...) PRINTF(4, 5);

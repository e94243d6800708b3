/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What `poise check` prints about a bad file, taken apart again for programs: operations report it
 * as text, and the API also as members.
 *
 * Pure. Any thread.
 */

#include "admin/json.h"

/* A member "diagnostics": [{"level", "line", "column", "message", "hint"}]. */
void diagnostics_put(struct json *j, struct span printed);

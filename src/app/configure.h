/* SPDX-License-Identifier: MIT */
#pragma once

/* From what the door says to a snapshot. Any thread, at the start. */

#include "app/door.h"
#include "base/compiler.h"
#include "config/snapshot.h"

/*
 * Reads the configuration through the door and checks it. Errors, and warnings too unless `quiet`,
 * are printed on standard error. Returns an enum exit_code; on success with one reference in
 * ret_snapshot and, if that is not NULL, the text in ret_text (malloc'd).
 */
int configure(struct door *door, bool quiet, const struct snapshot **ret_snapshot, char **ret_text);

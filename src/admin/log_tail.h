/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The last lines of the event log, as JSON objects, for who comes late. Bounded in number
 * (ADMIN_LOG_KEPT); a line for which there is no memory is left out.
 *
 * Thread rule: the control thread.
 */

#include "admin/json.h"
#include "base/bytes.h"

#include <stddef.h>

struct log_tail;

/* NULL without memory. */
struct log_tail *log_tail_new(void);
/* Leaves NULL; accepts NULL. */
void log_tail_free(struct log_tail **tail);

/* Copies a line; the oldest makes room. */
void log_tail_add(struct log_tail *tail, struct span object);

/* Writes the last `most` lines as the elements of an array, oldest first. */
void log_tail_write(const struct log_tail *tail, size_t most, struct json *j, const char *key);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Answers made here: an HTTP/1 error response from a reason. Always with X-Poise-Reason, a plain
 * sentence as the body, and the length known.
 */

#include "account/reason.h"
#include "base/bytes.h"

#include <stdbool.h>

/* Room that is always enough. */
#define ANSWER_BYTES_MAX 1024

/* Writes the response; without the body's bytes for a HEAD request. */
void answer_write(struct writer *w, enum reason why, bool close, bool head_only);

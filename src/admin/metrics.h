/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What GET /metrics answers: the Prometheus text format, version 0.0.4.
 *
 * Thread rule: the control thread.
 */

#include "admin/rates.h"
#include "admin/steer.h"
#include "admin/text.h"

/* Writes everything that can be scraped to `out`, whose limit is the answer's; what does not fit is
 * left out by the text's sticky failure, which the caller looks at. */
void metrics_write(const struct steer_view *view, const struct rates *rates, struct text *out);

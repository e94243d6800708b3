/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is said of outcomes: for people, as JSON, and whether a scenario's expectations hold.
 * Constant for the same outcome. Thread rule: one thread.
 */

#include "sim/outcome.h"
#include "sim/scenario.h"

#include <jansson.h>
#include <stdio.h>

/* The value of a metric: nanoseconds or a count. */
double report_metric(const struct outcome *o, size_t metric);

/* Whether it holds, for one that is given. */
bool report_holds(const struct outcome *o, size_t metric, const struct scenario_expect *e);

/* All that are given hold, and nothing is stuck. */
bool report_good(const struct outcome *o, const struct scenario *s);

/* One run in full. */
void report_print(const struct outcome *o, const struct scenario *s, FILE *out);

/* Several side by side: one row a policy. */
void report_compare(struct outcome *const *outcomes, size_t count, const struct scenario *s,
                    FILE *out);

/* A new reference. */
json_t *report_json(const struct outcome *o, const struct scenario *s);

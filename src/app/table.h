/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A table for people: columns as wide as what stands in them, numbers to the right, two spaces
 * between. A header line first; without rows a sentence instead. Thread rule: one thread.
 */

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 16

enum table_tone { TONE_PLAIN, TONE_GOOD, TONE_WARN, TONE_BAD };

struct table;

/* `columns` are headings; one that begins with '>' is set to the right. Counted by table_new. */
struct table *table_new(const char *const *columns, size_t count);
/* Leaves NULL; accepts NULL. */
void table_free(struct table **t);

/* The next cell, row by row; the text is copied and its control bytes are escaped. */
void table_cell(struct table *t, enum table_tone tone, const char *text);
PRINTF(3, 4) void table_cellf(struct table *t, enum table_tone tone, const char *format, ...);

void table_print(const struct table *t, FILE *out, const char *when_empty);

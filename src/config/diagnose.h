/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Making diagnostics, inside config/. All texts given are copied.
 *
 * Thread rule: as load.h.
 */

#include "base/arena.h"
#include "base/compiler.h"
#include "config/load.h"

/* Where something stands in the text. line 0 = nowhere in particular. */
struct place {
    uint32_t line, column, length; /* from 1, in characters */
};

struct finding {
    enum diagnostic_level level;
    struct place at;
    const char *hint; /* the rest may be NULL */
    const char *note;
    struct place also;
    const char *also_label;
};

void diagnostics_init(struct diagnostics *d, const char *source, struct span text);

/* More are only counted: their hints and notes need not be made. */
static inline bool diagnostics_full(const struct diagnostics *d)
{
    return d->count == DIAGNOSTICS_MAX;
}

/* In the order of the text, once all are found. */
void diagnostics_sort(struct diagnostics *d);

/* The messages end without a full stop and quote the user's words in '...'. */
PRINTF(3, 4) void diagnose(struct diagnostics *d, const struct finding *f, const char *format, ...);
PRINTF(3, 4) void diagnose_error(struct diagnostics *d, struct place at, const char *format, ...);
PRINTF(3, 4) void diagnose_warning(struct diagnostics *d, struct place at, const char *format, ...);

/* Texts of any length for hints and notes, alive as long as the diagnostics. */
struct arena *diagnostics_arena(struct diagnostics *d);

/* Configuration memory is bounded by limits on the input; what still fails is the machine being out
 * of memory, and then the program stops. */
void *config_must(void *p);

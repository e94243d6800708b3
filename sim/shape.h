/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reading the nodes of a scenario into structs, by tables: one row a key.
 *
 * Everything that is wrong is reported and reading goes on. Thread rule: one thread.
 */

#include "base/arena.h"
#include "config/tree.h"

#include <stddef.h>

/* One run of reading. */
struct reading {
    struct diagnostics *d;
    struct arena *arena; /* of what is kept */
    struct span text;    /* of the file */
    const char *path;    /* of the file */
};

struct shape;

/* Puts what stands in `node` at `target`. False: reported. */
typedef bool shape_read_fn(struct reading *r, const struct shape *shape, const struct node *node,
                           void *target);

struct shape {
    const char *name;
    shape_read_fn *read;
    size_t offset;
    uint64_t min, max; /* of numbers, as the type says; min of words: the first one's value */
    const char *const *words; /* of shape_word; ends with NULL */
    size_t place_offset;      /* where the place goes; 0: nowhere */
    bool required;
};

/* Reads a mapping into `target`. False when something was wrong. */
NODISCARD bool shape_block(struct reading *r, const struct node *node, const struct shape *shapes,
                           size_t count, void *target);

/* The node's items, checked to be a list of 1 to max; NULL when it is none. */
const struct node *shape_items(struct reading *r, const struct node *node, const char *name,
                               size_t max);

/* Types, by target: duration uint64_t nanoseconds; count uint64_t; count32, word and size uint32_t;
 * rate, share and factor double; bool; text const char *; spread struct spread. */
shape_read_fn shape_duration, shape_count, shape_count32, shape_rate, shape_share, shape_factor,
    shape_bool, shape_word, shape_text, shape_size, shape_spread;

/* Nanoseconds of "250us", "5ms", "1s" …; false when it is no duration. */
NODISCARD bool shape_parse_duration(struct span text, uint64_t *ret_ns);

/* A decimal number such as 0.25, whole. */
NODISCARD bool shape_parse_decimal(struct span text, double *ret_value);

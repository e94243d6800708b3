/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The two helpers of edit.c: where in a text the backends of a pool stand, byte by byte (the text
 * is one that config_load has accepted; memory is the arena's), and whether an edit came out right.
 */

#include "base/arena.h"
#include "base/bytes.h"
#include "config/edit.h"

struct piece {
    size_t start, end; /* bytes of the text */
};

enum item_kind {
    ITEM_SCALAR, /* an address alone */
    ITEM_FLOW,   /* {name: B1, address: …} */
    ITEM_BLOCK,  /* name: B1 and so on, on lines of their own */
};

/* One backend. */
struct item {
    enum item_kind kind;
    struct piece at; /* of a block: from its first key to the end of its last value */
    struct piece first_key, last_key, last_value, weight;
    bool has_weight;
};

struct items {
    bool flow;       /* [ … ] */
    struct piece at; /* of a flow sequence, with its brackets */
    struct item *list;
    size_t count;
};

/* The backends of pool `index`; false where the text is other than expected. */
bool edit_scan(struct span text, size_t index, struct arena *arena, struct items *ret_items);

/* Whether `now` is `was` with the changes: every backend of every pool, in order, those added last.
 */
bool edit_says(const struct snapshot *now, const struct snapshot *was,
               const struct config_change *changes, size_t change_count);

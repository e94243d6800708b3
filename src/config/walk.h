/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A walk over all values of a configuration, in the order of the option table, as a flat sequence
 * of events. What prints a configuration is a loop over them.
 *
 * Thread rule: as snapshot.h.
 */

#include "config/block.h"

enum walk_event {
    WALK_END,   /* there is no more */
    WALK_VALUE, /* option and block: a value that is set */
    WALK_BLOCK, /* a mapping begins, the value of option */
    WALK_BLOCK_END,
    WALK_ITEMS, /* a list of mappings begins */
    WALK_ITEM,  /* one of them */
    WALK_ITEM_END,
    WALK_ITEMS_END,
};

#define WALK_DEPTH_MAX 8 /* listeners, item, routes, item, match: deeper blocks need more */

struct walk {
    struct walk_frame {
        const struct block *block;
        size_t option; /* the next to look at */
        size_t child;  /* the next child of that option; counts while in its list */
        bool in_list;
    } frames[WALK_DEPTH_MAX];
    size_t depth; /* frames in use; blocks around the event */
    /* of the last event */
    const struct block *block; /* that has the option */
    const struct option *option;
    struct place at; /* of the value or block; line 0 = default */
};

void walk_init(struct walk *w, const struct snapshot *s);
enum walk_event walk_next(struct walk *w);

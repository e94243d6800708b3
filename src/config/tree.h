/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * YAML text to a tree of nodes with places: the strict part of YAML this language uses.
 *
 * One document of mappings, lists and scalars. Anchors, aliases and tags are refused: nothing here
 * can grow beyond its text. JSON is accepted, being the same tree in flow style. libyaml does the
 * scanning; its complaints are said in plain words.
 *
 * Nodes live in the arena given; scalars have no types yet, that is value.h's business.
 * Thread rule: as load.h.
 */

#include "base/arena.h"
#include "base/limits.h"
#include "config/diagnose.h"

enum node_kind {
    NODE_SCALAR,
    NODE_MAP,
    NODE_LIST,
    NODE_BROKEN, /* an error was reported here already */
};

struct node {
    enum node_kind kind;
    bool plain; /* a scalar without quotes */
    struct place at;
    uint32_t count;         /* of children */
    struct span text;       /* of a scalar, NUL-terminated */
    const struct node *key; /* of a child of a mapping: a scalar */
    struct node *first, *last, *next;
};

/*
 * Returns the root, or NULL when there is none (an error has been reported, or the text is empty).
 * *ret_whole is false when a syntax error ended the reading: the tree then holds what was before.
 */
const struct node *tree_read(struct span text, struct arena *arena, struct diagnostics *d,
                             bool *ret_whole);

/* "a list", "a mapping", "a value": for messages. */
const char *node_kind_name(const struct node *n);

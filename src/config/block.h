/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a snapshot knows of its own making: which block of the text each struct came from, and
 * where each value was written.
 *
 *   struct config ── snapshot (what everybody else sees)
 *        └─ root ──▶ struct block of SCOPE_ROOT ──▶ children, per option: 1 (BLOCK) or n (BLOCKS)
 *
 * Several blocks may have one target: the blocks of a pool's timeouts and the pool itself.
 * Immutable after loading; all of it lives in the arena. Thread rule: as snapshot.h.
 */

#include "base/arena.h"
#include "config/diagnose.h"
#include "config/option.h"
#include "config/snapshot.h"

#include <stdatomic.h>

struct block {
    enum scope scope;
    uint32_t option_count;
    const struct option *options;
    void *target;
    struct place at;         /* line 0 = not written: all defaults */
    struct place *places;    /* per option: its value; line 0 = default */
    struct block **children; /* per option, NULL in scopes without inner blocks */
    uint32_t *child_counts;
};

#define CONFIG_MAGIC 0x504f4331u

struct config {
    uint32_t magic;
    _Atomic uint32_t references;
    struct arena arena;
    struct block *root;
    struct snapshot snapshot;
};

/* An empty configuration with one reference. */
struct config *config_new(const char *source);

/* What a snapshot is part of. */
struct config *config_of(const struct snapshot *s);

/* The index of a named option in its block; CHECKed to be there. */
size_t block_index(const struct block *b, const char *name);

/* The children of a block option, and how many. */
const struct block *block_children(const struct block *b, const char *name, size_t *ret_count);

/* Where an option's value stands, or the block when it is not written. */
struct place block_place(const struct block *b, const char *name);

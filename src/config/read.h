/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * From the tree of a text to filled-in structs, as the option table says.
 *
 * Reading goes block by block through a queue, not by recursion. Every error is reported and
 * reading goes on; names are resolved afterwards (validate.h).
 * Thread rule: as load.h.
 */

#include "config/block.h"
#include "config/load.h"
#include "config/tree.h"

/* A pool named before all pools are known. */
struct reference {
    const char *name;
    struct place at;
    void *target;  /* the index goes here */
    uint32_t size; /* of *target */
    struct reference *next;
};

/* A block whose values are still to be read. */
struct pending {
    struct block *block;
    const struct node *node; /* NULL = not written */
    struct pending *next;
};

/* One run of config_load. */
struct load {
    struct config *config;
    struct arena scratch; /* goes with the run */
    struct diagnostics *d;
    config_env_fn *env;
    bool whole; /* the text was read to its end: what is not there is missing */
    struct pending *first, **last;
    struct reference *references, **last_reference;
};

/* Reads all blocks below `root` into l->config. */
void read_config(struct load *l, const struct node *root);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Membership as it now is, written into the configuration file: what `"save": true` and --save ask
 * for. Backends, their addresses, weights and being a backup are written; drain and disabled are
 * states of the moment and are not.
 *
 * The file must be the one that runs: loaded, or written here since. One that somebody has changed
 * meanwhile is left alone (STEER_CONFLICT): a reload comes first. How it is read and replaced is
 * the caller's (the door of a process without rights, or replace_file).
 *
 * Thread rule: the control thread.
 */

#include "admin/steer.h"

struct save_file {
    const char *path; /* NULL: the configuration came from the command line */
    /* malloc'd text. 0, or a negative reason with a sentence. */
    int (*read)(void *user, char **ret_text, size_t *ret_len, char *ret_why, size_t why_size);
    /* In one step, owner and mode kept. 0, or a negative reason with a sentence. */
    int (*write)(void *user, struct span text, char *ret_why, size_t why_size);
    void *user;
    uint64_t written_hash; /* of what was written last; 0 at first */
};

/* The result is STEER_OK with what was done, or why not. */
void save_membership(struct save_file *f, const struct snapshot *s, struct pool *const *pools,
                     size_t pool_count, struct steer_result *ret);

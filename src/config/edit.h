/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Changes of membership written into the text of a configuration, everything else left byte for
 * byte: comments, order, quoting, indentation, line ends, flow and block style.
 *
 *   text ─▶ config_load (what it says) ─▶ edit_scan (where it says it) ─▶ splices ─▶ new text
 *        ─▶ config_load: says what was wanted, and nothing else, or the edit is refused
 *
 * A backend that is removed takes its own lines with it, and the comments on them; comments on
 * lines of their own stay. New backends come behind the last of their pool, written in its style. A
 * weight is changed where it stands, or added behind the last key.
 *
 * Refused with a sentence: a value to be changed that comes from the environment (${NAME}), the
 * removal of the last backend of a pool, an item that cannot be told from its surroundings.
 *
 * Thread rule: as load.h.
 */

#include "config/load.h"

enum config_change_kind {
    CONFIG_ADD,    /* unless it is there already, the same */
    CONFIG_REMOVE, /* unless it is not there */
    CONFIG_WEIGHT, /* of one that is there */
};

struct config_change {
    enum config_change_kind kind;
    const char *pool;
    const char *backend; /* its name */
    struct span address; /* ADD: as people write it */
    uint32_t weight;     /* ADD, WEIGHT */
    bool backup;         /* ADD */
};

/*
 * The text with the changes made (malloc'd, NUL-terminated, the caller's), or NULL with a sentence
 * in ret_why. Of one backend there may be a REMOVE and an ADD, which replace it. `source` and `env`
 * as config_load has them.
 */
char *config_edit(const char *source, struct span text, config_env_fn *env,
                  const struct config_change *changes, size_t change_count, size_t *ret_len,
                  char *ret_why, size_t why_size);

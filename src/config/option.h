/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The option table (option.def) as data.
 *
 * Constant; any thread.
 */

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* A kind of block. The owner is the struct that its values go to. */
enum scope {
    SCOPE_ROOT,
    SCOPE_ADMIN,
    SCOPE_LOG,
    SCOPE_ACCESS_LOG,
    SCOPE_DRAIN,
    SCOPE_LISTENER,
    SCOPE_LISTENER_TLS,
    SCOPE_CERTIFICATE,
    SCOPE_LISTENER_TIMEOUTS,
    SCOPE_LISTENER_LIMITS,
    SCOPE_ROUTE,
    SCOPE_MATCH,
    SCOPE_POOL,
    SCOPE_POOL_TLS,
    SCOPE_HEALTH,
    SCOPE_PASSIVE_HEALTH,
    SCOPE_RETRIES,
    SCOPE_POOL_TIMEOUTS,
    SCOPE_KEEPALIVE,
    SCOPE_QUEUE,
    SCOPE_BACKEND,
    SCOPE_COUNT
};

enum option_type {
    TYPE_BLOCK,
    TYPE_BLOCKS,
    TYPE_DURATION,
    TYPE_SIZE,
    TYPE_INTEGER,
    TYPE_COUNT_OR_AUTO,
    TYPE_BOOL,
    TYPE_ENUM,
    TYPE_FLAGS,
    TYPE_NAME,
    TYPE_FILE,
    TYPE_SECRET,
    TYPE_PATH,
    TYPE_HOST,
    TYPE_METHOD,
    TYPE_POOL,
    TYPE_ADDRESS,
    TYPE_NETWORK,
    TYPE_TEXT,
    TYPE_STATUS,
    TYPE_FIELD,
    TYPE_COUNT
};

/* One word of an enumeration; a table ends with name NULL. */
struct option_word {
    const char *name;
    int value;
    const char *missing; /* part of the language but not of this program: how the error goes on */
};

struct option {
    enum scope scope;
    enum option_type type;
    const char *name;
    const struct option_word *words; /* of TYPE_ENUM and TYPE_FLAGS, else NULL */
    enum scope child;                /* of TYPE_BLOCK and TYPE_BLOCKS */
    bool list;                       /* several values are allowed */
    uint32_t offset, size;           /* of the field in its owner */
    uint32_t count_offset;           /* of a list's count, size_t */
    uint64_t min, max;               /* in `unit`; of a list, how many */
    const char *unit;
    const char *fallback; /* the default as text; NULL = none; option_required */
    const char *help;
};

/* As a default: the option must be written. Compared by address. */
extern const char option_required[];

static inline bool option_is_required(const struct option *o)
{
    return o->fallback == option_required;
}

static inline const char *option_default(const struct option *o)
{
    return option_is_required(o) ? NULL : o->fallback;
}

struct scope_info {
    const char *title;  /* "health": in headings and messages */
    const char *where;  /* "pools[].health" */
    size_t owner_bytes; /* of a scope that is an item of a list; else 0 */
    size_t owner_align;
};

const struct scope_info *scope_info(enum scope scope);

/* The options of a scope, in the order of the table. */
const struct option *scope_options(enum scope scope, size_t *ret_count);

/* The option of that name in the scope, or NULL. */
const struct option *option_find(enum scope scope, struct span name);

/* The first scope other than `scope` that has an option of that name; false when there is none. */
bool option_elsewhere(enum scope scope, struct span name, enum scope *ret_scope);

/* The word of an enumeration, or NULL. */
const struct option_word *option_word_find(const struct option_word *words, struct span name);
const char *option_word_of(const struct option_word *words, int value);

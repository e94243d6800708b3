/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * JSON as it goes out, written straight into a text, and as it comes in, checked and bounded.
 *
 * Writing: every call takes the key of the member, or NULL inside an array. Texts of unknown origin
 * are escaped, and bytes that are not UTF-8 replaced, so the result is always valid. What does not
 * fit is the text's sticky failure.
 *
 * Reading: one object with known keys. Depth and size are limited before the parser sees it.
 *
 * Thread rule: the owner's thread.
 */

#include "admin/text.h"
#include "base/compiler.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define JSON_NESTING_MAX 32 /* of what we write: CHECK */
#define JSON_DEPTH_MAX   8  /* of what we read: refused */

struct json {
    struct text *out;
    uint32_t depth;
    bool comma;                     /* a member precedes */
    char closers[JSON_NESTING_MAX]; /* what ends each level */
};

static inline struct json j_of(struct text *out)
{
    return (struct json){.out = out};
}

void j_object(struct json *j, const char *key);
void j_array(struct json *j, const char *key);
/* Ends the innermost object or array. */
void j_end(struct json *j);

void j_span(struct json *j, const char *key, struct span value);
/* NULL is written as null. */
void j_str(struct json *j, const char *key, const char *value);
void j_u64(struct json *j, const char *key, uint64_t value);
void j_bool(struct json *j, const char *key, bool value);
/* With at most three digits after the point; what is no number is null. */
void j_number(struct json *j, const char *key, double value);
/* RFC 3339, UTC. */
void j_time(struct json *j, const char *key, uint64_t wall_ms);

/* What is wrong with a text that was to be an object. */
struct json_fault {
    char message[320];
    char field[64]; /* "" = none in particular */
};

/*
 * Reads one object whose keys are among `keys` (no others, none twice). An empty text is an empty
 * object. The object, to be given to json_decref, or NULL with what is wrong.
 */
NODISCARD json_t *j_read(struct span text, const char *const *keys, size_t key_count,
                         struct json_fault *ret_fault);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A text that grows, up to a limit: answers of the admin server.
 *
 * Errors are sticky as with base/bytes.h's writer: once it would pass its limit, or memory is out,
 * nothing more is written and text_ok says so.
 *
 * Lifetime: text_init .. text_fini or text_take. Thread rule: the owner's thread.
 */

#include "base/bytes.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    uint8_t *p;
    size_t n, room, max;
    bool failed;
};

void text_init(struct text *t, size_t max);
void text_fini(struct text *t);

static inline bool text_ok(const struct text *t)
{
    return !t->failed;
}

static inline struct span text_span(const struct text *t)
{
    return span_of(t->p, t->n);
}

void text_add(struct text *t, const void *p, size_t n);
void text_u64(struct text *t, uint64_t v);
PRINTF(2, 3) void text_printf(struct text *t, const char *format, ...);

static inline void text_span_add(struct text *t, struct span s)
{
    text_add(t, s.p, s.n);
}

static inline void text_str(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

static inline void text_u8(struct text *t, uint8_t c)
{
    text_add(t, &c, 1);
}

/* Room for `n` more bytes, written in place and then added by text_commit; NULL when it failed. */
uint8_t *text_reserve(struct text *t, size_t n);
void text_commit(struct text *t, size_t n);

/* Forgets what was written after the first `n` bytes; the failure stays. */
void text_cut(struct text *t, size_t n);

/* Hands over the bytes, to be freed by the caller; the text is empty afterwards. NULL when it
 * failed. */
uint8_t *text_take(struct text *t, size_t *ret_n);

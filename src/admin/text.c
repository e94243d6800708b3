/* SPDX-License-Identifier: MIT */
#include "admin/text.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MIN 1024

void text_init(struct text *t, size_t max)
{
    *t = (struct text){.max = max};
}

void text_fini(struct text *t)
{
    free(t->p);
    *t = (struct text){.max = t->max};
}

static bool grow(struct text *t, size_t more)
{
    if (t->failed || more > t->max || t->n > t->max - more) {
        t->failed = true;
        return false;
    }
    if (t->room - t->n >= more)
        return true;
    size_t room = MAX(t->room * 2, (size_t)TEXT_BYTES_MIN);
    while (room < t->n + more)
        room *= 2;
    uint8_t *p = realloc(t->p, room);
    if (!p) {
        t->failed = true;
        return false;
    }
    t->p = p;
    t->room = room;
    return true;
}

uint8_t *text_reserve(struct text *t, size_t n)
{
    return grow(t, n) ? t->p + t->n : NULL;
}

void text_commit(struct text *t, size_t n)
{
    CHECK(n <= t->room - t->n);
    t->n += n;
}

void text_add(struct text *t, const void *p, size_t n)
{
    if (n == 0 || !grow(t, n))
        return;
    memcpy(t->p + t->n, p, n);
    t->n += n;
}

void text_u64(struct text *t, uint64_t v)
{
    char digits[20];
    struct writer w = writer_of(digits, sizeof(digits));
    w_u64_dec(&w, v);
    text_span_add(t, w_span_of_result(&w));
}

void text_printf(struct text *t, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    CHECK(n >= 0);
    if ((size_t)n < sizeof(line)) {
        text_add(t, line, (size_t)n);
        return;
    }
    uint8_t *room = text_reserve(t, (size_t)n + 1);
    if (!room)
        return;
    va_start(args, format);
    vsnprintf((char *)room, (size_t)n + 1, format, args);
    va_end(args);
    text_commit(t, (size_t)n);
}

void text_cut(struct text *t, size_t n)
{
    CHECK(n <= t->n);
    t->n = n;
}

uint8_t *text_take(struct text *t, size_t *ret_n)
{
    uint8_t *p = t->failed ? NULL : t->p;
    if (t->failed)
        free(t->p);
    *ret_n = p ? t->n : 0;
    *t = (struct text){.max = t->max};
    return p;
}

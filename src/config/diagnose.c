/* SPDX-License-Identifier: MIT */
/*
 * Diagnostics: collecting and ordering them. They live in one arena that goes with them; what is
 * beyond DIAGNOSTICS_MAX is counted and not kept, so a broken file cannot fill the memory.
 */
#include "config/diagnose.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdlib.h>

#define MEMORY_BYTES_MAX  ((size_t)1 << 30)
#define MESSAGE_BYTES_MAX 1024

struct memory {
    struct arena arena;
    size_t capacity;
};

void *config_must(void *p)
{
    CHECK(p != NULL);
    return p;
}

void diagnostics_init(struct diagnostics *d, const char *source, struct span text)
{
    struct memory *m = config_must(calloc(1, sizeof(*m)));
    arena_init(&m->arena, 4096, MEMORY_BYTES_MAX);
    *d = (struct diagnostics){.text = text, .memory = m};
    d->source = config_must(arena_strdup(&m->arena, span_cstr(source)));
}

struct arena *diagnostics_arena(struct diagnostics *d)
{
    struct memory *m = d->memory;
    return &m->arena;
}

void diagnostics_fini(struct diagnostics *d)
{
    struct memory *m = d->memory;
    if (m) {
        arena_fini(&m->arena);
        free(m);
    }
    free(d->items);
    *d = (struct diagnostics){0};
}

static struct diagnostic *add(struct diagnostics *d)
{
    struct memory *m = d->memory;
    if (d->count == m->capacity) {
        m->capacity = m->capacity ? m->capacity * 2 : 8;
        d->items = config_must(realloc(d->items, m->capacity * sizeof(*d->items)));
    }
    return &d->items[d->count++];
}

static const char *copy(struct diagnostics *d, const char *text)
{
    return text ? config_must(arena_strdup(diagnostics_arena(d), span_cstr(text))) : NULL;
}

/* What a user typed may hold anything: one line, cut to a size people can read. */
PRINTF(2, 0)
static const char *message_of(struct diagnostics *d, const char *format, va_list args)
{
    char raw[MESSAGE_BYTES_MAX];
    char *to = raw;
    (void)vsnprintf(raw, sizeof(raw), format, args);
    for (const char *from = raw; *from;) {
        size_t steering = utf8_steering_len(span_cstr(from));
        *to++ = steering || ascii_is_control((uint8_t)*from) ? '?' : *from;
        from += steering ? steering : 1;
    }
    *to = 0;
    return copy(d, raw);
}

static PRINTF(3, 0) void diagnose_v(struct diagnostics *d, const struct finding *f,
                                    const char *format, va_list args)
{
    *(f->level == DIAGNOSTIC_ERROR ? &d->errors : &d->warnings) += 1;
    if (diagnostics_full(d))
        return;
    struct diagnostic *item = add(d);
    *item = (struct diagnostic){
        .level = f->level,
        .line = f->at.line,
        .column = f->at.column,
        .length = MAX(f->at.length, 1u),
        .message = message_of(d, format, args),
        .hint = copy(d, f->hint),
        .note = copy(d, f->note),
        .also = {f->also.line, f->also.column, MAX(f->also.length, 1u), copy(d, f->also_label)},
    };
}

void diagnose(struct diagnostics *d, const struct finding *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    diagnose_v(d, f, format, args);
    va_end(args);
}

void diagnose_error(struct diagnostics *d, struct place at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    diagnose_v(d, &(struct finding){.level = DIAGNOSTIC_ERROR, .at = at}, format, args);
    va_end(args);
}

void diagnose_warning(struct diagnostics *d, struct place at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    diagnose_v(d, &(struct finding){.level = DIAGNOSTIC_WARNING, .at = at}, format, args);
    va_end(args);
}

static int by_place(const void *a, const void *b)
{
    const struct diagnostic *x = a;
    const struct diagnostic *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return strcmp(x->message, y->message);
}

void diagnostics_sort(struct diagnostics *d)
{
    if (d->count > 1)
        qsort(d->items, d->count, sizeof(*d->items), by_place);
}

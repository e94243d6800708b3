/* SPDX-License-Identifier: MIT */
#include "admin/log_tail.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

struct line {
    uint8_t *p; /* owned; NULL: was left out */
    size_t n;
};

struct log_tail {
    struct line lines[ADMIN_LOG_KEPT];
    size_t first, count;
};

struct log_tail *log_tail_new(void)
{
    return calloc(1, sizeof(struct log_tail));
}

void log_tail_free(struct log_tail **tail)
{
    struct log_tail *t = *tail;
    if (!t)
        return;
    for (size_t i = 0; i < ARRAY_LEN(t->lines); i++)
        free(t->lines[i].p);
    free(t);
    *tail = NULL;
}

void log_tail_add(struct log_tail *t, struct span object)
{
    struct line *l = &t->lines[(t->first + t->count) % ADMIN_LOG_KEPT];
    if (t->count == ADMIN_LOG_KEPT)
        t->first = (t->first + 1) % ADMIN_LOG_KEPT;
    else
        t->count++;
    free(l->p);
    *l = (struct line){.p = malloc(object.n ? object.n : 1), .n = object.n};
    if (l->p)
        memcpy(l->p, object.p, object.n);
}

void log_tail_write(const struct log_tail *t, size_t most, struct json *j, const char *key)
{
    size_t n = MIN(most, t->count);
    j_array(j, key);
    for (size_t i = t->count - n; i < t->count; i++) {
        const struct line *l = &t->lines[(t->first + i) % ADMIN_LOG_KEPT];
        if (l->p)
            j_raw(j, span_of(l->p, l->n));
    }
    j_end(j);
}

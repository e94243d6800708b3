/* SPDX-License-Identifier: MIT */
/* Values are compared by their texts: what reads back to the same is the same. */
#include "config/difference.h"

#include "base/check.h"
#include "config/value.h"

#include <stdio.h>
#include <string.h>

struct comparison {
    const struct snapshot *a, *b;
    const void *owner_a, *owner_b;
    config_differs_fn *differs;
    void *user;
};

static struct span item_text(const struct snapshot *s, const struct option *o, const void *owner,
                             size_t i, char buffer[VALUE_TEXT_MAX])
{
    struct writer w = writer_of(buffer, VALUE_TEXT_MAX);
    value_item(s, o, owner, i, &w);
    return w_span_of_result(&w);
}

static const char *secret(const struct option *o, const void *owner)
{
    const char *text = *(const char *const *)((const uint8_t *)owner + o->offset);
    return text ? text : "";
}

static bool same_item(const struct comparison *c, const struct option *o, size_t i)
{
    static _Thread_local char a[VALUE_TEXT_MAX], b[VALUE_TEXT_MAX];
    if (o->type == TYPE_SECRET)
        return strcmp(secret(o, c->owner_a), secret(o, c->owner_b)) == 0;
    if (o->type == TYPE_FIELD &&
        strcmp(value_item_name(o, c->owner_a, i), value_item_name(o, c->owner_b, i)) != 0)
        return false;
    return span_eq(item_text(c->a, o, c->owner_a, i, a), item_text(c->b, o, c->owner_b, i, b));
}

static bool same(const struct comparison *c, const struct option *o)
{
    bool set = value_is_set(o, c->owner_a);
    if (set != value_is_set(o, c->owner_b))
        return false;
    size_t count = set ? value_count(o, c->owner_a) : 0;
    if (set && count != value_count(o, c->owner_b))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!same_item(c, o, i))
            return false;
    }
    return true;
}

/* All of it in one line, cut where it is too long. */
static void tell(const struct snapshot *s, const struct option *o, const void *owner,
                 char text[COMPARE_TEXT_MAX])
{
    static _Thread_local char item[VALUE_TEXT_MAX];
    size_t at = 0, count = value_is_set(o, owner) ? value_count(o, owner) : 0;
    (void)snprintf(text, COMPARE_TEXT_MAX, "none");
    for (size_t i = 0; i < count; i++) {
        struct span value = item_text(s, o, owner, i, item);
        const char *name = o->type == TYPE_FIELD ? value_item_name(o, owner, i) : "";
        int n = snprintf(text + at, COMPARE_TEXT_MAX - at, "%s%s%s%.*s", i ? ", " : "", name,
                         *name ? ": " : "", (int)value.n, (const char *)value.p);
        at += (size_t)n;
        if (at >= COMPARE_TEXT_MAX) {
            memcpy(text + COMPARE_TEXT_MAX - 4, "...", 4);
            return;
        }
    }
}

static void report(const struct comparison *c, const struct option *o, const char *prefix)
{
    char path[64], before[COMPARE_TEXT_MAX], after[COMPARE_TEXT_MAX];
    (void)snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", o->name);
    tell(c->a, o, c->owner_a, before);
    tell(c->b, o, c->owner_b, after);
    c->differs(c->user, path, before, after);
}

/* The options of one block; blocks within it lie at most one deeper. */
static size_t compare_block(const struct comparison *c, enum scope scope, const char *prefix)
{
    size_t count, found = 0;
    const struct option *options = scope_options(scope, &count);
    for (size_t i = 0; i < count; i++) {
        const struct option *o = &options[i];
        if (o->type == TYPE_BLOCK || o->type == TYPE_BLOCKS || same(c, o))
            continue;
        found++;
        report(c, o, prefix);
    }
    return found;
}

size_t config_compare(enum scope scope, const struct snapshot *a, const void *owner_a,
                      const struct snapshot *b, const void *owner_b, config_differs_fn *differs,
                      void *user)
{
    struct comparison c = {a, b, owner_a, owner_b, differs, user};
    size_t count, found = compare_block(&c, scope, "");
    const struct option *options = scope_options(scope, &count);
    for (size_t i = 0; i < count; i++) {
        if (options[i].type == TYPE_BLOCK && scope != SCOPE_ROOT)
            found += compare_block(&c, options[i].child, options[i].name);
    }
    return found;
}

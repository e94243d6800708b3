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

static const void *field_at(const void *owner, uint32_t offset)
{
    return (const uint8_t *)owner + offset;
}

static const char *secret(const struct option *o, const void *owner)
{
    const char *text = *(const char *const *)field_at(owner, o->offset);
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

static size_t compare_items(const struct comparison *c, const struct option *o, const char *prefix);

/* The options of one block; blocks within it lie at most one deeper. */
static size_t compare_block(const struct comparison *c, enum scope scope, const char *prefix)
{
    size_t count, found = 0;
    const struct option *options = scope_options(scope, &count);
    for (size_t i = 0; i < count; i++) {
        const struct option *o = &options[i];
        if (o->type == TYPE_BLOCKS && *prefix)
            found += compare_items(c, o, prefix);
        if (o->type == TYPE_BLOCK || o->type == TYPE_BLOCKS || same(c, o))
            continue;
        found++;
        report(c, o, prefix);
    }
    return found;
}

static size_t items_of(const struct option *o, const void *owner, const uint8_t **ret_items)
{
    *ret_items = *(const uint8_t *const *)field_at(owner, o->offset);
    return *(const size_t *)field_at(owner, o->count_offset);
}

/* A list of blocks within a block (certificates): their order says something. */
static size_t compare_items(const struct comparison *c, const struct option *o, const char *prefix)
{
    const uint8_t *a, *b;
    size_t bytes = scope_info(o->child)->owner_bytes, found = 0;
    size_t a_count = items_of(o, c->owner_a, &a), b_count = items_of(o, c->owner_b, &b);
    char path[48], before[24], after[24];
    for (size_t i = 0; i < MIN(a_count, b_count); i++) {
        struct comparison item = *c;
        item.owner_a = a + i * bytes;
        item.owner_b = b + i * bytes;
        (void)snprintf(path, sizeof(path), "%s.%s[%zu]", prefix, o->name, i);
        found += compare_block(&item, o->child, path);
    }
    if (a_count == b_count)
        return found;
    (void)snprintf(path, sizeof(path), "%s.%s", prefix, o->name);
    (void)snprintf(before, sizeof(before), "%zu", a_count);
    (void)snprintf(after, sizeof(after), "%zu", b_count);
    c->differs(c->user, path, before, after);
    return found + 1;
}

/* A block that may stand without anything in it: that it is there is all it says. */
static size_t compare_tls(const struct comparison *c, enum scope scope)
{
    bool a = false, b = false;
    if (scope == SCOPE_LISTENER) {
        a = ((const struct listener_conf *)c->owner_a)->tls.enabled;
        b = ((const struct listener_conf *)c->owner_b)->tls.enabled;
    } else if (scope == SCOPE_POOL) {
        a = ((const struct pool_conf *)c->owner_a)->tls.enabled;
        b = ((const struct pool_conf *)c->owner_b)->tls.enabled;
    }
    if (a != b)
        c->differs(c->user, "tls", a ? "on" : "off", b ? "on" : "off");
    return a != b;
}

size_t config_compare(enum scope scope, const struct snapshot *a, const void *owner_a,
                      const struct snapshot *b, const void *owner_b, config_differs_fn *differs,
                      void *user)
{
    struct comparison c = {a, b, owner_a, owner_b, differs, user};
    size_t count, found = compare_block(&c, scope, "") + compare_tls(&c, scope);
    const struct option *options = scope_options(scope, &count);
    for (size_t i = 0; i < count; i++) {
        if (options[i].type == TYPE_BLOCK && scope != SCOPE_ROOT)
            found += compare_block(&c, options[i].child, options[i].name);
    }
    return found;
}

/* SPDX-License-Identifier: MIT */
#include "config/walk.h"

#include "base/check.h"
#include "config/value.h"

static void push(struct walk *w, const struct block *b)
{
    CHECK(w->depth < WALK_DEPTH_MAX);
    w->frames[w->depth++] = (struct walk_frame){.block = b};
}

void walk_init(struct walk *w, const struct snapshot *s)
{
    *w = (struct walk){.depth = 0};
    push(w, config_of(s)->root);
}

/* The next item of the list that frame `f` is in, or the end of the list. */
static enum walk_event next_item(struct walk *w, struct walk_frame *f)
{
    if (f->child == f->block->child_counts[f->option]) {
        f->in_list = false;
        f->option++;
        return WALK_ITEMS_END;
    }
    const struct block *child = &f->block->children[f->option][f->child++];
    w->at = child->at;
    push(w, child);
    return WALK_ITEM;
}

static bool is_of_http(const struct option *o)
{
    struct span name = span_cstr(o->name);
    return span_eq(name, span_str("http2")) || span_eq(name, span_str("redirect_https"));
}

/* Values that nobody wrote and that would not be legal where they stand: names made of addresses,
 * and what only http listeners or http checks have. */
static bool is_implied(const struct block *b, size_t i)
{
    enum option_type type = b->options[i].type;
    if (b->places[i].line)
        return false;
    if (b->scope == SCOPE_HEALTH &&
        (type == TYPE_PATH || type == TYPE_HOST || type == TYPE_STATUS)) {
        const struct pool_conf *pool = b->target;
        return pool->health.type != HEALTH_HTTP;
    }
    if (b->scope == SCOPE_LISTENER && is_of_http(&b->options[i])) {
        const struct listener_conf *listener = b->target;
        return listener->protocol != PROTOCOL_HTTP;
    }
    return type == TYPE_NAME;
}

static bool is_shown(const struct block *b, size_t i)
{
    return value_is_set(&b->options[i], b->target) && !is_implied(b, i);
}

/* Blocks whose presence says something of its own. */
static bool is_optional(enum scope scope)
{
    return scope == SCOPE_ADMIN || scope == SCOPE_LISTENER_TLS || scope == SCOPE_POOL_TLS;
}

/* Blocks that nobody wrote, and those without anything in them: "match:" alone would have no value.
 */
static bool is_hidden(const struct block *child)
{
    if (is_optional(child->scope) && child->at.line == 0)
        return true;
    for (size_t i = 0; i < child->option_count; i++)
        if (is_shown(child, i))
            return false;
    return true;
}

/* The event of option f->option, if there is something to say about it. */
static bool enter(struct walk *w, struct walk_frame *f, enum walk_event *ret_event)
{
    const struct block *b = f->block;
    size_t i = f->option;
    w->block = b;
    w->option = &b->options[i];
    w->at = b->places[i];
    if (w->option->type == TYPE_BLOCKS) {
        f->in_list = b->child_counts[i] > 0;
        f->child = 0;
        *ret_event = WALK_ITEMS;
        return f->in_list;
    }
    f->option++;
    if (w->option->type == TYPE_BLOCK) {
        if (is_hidden(b->children[i]))
            return false;
        push(w, b->children[i]);
        *ret_event = WALK_BLOCK;
        return true;
    }
    *ret_event = WALK_VALUE;
    return is_shown(b, i);
}

enum walk_event walk_next(struct walk *w)
{
    enum walk_event event;
    for (;;) {
        struct walk_frame *f = &w->frames[w->depth - 1];
        w->block = f->block;
        w->option = f->option < f->block->option_count ? &f->block->options[f->option] : NULL;
        if (f->in_list)
            return next_item(w, f);
        if (w->option == NULL)
            break;
        if (enter(w, f, &event))
            return event;
        if (!f->in_list && w->option->type == TYPE_BLOCKS)
            f->option++;
    }
    if (--w->depth == 0) {
        w->depth = 1; /* asked again, it ends again */
        return WALK_END;
    }
    return w->frames[w->depth - 1].in_list ? WALK_ITEM_END : WALK_BLOCK_END;
}

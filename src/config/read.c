/* SPDX-License-Identifier: MIT */
#include "config/read.h"

#include "base/check.h"
#include "base/str.h"
#include "config/value.h"

#include <stdio.h>

#define KEYS_MAX 32 /* of one scope; CHECKed */

static void enqueue(struct load *l, struct block *block, const struct node *node)
{
    struct pending *p = config_must(arena_new(&l->scratch, struct pending));
    p->block = block;
    p->node = node;
    *l->last = p;
    l->last = &p->next;
}

static void block_init(struct load *l, struct block *b, enum scope scope, void *target,
                       const struct node *node)
{
    struct arena *arena = &l->config->arena;
    size_t count;
    b->scope = scope;
    b->options = scope_options(scope, &count);
    b->option_count = (uint32_t)count;
    b->target = target;
    b->at = node ? node->at : (struct place){0};
    b->places = config_must(arena_new_array(arena, struct place, count));
    bool inner = false;
    for (size_t i = 0; i < count; i++)
        inner |= b->options[i].type == TYPE_BLOCK || b->options[i].type == TYPE_BLOCKS;
    if (inner) {
        b->children = config_must(arena_new_array(arena, struct block *, count));
        b->child_counts = config_must(arena_new_array(arena, uint32_t, count));
    }
    if (scope == SCOPE_LISTENER)
        ((struct listener_conf *)target)->pool = -1;
    if (scope == SCOPE_ROUTE)
        ((struct route_conf *)target)->pool = UINT32_MAX;
}

/* ---- keys ---------------------------------------------------------------------------------------
 */

static const char *scope_words(enum scope scope)
{
    return scope == SCOPE_ROOT ? "at the top" : scope_info(scope)->where;
}

static void complain_key(struct load *l, const struct block *b, const struct node *key)
{
    const char *names[KEYS_MAX];
    char note[512];
    char hint[160];
    struct writer w = writer_of(note, sizeof(note));
    enum scope other;
    hint[0] = 0;
    if (diagnostics_full(l->d)) {
        diagnose_error(l->d, key->at, "unknown key");
        return;
    }
    w_str(&w, "the keys here are: ");
    CHECK(b->option_count <= KEYS_MAX);
    for (size_t i = 0; i < b->option_count; i++) {
        names[i] = b->options[i].name;
        w_printf(&w, "%s%s", i ? ", " : "", names[i]);
    }
    const char *meant = suggest_closest(key->text, names, b->option_count);
    if (meant)
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", meant);
    else if (option_elsewhere(b->scope, key->text, &other))
        (void)snprintf(hint, sizeof(hint), "it belongs %s%s", other == SCOPE_ROOT ? "" : "in ",
                       scope_words(other));
    diagnose(l->d,
             &(struct finding){.at = key->at, .hint = hint[0] ? hint : NULL, .note = w_cstr(&w)},
             "unknown key '" SPAN_FMT "'", SPAN_ARG(key->text));
}

static const struct option *find_key(struct load *l, const struct block *b, const struct node *key,
                                     const struct node **first_keys)
{
    const struct option *o = option_find(b->scope, key->text);
    if (o == NULL) {
        complain_key(l, b, key);
        return NULL;
    }
    const struct node **first = &first_keys[o - b->options];
    if (*first) {
        diagnose(l->d,
                 &(struct finding){
                     .at = key->at, .also = (*first)->at, .also_label = "first given here"},
                 "the key '%s' is given twice", o->name);
        return NULL;
    }
    *first = key;
    return o;
}

/* ---- inner blocks -------------------------------------------------------------------------------
 */

static void read_inner(struct load *l, struct block *b, size_t i, const struct node *node)
{
    struct block *child = config_must(arena_new(&l->config->arena, struct block));
    block_init(l, child, b->options[i].child, b->target, node);
    if (node)
        child->at = b->places[i];
    b->children[i] = child;
    b->child_counts[i] = 1;
    enqueue(l, child, node);
}

static bool check_items(struct load *l, const struct option *o, const struct node *node)
{
    if (node->kind != NODE_LIST) {
        if (node->kind != NODE_BROKEN)
            diagnose(
                l->d,
                &(struct finding){.at = node->at,
                                  .note = "each item is on a line of its own and begins with '- '"},
                "'%s' is a list, not %s", o->name,
                node->kind == NODE_SCALAR && node->text.n == 0 ? "empty" : node_kind_name(node));
        return false;
    }
    if (node->count < o->min && l->whole)
        diagnose_error(l->d, node->at, "'%s' is an empty list", o->name);
    else if (node->count > o->max)
        diagnose_error(l->d, node->at, "'%s' has %u items; the most is %llu", o->name, node->count,
                       (unsigned long long)o->max);
    else
        return true;
    return false;
}

static void read_items(struct load *l, struct block *b, size_t i, const struct node *node)
{
    const struct option *o = &b->options[i];
    const struct scope_info *info = scope_info(o->child);
    struct arena *arena = &l->config->arena;
    if (!check_items(l, o, node))
        return;
    uint8_t *owners =
        config_must(arena_array(arena, node->count, info->owner_bytes, info->owner_align));
    struct block *children = config_must(arena_new_array(arena, struct block, node->count));
    size_t count = 0;
    for (const struct node *item = node->first; item; item = item->next, count++) {
        block_init(l, &children[count], o->child, owners + count * info->owner_bytes, item);
        enqueue(l, &children[count], item);
    }
    void *array = (uint8_t *)b->target + o->offset;
    void *length = (uint8_t *)b->target + o->count_offset;
    *(void **)array = owners;
    *(size_t *)length = count;
    b->children[i] = children;
    b->child_counts[i] = (uint32_t)count;
}

/* ---- blocks -------------------------------------------------------------------------------------
 */

static void read_option(struct load *l, struct block *b, size_t i, const struct node *node)
{
    const struct option *o = &b->options[i];
    bool block = o->type == TYPE_BLOCK || o->type == TYPE_BLOCKS;
    b->places[i] = block ? node->key->at : node->at; /* of much text its key is the place */
    if (o->type == TYPE_BLOCK)
        read_inner(l, b, i, node);
    else if (o->type == TYPE_BLOCKS)
        read_items(l, b, i, node);
    else
        value_read(l, o, node, b->target);
}

/* "backends: [127.0.0.1:8881]": an item that is its address alone. */
static bool read_short_form(struct load *l, struct block *b, const struct node *node)
{
    if (b->scope != SCOPE_BACKEND || node->kind != NODE_SCALAR)
        return false;
    read_option(l, b, block_index(b, "address"), node);
    return true;
}

static bool read_keys(struct load *l, struct block *b, const struct node *node)
{
    const struct node *first_keys[KEYS_MAX] = {0};
    if (node->kind == NODE_BROKEN || read_short_form(l, b, node))
        return node->kind != NODE_BROKEN;
    if (node->kind != NODE_MAP) {
        diagnose(l->d,
                 &(struct finding){.at = node->at,
                                   .note = "write its keys below it, each as 'key: value'"},
                 "'%s' is a mapping of keys, not %s", scope_info(b->scope)->title,
                 node->kind == NODE_SCALAR && node->text.n == 0 ? "empty" : node_kind_name(node));
        return false;
    }
    CHECK(b->option_count <= KEYS_MAX);
    for (const struct node *value = node->first; value; value = value->next) {
        const struct option *o = find_key(l, b, value->key, first_keys);
        if (o)
            read_option(l, b, (size_t)(o - b->options), value);
    }
    return true;
}

/* What was not written: defaults, blocks of defaults, and complaints. */
static void fill(struct load *l, struct block *b, bool complain)
{
    struct place at = b->at.line ? b->at : (struct place){1, 1, 1};
    for (size_t i = 0; i < b->option_count; i++) {
        const struct option *o = &b->options[i];
        if (b->places[i].line)
            continue;
        if (o->type == TYPE_BLOCK)
            read_inner(l, b, i, NULL);
        else if (option_is_required(o) && complain)
            diagnose(l->d, &(struct finding){.at = at, .note = o->help}, "%s%s has no '%s'",
                     b->scope == SCOPE_ROOT ? "the " : "this ", scope_info(b->scope)->title,
                     o->name);
        else if (o->type != TYPE_BLOCKS)
            value_read_default(l, o, b->target);
    }
}

void read_config(struct load *l, const struct node *root)
{
    struct block *b = config_must(arena_new(&l->config->arena, struct block));
    l->config->root = b;
    block_init(l, b, SCOPE_ROOT, &l->config->snapshot, root);
    b->at.length = 1;
    enqueue(l, b, root);
    for (; l->first; l->first = l->first->next) {
        bool complete = l->first->node == NULL || read_keys(l, l->first->block, l->first->node);
        fill(l, l->first->block, complete && l->whole);
    }
}

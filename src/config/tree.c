/* SPDX-License-Identifier: MIT */
/*
 * Builds the tree from libyaml's events with a stack of its own, so depth is bounded before
 * anything recurses. Lines end in LF or CR LF only: then libyaml's line numbers are an editor's.
 */
#include "config/tree.h"

#include "base/check.h"
#include "base/limits.h"
#include "config/tree_text.h"

#include <stdio.h>
#include <yaml.h>

struct builder {
    yaml_parser_t parser;
    struct arena *arena;
    struct diagnostics *d;
    struct node *root;
    struct node *open[CONFIG_DEPTH_MAX]; /* collections not ended yet, outermost first */
    struct node *keys[CONFIG_DEPTH_MAX]; /* of mappings: the key that waits for its value */
    unsigned depth;
    size_t nodes, documents;
    bool whole, done;
};

const char *node_kind_name(const struct node *n)
{
    switch (n->kind) {
    case NODE_MAP: return "a mapping";
    case NODE_LIST: return "a list";
    default: return "a value";
    }
}

static struct place place_of(yaml_mark_t start, yaml_mark_t end)
{
    size_t length =
        end.line == start.line && end.column > start.column ? end.column - start.column : 1;
    return (struct place){(uint32_t)start.line + 1, (uint32_t)start.column + 1, (uint32_t)length};
}

static void stop(struct builder *b)
{
    b->whole = false;
    b->done = true;
}

static struct node *node_new(struct builder *b, enum node_kind kind, const yaml_event_t *e)
{
    struct node *n = config_must(arena_new(b->arena, struct node));
    n->kind = kind;
    n->at = place_of(e->start_mark, e->end_mark);
    if (kind == NODE_MAP || kind == NODE_LIST)
        n->at.length = 1;
    if (++b->nodes == CONFIG_NODES_MAX) {
        diagnose_error(b->d, n->at, "the file has more than %d values", CONFIG_NODES_MAX);
        stop(b);
    }
    return n;
}

static void append(struct node *parent, struct node *child)
{
    *(parent->last ? &parent->last->next : &parent->first) = child;
    parent->last = child;
    parent->count++;
}

/* Puts a node where the document is: as root, list item, key or value. */
static void place_node(struct builder *b, struct node *n)
{
    if (b->depth == 0) {
        b->root = n;
        return;
    }
    struct node *parent = b->open[b->depth - 1];
    struct node **key = &b->keys[b->depth - 1];
    if (parent->kind == NODE_LIST) {
        append(parent, n);
    } else if (*key == NULL) {
        *key = n;
        if (n->kind == NODE_MAP || n->kind == NODE_LIST)
            diagnose_error(b->d, n->at, "a key must be a word, not %s", node_kind_name(n));
    } else {
        n->key = *key;
        *key = NULL;
        if (n->key->kind == NODE_SCALAR)
            append(parent, n);
    }
}

static void open_node(struct builder *b, enum node_kind kind, const yaml_event_t *e)
{
    struct node *n = node_new(b, kind, e);
    if (b->depth == CONFIG_DEPTH_MAX) {
        diagnose_error(b->d, n->at, "blocks are nested deeper than %d levels", CONFIG_DEPTH_MAX);
        stop(b);
        return;
    }
    place_node(b, n);
    b->keys[b->depth] = NULL;
    b->open[b->depth++] = n;
}

static void refuse_anchor_and_tag(struct builder *b, const yaml_event_t *e,
                                  const yaml_char_t *anchor, const yaml_char_t *tag)
{
    struct place at = place_of(e->start_mark, e->end_mark);
    struct place name = at;
    name.length = anchor ? (uint32_t)strlen((const char *)anchor) + 1 : 1;
    if (anchor)
        diagnose_error(b->d, name, "anchors ('&%.64s') are not allowed; write the values out",
                       (const char *)anchor);
    if (tag)
        diagnose_error(b->d, at, "tags ('%.64s') are not allowed; the key decides the type",
                       (const char *)tag);
}

static void take_scalar(struct builder *b, const yaml_event_t *e)
{
    refuse_anchor_and_tag(b, e, e->data.scalar.anchor, e->data.scalar.tag);
    struct node *n = node_new(b, NODE_SCALAR, e);
    n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->text.p =
        config_must(arena_strdup(b->arena, span_of(e->data.scalar.value, e->data.scalar.length)));
    n->text.n = e->data.scalar.length;
    place_node(b, n);
}

static void take_alias(struct builder *b, const yaml_event_t *e)
{
    diagnose_error(b->d, place_of(e->start_mark, e->end_mark),
                   "aliases ('*%.64s') are not allowed; write the values out",
                   (const char *)e->data.alias.anchor);
    place_node(b, node_new(b, NODE_BROKEN, e));
}

static void take_document(struct builder *b, const yaml_event_t *e)
{
    if (++b->documents == 1)
        return;
    diagnose_error(b->d, place_of(e->start_mark, e->end_mark),
                   "a second document begins here; a configuration is one document");
    b->done = true;
}

static void take(struct builder *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT: take_document(b, e); break;
    case YAML_SCALAR_EVENT: take_scalar(b, e); break;
    case YAML_ALIAS_EVENT: take_alias(b, e); break;
    case YAML_MAPPING_START_EVENT:
        refuse_anchor_and_tag(b, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        open_node(b, NODE_MAP, e);
        break;
    case YAML_SEQUENCE_START_EVENT:
        refuse_anchor_and_tag(b, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        open_node(b, NODE_LIST, e);
        break;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        CHECK(b->depth > 0);
        b->depth--;
        break;
    case YAML_STREAM_END_EVENT: b->done = true; break;
    default: break;
    }
}

const struct node *tree_read(struct span text, struct arena *arena, struct diagnostics *d,
                             bool *ret_whole)
{
    struct builder b = {.arena = arena, .d = d, .whole = true};
    *ret_whole = false;
    if (!tree_text_check(text, d))
        return NULL;
    CHECK(yaml_parser_initialize(&b.parser));
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, text.n ? text.p : (const uint8_t *)"", text.n);
    while (!b.done) {
        yaml_event_t event;
        if (!yaml_parser_parse(&b.parser, &event)) {
            tree_text_complain(&b.parser, text, d);
            stop(&b);
            break;
        }
        take(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&b.parser);
    *ret_whole = b.whole;
    return b.root;
}

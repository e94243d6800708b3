/* SPDX-License-Identifier: MIT */
/*
 * How a node of the text becomes the field of an option: one value, a list of values, or the
 * fields of a match. Also the way back, item by item.
 */
#include "base/check.h"
#include "base/map.h"
#include "config/value.h"

#include <stdio.h>

static void *field_of(const struct option *o, void *owner)
{
    return (uint8_t *)owner + o->offset;
}

static const void *field_of_const(const struct option *o, const void *owner)
{
    return (const uint8_t *)owner + o->offset;
}

static void wrong_kind(struct load *l, const struct option *o, const struct node *node)
{
    if (node->kind == NODE_BROKEN)
        return;
    diagnose(l->d, &(struct finding){.at = node->at, .note = value_type(o->type)->form},
             "'%s' is %s%s, not %s", o->name, o->list ? "one or a list of: " : "a ",
             value_type(o->type)->word, node_kind_name(node));
}

static bool is_one_of(struct span text, const char *const *words)
{
    for (; *words; words++)
        if (span_eq_nocase(text, span_cstr(*words)))
            return true;
    return false;
}

/* Words that YAML readers take for something else than a text. False, and an error, for those. */
static bool check_bare_word(struct load *l, const struct option *o, const struct node *node)
{
    static const char *const nothing[] = {"", "~", "null", NULL};
    static const char *const booleans[] = {"yes", "no", "on", "off", "true", "false", NULL};
    static const char *const truths[] = {"yes", "on", "true", NULL};
    if (!node->plain)
        return true;
    if (is_one_of(node->text, nothing)) {
        diagnose(l->d, &(struct finding){.at = node->at, .note = value_type(o->type)->form},
                 "'%s' has no value", o->name);
        return false;
    }
    if (!is_one_of(node->text, booleans))
        return true;
    if (o->type != TYPE_BOOL) {
        diagnose_error(l->d, node->at,
                       "a bare '" SPAN_FMT "' is a boolean in YAML; put it in quotes",
                       SPAN_ARG(node->text));
        return false;
    }
    if (span_eq(node->text, span_str("true")) || span_eq(node->text, span_str("false")))
        return true;
    diagnose(l->d,
             &(struct finding){.at = node->at,
                               .hint = is_one_of(node->text, truths) ? "did you mean 'true'?"
                                                                     : "did you mean 'false'?"},
             "'%s' is true or false, not '" SPAN_FMT "'", o->name, SPAN_ARG(node->text));
    return false;
}

static bool read_scalar(struct load *l, const struct option *o, const struct node *node,
                        void *target)
{
    struct span text;
    if (node->kind != NODE_SCALAR) {
        wrong_kind(l, o, node);
        return false;
    }
    if (!check_bare_word(l, o, node) || !value_expand(l, node, &text))
        return false;
    return value_type(o->type)->read(l, o, &node->at, text, target);
}

static bool check_list_length(struct load *l, const struct option *o, const struct node *node)
{
    if (node->count >= o->min && node->count <= o->max)
        return true;
    if (node->count == 0)
        diagnose_error(l->d, node->at, "'%s' is an empty list", o->name);
    else
        diagnose_error(l->d, node->at, "'%s' has %u values; the most is %llu", o->name, node->count,
                       (unsigned long long)o->max);
    return false;
}

/* An array of `count` items in the snapshot, stored in the option's field. */
static uint8_t *new_items(struct load *l, const struct option *o, void *owner, size_t count)
{
    const struct value_type *type = value_type(o->type);
    uint8_t *items =
        config_must(arena_array(&l->config->arena, count, type->item_bytes, type->item_align));
    *(void **)field_of(o, owner) = items;
    return items;
}

static void set_count(const struct option *o, void *owner, size_t count)
{
    void *field = (uint8_t *)owner + o->count_offset;
    *(size_t *)field = count;
}

/* A list, or a value alone, which is a list of one. */
static void read_list(struct load *l, const struct option *o, const struct node *node, void *owner)
{
    const struct node *item = node->kind == NODE_LIST ? node->first : node;
    size_t count = 0;
    if (node->kind == NODE_MAP) {
        wrong_kind(l, o, node);
        return;
    }
    if (node->kind == NODE_LIST && !check_list_length(l, o, node))
        return;
    uint8_t *items = new_items(l, o, owner, node->kind == NODE_LIST ? node->count : 1);
    for (; item; item = node->kind == NODE_LIST ? item->next : NULL)
        count += read_scalar(l, o, item, items + count * value_type(o->type)->item_bytes);
    set_count(o, owner, count);
}

static void read_flag_list(struct load *l, const struct option *o, const struct node *node,
                           void *owner)
{
    const struct node *item = node->kind == NODE_LIST ? node->first : node;
    uint_store(field_of(o, owner), o->size, 0);
    if (node->kind == NODE_MAP)
        wrong_kind(l, o, node);
    else if (node->kind != NODE_LIST || check_list_length(l, o, node))
        for (; item; item = node->kind == NODE_LIST ? item->next : NULL)
            (void)read_scalar(l, o, item, field_of(o, owner));
}

static bool read_field(struct load *l, const struct node *node, struct match_field *ret_field)
{
    static const struct option value = {
        .name = "headers", .type = TYPE_FILE, .max = CONFIG_VALUE_MAX};
    const char *text = NULL;
    if (!read_field_name(l, &node->key->at, node->key->text, &ret_field->name))
        return false;
    if (!read_scalar(l, &value, node, &text))
        return false;
    ret_field->value = strcmp(text, "*") == 0 ? NULL : text;
    return true;
}

static void read_fields(struct load *l, const struct option *o, const struct node *node,
                        void *owner)
{
    if (node->kind != NODE_MAP) {
        wrong_kind(l, o, node);
        return;
    }
    if (!check_list_length(l, o, node))
        return;
    struct match_field *fields = (void *)new_items(l, o, owner, node->count);
    struct place *places = config_must(arena_new_array(&l->scratch, struct place, node->count));
    size_t count = 0;
    for (const struct node *item = node->first; item; item = item->next) {
        if (!read_field(l, item, &fields[count]))
            continue;
        places[count] = item->key->at;
        size_t first = 0;
        while (strcmp(fields[first].name, fields[count].name) != 0)
            first++;
        if (first < count)
            diagnose(l->d,
                     &(struct finding){.at = item->key->at,
                                       .also = places[first],
                                       .also_label = "first given here"},
                     "the field '%s' is given twice", fields[count].name);
        else
            count++;
    }
    set_count(o, owner, count);
}

void value_read(struct load *l, const struct option *o, const struct node *node, void *owner)
{
    if (o->type == TYPE_FIELD)
        read_fields(l, o, node, owner);
    else if (o->type == TYPE_FLAGS)
        read_flag_list(l, o, node, owner);
    else if (o->list)
        read_list(l, o, node, owner);
    else
        (void)read_scalar(l, o, node, field_of(o, owner));
}

/* A default list is words with spaces between; the table is right by test, so nothing fails. */
void value_read_default(struct load *l, const struct option *o, void *owner)
{
    const struct value_type *type = value_type(o->type);
    struct span rest = span_cstr(option_default(o));
    struct place nowhere = {0};
    if (rest.n == 0)
        return;
    if (!o->list) {
        CHECK(type->read(l, o, &nowhere, rest, field_of(o, owner)));
        return;
    }
    bool flags = o->type == TYPE_FLAGS;
    uint8_t *items = flags ? field_of(o, owner) : new_items(l, o, owner, rest.n);
    size_t count = 0;
    while (rest.n)
        CHECK(type->read(l, o, &nowhere, span_cut(&rest, ' '),
                         items + (flags ? 0 : count++ * type->item_bytes)));
    if (!flags)
        set_count(o, owner, count);
}

bool value_is_set(const struct option *o, const void *owner)
{
    const void *field = field_of_const(o, owner);
    if (o->type == TYPE_FLAGS)
        return true;
    if (o->list)
        return value_count(o, owner) > 0;
    switch (o->type) {
    case TYPE_NAME:
    case TYPE_FILE:
    case TYPE_SECRET:
    case TYPE_PATH:
    case TYPE_HOST:
    case TYPE_TEXT: return *(const char *const *)field != NULL;
    case TYPE_POOL: return uint_load(field, o->size) != UINT32_MAX;
    case TYPE_ADDRESS: return ((const struct address *)field)->kind != ADDRESS_NONE;
    default: return true;
    }
}

/* The word of the n-th bit set. */
static const struct option_word *flag_at(const struct option *o, const void *owner, size_t n)
{
    uint64_t bits = uint_load(field_of_const(o, owner), o->size);
    for (const struct option_word *word = o->words; word->name; word++)
        if ((bits & (uint64_t)word->value) != 0 && n-- == 0)
            return word;
    return NULL;
}

size_t value_count(const struct option *o, const void *owner)
{
    if (o->type == TYPE_FLAGS)
        return (size_t)__builtin_popcountll(uint_load(field_of_const(o, owner), o->size));
    const void *length = (const uint8_t *)owner + o->count_offset;
    return o->list ? *(const size_t *)length : 1;
}

static const void *item_at(const struct option *o, const void *owner, size_t i)
{
    const void *field = field_of_const(o, owner);
    CHECK(i < value_count(o, owner));
    return o->list ? *(const uint8_t *const *)field + i * value_type(o->type)->item_bytes : field;
}

void value_item(const struct snapshot *s, const struct option *o, const void *owner, size_t i,
                struct writer *w)
{
    if (o->type != TYPE_FLAGS) {
        value_type(o->type)->print(s, o, item_at(o, owner, i), w);
        return;
    }
    const struct option_word *word = flag_at(o, owner, i);
    CHECK(word != NULL);
    w_str(w, word->name);
}

const char *value_item_name(const struct option *o, const void *owner, size_t i)
{
    CHECK(o->type == TYPE_FIELD);
    const struct match_field *field = item_at(o, owner, i);
    return field->name;
}

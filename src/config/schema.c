/* SPDX-License-Identifier: MIT */
/*
 * docs/poise.schema.json (JSON Schema, draft 2020-12), from the option table. What it cannot say
 * (names that must exist, settings that contradict each other) is left to `poise check`.
 */
#include "config/value.h"

#include <jansson.h>
#include <stdlib.h>

#define DEF_NAME_MAX 64

/* "pools[].health" -> "pools.health": brackets are not legal in a reference. */
static const char *def_name(enum scope scope, char buf[DEF_NAME_MAX])
{
    struct writer w = writer_of(buf, DEF_NAME_MAX);
    for (const char *c = scope_info(scope)->where; *c; c++)
        if (*c != '[' && *c != ']')
            w_u8(&w, (uint8_t)*c);
    return w_cstr(&w);
}

static json_t *reference_to(enum scope scope)
{
    char name[DEF_NAME_MAX];
    return json_pack("{s:o}", "$ref", json_sprintf("#/$defs/%s", def_name(scope, name)));
}

/* Any value may come from the environment, as a text. */
static json_t *or_variable(json_t *schema)
{
    return json_pack("{s:[o, {s:s, s:s}]}", "anyOf", schema, "type", "string", "pattern",
                     "\\$\\{[A-Za-z_]");
}

static json_t *words_of(const struct option *o)
{
    json_t *names = json_array();
    for (const struct option_word *word = o->words; word->name; word++)
        if (word->missing == NULL)
            (void)json_array_append_new(names, json_string(word->name));
    return json_pack("{s:o}", "enum", names);
}

static json_t *number_of(const struct option *o)
{
    return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)o->min, "maximum",
                     (json_int_t)o->max);
}

static json_t *text_of(const struct option *o)
{
    const char *pattern = value_type(o->type)->pattern;
    json_t *text = json_pack("{s:s}", "type", "string");
    if (pattern)
        (void)json_object_set_new(text, "pattern", json_string(pattern));
    else
        (void)json_object_set_new(text, "minLength", json_integer(1));
    return text;
}

/* One value, without a list around it. */
static json_t *item_of(const struct option *o)
{
    switch (o->type) {
    case TYPE_BOOL: return or_variable(json_pack("{s:s}", "type", "boolean"));
    case TYPE_INTEGER: return or_variable(number_of(o));
    case TYPE_COUNT_OR_AUTO:
        return or_variable(json_pack("{s:[o, {s:s}]}", "anyOf", number_of(o), "const", "auto"));
    case TYPE_ENUM:
    case TYPE_FLAGS: return or_variable(words_of(o));
    case TYPE_DURATION:
    case TYPE_SIZE:
        return or_variable(json_pack("{s:[o, {s:i}]}", "anyOf", text_of(o), "const", 0));
    case TYPE_STATUS:
        return or_variable(json_pack("{s:[o, {s:s, s:i, s:i}]}", "anyOf", text_of(o), "type",
                                     "integer", "minimum", 100, "maximum", 599));
    default: return or_variable(text_of(o));
    }
}

static json_t *list_of(const struct option *o, json_t *item)
{
    return json_pack("{s:s, s:o, s:I, s:I}", "type", "array", "items", item, "minItems",
                     (json_int_t)o->min, "maxItems", (json_int_t)o->max);
}

static json_t *schema_of(const struct option *o)
{
    if (o->type == TYPE_BLOCK)
        return reference_to(o->child);
    if (o->type == TYPE_BLOCKS && o->child == SCOPE_BACKEND)
        return list_of(
            o, json_pack("{s:[o, {s:s}]}", "anyOf", reference_to(o->child), "type", "string"));
    if (o->type == TYPE_BLOCKS)
        return list_of(o, reference_to(o->child));
    if (o->type == TYPE_FIELD)
        return json_pack("{s:s, s:I, s:{s:[s, s]}}", "type", "object", "maxProperties",
                         (json_int_t)o->max, "additionalProperties", "type", "string", "number");
    if (o->list)
        return json_pack("{s:[o, o]}", "anyOf", item_of(o), list_of(o, item_of(o)));
    return item_of(o);
}

static json_t *default_item(const struct option *o, struct span text)
{
    uint64_t number;
    if (o->type == TYPE_BOOL)
        return json_boolean(span_eq(text, span_str("true")));
    if (value_type(o->type)->kind == VALUE_NUMBER && span_to_u64(text, &number))
        return json_integer((json_int_t)number);
    return json_stringn((const char *)text.p, text.n);
}

static json_t *default_of(const struct option *o)
{
    struct span rest = span_cstr(option_default(o));
    if (!o->list)
        return default_item(o, rest);
    json_t *list = json_array();
    while (rest.n > 0)
        (void)json_array_append_new(list, default_item(o, span_cut(&rest, ' ')));
    return list;
}

static json_t *scope_schema(enum scope scope)
{
    size_t count;
    const struct option *o = scope_options(scope, &count);
    json_t *properties = json_object();
    json_t *required = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *schema = config_must(schema_of(&o[i]));
        (void)json_object_set_new(schema, "description", json_string(o[i].help));
        if (option_default(&o[i]))
            (void)json_object_set_new(schema, "default", default_of(&o[i]));
        if (option_is_required(&o[i]))
            (void)json_array_append_new(required, json_string(o[i].name));
        (void)json_object_set_new(properties, o[i].name, schema);
    }
    json_t *schema = config_must(json_pack("{s:s, s:b, s:o}", "type", "object",
                                           "additionalProperties", 0, "properties", properties));
    if (json_array_size(required))
        (void)json_object_set(schema, "required", required);
    json_decref(required);
    return schema;
}

void config_print_schema(FILE *out)
{
    json_t *schema = config_must(
        json_pack("{s:s, s:s, s:s}", "$comment", "SPDX-License-Identifier: MIT", "$schema",
                  "https://json-schema.org/draft/2020-12/schema", "title", "Poise configuration"));
    json_t *root = scope_schema(SCOPE_ROOT);
    json_t *defs = json_object();
    for (int scope = SCOPE_ROOT + 1; scope < SCOPE_COUNT; scope++) {
        char name[DEF_NAME_MAX];
        (void)json_object_set_new(defs, def_name((enum scope)scope, name),
                                  scope_schema((enum scope)scope));
    }
    (void)json_object_update(schema, root);
    (void)json_object_set_new(schema, "$defs", defs);
    json_decref(root);
    (void)json_dumpf(schema, out, JSON_INDENT(2));
    (void)fputc('\n', out);
    json_decref(schema);
}

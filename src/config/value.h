/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Values: what may be written for each type of the option table, and how it is printed.
 *
 * Thread rule: as load.h.
 */

#include "base/bytes.h"
#include "base/limits.h"
#include "config/option.h"
#include "config/read.h"

/* Longest text of one item, with room for what an address or a number prints. */
#define VALUE_TEXT_MAX (CONFIG_VALUE_MAX + 1)

/* Reads what `node` holds into the option's field of `owner`. Reports what is wrong. */
void value_read(struct load *l, const struct option *o, const struct node *node, void *owner);

/* The same with the default of the table, if there is one. */
void value_read_default(struct load *l, const struct option *o, void *owner);

/* The text of a scalar with its ${} expanded, in scratch memory; false when that was an error. */
NODISCARD bool value_expand(struct load *l, const struct node *node, struct span *ret_text);

/* From text to *target; reports what is wrong and is false then. */
typedef bool value_read_fn(struct load *l, const struct option *o, const struct place *at,
                           struct span text, void *target);

/* Writes the text that reads back to the same. */
typedef void value_print_fn(const struct snapshot *s, const struct option *o, const void *item,
                            struct writer *w);

/* How a type reads and shows. */
enum value_kind {
    VALUE_TEXT, /* in quotes unless it is plain beyond doubt */
    VALUE_BARE, /* a text that never needs quotes */
    VALUE_NUMBER,
    VALUE_BOOL,
};

struct value_type {
    const char *word;    /* "duration": in the reference */
    const char *form;    /* "digits and a unit: 250ms, 5s, 1m": after "write" */
    const char *pattern; /* regular expression of the text, for the schema; NULL = any */
    enum value_kind kind;
    uint32_t item_bytes, item_align; /* of an element of a list */
    value_read_fn *read;
    value_print_fn *print;
};

const struct value_type *value_type(enum option_type type);

/* Whether there is anything to print: unset texts, references and lists have nothing. */
bool value_is_set(const struct option *o, const void *owner);

/* How many values the field holds (1 unless a list), and the text of each. For TYPE_FIELD the name
 * of an item is separate. */
size_t value_count(const struct option *o, const void *owner);
/* Writes `text` so that YAML, and our own reader, read back exactly it: in quotes where needed. */
void yaml_quote(struct writer *w, struct span text);

void value_item(const struct snapshot *s, const struct option *o, const void *owner, size_t i,
                struct writer *w);
const char *value_item_name(const struct option *o, const void *owner, size_t i);

/* Unsigned fields of 1 to 8 bytes. */
void uint_store(void *target, uint32_t size, uint64_t value);
uint64_t uint_load(const void *target, uint32_t size);

/* Readers of texts with a syntax of their own (value_text.c). */
value_read_fn read_name, read_file, read_path, read_host, read_method, read_address, read_network,
    read_status;
bool read_field_name(struct load *l, const struct place *at, struct span text,
                     const char **ret_name);

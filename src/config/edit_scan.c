/* SPDX-License-Identifier: MIT */
/* libyaml says where things are in characters; here they become bytes. No recursion: the way down
 * to the backends is known, and what is not on it is skipped. */
#include "config/edit_scan.h"

#include "base/check.h"
#include "base/limits.h"

#include <yaml.h>

struct scan {
    struct span text;
    yaml_parser_t parser;
    yaml_event_t event;
    bool held; /* there is an event to be deleted */
    bool failed;
    size_t chars, bytes; /* the same place, said both ways */
};

static yaml_event_type_t next(struct scan *s)
{
    if (s->held)
        yaml_event_delete(&s->event);
    s->held = !s->failed && yaml_parser_parse(&s->parser, &s->event);
    s->failed |= !s->held;
    return s->held ? s->event.type : YAML_NO_EVENT;
}

static bool is_tail(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* Places come nearly in order, so the way from the last one is short. */
static size_t byte_of(struct scan *s, size_t chars)
{
    while (s->chars < chars && s->bytes < s->text.n) {
        do
            s->bytes++;
        while (s->bytes < s->text.n && is_tail(s->text.p[s->bytes]));
        s->chars++;
    }
    while (s->chars > chars && s->bytes > 0) {
        do
            s->bytes--;
        while (s->bytes > 0 && is_tail(s->text.p[s->bytes]));
        s->chars--;
    }
    return s->bytes;
}

static struct piece piece_of(struct scan *s)
{
    size_t start = byte_of(s, s->event.start_mark.index);
    return (struct piece){start, byte_of(s, s->event.end_mark.index)};
}

static bool opens(yaml_event_type_t t)
{
    return t == YAML_MAPPING_START_EVENT || t == YAML_SEQUENCE_START_EVENT;
}

static bool closes(yaml_event_type_t t)
{
    return t == YAML_MAPPING_END_EVENT || t == YAML_SEQUENCE_END_EVENT || t == YAML_NO_EVENT;
}

/* To the end of the node that has begun. */
static void skip(struct scan *s)
{
    size_t depth = opens(s->event.type);
    while (depth > 0 && !s->failed) {
        yaml_event_type_t t = next(s);
        depth = depth + opens(t) - closes(t);
    }
}

static bool is_text(const struct scan *s, const char *text)
{
    return s->held && s->event.type == YAML_SCALAR_EVENT &&
           span_eq(span_of(s->event.data.scalar.value, s->event.data.scalar.length),
                   span_cstr(text));
}

/* In a mapping that has begun: on to the value of a key. False: there is none such. */
static bool find_key(struct scan *s, const char *key)
{
    for (;;) {
        if (closes(next(s)))
            return false;
        bool found = is_text(s, key);
        skip(s);
        (void)next(s);
        if (found)
            return !s->failed;
        skip(s);
    }
}

/* In a sequence that has begun: on to an item. */
static bool find_item(struct scan *s, size_t index)
{
    for (size_t i = 0;; i++) {
        if (closes(next(s)))
            return false;
        if (i == index)
            return true;
        skip(s);
    }
}

static void scan_map(struct scan *s, struct item *item)
{
    bool flow = s->event.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
    item->kind = flow ? ITEM_FLOW : ITEM_BLOCK;
    while (!closes(next(s))) {
        bool weight = is_text(s, "weight");
        item->last_key = piece_of(s);
        if (item->first_key.end == 0)
            item->first_key = item->last_key;
        skip(s);
        (void)next(s);
        item->last_value = piece_of(s);
        if (weight)
            item->weight = item->last_value;
        item->has_weight |= weight;
        skip(s);
    }
    item->at.end = flow ? piece_of(s).end : item->last_value.end;
}

static void scan_items(struct scan *s, struct arena *arena, struct items *ret)
{
    size_t room = 0;
    ret->flow = s->event.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
    ret->at = piece_of(s);
    while (!closes(next(s))) {
        if (ret->count == room) {
            struct item *old = ret->list;
            room = room ? 2 * room : 16;
            ret->list = arena_new_array(arena, struct item, room);
            if (!ret->list) {
                s->failed = true;
                return;
            }
            if (old)
                memcpy(ret->list, old, ret->count * sizeof(*old));
        }
        struct item *item = &ret->list[ret->count++];
        *item = (struct item){.kind = ITEM_SCALAR, .at = piece_of(s)};
        if (s->event.type == YAML_MAPPING_START_EVENT)
            scan_map(s, item);
        else
            s->failed |= s->event.type != YAML_SCALAR_EVENT;
    }
    ret->at.end = piece_of(s).end;
}

static bool scan(struct scan *s, size_t index, struct arena *arena, struct items *ret)
{
    while (next(s) == YAML_STREAM_START_EVENT || s->event.type == YAML_DOCUMENT_START_EVENT)
        ;
    if (s->failed || s->event.type != YAML_MAPPING_START_EVENT || !find_key(s, "pools") ||
        s->event.type != YAML_SEQUENCE_START_EVENT || !find_item(s, index) ||
        s->event.type != YAML_MAPPING_START_EVENT || !find_key(s, "backends") ||
        s->event.type != YAML_SEQUENCE_START_EVENT)
        return false;
    scan_items(s, arena, ret);
    return !s->failed && ret->count > 0;
}

bool edit_scan(struct span text, size_t index, struct arena *arena, struct items *ret_items)
{
    struct scan s = {.text = text};
    *ret_items = (struct items){0};
    CHECK(yaml_parser_initialize(&s.parser));
    yaml_parser_set_encoding(&s.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&s.parser, text.p, text.n);
    bool good = scan(&s, index, arena, ret_items);
    if (s.held)
        yaml_event_delete(&s.event);
    yaml_parser_delete(&s.parser);
    return good;
}

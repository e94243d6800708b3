/* SPDX-License-Identifier: MIT */
#include "sim/shape.h"

#include "base/check.h"
#include "base/str.h"
#include "sim/spread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS_MAX 32

/* ---- blocks ---- */

static void complain_key(struct reading *r, const struct node *key, const struct shape *shapes,
                         size_t count)
{
    const char *names[KEYS_MAX];
    char hint[128], note[1024];
    struct writer w = writer_of(note, sizeof(note));
    w_str(&w, "the keys here are: ");
    for (size_t i = 0; i < count; i++) {
        names[i] = shapes[i].name;
        w_printf(&w, "%s%s", i ? ", " : "", names[i]);
    }
    const char *meant = suggest_closest(key->text, names, count);
    if (meant)
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", meant);
    diagnose(r->d,
             &(struct finding){.at = key->at, .hint = meant ? hint : NULL, .note = w_cstr(&w)},
             "unknown key '" SPAN_FMT "'", SPAN_ARG(key->text));
}

static size_t find(const struct shape *shapes, size_t count, struct span name)
{
    size_t i = 0;
    while (i < count && !span_eq(name, span_cstr(shapes[i].name)))
        i++;
    return i;
}

static bool read_key(struct reading *r, const struct node *child, const struct shape *shapes,
                     size_t count, const struct node **given, uint8_t *target)
{
    const struct node *key = child->key;
    size_t i = find(shapes, count, key->text);
    if (i == count) {
        complain_key(r, key, shapes, count);
        return false;
    }
    if (given[i]) {
        diagnose(r->d,
                 &(struct finding){
                     .at = key->at, .also = given[i]->at, .also_label = "first given here"},
                 "the key '%s' is given twice", shapes[i].name);
        return false;
    }
    given[i] = key;
    if (child->kind == NODE_BROKEN)
        return false;
    if (shapes[i].place_offset) {
        struct place *place = (void *)(target + shapes[i].place_offset);
        *place = child->at;
    }
    return shapes[i].read(r, &shapes[i], child, target + shapes[i].offset);
}

bool shape_block(struct reading *r, const struct node *node, const struct shape *shapes,
                 size_t count, void *target)
{
    const struct node *given[KEYS_MAX] = {NULL};
    CHECK(count <= KEYS_MAX);
    if (node->kind != NODE_MAP) {
        if (node->kind != NODE_BROKEN)
            diagnose_error(r->d, node->at, "a mapping of keys belongs here, not %s",
                           node_kind_name(node));
        return false;
    }
    bool good = true;
    for (const struct node *child = node->first; child; child = child->next)
        good &= read_key(r, child, shapes, count, given, target);
    for (size_t i = 0; i < count; i++) {
        if (shapes[i].required && !given[i]) {
            diagnose_error(r->d, node->at, "'%s' is missing", shapes[i].name);
            good = false;
        }
    }
    return good;
}

const struct node *shape_items(struct reading *r, const struct node *node, const char *name,
                               size_t max)
{
    if (node->kind == NODE_BROKEN)
        return NULL;
    if (node->kind != NODE_LIST)
        diagnose_error(r->d, node->at, "'%s' is a list, not %s", name, node_kind_name(node));
    else if (node->count == 0)
        diagnose_error(r->d, node->at, "'%s' is an empty list", name);
    else if (node->count > max)
        diagnose_error(r->d, node->at, "'%s' has %u items; the most is %zu", name, node->count,
                       max);
    else
        return node->first;
    return NULL;
}

/* ---- values ---- */

static bool complain(struct reading *r, const struct shape *shape, const struct node *node,
                     const char *form)
{
    if (node->kind == NODE_SCALAR)
        diagnose(r->d, &(struct finding){.at = node->at, .note = form},
                 "'" SPAN_FMT "' cannot be '%s'", SPAN_ARG(node->text), shape->name);
    else if (node->kind != NODE_BROKEN)
        diagnose(r->d, &(struct finding){.at = node->at, .note = form},
                 "'%s' is a single value, not %s", shape->name, node_kind_name(node));
    return false;
}

static bool in_range(struct reading *r, const struct shape *shape, const struct node *node,
                     uint64_t value)
{
    if (value >= shape->min && value <= shape->max)
        return true;
    diagnose_error(r->d, node->at, "'%s' is %llu to %llu", shape->name,
                   (unsigned long long)shape->min, (unsigned long long)shape->max);
    return false;
}

bool shape_parse_duration(struct span text, uint64_t *ret_ns)
{
    uint64_t value;
    if (text.n > 2 && span_eq(span_from(text, text.n - 2), span_str("us"))) {
        if (!span_to_u64(span_sub(text, 0, text.n - 2), &value) || value > UINT64_C(1) << 50)
            return false;
        *ret_ns = value * 1000;
        return true;
    }
    if (!parse_duration_ms(text, &value) || value > UINT64_C(1) << 40)
        return false;
    *ret_ns = value * 1000000;
    return true;
}

static const char duration_form[] = "digits and a unit: 250us, 5ms, 1s, 2m";

bool shape_duration(struct reading *r, const struct shape *shape, const struct node *node,
                    void *target)
{
    uint64_t ns;
    if (node->kind != NODE_SCALAR || !shape_parse_duration(node->text, &ns))
        return complain(r, shape, node, duration_form);
    if (ns < shape->min || ns > shape->max) {
        char low[FORMAT_SHORT_MAX], high[FORMAT_SHORT_MAX];
        diagnose_error(r->d, node->at, "'%s' is %s to %s", shape->name,
                       format_duration_human_ns(low, shape->min),
                       format_duration_human_ns(high, shape->max));
        return false;
    }
    *(uint64_t *)target = ns;
    return true;
}

bool shape_count(struct reading *r, const struct shape *shape, const struct node *node,
                 void *target)
{
    uint64_t value;
    if (node->kind != NODE_SCALAR || !span_to_u64(node->text, &value))
        return complain(r, shape, node, "a whole number");
    if (!in_range(r, shape, node, value))
        return false;
    *(uint64_t *)target = value;
    return true;
}

bool shape_count32(struct reading *r, const struct shape *shape, const struct node *node,
                   void *target)
{
    uint64_t value;
    CHECK(shape->max <= UINT32_MAX);
    if (!shape_count(r, shape, node, &value))
        return false;
    *(uint32_t *)target = (uint32_t)value;
    return true;
}

bool shape_rate(struct reading *r, const struct shape *shape, const struct node *node, void *target)
{
    uint64_t events, period_ms;
    if (node->kind != NODE_SCALAR || !parse_rate(node->text, &events, &period_ms) || events == 0)
        return complain(r, shape, node, "digits and a period: 500/s, 6000/m");
    double per_s = (double)events * 1000 / (double)period_ms;
    if (per_s > (double)shape->max) {
        diagnose_error(r->d, node->at, "'%s' is at most %llu/s", shape->name,
                       (unsigned long long)shape->max);
        return false;
    }
    *(double *)target = per_s;
    return true;
}

bool shape_parse_decimal(struct span text, double *ret_value)
{
    char copy[32];
    char *end = copy;
    bool plain = text.n > 0;
    for (size_t i = 0; i < text.n; i++)
        plain &= (text.p[i] >= '0' && text.p[i] <= '9') || text.p[i] == '.';
    if (!plain || !span_to_cstr(text, copy, sizeof(copy)))
        return false;
    *ret_value = strtod(copy, &end);
    return *end == 0 && isfinite(*ret_value);
}

bool shape_share(struct reading *r, const struct shape *shape, const struct node *node,
                 void *target)
{
    double value;
    if (node->kind != NODE_SCALAR || !shape_parse_decimal(node->text, &value) || value > 1)
        return complain(r, shape, node, "a share of 0 to 1, such as 0.01");
    *(double *)target = value;
    return true;
}

bool shape_factor(struct reading *r, const struct shape *shape, const struct node *node,
                  void *target)
{
    double value;
    if (node->kind != NODE_SCALAR || !shape_parse_decimal(node->text, &value) || value <= 0)
        return complain(r, shape, node, "a number above 0, such as 10 or 0.5");
    *(double *)target = value;
    return true;
}

bool shape_bool(struct reading *r, const struct shape *shape, const struct node *node, void *target)
{
    bool yes = node->kind == NODE_SCALAR && span_eq(node->text, span_str("true"));
    bool no = node->kind == NODE_SCALAR && span_eq(node->text, span_str("false"));
    if (!yes && !no)
        return complain(r, shape, node, "true or false");
    *(bool *)target = yes;
    return true;
}

bool shape_word(struct reading *r, const struct shape *shape, const struct node *node, void *target)
{
    char note[256];
    struct writer w = writer_of(note, sizeof(note));
    uint32_t i = 0;
    w_str(&w, "one of: ");
    for (; shape->words[i]; i++) {
        if (node->kind == NODE_SCALAR && span_eq(node->text, span_cstr(shape->words[i]))) {
            *(uint32_t *)target = i + (uint32_t)shape->min;
            return true;
        }
        w_printf(&w, "%s%s", i ? ", " : "", shape->words[i]);
    }
    if (node->kind != NODE_SCALAR)
        return complain(r, shape, node, w_cstr(&w));
    char hint[128];
    const char *meant = suggest_closest(node->text, shape->words, i);
    (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", meant ? meant : "");
    diagnose(r->d,
             &(struct finding){.at = node->at, .hint = meant ? hint : NULL, .note = w_cstr(&w)},
             "'" SPAN_FMT "' cannot be '%s'", SPAN_ARG(node->text), shape->name);
    return false;
}

/* Printable ASCII without blanks: names, paths and hosts, which go into requests as they are. */
bool shape_text(struct reading *r, const struct shape *shape, const struct node *node, void *target)
{
    bool plain = node->kind == NODE_SCALAR && node->text.n > 0 && node->text.n <= 1024;
    for (size_t i = 0; plain && i < node->text.n; i++)
        plain = node->text.p[i] > ' ' && node->text.p[i] < 0x7f;
    if (!plain)
        return complain(r, shape, node, "1 to 1024 printable characters without blanks");
    char *text = arena_strdup(r->arena, node->text);
    *(const char **)target = config_must(text);
    return true;
}

bool shape_size(struct reading *r, const struct shape *shape, const struct node *node, void *target)
{
    uint64_t bytes;
    if (node->kind != NODE_SCALAR || !parse_size_bytes(node->text, &bytes))
        return complain(r, shape, node, "digits and a unit: 512B, 16KiB, 10MB");
    if (bytes > shape->max) {
        char most[FORMAT_SHORT_MAX];
        diagnose_error(r->d, node->at, "'%s' is at most %s", shape->name,
                       format_size_bytes(most, shape->max));
        return false;
    }
    *(uint32_t *)target = (uint32_t)bytes;
    return true;
}

/* ---- spreads ---- */

struct spread_text {
    uint64_t constant_ns, exponential_ns, p50_ns, p99_ns, low_ns, high_ns;
};

#define NS_MAX (UINT64_C(3600) * 1000000000)
#define TIME(key, member, needed)                                                            \
    {                                                                                        \
        .name = key, .read = shape_duration, .offset = offsetof(struct spread_text, member), \
        .min = 1, .max = NS_MAX, .required = needed                                          \
    }

static bool read_lognormal(struct reading *r, const struct shape *shape, const struct node *node,
                           void *target)
{
    static const struct shape shapes[] = {TIME("p50", p50_ns, true), TIME("p99", p99_ns, true)};
    struct spread_text t = {0};
    (void)shape;
    if (!shape_block(r, node, shapes, ARRAY_LEN(shapes), &t))
        return false;
    if (t.p99_ns < t.p50_ns) {
        diagnose_error(r->d, node->at, "'p99' cannot be less than 'p50'");
        return false;
    }
    *(struct spread *)target = spread_lognormal((double)t.p50_ns, (double)t.p99_ns);
    return true;
}

static bool read_uniform(struct reading *r, const struct shape *shape, const struct node *node,
                         void *target)
{
    static const struct shape shapes[] = {TIME("low", low_ns, true), TIME("high", high_ns, true)};
    struct spread_text t = {0};
    (void)shape;
    if (!shape_block(r, node, shapes, ARRAY_LEN(shapes), &t))
        return false;
    if (t.high_ns < t.low_ns) {
        diagnose_error(r->d, node->at, "'high' cannot be less than 'low'");
        return false;
    }
    *(struct spread *)target = (struct spread){
        .kind = SPREAD_UNIFORM, .low_ns = (double)t.low_ns, .high_ns = (double)t.high_ns};
    return true;
}

static bool read_mean(struct reading *r, const struct shape *shape, const struct node *node,
                      void *target)
{
    bool constant = shape->name[0] == 'c';
    const struct shape of = {.name = shape->name, .min = constant ? 0 : 1, .max = NS_MAX};
    uint64_t ns;
    if (!shape_duration(r, &of, node, &ns))
        return false;
    *(struct spread *)target = (struct spread){
        .kind = constant ? SPREAD_CONSTANT : SPREAD_EXPONENTIAL, .mean_ns = (double)ns};
    return true;
}

bool shape_spread(struct reading *r, const struct shape *shape, const struct node *node,
                  void *target)
{
    static const struct shape shapes[] = {
        {.name = "constant", .read = read_mean},
        {.name = "exponential", .read = read_mean},
        {.name = "lognormal", .read = read_lognormal},
        {.name = "uniform", .read = read_uniform},
    };
    static const char form[] = "5ms, {exponential: 5ms}, {lognormal: {p50: 5ms, p99: 50ms}} or "
                               "{uniform: {low: 1ms, high: 9ms}}";
    uint64_t ns;
    if (node->kind == NODE_SCALAR && shape_parse_duration(node->text, &ns) && ns <= NS_MAX) {
        *(struct spread *)target = (struct spread){.kind = SPREAD_CONSTANT, .mean_ns = (double)ns};
        return true;
    }
    if (node->kind != NODE_MAP || node->count != 1) {
        if (node->kind != NODE_BROKEN)
            diagnose(r->d, &(struct finding){.at = node->at, .note = form},
                     "'%s' is a time or one distribution of times", shape->name);
        return false;
    }
    return shape_block(r, node, shapes, ARRAY_LEN(shapes), target);
}

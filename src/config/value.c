/* SPDX-License-Identifier: MIT */
/*
 * The types of the option table: one row each, at the end. Above it what reads and prints them,
 * below it how a node of the text becomes one value or a list of them.
 */
#include "config/value.h"

#include "base/check.h"
#include "base/str.h"

#include <stdio.h>

void uint_store(void *target, uint32_t size, uint64_t value)
{
    switch (size) {
    case 1: *(uint8_t *)target = (uint8_t)value; break;
    case 2: *(uint16_t *)target = (uint16_t)value; break;
    case 4: *(uint32_t *)target = (uint32_t)value; break;
    case 8: *(uint64_t *)target = value; break;
    default: CHECK_FAIL("an option's field has 1, 2, 4 or 8 bytes");
    }
}

uint64_t uint_load(const void *target, uint32_t size)
{
    switch (size) {
    case 1: return *(const uint8_t *)target;
    case 2: return *(const uint16_t *)target;
    case 4: return *(const uint32_t *)target;
    case 8: return *(const uint64_t *)target;
    default: CHECK_FAIL("an option's field has 1, 2, 4 or 8 bytes");
    }
}

/* ---- numbers with and without units -----------------------------------------------------------
 */

typedef const char *format_fn(char buf[FORMAT_SHORT_MAX], uint64_t value);

static const char *format_number(char buf[FORMAT_SHORT_MAX], uint64_t value)
{
    (void)snprintf(buf, FORMAT_SHORT_MAX, "%llu", (unsigned long long)value);
    return buf;
}

static bool in_range(struct load *l, const struct option *o, const struct place *at,
                     struct span text, uint64_t value, format_fn *format)
{
    char low[FORMAT_SHORT_MAX];
    char high[FORMAT_SHORT_MAX];
    if (value >= o->min && value <= o->max)
        return true;
    diagnose_error(l->d, *at, "'%s' is %s to %s, not " SPAN_FMT, o->name, format(low, o->min),
                   format(high, o->max), SPAN_ARG(text));
    return false;
}

/* What other programs call our units. */
struct unit_alias {
    const char *written; /* lower case */
    const char *meant;
};

static const struct unit_alias duration_aliases[] = {
    {"", "s"},    {"sec", "s"},  {"secs", "s"},  {"second", "s"}, {"seconds", "s"},
    {"s", "s"},   {"ms", "ms"},  {"msec", "ms"}, {"msecs", "ms"}, {"millis", "ms"},
    {"m", "m"},   {"min", "m"},  {"mins", "m"},  {"minute", "m"}, {"minutes", "m"},
    {"h", "h"},   {"hr", "h"},   {"hour", "h"},  {"hours", "h"},  {"d", "d"},
    {"day", "d"}, {"days", "d"}, {NULL, NULL},
};

static const struct unit_alias size_aliases[] = {
    {"", "B"},      {"b", "B"},   {"byte", "B"}, {"bytes", "B"}, {"k", "KiB"}, {"kb", "kB"},
    {"kib", "KiB"}, {"m", "MiB"}, {"mb", "MB"},  {"mib", "MiB"}, {"g", "GiB"}, {"gb", "GB"},
    {"gib", "GiB"}, {"t", "TiB"}, {"tb", "TB"},  {"tib", "TiB"}, {NULL, NULL},
};

/* "5 seconds" -> "5s", into hint; empty when that is no help. */
static void hint_unit(const struct unit_alias *aliases, struct span text, char *hint, size_t size)
{
    size_t digits = 0;
    char word[16];
    while (digits < text.n && ascii_is_digit(text.p[digits]))
        digits++;
    struct span unit = span_trim(span_from(text, digits));
    hint[0] = 0;
    if (digits == 0 || digits > 18 || !span_to_cstr(unit, word, sizeof(word)))
        return;
    ascii_lower_in_place((uint8_t *)word, unit.n);
    for (; aliases->written; aliases++)
        if (strcmp(aliases->written, word) == 0)
            (void)snprintf(hint, size, "did you mean '%.*s%s'?", (int)digits, (const char *)text.p,
                           aliases->meant);
}

static void complain_unit(struct load *l, const struct option *o, const struct place *at,
                          struct span text, const struct unit_alias *aliases)
{
    char hint[64];
    uint64_t number;
    const struct value_type *type = value_type(o->type);
    hint_unit(aliases, text, hint, sizeof(hint));
    bool bare = span_to_u64(text, &number);
    diagnose(l->d, &(struct finding){.at = *at, .hint = hint[0] ? hint : NULL, .note = type->form},
             bare ? "'" SPAN_FMT "' has no unit" : "'" SPAN_FMT "' is not a %s", SPAN_ARG(text),
             type->word);
}

static bool read_duration(struct load *l, const struct option *o, const struct place *at,
                          struct span text, void *target)
{
    uint64_t ms;
    if (!parse_duration_ms(text, &ms)) {
        complain_unit(l, o, at, text, duration_aliases);
        return false;
    }
    if (!in_range(l, o, at, text, ms, format_duration_ms))
        return false;
    uint_store(target, o->size, ms);
    return true;
}

static bool read_size(struct load *l, const struct option *o, const struct place *at,
                      struct span text, void *target)
{
    uint64_t bytes;
    if (!parse_size_bytes(text, &bytes)) {
        complain_unit(l, o, at, text, size_aliases);
        return false;
    }
    if (!in_range(l, o, at, text, bytes, format_size_bytes))
        return false;
    uint_store(target, o->size, bytes);
    return true;
}

static bool read_integer(struct load *l, const struct option *o, const struct place *at,
                         struct span text, void *target)
{
    uint64_t value;
    if (!span_to_u64(text, &value)) {
        char note[96];
        (void)snprintf(note, sizeof(note), "write a whole number from %llu to %llu",
                       (unsigned long long)o->min, (unsigned long long)o->max);
        diagnose(l->d, &(struct finding){.at = *at, .note = note},
                 "'" SPAN_FMT "' is not a number for '%s'", SPAN_ARG(text), o->name);
        return false;
    }
    if (!in_range(l, o, at, text, value, format_number))
        return false;
    uint_store(target, o->size, value);
    return true;
}

static bool read_count_or_auto(struct load *l, const struct option *o, const struct place *at,
                               struct span text, void *target)
{
    if (!span_eq(text, span_str("auto")))
        return read_integer(l, o, at, text, target);
    uint_store(target, o->size, 0);
    return true;
}

static void print_duration(const struct snapshot *s, const struct option *o, const void *item,
                           struct writer *w)
{
    (void)s;
    w_duration_ms(w, uint_load(item, o->size));
}

static void print_size(const struct snapshot *s, const struct option *o, const void *item,
                       struct writer *w)
{
    (void)s;
    w_size_bytes(w, uint_load(item, o->size));
}

static void print_integer(const struct snapshot *s, const struct option *o, const void *item,
                          struct writer *w)
{
    (void)s;
    w_u64_dec(w, uint_load(item, o->size));
}

static void print_count_or_auto(const struct snapshot *s, const struct option *o, const void *item,
                                struct writer *w)
{
    if (uint_load(item, o->size) == 0)
        w_str(w, "auto");
    else
        print_integer(s, o, item, w);
}

/* ---- words --------------------------------------------------------------------------------------
 */

static bool read_bool(struct load *l, const struct option *o, const struct place *at,
                      struct span text, void *target)
{
    bool yes = span_eq(text, span_str("true"));
    if (!yes && !span_eq(text, span_str("false"))) {
        diagnose_error(l->d, *at, "'%s' is true or false, not '" SPAN_FMT "'", o->name,
                       SPAN_ARG(text));
        return false;
    }
    *(bool *)target = yes;
    return true;
}

#define WORDS_MAX 16

/* The words of this program, for notes; and the one meant, for hints. */
static void complain_word(struct load *l, const struct option *o, const struct place *at,
                          struct span text)
{
    const char *names[WORDS_MAX];
    size_t count = 0;
    char note[256];
    char hint[64];
    struct writer w = writer_of(note, sizeof(note));
    w_str(&w, "one of: ");
    for (const struct option_word *word = o->words; word->name; word++) {
        CHECK(count < WORDS_MAX);
        if (word->missing)
            continue;
        w_printf(&w, "%s%s", count ? ", " : "", word->name);
        names[count++] = word->name;
    }
    const char *meant = suggest_closest(text, names, count);
    (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", meant ? meant : "");
    diagnose(l->d, &(struct finding){.at = *at, .hint = meant ? hint : NULL, .note = w_cstr(&w)},
             "'" SPAN_FMT "' is not a value of '%s'", SPAN_ARG(text), o->name);
}

static bool find_word(struct load *l, const struct option *o, const struct place *at,
                      struct span text, int *ret_value)
{
    const struct option_word *word = option_word_find(o->words, text);
    if (word == NULL) {
        complain_word(l, o, at, text);
        return false;
    }
    if (word->missing) {
        diagnose_error(l->d, *at, "%s '%s' %s", o->name, word->name, word->missing);
        return false;
    }
    *ret_value = word->value;
    return true;
}

static bool read_enum(struct load *l, const struct option *o, const struct place *at,
                      struct span text, void *target)
{
    int value;
    if (!find_word(l, o, at, text, &value))
        return false;
    uint_store(target, o->size, (uint64_t)value);
    return true;
}

static bool read_flags(struct load *l, const struct option *o, const struct place *at,
                       struct span text, void *target)
{
    int value;
    if (!find_word(l, o, at, text, &value))
        return false;
    uint_store(target, o->size, uint_load(target, o->size) | (uint64_t)value);
    return true;
}

static bool read_pool(struct load *l, const struct option *o, const struct place *at,
                      struct span text, void *target)
{
    const char *name = NULL;
    if (!read_name(l, &(struct option){.name = o->name, .min = 1, .max = NAME_MAX_LEN}, at, text,
                   &name))
        return false;
    struct reference *r = config_must(arena_new(&l->scratch, struct reference));
    *r = (struct reference){.name = name, .at = *at, .target = target, .size = o->size};
    *l->last_reference = r;
    l->last_reference = &r->next;
    return true;
}

static bool read_secret(struct load *l, const struct option *o, const struct place *at,
                        struct span text, void *target)
{
    return read_file(l, o, at, text, target);
}

static void print_bool(const struct snapshot *s, const struct option *o, const void *item,
                       struct writer *w)
{
    (void)s;
    (void)o;
    w_str(w, *(const bool *)item ? "true" : "false");
}

static void print_word(const struct snapshot *s, const struct option *o, const void *item,
                       struct writer *w)
{
    (void)s;
    const char *word = option_word_of(o->words, (int)uint_load(item, o->size));
    CHECK(word != NULL);
    w_str(w, word);
}

static void print_text(const struct snapshot *s, const struct option *o, const void *item,
                       struct writer *w)
{
    (void)s;
    (void)o;
    w_str(w, *(const char *const *)item);
}

static void print_secret(const struct snapshot *s, const struct option *o, const void *item,
                         struct writer *w)
{
    (void)s;
    (void)o;
    (void)item;
    w_str(w, "(redacted)");
}

static void print_pool(const struct snapshot *s, const struct option *o, const void *item,
                       struct writer *w)
{
    uint64_t index = uint_load(item, o->size);
    CHECK(index < s->pool_count);
    w_str(w, s->pools[index].name);
}

static void print_address(const struct snapshot *s, const struct option *o, const void *item,
                          struct writer *w)
{
    (void)s;
    (void)o;
    char text[ADDRESS_TEXT_MAX];
    w_bytes(w, text, address_format(item, text));
}

static void print_network(const struct snapshot *s, const struct option *o, const void *item,
                          struct writer *w)
{
    const struct address_block *block = item;
    struct address ip = {.kind = block->kind};
    char text[ADDRESS_TEXT_MAX];
    (void)s;
    (void)o;
    memcpy(ip.ip, block->ip, sizeof(ip.ip));
    w_bytes(w, text, address_format_ip(&ip, text));
    w_printf(w, "/%u", block->prefix_bits);
}

static void print_status(const struct snapshot *s, const struct option *o, const void *item,
                         struct writer *w)
{
    const struct status_range *range = item;
    (void)s;
    (void)o;
    w_printf(w, range->low == range->high ? "%u" : "%u-%u", range->low, range->high);
}

static void print_field(const struct snapshot *s, const struct option *o, const void *item,
                        struct writer *w)
{
    const struct match_field *field = item;
    (void)s;
    (void)o;
    w_str(w, field->value ? field->value : "*");
}

/* ---- the types ----------------------------------------------------------------------------------
 */

#define ITEM(t) sizeof(t), _Alignof(t)

static const struct value_type types[TYPE_COUNT] = {
    [TYPE_BLOCK] = {.word = "mapping", .form = "a mapping of keys"},
    [TYPE_BLOCKS] = {.word = "list of mappings", .form = "a list of mappings"},
    [TYPE_DURATION] = {"duration", "a duration has digits and one of ms, s, m, h, d: 250ms, 5s, 1m",
                       "^([0-9]+(ms|s|m|h|d)|0)$", VALUE_BARE, 0, 0, read_duration, print_duration},
    [TYPE_SIZE] = {"size", "a size has digits and one of B, kB, MB, GB, KiB, MiB, GiB: 16KiB, 10MB",
                   "^([0-9]+(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)|0)$", VALUE_BARE, 0, 0, read_size,
                   print_size},
    [TYPE_INTEGER] = {"number", "a whole number", NULL, VALUE_NUMBER, 0, 0, read_integer,
                      print_integer},
    [TYPE_COUNT_OR_AUTO] = {"number or auto", "a whole number, or auto", NULL, VALUE_NUMBER, 0, 0,
                            read_count_or_auto, print_count_or_auto},
    [TYPE_BOOL] = {"boolean", "true or false", NULL, VALUE_BOOL, 0, 0, read_bool, print_bool},
    [TYPE_ENUM] = {"word", "one of its words", NULL, VALUE_TEXT, 0, 0, read_enum, print_word},
    [TYPE_FLAGS] = {"words", "a list of its words", NULL, VALUE_TEXT, 0, 0, read_flags, print_word},
    [TYPE_NAME] = {"name", "letters, digits, '_', '.', '-'", "^[A-Za-z0-9_.-]{1,64}$", VALUE_TEXT,
                   0, 0, read_name, print_text},
    [TYPE_FILE] = {"file", "the path of a file", NULL, VALUE_TEXT, 0, 0, read_file, print_text},
    [TYPE_SECRET] = {"secret", "a text; better \"${NAME}\" from the environment", NULL, VALUE_TEXT,
                     0, 0, read_secret, print_secret},
    [TYPE_PATH] = {"path", "a path of a URL: /v1", "^/", VALUE_TEXT, 0, 0, read_path, print_text},
    [TYPE_HOST] = {"host", "a host: api.example.com", NULL, VALUE_TEXT, ITEM(const char *),
                   read_host, print_text},
    [TYPE_METHOD] = {"method", "a method: GET", "^[A-Z0-9!#$%&'*+.^_`|~-]+$", VALUE_TEXT,
                     ITEM(const char *), read_method, print_text},
    [TYPE_POOL] = {"pool", "the name of a pool", "^[A-Za-z0-9_.-]{1,64}$", VALUE_TEXT, 0, 0,
                   read_pool, print_pool},
    [TYPE_ADDRESS] = {"address", "an address: 127.0.0.1:8080, [::1]:8080, :8080, unix:/path", NULL,
                      VALUE_TEXT, ITEM(struct address), read_address, print_address},
    [TYPE_NETWORK] = {"network", "a network: 10.0.0.0/8, or one address", NULL, VALUE_TEXT,
                      ITEM(struct address_block), read_network, print_network},
    [TYPE_TEXT] = {"text", "a text", NULL, VALUE_TEXT, ITEM(const char *), read_file, print_text},
    [TYPE_STATUS] = {"status range", "a status or a range: 204, 200-399",
                     "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$", VALUE_BARE, ITEM(struct status_range),
                     read_status, print_status},
    [TYPE_FIELD] = {"fields", "a mapping of field names to values: {x-beta: \"1\"}", NULL,
                    VALUE_TEXT, ITEM(struct match_field), NULL, print_field},
};

const struct value_type *value_type(enum option_type type)
{
    CHECK(type < TYPE_COUNT);
    return &types[type];
}

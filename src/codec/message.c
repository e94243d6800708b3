/* SPDX-License-Identifier: MIT */
/*
 * Names to numbers: methods and known fields.
 *
 * Known fields are found by a perfect hash over length, first, middle and last letter. The table is
 * checked against field.def by the unit test, which prints a new one when a row has been added.
 */
#include "codec/message.h"

#include "codec/field_hash.h"

bool method_is_idempotent(enum method m)
{
    switch (m) {
    case METHOD_GET:
    case METHOD_HEAD:
    case METHOD_PUT:
    case METHOD_DELETE:
    case METHOD_OPTIONS:
    case METHOD_TRACE: return true;
    case METHOD_OTHER:
    case METHOD_POST:
    case METHOD_PATCH:
    case METHOD_CONNECT: return false;
    }
    return false;
}

static const struct {
    enum method method;
    struct span name;
} methods[] = {
    {METHOD_GET, SPAN_INIT("GET")},         {METHOD_POST, SPAN_INIT("POST")},
    {METHOD_HEAD, SPAN_INIT("HEAD")},       {METHOD_PUT, SPAN_INIT("PUT")},
    {METHOD_OPTIONS, SPAN_INIT("OPTIONS")}, {METHOD_DELETE, SPAN_INIT("DELETE")},
    {METHOD_PATCH, SPAN_INIT("PATCH")},     {METHOD_CONNECT, SPAN_INIT("CONNECT")},
    {METHOD_TRACE, SPAN_INIT("TRACE")},
};

enum method method_of(struct span text)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (span_eq(text, methods[i].name))
            return methods[i].method;
    return METHOD_OTHER;
}

/* Padded so that whole words can be compared. */
struct known_name {
    uint8_t n;
    char text[23];
};

static const struct known_name known_names[FIELD_IDS] = {
#define FIELD(id, name) [FIELD_##id] = {sizeof(name) - 1, name},
#include "codec/field.def"
#undef FIELD
};

static const uint8_t known_slots[FIELD_HASH_SLOTS] = {
    [4] = FIELD_X_REQUEST_ID,
    [11] = FIELD_HTTP2_SETTINGS,
    [16] = FIELD_SEC_WEBSOCKET_KEY,
    [18] = FIELD_TE,
    [19] = FIELD_AUTHORIZATION,
    [21] = FIELD_TRAILER,
    [23] = FIELD_KEEP_ALIVE,
    [27] = FIELD_VARY,
    [31] = FIELD_DATE,
    [34] = FIELD_SEC_WEBSOCKET_ACCEPT,
    [40] = FIELD_X_FORWARDED_PROTO,
    [41] = FIELD_FORWARDED,
    [43] = FIELD_TRANSFER_ENCODING,
    [44] = FIELD_CACHE_CONTROL,
    [46] = FIELD_ACCEPT_ENCODING,
    [48] = FIELD_X_FORWARDED_FOR,
    [53] = FIELD_CONTENT_ENCODING,
    [58] = FIELD_X_FORWARDED_HOST,
    [61] = FIELD_ETAG,
    [69] = FIELD_VIA,
    [75] = FIELD_CONTENT_RANGE,
    [79] = FIELD_PROXY_AUTHORIZATION,
    [80] = FIELD_PROXY_AUTHENTICATE,
    [81] = FIELD_USER_AGENT,
    [83] = FIELD_EXPECT,
    [88] = FIELD_SERVER,
    [89] = FIELD_PROXY_CONNECTION,
    [97] = FIELD_SET_COOKIE,
    [99] = FIELD_REFERER,
    [100] = FIELD_ACCEPT,
    [101] = FIELD_CONNECTION,
    [103] = FIELD_UPGRADE,
    [110] = FIELD_COOKIE,
    [111] = FIELD_RETRY_AFTER,
    [112] = FIELD_ORIGIN,
    [116] = FIELD_HOST,
    [120] = FIELD_LAST_MODIFIED,
    [122] = FIELD_CONTENT_LENGTH,
    [123] = FIELD_RANGE,
    [124] = FIELD_CONTENT_TYPE,
};

/*
 * Letters in lower case, eight at a time: bit 5 is set where bit 6 is. Other bytes may change too,
 * but none becomes a letter, a digit or '-', of which all known names are made.
 */
static uint64_t lower_8(uint64_t v)
{
    return v | (v & 0x4040404040404040ULL) >> 1;
}

static uint64_t load_8(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Bytes 0..3 and the last four of a name of 4 to 7 bytes, or all of 2 to 3: loads that overlap, and
 * so need neither a loop nor a copy. */
static uint64_t load_short(const void *p, size_t n)
{
    const uint8_t *bytes = p;
    uint32_t head = 0, tail = 0;
    if (n >= 4) {
        memcpy(&head, bytes, 4);
        memcpy(&tail, bytes + n - 4, 4);
        return (uint64_t)tail << 32 | head;
    }
    return (uint64_t)bytes[0] | (uint64_t)bytes[n / 2] << 8 | (uint64_t)bytes[n - 1] << 16;
}

/* `known` is in lower case. No byte past n is read. */
static bool name_matches(const uint8_t *name, const char *known, size_t n)
{
    if (n < 8)
        return lower_8(load_short(name, n)) == load_short(known, n);
    for (size_t i = 0; i + 8 < n; i += 8)
        if (lower_8(load_8(name + i)) != load_8(known + i))
            return false;
    return lower_8(load_8(name + n - 8)) == load_8(known + n - 8);
}

enum field_id field_id_of(struct span name)
{
    if (name.n == 0 || name.n >= sizeof(known_names[0].text))
        return FIELD_OTHER;
    unsigned id = known_slots[field_hash(name, FIELD_HASH_FACTOR)];
    const struct known_name *known = &known_names[id];
    if (known->n != name.n || !name_matches(name.p, known->text, name.n))
        return FIELD_OTHER;
    return (enum field_id)id;
}

const struct field *head_find(const struct head *h, enum field_id id, unsigned *index)
{
    if (id != FIELD_OTHER && !head_has(h, id))
        return NULL;
    for (unsigned i = *index; i < h->field_count; i++) {
        if (h->fields[i].id != id)
            continue;
        *index = i + 1;
        return &h->fields[i];
    }
    *index = h->field_count;
    return NULL;
}

const struct field *head_find_name(const struct head *h, struct span name, unsigned *index)
{
    for (unsigned i = *index; i < h->field_count; i++) {
        const struct field *f = &h->fields[i];
        if (f->name_len != name.n || !span_eq_nocase(field_name(h, f), name))
            continue;
        *index = i + 1;
        return f;
    }
    *index = h->field_count;
    return NULL;
}

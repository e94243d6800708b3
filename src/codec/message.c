/* SPDX-License-Identifier: MIT */
/*
 * Names to numbers: methods and known fields.
 *
 * Known fields are found by a perfect hash over the length and the first eight bytes. The table is
 * checked against field.def by the unit test, which prints a new one when a row has been added.
 */
#include "codec/message.h"

#include "codec/field_id.h"

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

/* A method as a word: its bytes, the lowest first, and in the highest byte how many they are. */
#define METHOD_WORD(n, a, b, c, d, e, f, g)                                           \
    ((uint64_t)(n) << 56 | (uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | \
     (uint64_t)(d) << 24 | (uint64_t)(e) << 32 | (uint64_t)(f) << 40 | (uint64_t)(g) << 48)

enum method method_of(struct span text)
{
    if (text.n == 0 || text.n >= 8)
        return METHOD_OTHER;
    switch (field_first_8(text) | (uint64_t)text.n << 56) {
    case METHOD_WORD(3, 'G', 'E', 'T', 0, 0, 0, 0): return METHOD_GET;
    case METHOD_WORD(4, 'P', 'O', 'S', 'T', 0, 0, 0): return METHOD_POST;
    case METHOD_WORD(4, 'H', 'E', 'A', 'D', 0, 0, 0): return METHOD_HEAD;
    case METHOD_WORD(3, 'P', 'U', 'T', 0, 0, 0, 0): return METHOD_PUT;
    case METHOD_WORD(7, 'O', 'P', 'T', 'I', 'O', 'N', 'S'): return METHOD_OPTIONS;
    case METHOD_WORD(6, 'D', 'E', 'L', 'E', 'T', 'E', 0): return METHOD_DELETE;
    case METHOD_WORD(5, 'P', 'A', 'T', 'C', 'H', 0, 0): return METHOD_PATCH;
    case METHOD_WORD(7, 'C', 'O', 'N', 'N', 'E', 'C', 'T'): return METHOD_CONNECT;
    case METHOD_WORD(5, 'T', 'R', 'A', 'C', 'E', 0, 0): return METHOD_TRACE;
    default: return METHOD_OTHER;
    }
}

const struct field_known field_known[FIELD_IDS] = {
#define FIELD(id, name) [FIELD_##id] = {name, sizeof(name) - 1},
#include "codec/field.def"
#undef FIELD
};

const uint8_t field_slots[FIELD_HASH_SLOTS] = {
    [0] = FIELD_AUTHORIZATION,
    [1] = FIELD_CLIENT_CERT_CHAIN,
    [9] = FIELD_SEC_WEBSOCKET_KEY,
    [16] = FIELD_CONTENT_LENGTH,
    [26] = FIELD_FORWARDED,
    [28] = FIELD_X_FORWARDED_HOST,
    [29] = FIELD_RETRY_AFTER,
    [34] = FIELD_KEEP_ALIVE,
    [36] = FIELD_PROXY_AUTHORIZATION,
    [38] = FIELD_VARY,
    [39] = FIELD_CLIENT_CERT,
    [41] = FIELD_UPGRADE,
    [42] = FIELD_CONNECTION,
    [44] = FIELD_X_CLIENT_VERIFY,
    [46] = FIELD_CONTENT_ENCODING,
    [54] = FIELD_X_REQUEST_ID,
    [55] = FIELD_USER_AGENT,
    [56] = FIELD_X_CLIENT_FINGERPRINT,
    [57] = FIELD_HTTP2_SETTINGS,
    [63] = FIELD_X_CLIENT_SAN,
    [64] = FIELD_LAST_MODIFIED,
    [65] = FIELD_CONTENT_RANGE,
    [68] = FIELD_HOST,
    [69] = FIELD_TRANSFER_ENCODING,
    [75] = FIELD_TRAILER,
    [77] = FIELD_X_FORWARDED_FOR,
    [81] = FIELD_DATE,
    [82] = FIELD_EXPECT,
    [84] = FIELD_VIA,
    [85] = FIELD_PROXY_AUTHENTICATE,
    [92] = FIELD_RANGE,
    [94] = FIELD_ACCEPT_ENCODING,
    [100] = FIELD_ETAG,
    [102] = FIELD_PROXY_CONNECTION,
    [104] = FIELD_TE,
    [106] = FIELD_SET_COOKIE,
    [107] = FIELD_X_FORWARDED_PROTO,
    [110] = FIELD_SERVER,
    [112] = FIELD_ORIGIN,
    [113] = FIELD_CONTENT_TYPE,
    [115] = FIELD_ACCEPT,
    [118] = FIELD_SEC_WEBSOCKET_ACCEPT,
    [120] = FIELD_COOKIE,
    [123] = FIELD_X_CLIENT_SUBJECT,
    [126] = FIELD_CACHE_CONTROL,
    [127] = FIELD_REFERER,
};

enum field_id field_id_of(struct span name)
{
    return name.n > 0 ? field_id_inline(name) : FIELD_OTHER;
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

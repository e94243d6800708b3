/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a byte may be part of (RFC 9110 5.6.2, RFC 3986 2 and 3.3): one table look-up per question.
 * Constant data: any thread.
 */

#include <stdbool.h>
#include <stdint.h>

enum char_class {
    CHAR_TOKEN = 1,      /* method, field name, connection option */
    CHAR_PATH = 2,       /* path, but for '%' */
    CHAR_QUERY = 4,      /* query, '%' included */
    CHAR_HOST = 8,       /* reg-name, without ',' and '%' */
    CHAR_UNRESERVED = 16 /* an escape of it is the same as the character */
};

extern const uint8_t char_classes[256];

static inline bool char_is(uint8_t c, enum char_class class)
{
    return (char_classes[c] & class) != 0;
}

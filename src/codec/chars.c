/* SPDX-License-Identifier: MIT */
#include "codec/chars.h"

#define TOKEN      CHAR_TOKEN
#define URI        (CHAR_PATH | CHAR_QUERY)
#define UNRESERVED (CHAR_TOKEN | CHAR_PATH | CHAR_QUERY | CHAR_HOST | CHAR_UNRESERVED)

const uint8_t char_classes[256] = {
    ['0' ... '9'] = UNRESERVED,
    ['A' ... 'Z'] = UNRESERVED,
    ['a' ... 'z'] = UNRESERVED,
    ['-'] = UNRESERVED,
    ['.'] = UNRESERVED,
    ['_'] = UNRESERVED,
    ['~'] = UNRESERVED,
    /* sub-delims of RFC 3986 */
    ['!'] = TOKEN | URI | CHAR_HOST,
    ['$'] = TOKEN | URI | CHAR_HOST,
    ['&'] = TOKEN | URI | CHAR_HOST,
    ['\''] = TOKEN | URI | CHAR_HOST,
    ['*'] = TOKEN | URI | CHAR_HOST,
    ['+'] = TOKEN | URI | CHAR_HOST,
    ['('] = URI | CHAR_HOST,
    [')'] = URI | CHAR_HOST,
    [';'] = URI | CHAR_HOST,
    ['='] = URI | CHAR_HOST,
    [','] = URI,
    /* gen-delims */
    ['/'] = URI,
    [':'] = URI,
    ['@'] = URI,
    ['['] = URI,
    [']'] = URI,
    ['?'] = CHAR_QUERY,
    ['#'] = TOKEN,
    /* the rest of the visible bytes */
    ['%'] = TOKEN | CHAR_QUERY,
    ['^'] = TOKEN | CHAR_QUERY,
    ['`'] = TOKEN | CHAR_QUERY,
    ['|'] = TOKEN | CHAR_QUERY,
    ['{'] = CHAR_QUERY,
    ['}'] = CHAR_QUERY,
    ['\\'] = CHAR_QUERY,
};

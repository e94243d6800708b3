/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What an HTTP/2 connection begins with (RFC 9113 3.4), told from HTTP/1 byte by byte. What came of
 * it need not be kept: it is known. Pure.
 */

#include "base/bytes.h"

#include <string.h>

#define PREFACE       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_BYTES (sizeof(PREFACE) - 1)

enum preface { PREFACE_NOT, PREFACE_MORE, PREFACE_WHOLE };

/* After `seen` bytes of it `in` came: whether that goes on, or has come to its end (there may be
 * more behind it). */
static inline enum preface preface_look(size_t seen, struct span in)
{
    if (in.n > 0 && in.p[0] != PREFACE[seen])
        return PREFACE_NOT; /* all but a few: HTTP/1 has other methods */
    size_t n = in.n < PREFACE_BYTES - seen ? in.n : PREFACE_BYTES - seen;
    if (memcmp(&PREFACE[seen], in.p, n) != 0)
        return PREFACE_NOT;
    return seen + n == PREFACE_BYTES ? PREFACE_WHOLE : PREFACE_MORE;
}

/* The first bytes of it. */
static inline struct span preface_begin(size_t seen)
{
    return span_of((const uint8_t *)PREFACE, seen);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Heads of responses on their way to a client: as HTTP/1 writes them, and what every response of a
 * listener bears beyond its own fields, whoever made it. Pure.
 */

#include "codec/arrival.h"
#include "codec/message.h"
#include "forward/front.h"

/* A backend that says it itself knows better (RFC 6797: the field may be there once). */
static inline bool response_has_hsts(const struct head *h)
{
    unsigned at = 0;
    return head_find_name(h, span_str("strict-transport-security"), &at) != NULL;
}

/* The value of Strict-Transport-Security for a final response of this listener to a client that
 * arrived so, or empty for none. `h` is the backend's head, or NULL: the response is ours. */
static inline struct span response_hsts(const struct front_conf *front, const struct arrival *a,
                                        const struct head *h)
{
    if (LIKELY(!a) || !a->secure || !front->hsts[0] || (h && response_has_hsts(h)))
        return span_of(NULL, 0);
    return span_cstr(front->hsts);
}

/* How a response goes to a client of HTTP/1. */
struct response_form {
    bool chunked;    /* in the chunked coding */
    bool keep_alive; /* another may follow */
    bool http10;     /* … to a client to whom that must be said */
    struct span hsts;
};

/* The head of a backend's response. */
void response_write(struct writer *w, const struct head *h, const struct response_form *form);

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The page at `/`: one HTML document with all it needs inside, part of the program.
 *
 * The build puts one of two in: the dashboard (made from web/ where npm was there), or a plain
 * status page. Constant data: any thread.
 */

#include "admin/steer.h"
#include "admin/text.h"

struct page {
    /* The document; NULL: page_plain_write makes it for each request. */
    const uint8_t *html;
    size_t html_bytes;
    /* The value of Content-Security-Policy, which names by hash what is inline. */
    const char *policy;
    const char *etag; /* with its quotes; NULL of a page that is made anew each time */
};

/* The one page there is. */
extern const struct page page_here;

/* The plain page: what `poise status` would say, without any script. wall_ms is now. */
void page_plain_write(struct text *out, const struct steer_view *view, uint64_t wall_ms);
extern const char page_plain_policy[];

/* SPDX-License-Identifier: MIT */
#include "config/compare.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool health_conf_equal(const struct health_conf *a, const struct health_conf *b)
{
    if (a->type != b->type || a->interval_ms != b->interval_ms || a->timeout_ms != b->timeout_ms ||
        a->rise != b->rise || a->fall != b->fall || a->port != b->port ||
        a->expect_count != b->expect_count)
        return false;
    for (size_t i = 0; i < a->expect_count; i++)
        if (a->expect[i].low != b->expect[i].low || a->expect[i].high != b->expect[i].high)
            return false;
    return same_text(a->path, b->path) && same_text(a->host, b->host) &&
           same_text(a->service, b->service);
}

bool passive_conf_equal(const struct passive_conf *a, const struct passive_conf *b)
{
    return a->failures == b->failures && a->window_ms == b->window_ms &&
           a->eject_for_ms == b->eject_for_ms;
}

/* SPDX-License-Identifier: MIT */
#include "app/expiry.h"

#include <stdio.h>

enum expiry expiry_of(int64_t not_after_s, int64_t now_s)
{
    int64_t left_s = not_after_s - now_s;
    if (left_s <= 0)
        return EXPIRY_OVER;
    if (left_s <= (int64_t)EXPIRY_VERY_NEAR_DAYS * EXPIRY_DAY_S)
        return EXPIRY_VERY_NEAR;
    return left_s <= (int64_t)EXPIRY_NEAR_DAYS * EXPIRY_DAY_S ? EXPIRY_NEAR : EXPIRY_FAR;
}

bool expiry_due(struct expiry_told *told, enum expiry what, int64_t now_s)
{
    bool due = what != EXPIRY_FAR && (what > told->what || now_s - told->at_s >= EXPIRY_DAY_S);
    if (due || what == EXPIRY_FAR)
        *told = (struct expiry_told){what, now_s};
    return due;
}

const char *expiry_text(int64_t not_after_s, int64_t now_s, char out[EXPIRY_TEXT_MAX])
{
    bool over = not_after_s <= now_s;
    int64_t left_s = over ? now_s - not_after_s : not_after_s - now_s;
    bool days = left_s >= 2 * (int64_t)EXPIRY_DAY_S;
    long long n = days ? left_s / EXPIRY_DAY_S : left_s / 3600;
    const char *unit = days ? "day" : "hour";
    (void)snprintf(out, EXPIRY_TEXT_MAX, over ? "expired %lld %s%s ago" : "expires in %lld %s%s", n,
                   unit, n == 1 ? "" : "s");
    return out;
}

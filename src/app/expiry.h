/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * When somebody has to be told that a certificate ends: 14 days before, 3 days before, and once it
 * has; each at once, and then once a day. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

enum expiry { EXPIRY_FAR, EXPIRY_NEAR, EXPIRY_VERY_NEAR, EXPIRY_OVER };

#define EXPIRY_NEAR_DAYS      14
#define EXPIRY_VERY_NEAR_DAYS 3
#define EXPIRY_DAY_S          86400

enum expiry expiry_of(int64_t not_after_s, int64_t now_s);

/* What was told last; zeroed at first. */
struct expiry_told {
    enum expiry what;
    int64_t at_s;
};

/* Whether it is to be told now, and then it has been. */
bool expiry_due(struct expiry_told *told, enum expiry what, int64_t now_s);

/* "expired 2 days ago", "expires in 13 days", "expires in 5 hours". */
#define EXPIRY_TEXT_MAX 64
const char *expiry_text(int64_t not_after_s, int64_t now_s, char out[EXPIRY_TEXT_MAX]);

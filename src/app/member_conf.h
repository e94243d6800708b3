/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A backend as somebody asks for it while we run, checked as the configuration file would be.
 *
 * Lifetime: the texts are in the struct itself, so it must not be copied. Pure.
 */

#include "admin/steer.h"
#include "base/limits.h"
#include "config/snapshot.h"

struct member_conf {
    struct backend_conf conf;
    char name[ADDRESS_TEXT_MAX];
    char text[ADDRESS_TEXT_MAX]; /* of the address */
};

/* False: what is wrong is in *ret (STEER_BAD). */
NODISCARD bool member_conf_init(struct member_conf *m, const struct steer_backend *b,
                                struct steer_result *ret);

/* SPDX-License-Identifier: MIT */
#pragma once

/* Whether two parts of configurations say the same, wherever they were written. Pure. */

#include "config/snapshot.h"

bool health_conf_equal(const struct health_conf *a, const struct health_conf *b);
bool passive_conf_equal(const struct passive_conf *a, const struct passive_conf *b);

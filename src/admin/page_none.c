/* SPDX-License-Identifier: MIT */
/* Stands in where the dashboard was not built. */
#include "admin/page.h"

const struct page page_here = {.policy = page_plain_policy};

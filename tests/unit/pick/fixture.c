/* SPDX-License-Identifier: MIT */
/* Snapshots without config/: these stand in for its counting, so none of it is linked. */
#include "fixture.h"

const struct snapshot *snapshot_ref(const struct snapshot *s)
{
    return s;
}

void snapshot_unref(const struct snapshot **s)
{
    *s = NULL;
}

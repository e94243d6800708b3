/* SPDX-License-Identifier: MIT */
#include "pick/alias.h"

#include "base/check.h"

#include <stdlib.h>

/*
 * Heights are weight * n against a column of height W (the sum of weights). Poor columns take what
 * they lack from a rich one; the two work lists share one array from both ends.
 */
int alias_init(struct alias *columns, const uint32_t *weights, uint32_t n)
{
    CHECK(n > 0);
    uint64_t *height = calloc(n, sizeof(*height));
    uint32_t *work = calloc(n, sizeof(*work));
    if (!height || !work) {
        free(height);
        free(work);
        return -1;
    }
    uint64_t full = 0;
    for (uint32_t i = 0; i < n; i++)
        full += weights[i];
    uint32_t poor = 0, rich = n; /* work[0..poor) and work[rich..n) */
    for (uint32_t i = 0; i < n; i++) {
        height[i] = (uint64_t)weights[i] * n;
        columns[i] = (struct alias){.keep = UINT32_MAX, .other = i};
        if (height[i] < full)
            work[poor++] = i;
        else
            work[--rich] = i;
    }
    while (poor > 0 && rich < n) {
        uint32_t small = work[--poor], large = work[rich];
        columns[small].keep = (uint32_t)((height[small] << 32) / full);
        columns[small].other = large;
        height[large] -= full - height[small];
        if (height[large] < full) {
            rich++;
            work[poor++] = large;
        }
    }
    CHECK(poor == 0); /* the heights sum to n * full exactly */
    free(height);
    free(work);
    return 0;
}

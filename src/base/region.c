/* SPDX-License-Identifier: MIT */
#include "base/region.h"

#include "base/check.h"

#include <sys/mman.h>

#define HUGE_PAGE_BYTES (2u << 20)

void *region_new(size_t bytes, size_t likely_bytes)
{
    void *region = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        return NULL;
    if (likely_bytes < HUGE_PAGE_BYTES)
        (void)madvise(region, bytes, MADV_NOHUGEPAGE); /* a kernel without them refuses: as well */
    return region;
}

void region_free(void *region, size_t bytes)
{
    if (region)
        CHECK(munmap(region, bytes) == 0);
}

/* SPDX-License-Identifier: MIT */
/* test_scan.c over the version for machines without SSE2. */
#define SCAN_PORTABLE 1

#include "test_scan.c"

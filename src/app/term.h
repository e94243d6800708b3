/* SPDX-License-Identifier: MIT */
#pragma once

/* What the place we print to can show. Any thread. */

#include <stdbool.h>
#include <stdio.h>

/* A terminal that can move its cursor: lines may be redrawn in place. */
bool term_live(FILE *out);

/* The same, and the user has not set NO_COLOR (no-color.org). */
bool term_colour(FILE *out);

/* SPDX-License-Identifier: MIT */
#include "app/term.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool term_live(FILE *out)
{
    const char *term = getenv("TERM");
    return isatty(fileno(out)) && term && strcmp(term, "dumb") != 0;
}

bool term_colour(FILE *out)
{
    const char *refused = getenv("NO_COLOR");
    return term_live(out) && !(refused && refused[0]);
}

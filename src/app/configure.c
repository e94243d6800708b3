/* SPDX-License-Identifier: MIT */
#include "app/configure.h"

#include "app/config_path.h"
#include "app/exit_code.h"
#include "app/term.h"
#include "config/load.h"

#include <stdio.h>
#include <stdlib.h>

#define WHY_MAX 512

/* Checks `text`; NULL after the errors were printed. */
static const struct snapshot *load(const char *source, struct span text, bool quiet)
{
    struct diagnostics found;
    const struct snapshot *s = NULL;
    int r = config_load(source, text, config_process_env, &found, &s);
    if (found.count > 0 && (r < 0 || !quiet))
        diagnostics_print(&found, stderr, term_colour(stderr));
    diagnostics_fini(&found);
    return r < 0 ? NULL : s;
}

static int complain(const char *why, int code)
{
    (void)fprintf(stderr, "poise: %s\n", why);
    return code;
}

int configure(struct door *door, bool quiet, const struct snapshot **ret_snapshot, char **ret_text)
{
    char why[WHY_MAX] = "";
    char *text;
    size_t len;
    if (door_config(door, &text, &len, why, sizeof(why)) < 0)
        return complain(why, EXIT_OPEN);
    const char *path = door_config_path(door);
    const struct snapshot *s = load(path ? path : "command line", span_of(text, len), quiet);
    bool good = s && config_override(&s, door_overrides(door), why, sizeof(why));
    if (good && ret_text)
        *ret_text = text;
    else
        free(text);
    if (good) {
        *ret_snapshot = s;
        return EXIT_OK;
    }
    if (!s)
        return EXIT_CONFIG;
    snapshot_unref(&s);
    return complain(why, EXIT_USAGE);
}

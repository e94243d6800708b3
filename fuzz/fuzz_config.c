/* SPDX-License-Identifier: MIT */
/*
 * Any text is either refused with at least one error, or makes a configuration whose effective
 * form loads again to the same effective form (but for the origins in its comments).
 */
#include "base/check.h"
#include "config/load.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *env(const char *name)
{
    return name[0] == 'A' ? "127.0.0.1:80" : name[0] == 'E' ? "" : NULL;
}

static char *effective(const struct snapshot *s, struct span *ret_text)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    CHECK(out != NULL);
    config_print_effective(s, out);
    config_print_effective_json(s, out);
    (void)fclose(out);                       /* only now is the text settled */
    const char *cut = strstr(text, "\n{\n"); /* where the JSON begins: our YAML has no such line */
    CHECK(cut != NULL);
    *ret_text = span_of(text, (size_t)(cut + 1 - text));
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    struct diagnostics d;
    struct diagnostics again;
    const struct snapshot *s = NULL;
    struct span text;
    nowhere = nowhere ? nowhere : fopen("/dev/null", "w");
    bool good = config_load("fuzz", span_of(data, size), env, &d, &s) == 0;
    CHECK(good == (d.errors == 0));
    diagnostics_print(&d, nowhere, true);
    diagnostics_print_json(&d, nowhere);
    if (good) {
        char *printed = effective(s, &text);
        snapshot_unref(&s);
        CHECK(config_load("again", text, NULL, &again, &s) == 0);
        CHECK(again.warnings == d.warnings);
        diagnostics_fini(&again);
        free(printed);
    }
    snapshot_unref(&s);
    diagnostics_fini(&d);
    return 0;
}

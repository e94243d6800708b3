/* SPDX-License-Identifier: MIT */
/*
 * docs/configuration.md, from the option table.
 */
#include "base/str.h"
#include "config/value.h"

#include <stdio.h>

static const char head[] =
    "<!-- SPDX-License-Identifier: MIT; generated from src/config/option.def -->\n"
    "# Configuration reference\n"
    "\n"
    "One YAML file (JSON is accepted, being YAML too): `./poise.yaml`, then\n"
    "`/etc/poise/poise.yaml`, or what `-c` names. `poise check` reports every error in it;\n"
    "`poise check --effective` prints it with all defaults and where each value came from.\n"
    "`poise.schema.json` beside this page lets editors complete and validate.\n"
    "\n"
    "The smallest useful file:\n"
    "\n"
    "```yaml\n"
    "listeners:\n"
    "  - {name: web, listen: \":8080\", pool: app}\n"
    "pools:\n"
    "  - name: app\n"
    "    backends: [127.0.0.1:8881, 127.0.0.1:8882]\n"
    "```\n"
    "\n"
    "## Rules\n"
    "\n"
    "- Unknown keys and keys given twice are errors, as are bare `yes`, `no`, `on`, `off`\n"
    "  (write `true`, `false`, or quotes), anchors, aliases and tags.\n"
    "- Durations are digits and one of `ms s m h d`: `250ms`, `5s`, `1m`. Sizes are digits and\n"
    "  one of `B kB MB GB TB` (powers of 1000) or `KiB MiB GiB TiB` (powers of 1024). A `0`\n"
    "  needs no unit.\n"
    "- Addresses are `127.0.0.1:8080`, `[::1]:8080`, `name.example:8080` (backends), `:8080`\n"
    "  (all addresses of this machine, to listen) and `unix:/path`.\n"
    "- `${NAME}` in a value is the environment's variable; without the variable it is an error.\n"
    "  `${NAME:-default}` has a default. `$${` is a literal `${`.\n"
    "- Where a list is allowed, one value alone is a list of one.\n"
    "- Of a listener's routes the first that matches, in the order of the file, is taken.\n";

/* "a, b or c", of the words this program has. */
static void print_words(const struct option *o, FILE *out)
{
    const char *before = "";
    for (const struct option_word *word = o->words; word->name; word++) {
        if (word->missing)
            continue;
        (void)fprintf(out, "%s`%s`", before, word->name);
        before = ", ";
    }
}

static void print_type(const struct option *o, FILE *out)
{
    if (o->type == TYPE_BLOCK)
        (void)fputs("block", out);
    else if (o->type == TYPE_BLOCKS)
        (void)fputs("list of blocks", out);
    else if (o->words)
        print_words(o, out);
    else
        (void)fputs(value_type(o->type)->word, out);
    if (o->list && o->type != TYPE_FIELD)
        (void)fputs(o->words ? " (or a list)" : " or a list", out);
}

static const char *format_bound(char buf[FORMAT_SHORT_MAX], const struct option *o, uint64_t value)
{
    if (o->type == TYPE_DURATION)
        return format_duration_ms(buf, value);
    if (o->type == TYPE_SIZE)
        return format_size_bytes(buf, value);
    (void)snprintf(buf, FORMAT_SHORT_MAX, "%llu", (unsigned long long)value);
    return buf;
}

static void print_bounds(const struct option *o, FILE *out)
{
    char low[FORMAT_SHORT_MAX];
    char high[FORMAT_SHORT_MAX];
    if (o->max == 0)
        return;
    bool unit = o->type != TYPE_DURATION && o->type != TYPE_SIZE && o->unit[0];
    (void)fprintf(out, "%s to %s%s%s", format_bound(low, o, o->min), format_bound(high, o, o->max),
                  unit ? " " : "", unit ? o->unit : "");
}

static void print_default(const struct option *o, FILE *out)
{
    if (option_is_required(o)) {
        (void)fputs("required", out);
        return;
    }
    struct span rest = span_cstr(option_default(o));
    for (const char *before = ""; rest.n > 0; before = ", ") {
        struct span item = o->list ? span_cut(&rest, ' ') : rest;
        (void)fprintf(out, "%s`" SPAN_FMT "`", before, SPAN_ARG(item));
        if (!o->list)
            break;
    }
}

static void print_scope(enum scope scope, FILE *out)
{
    size_t count;
    const struct option *o = scope_options(scope, &count);
    if (scope == SCOPE_ROOT)
        (void)fputs("\n## The top\n\n", out);
    else
        (void)fprintf(out, "\n## `%s`\n\n", scope_info(scope)->where);
    (void)fputs("| key | value | default | bounds | meaning |\n|---|---|---|---|---|\n", out);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, "| `%s` | ", o[i].name);
        print_type(&o[i], out);
        (void)fputs(" | ", out);
        print_default(&o[i], out);
        (void)fputs(" | ", out);
        print_bounds(&o[i], out);
        (void)fprintf(out, " | %s |\n", o[i].help);
    }
}

void config_print_reference(FILE *out)
{
    (void)fputs(head, out);
    for (int scope = 0; scope < SCOPE_COUNT; scope++)
        print_scope((enum scope)scope, out);
}

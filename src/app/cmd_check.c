/* SPDX-License-Identifier: MIT */
/* `poise check`: what people read goes to stderr as a compiler's does, so that --effective can be
 * saved to a file; JSON and the good news go to stdout. */
#include "app/certificates.h"
#include "app/cli.h"
#include "app/config_path.h"
#include "app/credentials.h"
#include "app/exit_code.h"
#include "app/term.h"
#include "base/clock.h"
#include "config/diagnose.h"
#include "config/load.h"

#include <stdlib.h>

struct totals {
    size_t listeners, routes, pools, backends;
};

static struct totals count_all(const struct snapshot *s)
{
    struct totals t = {.listeners = s->listener_count, .pools = s->pool_count};
    for (size_t i = 0; i < s->listener_count; i++)
        t.routes += s->listeners[i].route_count;
    for (size_t i = 0; i < s->pool_count; i++)
        t.backends += s->pools[i].backend_count;
    return t;
}

static void put_count(size_t n, const char *what, const char *end)
{
    printf("%zu %s%s%s", n, what, n == 1 ? "" : "s", end);
}

static void put_summary(const char *path, const struct snapshot *s, const struct diagnostics *d)
{
    struct totals t = count_all(s);
    printf("%s is valid: ", path);
    put_count(t.listeners, "listener", ", ");
    put_count(t.routes, "route", ", ");
    put_count(t.pools, "pool", ", ");
    put_count(t.backends, "backend", "");
    if (d->count > d->errors) {
        printf("; ");
        put_count(d->count - d->errors, "warning", "");
    }
    putchar('\n');
}

static void put_json_string(const char *text)
{
    char escaped[8192];
    struct writer w = writer_of(escaped, sizeof(escaped));
    w_json_escaped(&w, span_cstr(text));
    printf("\"%s\"", w_cstr(&w));
}

static void put_json(const char *path, const struct snapshot *s, const struct diagnostics *d)
{
    printf("{\"file\": ");
    put_json_string(path);
    printf(", \"valid\": %s", s ? "true" : "false");
    if (s) {
        struct totals t = count_all(s);
        printf(", \"listeners\": %zu, \"routes\": %zu, \"pools\": %zu, \"backends\": %zu",
               t.listeners, t.routes, t.pools, t.backends);
    }
    printf(", \"diagnostics\": ");
    diagnostics_print_json(d, stdout);
    printf("}\n");
}

static void report(const struct cli_args *args, const char *path, const struct snapshot *s,
                   const struct diagnostics *d)
{
    bool json = cli_has(args, OPT_check_json);
    bool effective = cli_has(args, OPT_check_effective);
    if (!json && d->count)
        diagnostics_print(d, stderr, term_colour(stderr));
    if (json && !(effective && s))
        put_json(path, s, d);
    else if (effective && s && json)
        config_print_effective_json(s, stdout);
    else if (effective && s)
        config_print_effective(s, stdout);
    else if (s)
        put_summary(path, s, d);
}

static void on_note(void *user, enum credentials_level level, const struct origin *where,
                    const char *text)
{
    struct diagnostics *d = user;
    /* A file that cannot be read here may well be where it runs. */
    struct finding f = {
        .level = level == CREDENTIALS_INVALID ? DIAGNOSTIC_ERROR : DIAGNOSTIC_WARNING,
        .at = {.line = where->line, .column = where->column, .length = 1},
    };
    diagnose(d, &f, "%s", text);
}

/* The files that the configuration names for TLS. */
static void check_files(const char *path, const struct snapshot *s, struct diagnostics *d)
{
    const struct credentials_notes notes = {on_note, d};
    const struct door_origin origin = {.path = path};
    struct door *door;
    if (door_direct_new(&origin, &door) < 0)
        return;
    certificates_check(s, door, (int64_t)(clock_wall_ms() / 1000), &notes);
    door_free(&door);
    diagnostics_sort(d);
}

static int check_text(const struct cli_args *args, const char *path, struct span text)
{
    struct diagnostics d;
    const struct snapshot *s = NULL;
    bool valid = config_load(path, text, config_process_env, &d, &s) == 0;
    if (valid)
        check_files(path, s, &d);
    if (valid && d.errors > 0) {
        valid = false;
        snapshot_unref(&s);
    }
    report(args, path, s, &d);
    if (valid)
        snapshot_unref(&s);
    diagnostics_fini(&d);
    return valid ? EXIT_OK : EXIT_CONFIG;
}

int cmd_check(const struct cli_args *args)
{
    if (cli_has(args, OPT_check_schema)) {
        config_print_schema(stdout);
        return EXIT_OK;
    }
    if (cli_has(args, OPT_check_reference)) {
        config_print_reference(stdout);
        return EXIT_OK;
    }
    const char *path = config_path_find(cli_text(args, OPT_check_config));
    if (!path) {
        fprintf(stderr, "poise: %s\n", config_path_none);
        return EXIT_OPEN;
    }
    char why[512];
    char *text;
    size_t len;
    if (config_read_file(path, &text, &len, why, sizeof(why)) != 0) {
        fprintf(stderr, "poise: %s\n", why);
        return EXIT_OPEN;
    }
    int code = check_text(args, path, span_of(text, len));
    free(text);
    return code;
}

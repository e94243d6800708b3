/* SPDX-License-Identifier: MIT */
/*
 * The words of a command line become a configuration file, which is then read like any other: one
 * language, one set of checks.
 */
#include "base/str.h"
#include "config/value.h"

#include <stdio.h>
#include <stdlib.h>

#define SOURCE "command line"

/* `key: value` with the value quoted as needed; what is too long is refused by the reader. */
static void put_value(FILE *out, const char *before, struct span value, const char *after)
{
    static _Thread_local char buf[6 * VALUE_TEXT_MAX + 3];
    struct writer w = writer_of(buf, sizeof(buf));
    uint64_t number;
    if (span_to_u64(value, &number))
        w_u64_dec(&w, number);
    else
        yaml_quote(&w, span_sub(value, 0, VALUE_TEXT_MAX));
    (void)fprintf(out, "%s%s%s", before, w_cstr(&w), after);
}

static void put_line(FILE *out, const char *key, const char *value)
{
    if (value)
        put_value(out, key, span_cstr(value), "\n");
}

static void complain_part(struct span part, const char *word, char *ret_why, size_t why_size)
{
    static const char *const known[] = {"weight", "name", "backup"};
    struct span key = part;
    key = span_cut(&key, '=');
    const char *meant = suggest_closest(key, known, ARRAY_LEN(known));
    (void)snprintf(ret_why, why_size,
                   "backend '%.200s': '%.*s' is not known%s%s%s; after the address come weight=N, "
                   "name=X and backup",
                   word, (int)MIN(part.n, (size_t)64), (const char *)part.p,
                   meant ? " (did you mean '" : "", meant ? meant : "", meant ? "'?)" : "");
}

/* "ADDR[,weight=N][,name=X][,backup]" */
static bool put_backend(FILE *out, const char *word, char *ret_why, size_t why_size)
{
    struct span rest = span_cstr(word);
    struct span address = span_cut(&rest, ',');
    put_value(out, "      - {address: ", address, "");
    while (rest.n > 0) {
        struct span part = span_cut(&rest, ',');
        if (span_starts(part, span_str("weight="))) {
            put_value(out, ", weight: ", span_from(part, 7), "");
        } else if (span_starts(part, span_str("name="))) {
            put_value(out, ", name: ", span_from(part, 5), "");
        } else if (span_eq(part, span_str("backup"))) {
            (void)fputs(", backup: true", out);
        } else {
            complain_part(part, word, ret_why, why_size);
            return false;
        }
    }
    (void)fputs("}\n", out);
    return true;
}

static const char unix_prefix[] = "unix:";

static void put_head(FILE *out, const struct config_words *words)
{
    (void)fputs(
        "# Made from the words of a command line. docs/configuration.md explains the keys;\n"
        "# 'poise check --effective' shows what is not written here.\n",
        out);
    put_line(out, "workers: ", words->workers);
    put_line(out, "engine: ", words->engine);
    if (words->log_level || words->log_file)
        (void)fputs("log:\n", out);
    put_line(out, "  level: ", words->log_level);
    put_line(out, "  file: ", words->log_file);
    if (words->admin)
        (void)fputs("admin:\n", out);
    if (words->admin && strncmp(words->admin, unix_prefix, strlen(unix_prefix)) == 0)
        put_line(out, "  socket: ", words->admin + strlen(unix_prefix));
    else
        put_line(out, "  listen: ", words->admin);
}

static void put_listener(FILE *out, const struct config_words *words, const char *mode)
{
    (void)fputs("\n# Where clients connect.\nlisteners:\n  - name: main\n    listen: [", out);
    for (size_t i = 0; i < words->listen_count; i++)
        put_value(out, i ? ", " : "", span_cstr(words->listen[i]), "");
    (void)fputs("]\n", out);
    put_line(out, "    protocol: ", mode);
    (void)fputs("    pool: app\n", out);
}

static bool put_pool(FILE *out, const struct config_words *words, const char *mode, char *ret_why,
                     size_t why_size)
{
    (void)fputs(
        "\n# Where requests go. A backend leaves when its first check fails, or later three in a\n"
        "# row, and returns after two that succeed.\n"
        "pools:\n  - name: app\n",
        out);
    put_line(out, "    balance: ", words->balance ? words->balance : "round_robin");
    put_line(out, "    protocol: ", mode);
    (void)fputs("    health: {type: tcp, interval: 2s, timeout: 1s, rise: 2, fall: 3}\n"
                "    backends:\n",
                out);
    for (size_t i = 0; i < words->backend_count; i++)
        if (!put_backend(out, words->backends[i], ret_why, why_size))
            return false;
    return true;
}

/* The first error the reader finds in our text is about a word we put there. */
static bool check(struct span text, char *ret_why, size_t why_size)
{
    struct diagnostics d;
    const struct snapshot *s = NULL;
    bool good = config_load(SOURCE, text, NULL, &d, &s) == 0;
    for (size_t i = 0; i < d.count && !good; i++) {
        const struct diagnostic *item = &d.items[i];
        if (item->level != DIAGNOSTIC_ERROR)
            continue;
        const char *more = item->hint ? item->hint : item->note;
        (void)snprintf(ret_why, why_size, "%s%s%s", item->message, more ? "; " : "",
                       more ? more : "");
        break;
    }
    snapshot_unref(&s);
    diagnostics_fini(&d);
    return good;
}

char *config_from_words(const struct config_words *words, char *ret_why, size_t why_size)
{
    const char *mode = words->mode ? words->mode : "http";
    char *text = NULL;
    size_t n = 0;
    if (words->listen_count == 0 || words->backend_count == 0) {
        (void)snprintf(ret_why, why_size, "%s",
                       words->listen_count == 0 ? "no address to listen on: add --listen :8080"
                                                : "no backend: add --backend 127.0.0.1:8881");
        return NULL;
    }
    FILE *out = config_must(open_memstream(&text, &n));
    put_head(out, words);
    put_listener(out, words, mode);
    bool good = put_pool(out, words, mode, ret_why, why_size);
    (void)fclose(out);
    (void)config_must(text);
    if (good && check(span_of(text, n), ret_why, why_size))
        return text;
    free(text);
    return NULL;
}

/* SPDX-License-Identifier: MIT */
/* `poise run`: from words or a file to a snapshot, from the snapshot to a running engine. */
#include "app/run.h"

#include "app/config_path.h"
#include "app/engine.h"
#include "app/exit_code.h"
#include "app/term.h"
#include "config/load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHY_MAX 512

static const char *env(const char *name)
{
    return getenv(name);
}

static void complain(const char *text)
{
    fprintf(stderr, "poise: %s\n", text);
}

/* ---- the configuration ---- */

/* Checks `text`; NULL after the errors were printed. */
static const struct snapshot *load(const char *source, struct span text)
{
    struct diagnostics found;
    const struct snapshot *s = NULL;
    int r = config_load(source, text, env, &found, &s);
    if (found.count > 0)
        diagnostics_print(&found, stderr, term_colour(stderr));
    diagnostics_fini(&found);
    return r < 0 ? NULL : s;
}

static bool save(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        fprintf(stderr, "poise: cannot save to %s: %s%s\n", path, strerror(errno),
                errno == EEXIST ? "; remove it first or choose another name" : "");
        return false;
    }
    size_t n = strlen(text);
    bool ok = write(fd, text, n) == (ssize_t)n;
    ok = close(fd) == 0 && ok;
    if (!ok) {
        fprintf(stderr, "poise: cannot write %s: %s\n", path, strerror(errno));
        unlink(path);
    }
    return ok;
}

static struct config_words words_of(const struct cli_args *args)
{
    struct config_words w = {
        .mode = cli_text(args, OPT_run_mode),
        .balance = cli_text(args, OPT_run_balance),
        .admin = cli_text(args, OPT_run_admin),
        .log_level = cli_text(args, OPT_run_log_level),
        .log_file = cli_text(args, OPT_run_log_file),
        .workers = cli_text(args, OPT_run_workers),
        .engine = cli_text(args, OPT_run_engine),
    };
    w.listen = cli_texts(args, OPT_run_listen, &w.listen_count);
    w.backends = cli_texts(args, OPT_run_backend, &w.backend_count);
    return w;
}

static int snapshot_from_words(const struct cli_args *args, const struct snapshot **ret_snapshot)
{
    struct config_words words = words_of(args);
    char why[WHY_MAX] = "";
    if (words.listen_count == 0 || words.backend_count == 0) {
        complain("without a file both --listen and --backend are needed; see 'poise help run'");
        return EXIT_USAGE;
    }
    char *text = config_from_words(&words, why, sizeof(why));
    if (!text) {
        complain(why);
        return EXIT_USAGE;
    }
    const struct snapshot *s = load("command line", span_cstr(text));
    int code = s ? EXIT_OK : EXIT_CONFIG;
    if (s && cli_has(args, OPT_run_save) && !save(cli_text(args, OPT_run_save), text)) {
        snapshot_unref(&s);
        code = EXIT_OPEN;
    }
    free(text);
    *ret_snapshot = s;
    return code;
}

static int snapshot_from_file(const struct cli_args *args, const struct snapshot **ret_snapshot)
{
    const char *path = config_path_find(cli_text(args, OPT_run_config));
    if (!path) {
        complain(config_path_none);
        return EXIT_OPEN;
    }
    char why[WHY_MAX] = "";
    char *text;
    size_t len;
    if (config_read_file(path, &text, &len, why, sizeof(why)) < 0) {
        complain(why);
        return EXIT_OPEN;
    }
    struct config_overrides overrides = {
        .workers = cli_text(args, OPT_run_workers),
        .engine = cli_text(args, OPT_run_engine),
        .log_level = cli_text(args, OPT_run_log_level),
        .log_file = cli_text(args, OPT_run_log_file),
    };
    const struct snapshot *s = load(path, span_of(text, len));
    free(text);
    if (!s)
        return EXIT_CONFIG;
    if (!config_override(&s, &overrides, why, sizeof(why))) {
        complain(why);
        snapshot_unref(&s);
        return EXIT_USAGE;
    }
    *ret_snapshot = s;
    return EXIT_OK;
}

/* The file form and the words exclude each other; a mix would leave open which one holds. */
static bool mixed(const struct cli_args *args)
{
    static const enum option_id words[] = {OPT_run_listen,  OPT_run_backend, OPT_run_mode,
                                           OPT_run_balance, OPT_run_admin,   OPT_run_save};
    if (!cli_has(args, OPT_run_config))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (cli_has(args, words[i]))
            return true;
    }
    return false;
}

static int snapshot_get(const struct cli_args *args, const struct snapshot **ret_snapshot)
{
    if (mixed(args)) {
        complain("-c FILE cannot be mixed with --listen, --backend and the other options that "
                 "stand for a file; put it all in the file");
        return EXIT_USAGE;
    }
    bool words = cli_has(args, OPT_run_listen) || cli_has(args, OPT_run_backend);
    if (!words && cli_has(args, OPT_run_save)) {
        complain("--save writes what --listen and --backend say; they are missing");
        return EXIT_USAGE;
    }
    return words ? snapshot_from_words(args, ret_snapshot) : snapshot_from_file(args, ret_snapshot);
}

/* ---- running ---- */

/* One line per address: what a person wants to see, and what scripts wait for. */
static void announce(const struct engine *e)
{
    const struct address *a;
    for (size_t i = 0; (a = engine_address(e, i)) != NULL; i++) {
        char text[ADDRESS_TEXT_MAX];
        static const uint8_t any[16];
        if (a->kind == ADDRESS_V6 && memcmp(a->ip, any, sizeof(any)) == 0)
            snprintf(text, sizeof(text), "0.0.0.0:%u", a->port);
        else
            address_format(a, text);
        printf("Load Balancer listening on %s\n", text);
    }
    a = engine_admin_address(e);
    if (a) {
        char text[ADDRESS_TEXT_MAX];
        address_format(a, text);
        printf("Admin at http://%s/\n", text);
    }
    fflush(stdout);
}

/* `saved` is a file this run has written, or NULL: after a start that failed it would only be in
 * the way of the next try. */
static int serve(const struct snapshot *s, const char *saved)
{
    char why[WHY_MAX] = "";
    struct engine *e;
    enum engine_failure failure = engine_new(s, &e, why, sizeof(why));
    if (failure != ENGINE_OK) {
        complain(why);
        if (saved)
            unlink(saved);
        return failure == ENGINE_CANNOT_BIND ? EXIT_OPEN : EXIT_RUNTIME;
    }
    announce(e);
    bool ok = engine_run(e);
    engine_free(&e);
    return ok ? EXIT_OK : EXIT_RUNTIME;
}

int cmd_run(const struct cli_args *args)
{
    sigset_t all;
    const struct snapshot *s = NULL;
    int code = snapshot_get(args, &s);
    if (code != EXIT_OK)
        return code;
    /* Before any thread exists: signals arrive as events of the control loop and nowhere else. */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    code = serve(s, cli_text(args, OPT_run_save));
    snapshot_unref(&s);
    return code;
}

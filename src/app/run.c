/* SPDX-License-Identifier: MIT */
/* `poise run`: from words or a file to a snapshot, and from there to a supervisor or an engine. */
#include "app/run.h"

#include "app/announce.h"
#include "app/config_path.h"
#include "app/configure.h"
#include "app/door.h"
#include "app/engine.h"
#include "app/exit_code.h"
#include "app/supervisor.h"
#include "base/check.h"
#include "config/load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHY_MAX 512

static void complain(const char *text)
{
    fprintf(stderr, "poise: %s\n", text);
}

/* ---- the configuration ---- */

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

static struct config_overrides overrides_of(const struct cli_args *args)
{
    return (struct config_overrides){
        .workers = cli_text(args, OPT_run_workers),
        .engine = cli_text(args, OPT_run_engine),
        .log_level = cli_text(args, OPT_run_log_level),
        .log_file = cli_text(args, OPT_run_log_file),
    };
}

/* ret_origin->text is malloc'd, or NULL. */
static int origin_of(const struct cli_args *args, struct door_origin *ret_origin)
{
    struct config_words words = words_of(args);
    char why[WHY_MAX] = "";
    if (words.listen_count == 0 && words.backend_count == 0) {
        ret_origin->path = config_path_find(cli_text(args, OPT_run_config));
        ret_origin->overrides = overrides_of(args);
        if (!ret_origin->path)
            complain(config_path_none);
        return ret_origin->path ? EXIT_OK : EXIT_OPEN;
    }
    if (words.listen_count == 0 || words.backend_count == 0) {
        complain("without a file both --listen and --backend are needed; see 'poise help run'");
        return EXIT_USAGE;
    }
    ret_origin->text = config_from_words(&words, why, sizeof(why));
    if (!ret_origin->text)
        complain(why);
    return ret_origin->text ? EXIT_OK : EXIT_USAGE;
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

static int check_words(const struct cli_args *args)
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
    return EXIT_OK;
}

/* ---- running ---- */

/* In this one process. */
static int serve_here(const struct snapshot *s, struct door *door, bool *ret_served)
{
    char why[ENGINE_WHY_MAX] = "";
    struct engine *e;
    const struct address *a;
    enum engine_failure failure = engine_new(s, door, &e, why, sizeof(why));
    if (failure != ENGINE_OK) {
        complain(why);
        return engine_failure_code(failure);
    }
    *ret_served = true;
    for (size_t i = 0; (a = engine_address(e, i)) != NULL; i++)
        announce_address(a);
    if (engine_admin_address(e))
        announce_admin(engine_admin_address(e));
    bool ok = engine_run(e);
    engine_free(&e);
    return ok ? EXIT_OK : EXIT_RUNTIME;
}

static int supervise(const struct door_origin *origin, const struct snapshot *s, const char *text,
                     bool *ret_served)
{
    struct claims *claims = claims_new(s, span_cstr(text));
    if (claims)
        return supervisor_run(origin, s, claims, ret_served);
    complain("out of memory for the configuration");
    return EXIT_RUNTIME;
}

static int run_from(const struct cli_args *args, const struct door_origin *origin)
{
    struct door *door;
    const struct snapshot *s = NULL;
    const char *saved = cli_text(args, OPT_run_save);
    char *text = NULL;
    bool served = false;
    CHECK(door_direct_new(origin, &door) == 0);
    int code = configure(door, false, &s, &text);
    bool written = code == EXIT_OK && saved && save(saved, origin->text);
    if (code == EXIT_OK && saved && !written)
        code = EXIT_OPEN;
    if (code == EXIT_OK)
        code = cli_has(args, OPT_run_no_supervisor) ? serve_here(s, door, &served)
                                                    : supervise(origin, s, text, &served);
    /* After a start that failed the file would only be in the way of the next try. */
    if (written && !served)
        unlink(saved);
    free(text);
    snapshot_unref(&s);
    door_free(&door);
    return code;
}

int cmd_run(const struct cli_args *args)
{
    sigset_t all;
    struct door_origin origin = {};
    int code = check_words(args);
    if (code == EXIT_OK)
        code = origin_of(args, &origin);
    if (code != EXIT_OK)
        return code;
    /* Before any thread exists: signals arrive as events of one loop and nowhere else. */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    code = run_from(args, &origin);
    free(origin.text);
    return code;
}

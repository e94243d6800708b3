/* SPDX-License-Identifier: MIT */
#include "app/engine_verb.h"

#include "app/configure.h"
#include "app/door_engine.h"
#include "app/engine.h"
#include "app/exit_code.h"
#include "app/sandbox.h"
#include "base/bytes.h"
#include "base/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int complain(const char *text, int code)
{
    (void)fprintf(stderr, "poise: %s\n", text);
    return code;
}

static bool take_channel(const char *word, int *ret_fd)
{
    uint64_t fd;
    if (!span_to_u64(span_cstr(word), &fd) || fd < 3 || fd > 1000000)
        return false;
    *ret_fd = (int)fd;
    return fcntl(*ret_fd, F_SETFD, FD_CLOEXEC) == 0;
}

static int serve(struct door *door)
{
    char why[ENGINE_WHY_MAX];
    const struct snapshot *s = NULL;
    struct engine *e;
    int code = configure(door, true, &s, NULL); /* the supervisor has printed the warnings */
    if (code != EXIT_OK)
        return code;
    struct sandbox_state sandbox;
    if (sandbox_enter(s, &sandbox, why, sizeof(why)) < 0) {
        snapshot_unref(&s);
        return complain(why, EXIT_OPEN);
    }
    enum engine_failure failure = engine_new(s, door, &e, why, sizeof(why));
    if (failure == ENGINE_OK) {
        sandbox_log(&sandbox);
        code = engine_run(e) ? EXIT_OK : EXIT_RUNTIME;
        engine_free(&e);
    } else {
        code = complain(why, engine_failure_code(failure));
    }
    snapshot_unref(&s);
    return code;
}

int engine_verb(int argc, char *const *argv)
{
    int questions, news;
    struct door *door;
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    (void)prctl(PR_SET_NAME, "poise-engine");
    const char *probe = getenv("POISE_SANDBOX_PROBE");
    if (argc == 1 && strcmp(argv[0], "--probe") == 0 && probe)
        return sandbox_probe(probe);
    if (argc != 2 || !take_channel(argv[0], &questions) || !take_channel(argv[1], &news))
        return complain("'engine' is not for people; see 'poise help run'", EXIT_USAGE);
    if (door_engine_new(questions, news, &door) < 0)
        return complain("the supervisor does not answer", EXIT_RUNTIME);
    if (!SANITIZED)
        check_catch_signals();
    int code = serve(door);
    door_free(&door);
    return code;
}

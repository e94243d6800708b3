/* SPDX-License-Identifier: MIT */
#include "app/sandbox.h"

#include "account/reason.h"
#include "app/sandbox_priv.h"
#include "base/compiler.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* In this order, where the configuration names nobody. */
static const char *const users_default[] = {"poise", "nobody"};

static int explain(char *ret_why, size_t why_size, const char *what, int err)
{
    (void)snprintf(ret_why, why_size, "%s: %s", what, strerror(err));
    return -(int)REASON_system_error;
}

/* ---- the user ---- */

static const struct passwd *find_user(const char *wanted)
{
    if (wanted)
        return getpwnam(wanted);
    for (size_t i = 0; i < ARRAY_LEN(users_default); i++) {
        const struct passwd *found = getpwnam(users_default[i]);
        if (found)
            return found;
    }
    return NULL;
}

static int become(const struct passwd *p)
{
    if (initgroups(p->pw_name, p->pw_gid) != 0)
        return errno;
    if (setresgid(p->pw_gid, p->pw_gid, p->pw_gid) != 0)
        return errno;
    return setresuid(p->pw_uid, p->pw_uid, p->pw_uid) == 0 ? 0 : errno;
}

/* A container may have taken from root what it needs to become another: without a user named that
 * is no reason to refuse the start. */
static int change_user(const char *wanted, struct sandbox_state *state, char *ret_why,
                       size_t why_size)
{
    if (geteuid() != 0) {
        if (wanted)
            state->warning = "user is ignored: only root can become another";
        return 0;
    }
    const struct passwd *p = find_user(wanted);
    if (!p && wanted) {
        (void)snprintf(ret_why, why_size, "user: there is no user '%s'", wanted);
        return -(int)REASON_system_error;
    }
    int err = p ? become(p) : ENOENT;
    if (err && wanted)
        return explain(ret_why, why_size, "user: cannot become that user", err);
    if (err)
        state->warning = "the engine stays root: it cannot become another user here";
    else
        (void)snprintf(state->user, sizeof(state->user), "%s", p->pw_name);
    return 0;
}

/* ---- rights ---- */

/* What can be got again by running something. Only those who may can drop it; the others do not
 * have it. */
static void drop_bounding_set(void)
{
    for (cap_value_t c = 0; cap_get_bound(c) >= 0; c++)
        (void)cap_drop_bound(c);
}

static int drop_capabilities(void)
{
    cap_t none = cap_init();
    int err = none && cap_set_proc(none) == 0 ? 0 : errno;
    (void)cap_free(none);
    (void)cap_reset_ambient();
    return err;
}

static int shut(const struct snapshot *s, struct sandbox_state *state, char *ret_why,
                size_t why_size)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return explain(ret_why, why_size, "sandbox: no_new_privs", errno);
    int r = sandbox_shut_files(s);
    if (r < 0)
        return explain(ret_why, why_size, "sandbox: Landlock", -r);
    state->landlock = r;
    r = sandbox_shut_calls();
    if (r < 0 && r != -ENOSYS)
        return explain(ret_why, why_size, "sandbox: seccomp", -r);
    state->seccomp = r == 0;
    return 0;
}

int sandbox_enter(const struct snapshot *s, struct sandbox_state *ret_state, char *ret_why,
                  size_t why_size)
{
    struct sandbox_state *state = ret_state;
    const struct rlimit no_core = {};
    *state = (struct sandbox_state){.on = !SANITIZED && !(s && s->sandbox == SANDBOX_NONE)};
    if (SANITIZED)
        return 0;
    tzset(); /* reads its file while it can */
    drop_bounding_set();
    int r = change_user(s ? s->user : NULL, state, ret_why, why_size);
    if (r < 0 || !state->on)
        return r;
    /* Keys are in here. The limit alone does not keep a core from a program that takes cores. */
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    int err = drop_capabilities();
    if (err)
        return explain(ret_why, why_size, "sandbox: capabilities", err);
    return shut(s, state, ret_why, why_size);
}

void sandbox_log(const struct sandbox_state *state)
{
    if (state->warning)
        log_warn("engine", "%s", state->warning);
    if (!state->on)
        log_debug("engine", "no sandbox user=%s", state->user[0] ? state->user : "unchanged");
    else
        log_debug("engine", "sandboxed user=%s landlock=%d seccomp=%s",
                  state->user[0] ? state->user : "unchanged", state->landlock,
                  state->seccomp ? "yes" : "no");
}

/* ---- the probe ---- */

static long try_open(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static long try_write(void)
{
    return open("/tmp/poise-probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long try_exec(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}

static long try_ptrace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long try_socket(void)
{
    return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static long try_bind(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_port = htons(1);
    return fd < 0 ? fd : bind(fd, (const struct sockaddr *)&a, sizeof(a));
}

static long try_kill(void)
{
    return kill(getppid(), 0);
}

static long try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
}

static long try_dump(void)
{
    errno = EPERM;
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static const struct {
    const char *name;
    long (*attempt)(void);
} probes[] = {
    {"open", try_open},     {"write", try_write},   {"exec", try_exec},
    {"ptrace", try_ptrace}, {"socket", try_socket}, {"bind", try_bind},
    {"kill", try_kill},     {"fork", try_fork},     {"dump", try_dump},
};

int sandbox_probe(const char *what)
{
    char why[256];
    struct sandbox_state state;
    if (SANITIZED)
        return 77;
    if (sandbox_enter(NULL, &state, why, sizeof(why)) < 0) {
        puts(why);
        return 1;
    }
    printf("landlock=%d seccomp=%s user=%s\n", state.landlock, state.seccomp ? "yes" : "no",
           state.user);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        if (strcmp(what, probes[i].name) != 0)
            continue;
        (void)fflush(stdout);
        bool refused = probes[i].attempt() < 0;
        printf("%s: %s\n", what, refused ? strerror(errno) : "allowed");
        return refused ? 0 : 1;
    }
    return 2;
}

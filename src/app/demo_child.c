/* SPDX-License-Identifier: MIT */
#include "app/demo_child.h"

#include "account/reason.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define END_MS 5000

/* After fork: only what is safe in a copy of a program with threads. */
NORETURN static void become(char *const *argv, pid_t parent, int out, const int *keep,
                            size_t keep_count)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    for (size_t i = 0; i < keep_count; i++)
        (void)fcntl(keep[i], F_SETFD, 0);
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing >= 0)
        (void)dup2(nothing, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)execv("/proc/self/exe", argv);
    _exit(127);
}

int demo_child_start(const char *const *argv, const int *keep, size_t keep_count,
                     struct demo_child *ret_child)
{
    union {
        const char *const *in;
        char *const *out;
    } words = {.in = argv}; /* execv changes nothing */
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -(int)REASON_out_of_files;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become(words.out, parent, ends[1], keep, keep_count);
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return -(int)REASON_system_error;
    }
    *ret_child = (struct demo_child){.pid = pid, .out = ends[0]};
    return 0;
}

bool demo_child_line(struct demo_child *c, unsigned timeout_ms, char *line, size_t size)
{
    uint64_t until_ms = clock_mono_ns() / NS_PER_MS + timeout_ms;
    size_t n = 0;
    while (n < size - 1) {
        uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
        struct pollfd p = {.fd = c->out, .events = POLLIN};
        if (now_ms >= until_ms || poll(&p, 1, (int)(until_ms - now_ms)) <= 0)
            return false;
        if (read(c->out, line + n, 1) != 1)
            return false;
        if (line[n] == '\n')
            break;
        n++;
    }
    line[n] = '\0';
    return true;
}

static void forget(struct demo_child *c)
{
    if (c->out >= 0)
        (void)close(c->out);
    *c = (struct demo_child){.out = -1};
}

bool demo_child_port(struct demo_child *c, unsigned timeout_ms, uint16_t *ret_port)
{
    char line[256];
    uint64_t port;
    if (!demo_child_line(c, timeout_ms, line, sizeof(line)))
        return false;
    struct span text = span_cstr(line);
    if (text.n > 0 && text.p[text.n - 1] == '/')
        text.n--;
    size_t colon = span_find_last(text, ':');
    if (colon == SPAN_NOT_FOUND || !span_to_u64(span_from(text, colon + 1), &port) || port > 65535)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

void demo_child_kill(struct demo_child *c)
{
    if (!c->pid)
        return;
    (void)kill(c->pid, SIGKILL);
    while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    forget(c);
}

void demo_child_end(struct demo_child *c)
{
    if (!c->pid)
        return;
    (void)kill(c->pid, SIGTERM);
    for (int waited_ms = 0; waited_ms < END_MS; waited_ms += 10) {
        if (waitpid(c->pid, NULL, WNOHANG) == c->pid) {
            forget(c);
            return;
        }
        struct timespec pause = {.tv_nsec = 10 * (long)NS_PER_MS};
        (void)nanosleep(&pause, NULL);
    }
    demo_child_kill(c);
}

/* SPDX-License-Identifier: MIT */
/* Connections of the load generator: bytes in and out, and the CPU time of others. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

struct run run;
int epoll;
char scratch[SCRATCH];
char body[BODY_MAX];

static struct connection *free_list;

void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t own_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void run_error(const char *why)
{
    run.errors++;
    if (!run.why[0])
        snprintf(run.why, sizeof run.why, "%s", why);
}

/* ---- life ---- */

struct connection *connection_new(enum kind kind, int fd)
{
    struct connection *c = free_list;
    if (c)
        free_list = c->next;
    else if (!(c = malloc(sizeof *c)))
        fail("malloc");
    *c = (struct connection){.kind = (uint8_t)kind, .fd = fd};
    return c;
}

void connection_watch(struct connection *c)
{
    bool stream = c->kind == KIND_SERVER || c->kind == KIND_CLIENT;
    uint32_t all = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    struct epoll_event e = {.events = stream ? all : EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
        fail("epoll_ctl");
}

void connection_close(struct connection *c, bool reset)
{
    struct linger linger = {.l_onoff = 1};
    if (reset)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(c->fd);
    c->fd = -1;
}

void connection_clear(struct connection *c)
{
    free(c->rest);
    tls_free(c->tls);
    h2_free(c->h2);
    c->rest = NULL;
    c->tls = NULL;
    c->h2 = NULL;
}

void connection_free(struct connection *c)
{
    connection_clear(c);
    c->next = free_list;
    free_list = c;
}

/* ---- bytes ---- */

void connection_hint(struct connection *c, uint32_t events)
{
    /* Such an edge is reported once, perhaps together with the last bytes. */
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->hung_up = true;
}

ssize_t connection_receive(struct connection *c, bool *ret_more)
{
    if (c->tls)
        return tls_receive(c, ret_more);
    size_t have = c->rest_len;
    if (have) {
        memcpy(scratch, c->rest, have);
        c->rest_len = 0;
    }
    ssize_t n = recv(c->fd, scratch + have, SCRATCH - have, MSG_DONTWAIT);
    *ret_more = n > 0 && (c->hung_up || (size_t)n == SCRATCH - have);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        return -1;
    if (n > 0)
        return (ssize_t)have + n;
    c->rest_len = have; /* nothing new: it is kept as it was */
    return 0;
}

bool connection_keep(struct connection *c, const char *bytes, size_t n)
{
    if (n >= HEAD_MAX || (!c->rest && !(c->rest = malloc(HEAD_MAX))))
        return false;
    memcpy(c->rest, bytes, n);
    c->rest_len = n;
    return true;
}

bool connection_flush(struct connection *c)
{
    if (c->tls)
        return tls_flush(c);
    while (c->out_sent < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN;
        c->out_sent += (size_t)n;
    }
    return true;
}

int64_t field_number(const char *head, size_t n, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = head; (line = memchr(line, '\n', (size_t)(head + n - line))) != NULL;) {
        line++;
        if ((size_t)(head + n - line) > length && line[length] == ':' &&
            strncasecmp(line, name, length) == 0)
            return (int64_t)strtoull(line + length + 1, NULL, 10); /* ends at the CRLF */
    }
    return -1;
}

bool body_good(uint64_t at, const char *bytes, size_t n)
{
    enum { SAMPLE = 32 };
    const char *right = body + at;
    if (!run.measuring || n <= 2 * (size_t)SAMPLE)
        return memcmp(bytes, right, n) == 0;
    return memcmp(bytes, right, SAMPLE) == 0 &&
           memcmp(bytes + n - SAMPLE, right + n - SAMPLE, SAMPLE) == 0;
}

/* ---- the CPU time of others ---- */

static bool file_text(const char *path, char *text, int size)
{
    FILE *f = fopen(path, "re");
    bool good = f && fgets(text, size, f);
    if (f)
        fclose(f);
    return good;
}

static void task_read(int pid, const char *tid, struct task *task)
{
    char path[320], text[128] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, tid);
    *task = (struct task){.tid = (int)strtol(tid, NULL, 10)};
    if (file_text(path, text, sizeof text))
        task->ns = strtoull(text, NULL, 10);
    snprintf(path, sizeof path, "/proc/%d/task/%s/comm", pid, tid);
    if (file_text(path, text, sizeof text)) {
        text[strcspn(text, "\n\"\\")] = '\0';
        snprintf(task->name, sizeof task->name, "%.15s", text);
    }
}

unsigned tasks_read(struct task tasks[TASKS_MAX])
{
    unsigned count = 0;
    for (unsigned i = 0; i < run.pid_count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task", run.pids[i]);
        DIR *d = opendir(path);
        for (struct dirent *e; d && (e = readdir(d));)
            if (e->d_name[0] != '.' && count < TASKS_MAX)
                task_read(run.pids[i], e->d_name, &tasks[count++]);
        if (d)
            closedir(d);
    }
    return count;
}

void ticks_read(uint64_t ret_ticks[2])
{
    ret_ticks[0] = ret_ticks[1] = 0;
    for (unsigned i = 0; i < run.pid_count; i++) {
        char path[64], text[1024];
        snprintf(path, sizeof path, "/proc/%d/stat", run.pids[i]);
        char *at = file_text(path, text, sizeof text) ? strrchr(text, ')') : NULL;
        for (int field = 2; at && field < 14; field++) /* utime is the 14th, stime the next */
            at = strchr(at + 1, ' ');
        if (!at)
            continue;
        ret_ticks[0] += strtoull(at, &at, 10);
        ret_ticks[1] += strtoull(at, NULL, 10);
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * The load and the backends of the benchmark, in one process on one CPU, so that all the rest of
 * the machine is the proxy's (load.h tells what is where). It takes commands on standard input and
 * answers each with one JSON object on a line:
 *
 *   load [BACKENDS] [spread]
 *       first prints {"backends":[PORT,...],"h2_backends":[PORT,...]}: the same backends over
 *       HTTP/1 and over HTTP/2 in clear. With `spread` also "spread":PORT, on which every loopback
 *       address 127.x.y.z answers: as many backends as one likes.
 *
 *   run PORT KEEP CONNECTIONS BODY REQUESTS WARM_MS MEASURE_MS [OPTION=N...] [PID...]
 *       GETs to 127.0.0.1:PORT; KEEP is keep or close; every answer has a body of BODY bytes. Ends
 *       after REQUESTS answers or, when that is 0, after WARM_MS and then MEASURE_MS; only what
 *       falls into the last is counted, together with the CPU time of the PIDs in it.
 *           browser=1   heads as browsers and applications send them: 13 fields, 8 in the answer
 *           upload=N    POSTs with a body of N bytes, which the backends check
 *           depth=N     so many requests are sent at once on a connection
 *           sources=N   clients come from N loopback addresses
 *           rate=N      an open loop: N requests a second, on a fixed schedule
 *           tls=1       over TLS 1.3 (X25519, AES-128-GCM); the certificate may be any
 *           resume=1    every handshake resumes an earlier one by its ticket; otherwise none does
 *           streams=N   over HTTP/2: so many requests at a time on each connection; with TLS by
 *                       ALPN, in clear by prior knowledge. Without browser, upload and depth
 *       Prints {"requests":,"errors":,"why":,"ns":,"cpu_ns":,"self_ns":,"ticks":[user,system],
 *       "tasks":[[name,ns],...],"backends":[...]}: "backends" has the requests that each saw; an
 *       open loop adds "latency" and "late" (of the sends) with quantiles in nanoseconds.
 *
 *   open PORT COUNT [tls=1]     opens connections, one request on each, and leaves them idle
 *   shut                        closes those
 *
 * Every answer is checked for its length, and for what it says: to the last byte before measuring
 * begins, in samples while it lasts.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

/* How long a run waits for the first tickets before it takes it that there are none. */
#define SETTLE_NS UINT64_C(2000000000)

static size_t idle_wanted, idle_seen;

/* ---- runs ---- */

static void run_begin(void)
{
    server_prepare();
    client_prepare();
    run.active = true;
    run.begin_ns = now_ns() + run.warm_ns;
    memset(backend_requests, 0, sizeof backend_requests);
    if (run.rate) {
        open_begin();
        return;
    }
    for (size_t i = 0; i < run.connections && more_wanted(); i++)
        client_add(false);
}

static void measure_begin(void)
{
    run.measuring = true;
    run.requests = 0;
    memset(backend_requests, 0, sizeof backend_requests);
    run.task_count = tasks_read(run.tasks);
    ticks_read(run.ticks);
    run.self_ns = own_ns();
    run.begin_ns = now_ns();
}

/* The growth of every thread that was there when measuring began, or has come since. */
static uint64_t report_tasks(void)
{
    struct task tasks[TASKS_MAX];
    unsigned count = tasks_read(tasks);
    uint64_t sum = 0;
    printf(",\"tasks\":[");
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < run.task_count; j++)
            if (run.tasks[j].tid == tasks[i].tid)
                tasks[i].ns -= run.tasks[j].ns;
        sum += tasks[i].ns;
        printf("%s[\"%s\",%" PRIu64 "]", i ? "," : "", tasks[i].name, tasks[i].ns);
    }
    printf("]");
    return sum;
}

static void run_end(void)
{
    uint64_t ns = now_ns() - run.begin_ns, self = own_ns() - run.self_ns, ticks[2];
    ticks_read(ticks);
    printf("{\"requests\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"why\":\"%s\",\"ns\":%" PRIu64
           ",\"self_ns\":%" PRIu64 ",\"ticks\":[%" PRIu64 ",%" PRIu64 "]",
           run.requests, run.errors, run.why, ns, self, ticks[0] - run.ticks[0],
           ticks[1] - run.ticks[1]);
    printf(",\"cpu_ns\":%" PRIu64 ",\"backends\":[", report_tasks());
    for (unsigned i = 0; i < backend_count; i++)
        printf("%s%" PRIu64, i ? "," : "", backend_requests[i]);
    printf("]");
    if (run.rate)
        open_report();
    printf("}\n");
    fflush(stdout);
    run.active = run.measuring = false;
    clients_close(false);
}

static void run_check(void)
{
    if (!run.active)
        return;
    if (run.limit) {
        if (run.requests + run.errors >= run.limit)
            run_end();
        return;
    }
    uint64_t now = now_ns();
    bool settled = tls_settled() || now >= run.begin_ns + SETTLE_NS;
    if (!run.measuring && now >= run.begin_ns && settled)
        measure_begin();
    else if (run.measuring && (run.rate ? open_finished() : now - run.begin_ns >= run.measure_ns))
        run_end();
}

/* ---- commands ---- */

static uint64_t word_number(char **save)
{
    char *word = strtok_r(NULL, " \n", save);
    return word ? strtoull(word, NULL, 10) : 0;
}

static bool option_set(const char *name, size_t n, uint64_t value)
{
    const struct {
        const char *name;
        uint64_t *value, max;
    } options[] = {
        {"browser", &run.browser, 1},
        {"upload", &run.upload, BODY_MAX},
        {"depth", &run.depth, DEPTH_MAX},
        {"sources", &run.sources, 16000},
        {"rate", &run.rate, 1000 * 1000000},
        {"tls", &run.tls, 1},
        {"resume", &run.resume, 1},
        {"streams", &run.streams, STREAMS_MAX},
        {NULL, NULL, 0},
    };
    for (size_t i = 0; options[i].name; i++)
        if (strlen(options[i].name) == n && memcmp(options[i].name, name, n) == 0) {
            *options[i].value = value;
            return value <= options[i].max;
        }
    return false;
}

/* OPTION=N... PID... */
static bool words_rest(char **save)
{
    for (char *word; (word = strtok_r(NULL, " \n", save)) != NULL;) {
        char *equals = strchr(word, '=');
        if (equals) {
            uint64_t value = strtoull(equals + 1, NULL, 10);
            if (!option_set(word, (size_t)(equals - word), value))
                return false;
        } else if (run.pid_count < PIDS_MAX) {
            run.pids[run.pid_count++] = (int)strtol(word, NULL, 10);
        }
    }
    return true;
}

static _Noreturn void command_bad(void)
{
    fprintf(stderr, "load: bad command\n");
    exit(2);
}

static bool options_fit(void)
{
    bool h2 = !run.streams || (run.keep && run.depth == 1 && !run.browser && !run.upload);
    bool open = !run.rate || (!run.tls && !run.streams);
    return run.connections && run.body <= BODY_MAX && run.depth && h2 && open;
}

static void command_run(char **save)
{
    run = (struct run){.depth = 1};
    run.port = (uint16_t)word_number(save);
    char *keep = strtok_r(NULL, " \n", save);
    run.keep = keep && strcmp(keep, "keep") == 0;
    run.connections = word_number(save);
    run.body = word_number(save);
    run.limit = word_number(save);
    run.warm_ns = word_number(save) * 1000000;
    run.measure_ns = word_number(save) * 1000000;
    if (!words_rest(save) || !options_fit())
        command_bad();
    run_begin();
}

static void command_open(char **save)
{
    run = (struct run){.keep = true, .body = 64, .depth = 1};
    run.port = (uint16_t)word_number(save);
    idle_wanted = word_number(save);
    if (!words_rest(save))
        command_bad();
    idle_open = idle_seen = 0;
    server_prepare();
    client_prepare();
    client_add(true);
}

/* One after the other, so that the proxy needs but one upstream connection. */
static void idle_check(void)
{
    if (!idle_wanted || idle_seen == idle_open)
        return;
    idle_seen = idle_open;
    if (idle_seen < idle_wanted) {
        client_add(true);
        return;
    }
    printf("{\"open\":%zu,\"errors\":%" PRIu64 "}\n", idle_open, run.errors);
    fflush(stdout);
    idle_wanted = 0;
}

static void command(void)
{
    static char line[1024];
    static size_t have;
    ssize_t n = read(0, line + have, sizeof line - 1 - have);
    if (n <= 0)
        exit(0); /* whoever gave the commands is gone */
    have += (size_t)n;
    if (line[have - 1] != '\n')
        return;
    line[have] = '\0';
    have = 0;
    char *save = NULL;
    char *word = strtok_r(line, " \n", &save);
    if (word && strcmp(word, "run") == 0)
        command_run(&save);
    else if (word && strcmp(word, "open") == 0)
        command_open(&save);
    else if (word && strcmp(word, "shut") == 0) {
        clients_close(true);
        printf("{}\n");
        fflush(stdout);
    }
}

/* ---- the loop ---- */

static void dispatch(struct connection *c, uint32_t events)
{
    switch (c->kind) {
    case KIND_STDIN: command(); break;
    case KIND_LISTENER: listener_event(c); break;
    case KIND_SERVER: server_event(c, events); break;
    default:
        if (c->fd >= 0)
            client_event(c, events);
    }
}

static _Noreturn void loop(void)
{
    for (;;) {
        struct epoll_event events[EVENTS];
        /* An open loop spins: its schedule is finer than any timeout. */
        int n = epoll_wait(epoll, events, EVENTS, !run.active ? -1 : run.rate ? 0 : 10);
        for (int i = 0; i < n; i++) {
            dispatch(events[i].data.ptr, events[i].events);
            if (run.rate && run.active)
                open_turn();
        }
        if (run.rate && run.active)
            open_turn();
        run_check();
        idle_check();
    }
}

/* Text in which no two pieces are alike. */
static void body_make(void)
{
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < BODY_MAX; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        body[i] = (char)('a' + (x >> 32) % 26);
    }
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 3;
    if (count < 1 || count > BACKENDS_MAX)
        return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    body_make();
    server_prepare();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    connection_watch(connection_new(KIND_STDIN, 0));
    servers_open((unsigned)count, argc > 2 && strcmp(argv[2], "spread") == 0);
    loop();
}

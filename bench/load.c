/* SPDX-License-Identifier: MIT */
/*
 * The load and the backends of the benchmark, in one process on one CPU, so that all the rest of
 * the machine is the proxy's. Raw epoll, requests and answers made beforehand.
 *
 * It takes commands on standard input and answers each with one JSON object on a line:
 *
 *   load [BACKENDS]                     first prints {"backends":[PORT,...]}
 *   run PORT KEEP CONNECTIONS BODY REQUESTS WARM_MS MEASURE_MS [PID...]
 *       closed loop of GETs to 127.0.0.1:PORT; KEEP is keep or close; every answer has a body of
 * BODY bytes. Ends after REQUESTS answers, or, when that is 0, after WARM_MS and then MEASURE_MS;
 * only what falls into the last is counted, together with the CPU time that the threads of the PIDs
 *       used in it. Every answer is checked to the last byte.
 * {"requests":,"errors":,"ns":,"cpu_ns":, "self_ns":,"backends":[...]} ("backends": requests that
 * each backend saw) open PORT COUNT                     opens connections, one request on each, and
 * leaves them idle shut                                closes those
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BACKENDS_MAX = 16, PIDS_MAX = 16, BODY_MAX = 1 << 20, HEAD_MAX = 2048, EVENTS = 256 };

enum kind { KIND_STDIN, KIND_LISTENER, KIND_SERVER, KIND_CLIENT };

struct connection {
    uint8_t kind; /* enum kind */
    bool writing; /* EPOLLOUT is asked for */
    bool idle;    /* belongs to `open` */
    bool closing; /* the request said "Connection: close" */
    bool done;    /* client: the whole answer is here, the end of the connection is due */
    bool answered;
    int fd;
    unsigned backend;   /* server, listener */
    size_t sent, total; /* of what is being sent */
    size_t have;        /* bytes in `head` */
    size_t head_len;    /* client: of the answer's head once it is complete, else 0 */
    uint64_t body_len, body_seen;
    struct connection *next; /* free list */
    char head[HEAD_MAX];
};

struct run {
    bool active, measuring;
    uint16_t port;
    bool keep;
    size_t connections, body;
    uint64_t limit, started; /* requests */
    uint64_t warm_ns, measure_ns, begin_ns;
    int pids[PIDS_MAX];
    unsigned pid_count;
    uint64_t requests, errors, cpu_ns, self_ns;
    uint64_t backend_requests[BACKENDS_MAX];
    char why[128]; /* the first error */
};

static int epoll;
static unsigned backend_count = 3;
static uint16_t backend_ports[BACKENDS_MAX];
static uint64_t backend_requests[BACKENDS_MAX];
static struct run run;
static struct connection *free_list;
static struct connection **clients; /* those of the run, and those left idle */
static size_t client_count, idle_open, idle_wanted;
static char *answer; /* head and body for a run's size */
static size_t answer_len, answer_body;
static char body[BODY_MAX];
static char request_keep[256], request_close[256];
static char scratch[256 * 1024];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct connection *connection_new(enum kind kind, int fd)
{
    struct connection *c = free_list;
    if (c)
        free_list = c->next;
    else if (!(c = malloc(sizeof *c)))
        fail("malloc");
    memset(c, 0, offsetof(struct connection, head));
    c->kind = (uint8_t)kind;
    c->fd = fd;
    return c;
}

static void watch(struct connection *c, int how, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, how, c->fd, &e) < 0)
        fail("epoll_ctl");
}

static void connection_close(struct connection *c, bool reset)
{
    struct linger linger = {.l_onoff = 1};
    if (reset) /* leaves no TIME_WAIT behind, of which there would soon be too many */
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(c->fd);
    c->fd = -1;
}

static void connection_free(struct connection *c)
{
    c->next = free_list;
    free_list = c;
}

/* ---- the CPU time of others ---- */

static uint64_t task_ns(int pid, const char *tid)
{
    char path[320], text[128] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, tid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    if (!fgets(text, sizeof text, f))
        text[0] = '\0';
    fclose(f);
    return strtoull(text, NULL, 10);
}

static uint64_t process_ns(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *d = opendir(path);
    if (!d)
        return 0;
    uint64_t sum = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            sum += task_ns(pid, e->d_name);
    closedir(d);
    return sum;
}

static uint64_t proxy_ns(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < run.pid_count; i++)
        sum += process_ns(run.pids[i]);
    return sum;
}

static uint64_t own_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- backends ---- */

static void answer_make(size_t size)
{
    if (answer && size == answer_body)
        return;
    free(answer);
    answer = malloc(size + 256);
    if (!answer)
        fail("malloc");
    int n = snprintf(answer, 256,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                     size);
    memcpy(answer + n, body, size);
    answer_len = (size_t)n + size;
    answer_body = size;
}

static void server_end(struct connection *c)
{
    connection_close(c, false);
    connection_free(c);
}

/* Sends what is left of the answer; false when the connection is gone. */
static bool server_send(struct connection *c)
{
    while (c->sent < c->total) {
        ssize_t n = send(c->fd, answer + c->sent, c->total - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            if (!c->writing)
                watch(c, EPOLL_CTL_MOD, EPOLLOUT);
            c->writing = true;
            return true;
        }
        if (n < 0) {
            server_end(c);
            return false;
        }
        c->sent += (size_t)n;
    }
    if (c->closing) {
        server_end(c);
        return false;
    }
    if (c->writing)
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    c->writing = false;
    return true;
}

static void server_event(struct connection *c, uint32_t events)
{
    if (events & EPOLLOUT && c->writing) {
        server_send(c);
        return;
    }
    ssize_t n = recv(c->fd, c->head + c->have, HEAD_MAX - c->have, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        server_end(c);
        return;
    }
    c->have += (size_t)n;
    char *end = memmem(c->head, c->have, "\r\n\r\n", 4);
    if (!end && c->have == HEAD_MAX) {
        server_end(c);
        return;
    }
    if (!end)
        return;
    /* One request at a time: a proxy that sent two would be found out by its client. */
    c->closing = memmem(c->head, c->have, "\r\nConnection: close\r\n", 21) != NULL;
    c->have = 0;
    backend_requests[c->backend]++;
    c->sent = 0;
    c->total = answer_len;
    server_send(c);
}

static void listener_event(struct connection *l)
{
    for (;;) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = connection_new(KIND_SERVER, fd);
        c->backend = l->backend;
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void backends_open(void)
{
    printf("{\"backends\":[");
    for (unsigned i = 0; i < backend_count; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof a;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 65535) < 0 ||
            getsockname(fd, (struct sockaddr *)&a, &len) < 0)
            fail("backend");
        backend_ports[i] = ntohs(a.sin_port);
        struct connection *c = connection_new(KIND_LISTENER, fd);
        c->backend = i;
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
        printf("%s%u", i ? "," : "", backend_ports[i]);
    }
    printf("]}\n");
    fflush(stdout);
}

/* ---- clients ---- */

static void client_request(struct connection *c)
{
    const char *text = c->idle || run.keep ? request_keep : request_close;
    size_t n = strlen(text);
    c->have = c->head_len = 0;
    c->body_seen = 0;
    c->done = false;
    run.started++;
    /* Some hundred bytes always fit an empty socket buffer. */
    if (send(c->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n && !run.why[0])
        snprintf(run.why, sizeof run.why, "send: %s", strerror(errno));
}

static struct connection *client_open(uint16_t port, bool idle)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* Blocking: on loopback it takes no time, and the request follows at once. */
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        fail("connect to the proxy");
    struct connection *c = connection_new(KIND_CLIENT, fd);
    c->idle = idle;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
    client_request(c);
    return c;
}

static size_t client_index(const struct connection *c)
{
    for (size_t i = 0; i < client_count; i++)
        if (clients[i] == c)
            return i;
    return 0;
}

static bool more_wanted(void)
{
    return run.active && (!run.limit || run.started < run.limit);
}

/* Another request on this connection, or another connection in its place. */
static void client_again(struct connection *c)
{
    if (c->idle) {
        idle_open++;
        return;
    }
    if (!more_wanted())
        return;
    if (run.keep && c->fd >= 0) {
        client_request(c);
        return;
    }
    size_t i = client_index(c);
    connection_free(c);
    clients[i] = client_open(run.port, false);
}

static void client_error(struct connection *c, const char *why)
{
    run.errors++;
    if (!run.why[0])
        snprintf(run.why, sizeof run.why, "%s", why);
    connection_close(c, true);
    if (!c->idle)
        client_again(c);
    else
        idle_open++;
}

static bool client_head(struct connection *c)
{
    char *end = memmem(c->head, c->have, "\r\n\r\n", 4);
    if (!end)
        return c->have < HEAD_MAX;
    *end = '\0';
    char *length = strcasestr(c->head, "\r\nContent-Length:");
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || !length)
        return false;
    c->body_len = strtoull(length + 17, NULL, 10);
    c->head_len = (size_t)(end + 4 - c->head);
    return c->body_len == answer_body;
}

static bool client_body(struct connection *c, const char *bytes, size_t n)
{
    if (n > c->body_len - c->body_seen || memcmp(bytes, body + c->body_seen, n) != 0)
        return false;
    c->body_seen += n;
    return true;
}

static void client_complete(struct connection *c)
{
    run.requests++;
    if (c->idle || run.keep) {
        client_again(c);
        return;
    }
    c->done = true; /* the proxy closes next */
}

static void client_event(struct connection *c)
{
    bool in_head = c->head_len == 0;
    char *to = in_head ? c->head + c->have : scratch;
    ssize_t n = recv(c->fd, to, in_head ? HEAD_MAX - c->have : sizeof scratch, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n == 0 && c->done) {
        connection_close(c, true);
        client_again(c);
        return;
    }
    if (n <= 0 || c->done) {
        client_error(c, n < 0 ? strerror(errno) : n ? "bytes after the answer" : "closed early");
        return;
    }
    bool good;
    if (in_head) {
        c->have += (size_t)n;
        good = client_head(c);
        if (good && c->head_len)
            good = client_body(c, c->head + c->head_len, c->have - c->head_len);
    } else {
        good = client_body(c, to, (size_t)n);
    }
    if (!good)
        client_error(c, "a wrong answer");
    else if (c->head_len && c->body_seen == c->body_len)
        client_complete(c);
}

static void clients_close(bool idle)
{
    size_t kept = 0;
    for (size_t i = 0; i < client_count; i++) {
        struct connection *c = clients[i];
        if (c->idle != idle) {
            clients[kept++] = c;
            continue;
        }
        if (c->fd >= 0)
            connection_close(c, !idle);
        connection_free(c);
    }
    client_count = kept;
}

static void client_add(uint16_t port, bool idle)
{
    clients = realloc(clients, (client_count + 1) * sizeof *clients);
    if (!clients)
        fail("realloc");
    clients[client_count++] = NULL;
    clients[client_count - 1] = client_open(port, idle);
}

/* ---- runs ---- */

static void run_begin(void)
{
    answer_make(run.body);
    run.active = true;
    run.begin_ns = now_ns() + run.warm_ns;
    memset(backend_requests, 0, sizeof backend_requests);
    for (size_t i = 0; i < run.connections && more_wanted(); i++)
        client_add(run.port, false);
}

static void measure_begin(void)
{
    run.measuring = true;
    run.requests = run.errors = 0;
    memset(backend_requests, 0, sizeof backend_requests);
    run.cpu_ns = proxy_ns();
    run.self_ns = own_ns();
    run.begin_ns = now_ns();
}

static void run_end(void)
{
    uint64_t cpu = proxy_ns() - run.cpu_ns;
    uint64_t ns = now_ns() - run.begin_ns;
    run.active = false;
    printf("{\"requests\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"why\":\"%s\",\"ns\":%" PRIu64
           ",\"cpu_ns\":%" PRIu64 ",\"self_ns\":%" PRIu64 ",\"backends\":[",
           run.requests, run.errors, run.why, ns, cpu, own_ns() - run.self_ns);
    for (unsigned i = 0; i < backend_count; i++)
        printf("%s%" PRIu64, i ? "," : "", backend_requests[i]);
    printf("]}\n");
    fflush(stdout);
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
    if (!run.measuring && now >= run.begin_ns)
        measure_begin();
    else if (run.measuring && now - run.begin_ns >= run.measure_ns)
        run_end();
}

/* ---- commands ---- */

static uint64_t word_number(char **save)
{
    char *word = strtok_r(NULL, " \n", save);
    return word ? strtoull(word, NULL, 10) : 0;
}

static void command_run(char **save)
{
    memset(&run, 0, sizeof run);
    run.port = (uint16_t)word_number(save);
    char *keep = strtok_r(NULL, " \n", save);
    run.keep = keep && strcmp(keep, "keep") == 0;
    run.connections = word_number(save);
    run.body = word_number(save);
    run.limit = word_number(save);
    run.warm_ns = word_number(save) * 1000000;
    run.measure_ns = word_number(save) * 1000000;
    for (uint64_t pid; run.pid_count < PIDS_MAX && (pid = word_number(save));)
        run.pids[run.pid_count++] = (int)pid;
    if (!run.connections || run.body > BODY_MAX) {
        fprintf(stderr, "load: bad command\n");
        exit(2);
    }
    run_begin();
}

static void command_open(char **save)
{
    run.port = (uint16_t)word_number(save);
    idle_wanted = word_number(save);
    idle_open = 0;
    run.requests = run.errors = 0;
    answer_make(64);
    client_add(run.port, true);
}

/* One after the other, so that the proxy needs but one upstream connection. */
static void idle_check(void)
{
    static size_t opened;
    if (!idle_wanted)
        return;
    if (opened == idle_open)
        return;
    opened = idle_open;
    if (opened < idle_wanted) {
        client_add(run.port, true);
        return;
    }
    printf("{\"open\":%zu,\"errors\":%" PRIu64 "}\n", idle_open, run.errors);
    fflush(stdout);
    idle_wanted = opened = 0;
}

static void command(void)
{
    static char line[512];
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

static void dispatch(struct connection *c, uint32_t events)
{
    switch (c->kind) {
    case KIND_STDIN: command(); break;
    case KIND_LISTENER: listener_event(c); break;
    case KIND_SERVER: server_event(c, events); break;
    default:
        if (c->fd >= 0)
            client_event(c);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        backend_count = (unsigned)strtoul(argv[1], NULL, 10);
    if (backend_count < 1 || backend_count > BACKENDS_MAX)
        return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (size_t i = 0; i < BODY_MAX; i++)
        body[i] = (char)('a' + (i * 7 + i / 251) % 26);
    static const char head[] = "GET /index.html HTTP/1.1\r\nHost: www.example.org\r\n"
                               "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n";
    snprintf(request_keep, sizeof request_keep, "%s\r\n", head);
    snprintf(request_close, sizeof request_close, "%sConnection: close\r\n\r\n", head);
    answer_make(64);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(connection_new(KIND_STDIN, 0), EPOLL_CTL_ADD, EPOLLIN);
    backends_open();
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, run.active ? 10 : -1);
        for (int i = 0; i < n; i++)
            dispatch(events[i].data.ptr, events[i].events);
        run_check();
        idle_check();
    }
}

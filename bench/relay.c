/* SPDX-License-Identifier: MIT */
/*
 * The floor of the benchmark: a TCP relay on epoll that does as little as can be done. It looks at
 * no byte, keeps no statistics and has no timers: one receive and one send for each piece.
 *
 *   relay BACKEND_PORT...    listens on 127.0.0.1 and prints {"port":N}
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BUFFER = 64 * 1024 };

struct pair;

struct end {
    struct pair *pair;
    struct end *peer;
    int fd;
    bool eof;      /* it will send no more */
    char *waiting; /* what this end could not take yet; its peer is not read meanwhile */
    size_t waiting_n, waiting_at;
};

struct pair {
    struct end client, backend;
    bool dead;
    struct pair *next; /* to be freed after the turn */
};

static int epoll;
static struct pair *dead;
static char buffer[BUFFER];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* An end is read while it may send more and its peer has taken all there was. */
static void watch(struct end *e, int how)
{
    bool in = !e->eof && !e->peer->waiting;
    struct epoll_event event = {.events = (in ? EPOLLIN : 0u) | (e->waiting ? EPOLLOUT : 0u),
                                .data.ptr = e};
    if (epoll_ctl(epoll, how, e->fd, &event) < 0)
        fail("epoll_ctl");
}

static void pair_end(struct pair *p)
{
    if (p->dead)
        return;
    p->dead = true;
    close(p->client.fd);
    close(p->backend.fd);
    p->next = dead;
    dead = p;
}

static void bury(void)
{
    while (dead) {
        struct pair *p = dead;
        dead = p->next;
        free(p->client.waiting);
        free(p->backend.waiting);
        free(p);
    }
}

static void end_of(struct end *from)
{
    from->eof = true;
    if (from->peer->eof) {
        pair_end(from->pair);
        return;
    }
    shutdown(from->peer->fd, SHUT_WR);
    watch(from, EPOLL_CTL_MOD);
}

static void wait_for(struct end *to, const char *bytes, size_t n)
{
    to->waiting = malloc(n);
    if (!to->waiting)
        fail("malloc");
    memcpy(to->waiting, bytes, n);
    to->waiting_n = n;
    to->waiting_at = 0;
    watch(to, EPOLL_CTL_MOD);
    watch(to->peer, EPOLL_CTL_MOD);
}

static void readable(struct end *from)
{
    ssize_t n = recv(from->fd, buffer, BUFFER, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0) {
        pair_end(from->pair);
        return;
    }
    if (n == 0) {
        end_of(from);
        return;
    }
    ssize_t sent = send(from->peer->fd, buffer, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        pair_end(from->pair);
    else if (sent < n)
        wait_for(from->peer, buffer + (sent < 0 ? 0 : sent), (size_t)(n - (sent < 0 ? 0 : sent)));
}

static void writable(struct end *to)
{
    ssize_t n =
        send(to->fd, to->waiting + to->waiting_at, to->waiting_n - to->waiting_at, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN)
            pair_end(to->pair);
        return;
    }
    to->waiting_at += (size_t)n;
    if (to->waiting_at < to->waiting_n)
        return;
    free(to->waiting);
    to->waiting = NULL;
    watch(to, EPOLL_CTL_MOD);
    watch(to->peer, EPOLL_CTL_MOD);
}

static void prepare(struct end *e, struct pair *p, struct end *peer, int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *e = (struct end){.pair = p, .peer = peer, .fd = fd};
    watch(e, EPOLL_CTL_ADD);
}

static void accept_all(int listener, const struct sockaddr_in *to)
{
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0)
            return;
        int backend = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (backend < 0 ||
            (connect(backend, (const struct sockaddr *)to, sizeof *to) < 0 && errno != EINPROGRESS))
            fail("connect to the backend");
        struct pair *p = malloc(sizeof *p);
        if (!p)
            fail("malloc");
        p->dead = false;
        p->client.waiting = p->backend.waiting = NULL;
        prepare(&p->client, p, &p->backend, client);
        prepare(&p->backend, p, &p->client, backend);
    }
}

static int listen_any(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 65535) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        fail("listen");
    printf("{\"port\":%u}\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    struct sockaddr_in to[16];
    unsigned count = 0, next = 0;
    for (int i = 1; i < argc && count < 16; i++)
        to[count++] = (struct sockaddr_in){.sin_family = AF_INET,
                                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                           .sin_port = htons((uint16_t)strtoul(argv[i], NULL, 10))};
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_any();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0)
        fail("epoll_ctl");
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct end *e = events[i].data.ptr;
            if (!e)
                accept_all(listener, &to[next++ % count]);
            else if (!e->pair->dead && events[i].events & EPOLLOUT && e->waiting)
                writable(e);
            else if (!e->pair->dead)
                readable(e);
        }
        bury();
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * The backends: every request gets the same answer, made beforehand, after its body, if it has one,
 * was checked. Requests that arrive together are answered together.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "load.h"

unsigned backend_count;
uint64_t backend_requests[BACKENDS_MAX + 1];

static char *answers; /* `copies` times the same */
static size_t answer_len, answer_body;
static unsigned copies;
static bool answer_browser;

static const char head_plain[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
static const char head_browser[] = "HTTP/1.1 200 OK\r\n"
                                   "Date: Mon, 05 Jan 2026 10:00:00 GMT\r\n"
                                   "Content-Type: text/html; charset=utf-8\r\n"
                                   "Cache-Control: private, max-age=0, must-revalidate\r\n"
                                   "ETag: \"5f3c-62a9d7c1b4e80\"\r\n"
                                   "Last-Modified: Sun, 04 Jan 2026 22:13:41 GMT\r\n"
                                   "Vary: Accept-Encoding\r\n"
                                   "Set-Cookie: seen=1; Path=/; HttpOnly; SameSite=Lax\r\n";

void server_prepare(void)
{
    h2_server_prepare();
    if (answers && run.body == answer_body && run.browser == answer_browser)
        return;
    copies = run.body <= 8192 ? DEPTH_MAX : 1;
    free(answers);
    answers = malloc(copies * (run.body + 512));
    if (!answers)
        fail("malloc");
    int n = snprintf(answers, 512, "%sContent-Length: %zu\r\n\r\n",
                     run.browser ? head_browser : head_plain, run.body);
    memcpy(answers + n, body, run.body);
    answer_len = (size_t)n + run.body;
    answer_body = run.body;
    answer_browser = run.browser;
    for (unsigned i = 1; i < copies; i++)
        memcpy(answers + i * answer_len, answers, answer_len);
}

static void server_end(struct connection *c)
{
    connection_close(c, false);
    connection_free(c);
}

/* Starts the answers that are due and sends what the socket takes. False: the connection is over.
 */
static bool server_answer(struct connection *c)
{
    for (;;) {
        if (!connection_flush(c))
            return false;
        if (c->out_sent < c->out_len)
            return true;
        if (!c->due)
            return !c->closing || c->in_body;
        unsigned now = c->due < copies ? c->due : copies;
        c->due -= now;
        c->out = answers;
        c->out_len = now * answer_len;
        c->out_sent = 0;
    }
}

static void request_complete(struct connection *c)
{
    c->in_body = false;
    c->due++;
    backend_requests[c->backend]++;
}

/* The length of the head at the front of n bytes, 0 when its end is not there yet. */
static size_t head_length(const char *bytes, size_t n)
{
    /* No proxy sends the next request before the answer, so what ends like a head is just one. */
    bool one = run.depth == 1 && run.upload == 0 && n >= 4;
    if (one && memcmp(bytes + n - 4, "\r\n\r\n", 4) == 0)
        return n;
    const char *end = memmem(bytes, n, "\r\n\r\n", 4);
    return end ? (size_t)(end + 4 - bytes) : 0;
}

/* The next head of n bytes. Returns its length, 0 when it is not complete. */
static size_t request_head(struct connection *c, const char *bytes, size_t n)
{
    size_t head = head_length(bytes, n);
    if (!head)
        return 0;
    if (!run.keep)
        c->closing = memmem(bytes, head, "\r\nConnection: close\r\n", 21) != NULL;
    c->body_seen = c->body_len = 0;
    if (bytes[0] == 'P') {
        int64_t length = field_number(bytes, head, "content-length");
        c->body_len = length > 0 ? (uint64_t)length : 0;
    }
    c->in_body = c->body_len > 0;
    if (!c->in_body)
        request_complete(c);
    return head;
}

static bool request_body(struct connection *c, const char *bytes, size_t n)
{
    /* Before measuring it may be what is left of the run before. */
    bool length = c->body_len == run.upload || !run.measuring;
    if (!length || !body_good(c->body_seen, bytes, n)) {
        run_error("a backend got a wrong body");
        return false;
    }
    c->body_seen += n;
    if (c->body_seen == c->body_len)
        request_complete(c);
    return true;
}

/* Takes n bytes of any number of requests. */
static bool server_take(struct connection *c, const char *bytes, size_t n)
{
    if (c->h2)
        return h2_server_take(c, bytes, n);
    while (n) {
        size_t used;
        if (c->in_body) {
            uint64_t left = c->body_len - c->body_seen;
            used = n < left ? n : (size_t)left;
            if (!request_body(c, bytes, used))
                return false;
        } else {
            used = request_head(c, bytes, n);
            if (!used)
                return connection_keep(c, bytes, n);
        }
        bytes += used;
        n -= used;
    }
    return true;
}

void server_event(struct connection *c, uint32_t events)
{
    connection_hint(c, events);
    if (c->out_sent < c->out_len && !server_answer(c)) {
        server_end(c);
        return;
    }
    for (bool more = true; more;) {
        ssize_t n = connection_receive(c, &more);
        if (n == 0)
            return;
        if (n < 0 || !server_take(c, scratch, (size_t)n) || !server_answer(c)) {
            server_end(c);
            return;
        }
    }
}

void listener_event(struct connection *l)
{
    for (;;) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct connection *c = connection_new(KIND_SERVER, fd);
        c->backend = l->backend;
        connection_watch(c);
        if (l->speaks_h2)
            h2_server_begin(c);
    }
}

/* Accepted sockets inherit TCP_NODELAY. */
static uint16_t server_listen(unsigned backend, bool spread, bool speaks_h2)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(spread ? INADDR_ANY : INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Every address of the loopback device, and of no other. */
    if (spread && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0)
        fail("loopback device");
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 65535) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        fail("backend");
    struct connection *c = connection_new(KIND_LISTENER, fd);
    c->backend = backend;
    c->speaks_h2 = speaks_h2;
    connection_watch(c);
    return ntohs(a.sin_port);
}

void servers_open(unsigned count, bool spread)
{
    backend_count = count;
    printf("{\"backends\":[");
    for (unsigned i = 0; i < count; i++)
        printf("%s%u", i ? "," : "", server_listen(i, false, false));
    printf("],\"h2_backends\":[");
    for (unsigned i = 0; i < count; i++)
        printf("%s%u", i ? "," : "", server_listen(i, false, true));
    printf("]");
    if (spread)
        printf(",\"spread\":%u", server_listen(BACKENDS_MAX, true, false));
    printf("}\n");
    fflush(stdout);
}

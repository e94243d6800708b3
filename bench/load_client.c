/* SPDX-License-Identifier: MIT */
/*
 * The clients: each sends `depth` requests at once and, when all are answered, the next ones, or
 * opens another connection. In an open loop load_open.c says when. Connections of `open` ask once
 * and stay.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "load.h"

size_t idle_open;

static struct connection **clients; /* those of the run, and those left idle */
static size_t client_count;
static char *request; /* `depth` requests, the body of an upload included */
static size_t request_len;
static char request_idle[512];
static size_t request_idle_len;
/* Where the last answer's head ended and what its end looked like: the next one's is alike. */
static size_t hint_head;

static const char fields_plain[] = "Host: www.example.org\r\n"
                                   "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
                                   "Accept: */*\r\n";
static const char fields_browser[] =
    "Host: www.example.org\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://www.example.org/catalogue/chairs?sort=price\r\n"
    "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; seen=1\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Priority: u=0, i\r\n";

void client_prepare(void)
{
    static const char idle[] = "GET /index.html HTTP/1.1\r\n";
    request_idle_len =
        (size_t)snprintf(request_idle, sizeof request_idle, "%s%s\r\n", idle, fields_plain);
    char head[1024], length[48] = "";
    if (run.upload)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", run.upload);
    int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\n%s%s%s\r\n", run.upload ? "POST" : "GET",
                     run.browser ? "/catalogue/chairs/37?colour=blue&page=2" : "/index.html",
                     run.browser ? fields_browser : fields_plain, length,
                     run.keep ? "" : "Connection: close\r\n");
    size_t one = (size_t)n + run.upload;
    free(request);
    request = malloc(one * run.depth);
    if (!request)
        fail("malloc");
    for (unsigned i = 0; i < run.depth; i++) {
        memcpy(request + i * one, head, (size_t)n);
        memcpy(request + i * one + n, body, run.upload);
    }
    request_len = one * run.depth;
    hint_head = 0;
    if (run.tls)
        tls_prepare();
    if (run.streams)
        h2_client_prepare();
}

bool more_wanted(void)
{
    return run.active && (!run.limit || run.started < run.limit);
}

void client_request(struct connection *c)
{
    c->in_body = c->done = false;
    c->rest_len = 0;
    c->due = c->idle ? 1 : (unsigned)run.depth;
    c->out = c->idle ? request_idle : request;
    c->out_len = c->idle ? request_idle_len : request_len;
    c->out_sent = 0;
    run.started += c->due;
    (void)connection_flush(c); /* a failure comes back as an event */
}

/* ---- opening and closing ---- */

static int client_socket(size_t index)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (run.sources > 1) {
        uint32_t source = (uint32_t)(index % run.sources);
        struct sockaddr_in from = {.sin_family = AF_INET,
                                   .sin_addr.s_addr =
                                       htonl(0x7f400001u + (source / 250 << 8) + source % 250)};
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0)
            fail("bind a client");
    }
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(run.port)};
    /* Blocking: on loopback it takes no time, and the request follows at once. */
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        fail("connect to the proxy");
    return fd;
}

static void client_ask(struct connection *c)
{
    c->greeting = false;
    if (run.streams)
        h2_client_begin(c);
    else if (c->idle || !run.rate)
        client_request(c);
}

static void client_begin(struct connection *c)
{
    connection_watch(c);
    if (run.tls) {
        c->greeting = true;
        tls_begin(c);
    } else {
        client_ask(c);
    }
}

struct connection *client_add(bool idle)
{
    clients = realloc(clients, (client_count + 1) * sizeof *clients);
    if (!clients)
        fail("realloc");
    struct connection *c = connection_new(KIND_CLIENT, client_socket(client_count));
    c->idle = idle;
    c->index = client_count;
    clients[client_count++] = c;
    client_begin(c);
    return c;
}

/* Another connection in the place of a closed one. */
static void client_reopen(struct connection *c)
{
    connection_clear(c);
    *c = (struct connection){
        .kind = KIND_CLIENT, .idle = c->idle, .index = c->index, .fd = client_socket(c->index)};
    client_begin(c);
}

void clients_close(bool idle)
{
    size_t kept = 0;
    for (size_t i = 0; i < client_count; i++) {
        struct connection *c = clients[i];
        if (c->idle != idle) {
            c->index = kept;
            clients[kept++] = c;
            continue;
        }
        if (c->fd >= 0)
            connection_close(c, !idle);
        connection_free(c);
    }
    client_count = kept;
}

/* ---- after an answer ---- */

static void client_error(struct connection *c, const char *why)
{
    bool asked = c->due > 0;
    connection_clear(c);
    run_error(why);
    connection_close(c, true);
    if (c->idle) {
        idle_open++;
    } else if (run.rate) {
        client_reopen(c);
        if (asked)
            open_complete(c);
    } else if (more_wanted()) {
        client_reopen(c);
    }
}

/* All answers are here: ask again, or wait for the end of the connection. */
static void client_turn(struct connection *c)
{
    if (c->idle)
        idle_open++;
    else if (!run.keep)
        c->done = true; /* the proxy closes next */
    else if (run.rate)
        open_complete(c);
    else if (more_wanted())
        client_request(c);
}

/* ---- answers ---- */

/* The length of the head at the front of n bytes; 0 when it is not complete, -1 when it is wrong.
 */
static ssize_t answer_head(const char *bytes, size_t n)
{
    if (!run.measuring || n < 12 || hint_head > n || hint_head == 0 ||
        memcmp(bytes + hint_head - 4, "\r\n\r\n", 4) != 0) {
        const char *end = memmem(bytes, n, "\r\n\r\n", 4);
        if (!end)
            return 0;
        hint_head = (size_t)(end + 4 - bytes);
        if (field_number(bytes, hint_head, "content-length") != (int64_t)run.body)
            return -1;
    }
    return memcmp(bytes, "HTTP/1.1 200", 12) == 0 ? (ssize_t)hint_head : -1;
}

static bool answer_body(struct connection *c, const char *bytes, size_t n)
{
    if (!body_good(c->body_seen, bytes, n))
        return false;
    c->body_seen += n;
    return true;
}

/* Takes n bytes of any number of answers. False when they are wrong. */
static bool client_take(struct connection *c, const char *bytes, size_t n)
{
    while (n) {
        if (!c->due)
            return false; /* bytes after the last answer */
        size_t used;
        if (c->in_body) {
            uint64_t left = c->body_len - c->body_seen;
            used = n < left ? n : (size_t)left;
            if (!answer_body(c, bytes, used))
                return false;
        } else {
            ssize_t head = answer_head(bytes, n);
            if (head == 0)
                return connection_keep(c, bytes, n);
            if (head < 0)
                return false;
            used = (size_t)head;
            c->in_body = true;
            c->body_seen = 0;
            c->body_len = run.body;
        }
        bytes += used;
        n -= used;
        if (c->in_body && c->body_seen == c->body_len) {
            c->in_body = false;
            c->due--;
            run.requests++;
        }
    }
    return true;
}

/* Counts bytes in the middle of a large body without copying them; its beginning and its end are
 * compared. Returns whether it took any. */
static bool client_skip(struct connection *c)
{
    enum { COMPARED = 4096 };
    uint64_t left = c->body_len - c->body_seen;
    if (c->tls || !run.measuring || !c->in_body || left <= 4 * (uint64_t)COMPARED)
        return false;
    size_t most = left - COMPARED < SCRATCH ? (size_t)left - COMPARED : SCRATCH;
    ssize_t n = recv(c->fd, scratch, most, MSG_DONTWAIT | MSG_TRUNC);
    if (n <= 0)
        return false;
    c->body_seen += (uint64_t)n;
    return true;
}

/* Takes what was received. False when it is wrong. */
static bool client_received(struct connection *c, const char *bytes, size_t n)
{
    if (c->h2)
        return h2_client_take(c, bytes, n);
    if (!client_take(c, bytes, n))
        return false;
    if (!c->due && !c->done)
        client_turn(c);
    return true;
}

void client_event(struct connection *c, uint32_t events)
{
    connection_hint(c, events);
    if (!connection_flush(c)) {
        client_error(c, strerror(errno));
        return;
    }
    for (bool more = true; more;) {
        if (client_skip(c))
            continue;
        ssize_t n = connection_receive(c, &more);
        if (c->greeting && n >= 0 && tls_ready(c))
            client_ask(c);
        if (n == 0)
            continue;
        if (n < 0 && c->done) {
            connection_close(c, true);
            if (more_wanted())
                client_reopen(c);
            return;
        }
        if (n < 0 || !client_received(c, scratch, (size_t)n)) {
            client_error(c, n < 0 ? "closed early" : "a wrong answer");
            return;
        }
    }
}

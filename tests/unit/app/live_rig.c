/* SPDX-License-Identifier: MIT */
#include "live_rig.h"

#include "config/load.h"
#include "io/loop.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static_assert(sizeof(pthread_t) <= sizeof(unsigned long), "threads fit where they are kept");

/* ---- origins ---- */

enum { CONNECTIONS_MAX = 512, HEAD_MAX = 4096 };

struct connection {
    int fd;
    uint32_t origin;
    bool slow;
    size_t have;
    char head[HEAD_MAX];
};

struct origins {
    pthread_t thread;
    pthread_mutex_t lock;
    uint32_t count;
    int listeners[ORIGINS_MAX];
    uint16_t ports[ORIGINS_MAX];
    uint32_t requests[ORIGINS_MAX]; /* under the lock, as all below */
    struct connection *connections[CONNECTIONS_MAX];
    uint32_t connection_count;
    bool released, stop;
};

static int listen_any(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 256), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

uint16_t port_of_nobody(void)
{
    uint16_t port;
    close(listen_any(&port));
    return port;
}

static void answer(struct connection *c)
{
    char text[128];
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Origin: %u\r\n\r\nok", c->origin);
    (void)!send(c->fd, text, (size_t)n, MSG_NOSIGNAL);
    c->slow = false;
}

/* False: closed. */
static bool receive(struct origins *o, struct connection *c)
{
    ssize_t got = recv(c->fd, c->head + c->have, HEAD_MAX - 1 - c->have, MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    c->have += (size_t)got;
    c->head[c->have] = '\0';
    if (!strstr(c->head, "\r\n\r\n"))
        return true;
    o->requests[c->origin]++;
    c->slow = strncmp(c->head, "GET /slow", 9) == 0;
    c->have = 0;
    if (!c->slow)
        answer(c);
    return true;
}

static void take(struct origins *o, uint32_t number)
{
    int fd = accept4(o->listeners[number], NULL, NULL, SOCK_CLOEXEC);
    struct connection *c = calloc(1, sizeof(*c));
    if (fd < 0 || !c || o->connection_count == CONNECTIONS_MAX)
        abort();
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    *c = (struct connection){.fd = fd, .origin = number};
    o->connections[o->connection_count++] = c;
}

static void turn(struct origins *o, const struct pollfd *fds, uint32_t connections)
{
    for (uint32_t i = connections; i-- > 0;) {
        struct connection *c = o->connections[i];
        if (fds[o->count + i].revents && !receive(o, c)) {
            close(c->fd);
            free(c);
            o->connections[i] = o->connections[--o->connection_count];
        } else if (c->slow && o->released) {
            answer(c);
        }
    }
    o->released = false;
    for (uint32_t i = 0; i < o->count; i++)
        if (fds[i].revents)
            take(o, i);
}

static void *serve(void *user)
{
    struct origins *o = user;
    for (bool stop = false; !stop;) {
        struct pollfd fds[ORIGINS_MAX + CONNECTIONS_MAX];
        uint32_t connections = o->connection_count; /* changed by this thread alone */
        for (uint32_t i = 0; i < o->count; i++)
            fds[i] = (struct pollfd){.fd = o->listeners[i], .events = POLLIN};
        for (uint32_t i = 0; i < connections; i++)
            fds[o->count + i] = (struct pollfd){.fd = o->connections[i]->fd, .events = POLLIN};
        if (poll(fds, o->count + connections, 5) < 0)
            abort();
        pthread_mutex_lock(&o->lock);
        turn(o, fds, connections);
        stop = o->stop;
        pthread_mutex_unlock(&o->lock);
    }
    return NULL;
}

struct origins *origins_start(uint32_t count)
{
    struct origins *o = calloc(1, sizeof(*o));
    assert_non_null(o);
    o->count = count;
    pthread_mutex_init(&o->lock, NULL);
    for (uint32_t i = 0; i < count; i++)
        o->listeners[i] = listen_any(&o->ports[i]);
    assert_int_equal(pthread_create(&o->thread, NULL, serve, o), 0);
    return o;
}

void origins_stop(struct origins **origins)
{
    struct origins *o = *origins;
    pthread_mutex_lock(&o->lock);
    o->stop = true;
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    for (uint32_t i = 0; i < o->count; i++)
        close(o->listeners[i]);
    for (uint32_t i = 0; i < o->connection_count; i++) {
        close(o->connections[i]->fd);
        free(o->connections[i]);
    }
    pthread_mutex_destroy(&o->lock);
    free(o);
    *origins = NULL;
}

uint16_t origin_port(const struct origins *o, uint32_t number)
{
    return o->ports[number];
}

void origins_release(struct origins *o)
{
    pthread_mutex_lock(&o->lock);
    o->released = true;
    pthread_mutex_unlock(&o->lock);
}

uint32_t origin_requests(struct origins *o, uint32_t number)
{
    pthread_mutex_lock(&o->lock);
    uint32_t n = o->requests[number];
    pthread_mutex_unlock(&o->lock);
    return n;
}

static uint32_t count_connections(struct origins *o, uint32_t number, bool slow)
{
    uint32_t n = 0;
    pthread_mutex_lock(&o->lock);
    for (uint32_t i = 0; i < o->connection_count; i++)
        n += o->connections[i]->origin == number && (!slow || o->connections[i]->slow);
    pthread_mutex_unlock(&o->lock);
    return n;
}

uint32_t origin_open(struct origins *o, uint32_t number)
{
    return count_connections(o, number, false);
}

uint32_t origin_slow(struct origins *o, uint32_t number)
{
    return count_connections(o, number, true);
}

/* ---- the engine ---- */

struct live_thread {
    pthread_t thread;
    bool served;
};

static void *run(void *user)
{
    struct live *l = user;
    l->thread->served = engine_run(l->engine);
    return NULL;
}

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static void ignore(struct live *l, void *arg)
{
    (void)l;
    (void)arg;
}

void live_start(struct live *l, const char *pool_settings, const char *backends)
{
    char text[4096], why[512] = "";
    struct diagnostics d;
    sigset_t all;
    *l = (struct live){0};
    (void)snprintf(l->log_path, sizeof(l->log_path), "live-%d.log", (int)getpid());
    (void)unlink(l->log_path);
    (void)snprintf(text, sizeof(text),
                   "workers: 2\nlog: {file: \"%s\"}\n"
                   "listeners: [{name: web, listen: \"127.0.0.1:0\", pool: app}]\n"
                   "pools: [{name: app, %s, backends: [%s]}]\n",
                   l->log_path, pool_settings, backends);
    assert_int_equal(config_load("test", span_cstr(text), no_env, &d, &l->snapshot), 0);
    diagnostics_fini(&d);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    if (engine_new(l->snapshot, &l->engine, why, sizeof(why)) != ENGINE_OK)
        fail_msg("%s", why);
    l->port = engine_address(l->engine, 0)->port;
    l->thread = calloc(1, sizeof(*l->thread));
    assert_non_null(l->thread);
    assert_int_equal(pthread_create(&l->thread->thread, NULL, run, l), 0);
    on_control(l, ignore, NULL); /* it runs */
}

void live_stop(struct live *l)
{
    kill(getpid(), SIGTERM);
    pthread_join(l->thread->thread, NULL);
    assert_true(l->thread->served);
    free(l->thread);
    engine_free(&l->engine);
    snapshot_unref(&l->snapshot);
    (void)unlink(l->log_path);
}

struct pool *live_pool(struct live *l)
{
    return engine_pool(l->engine, 0);
}

struct call {
    struct message message;
    struct live *live;
    void (*fn)(struct live *l, void *arg);
    void *arg;
    sem_t done;
};

static void on_call(struct loop *loop, struct message *m)
{
    (void)loop;
    struct call *c = container_of(m, struct call, message);
    c->fn(c->live, c->arg);
    sem_post(&c->done);
}

void on_control(struct live *l, void (*fn)(struct live *l, void *arg), void *arg)
{
    struct call c = {.message.fn = on_call, .live = l, .fn = fn, .arg = arg};
    sem_init(&c.done, 0, 0);
    loop_post(engine_loop(l->engine), &c.message);
    while (sem_wait(&c.done) != 0)
        ;
    sem_destroy(&c.done);
}

struct question {
    bool (*fn)(struct live *l, void *arg);
    void *arg;
    bool answer;
};

static void ask(struct live *l, void *arg)
{
    struct question *q = arg;
    q->answer = q->fn(l, q->arg);
}

void live_until(struct live *l, bool (*fn)(struct live *l, void *arg), void *arg)
{
    struct question q = {.fn = fn, .arg = arg};
    for (int i = 0; i < 30000 / 5; i++) {
        on_control(l, ask, &q);
        if (q.answer)
            return;
        usleep(5000);
    }
    fail_msg("it has not come to be");
}

bool live_logged(struct live *l, const char *text)
{
    char line[2048];
    bool found = false;
    FILE *in = fopen(l->log_path, "r");
    while (in && !found && fgets(line, sizeof(line), in))
        found = strstr(line, text) != NULL;
    if (in)
        (void)fclose(in);
    return found;
}

static struct backend *find(struct live *l, const char *name)
{
    struct backend *b = pool_find(live_pool(l), span_cstr(name));
    if (!b)
        abort(); /* not on cmocka's thread */
    return b;
}

static void must(const struct steer_result *result)
{
    if (result->code == STEER_OK)
        return;
    (void)fprintf(stderr, "%s\n", result->message);
    abort();
}

void live_add(struct live *l, const char *name, uint16_t port, uint32_t weight)
{
    static struct steer_result result;
    char address[32];
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    struct steer_backend b = {
        .name = span_cstr(name), .address = span_cstr(address), .weight = weight};
    membership_add(engine_membership(l->engine), live_pool(l), &b, &result);
    must(&result);
}

void live_remove(struct live *l, const char *name)
{
    static struct steer_result result;
    membership_remove(engine_membership(l->engine), find(l, name), &result);
    must(&result);
}

void live_weight(struct live *l, const char *name, uint32_t weight)
{
    static struct steer_result result;
    membership_set_weight(engine_membership(l->engine), find(l, name), weight, &result);
    must(&result);
}

void live_state(struct live *l, const char *name, enum admin_state state)
{
    static struct steer_result result;
    membership_set_state(engine_membership(l->engine), find(l, name), state, &result);
    must(&result);
}

/* ---- clients ---- */

static int dial(const struct live *l)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons(l->port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        abort();
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* Answers here have a Content-Length and are short. */
static bool whole(const char *text)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "content-length:");
    return end && length && strlen(end + 4) >= strtoul(length + 15, NULL, 10);
}

static int ask_for(int fd, const char *path, int *ret_origin)
{
    char text[4096];
    size_t have = 0;
    int n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
    *ret_origin = -1;
    if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        return 0;
    for (text[0] = '\0'; !whole(text);) {
        ssize_t got = recv(fd, text + have, sizeof(text) - 1 - have, 0);
        if (got <= 0)
            return 0;
        have += (size_t)got;
        text[have] = '\0';
    }
    const char *origin = strcasestr(text, "x-origin:");
    if (origin)
        *ret_origin = (int)strtol(origin + 9, NULL, 10);
    return (int)strtol(text + 9, NULL, 10);
}

int live_get(struct live *l, const char *path, int *ret_origin)
{
    int fd = dial(l), status = ask_for(fd, path, ret_origin);
    close(fd);
    return status;
}

static void *request_main(void *user)
{
    struct request *r = user;
    r->status = live_get(r->live, r->path, &r->origin);
    return NULL;
}

void request_begin(struct request *r, struct live *l, const char *path)
{
    pthread_t thread;
    *r = (struct request){.live = l, .path = path};
    assert_int_equal(pthread_create(&thread, NULL, request_main, r), 0);
    r->thread = (unsigned long)thread;
}

int request_end(struct request *r)
{
    pthread_join((pthread_t)r->thread, NULL);
    return r->status;
}

static void *client_main(void *user)
{
    struct clients *c = user;
    int fd = dial(c->live), origin;
    while (!atomic_load(&c->stop)) {
        int status = ask_for(fd, "/", &origin);
        atomic_fetch_add(status == 200 ? &c->good : &c->bad, 1);
        if (status != 0)
            continue;
        close(fd);
        fd = dial(c->live);
    }
    close(fd);
    return NULL;
}

void clients_start(struct clients *c, struct live *l, uint32_t count)
{
    *c = (struct clients){.live = l, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, client_main, c), 0);
        c->threads[i] = (unsigned long)thread;
    }
}

void clients_stop(struct clients *c)
{
    atomic_store(&c->stop, true);
    for (uint32_t i = 0; i < c->count; i++)
        pthread_join((pthread_t)c->threads[i], NULL);
}

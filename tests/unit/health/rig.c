/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { KEPT_MAX = 64, TICK_MS = 4, TICKS_MAX = 30000 / TICK_MS };

struct server_private {
    pthread_t thread;
    pthread_mutex_t lock;
    const char *script; /* under lock */
    int listener, wake[2];
    int kept[KEPT_MAX];
    int kept_count;
    char path[108];
};

static const char *script_of(struct server *s)
{
    pthread_mutex_lock(&s->private->lock);
    const char *script = s->private->script;
    pthread_mutex_unlock(&s->private->lock);
    return script;
}

void server_script(struct server *s, const char *script)
{
    pthread_mutex_lock(&s->private->lock);
    s->private->script = script;
    pthread_mutex_unlock(&s->private->lock);
}

static void read_request(struct server *s, int fd)
{
    size_t n = 0;
    while (n + 1 < sizeof(s->request)) {
        ssize_t got = recv(fd, s->request + n, sizeof(s->request) - 1 - n, 0);
        if (got <= 0)
            return;
        n += (size_t)got;
        s->request[n] = '\0';
        if (strstr(s->request, "\r\n\r\n"))
            return;
    }
}

static void send_text(int fd, const char *text, size_t piece)
{
    while (*text) {
        size_t n = piece ? piece : strlen(text);
        if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
            return;
        text += n;
        if (piece)
            usleep(200);
    }
}

static void send_hex(int fd, const char *text)
{
    char pair[3] = {0};
    for (; text[0] && text[1]; text += 2) {
        memcpy(pair, text, 2);
        char byte = (char)strtoul(pair, NULL, 16);
        if (send(fd, &byte, 1, MSG_NOSIGNAL | (text[2] ? MSG_MORE : 0)) != 1)
            return;
    }
}

static bool keep(struct server *s, int fd)
{
    if (s->private->kept_count == KEPT_MAX)
        return false;
    s->private->kept[s->private->kept_count++] = fd;
    return true;
}

static void play(struct server *s, int fd, const char *script)
{
    for (;; script++) {
        switch (*script) {
        case '<': read_request(s, fd); continue;
        case '>': send_text(fd, script + 1, 0); break;
        case '.': send_text(fd, script + 1, 1); break;
        case '!': {
            struct linger now = {.l_onoff = 1, .l_linger = 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
            break;
        }
        case '#': send_hex(fd, script + 1); __attribute__((fallthrough));
        case '~':
            if (keep(s, fd))
                return;
            break;
        default: break;
        }
        close(fd);
        return;
    }
}

static void *serve(void *user)
{
    struct server *s = user;
    struct server_private *p = s->private;
    struct pollfd fds[2] = {{.fd = p->listener, .events = POLLIN},
                            {.fd = p->wake[0], .events = POLLIN}};
    while (poll(fds, 2, -1) >= 0 && !fds[1].revents) {
        int fd = accept(p->listener, NULL, NULL);
        if (fd < 0)
            continue;
        atomic_fetch_add(&s->accepted, 1);
        play(s, fd, script_of(s));
    }
    for (int i = 0; i < p->kept_count; i++)
        close(p->kept[i]);
    return NULL;
}

static int listen_at(const char *path, uint16_t *ret_port)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(in);
    int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    if (path) {
        memcpy(local.sun_path, path, strlen(path) + 1);
        assert_int_equal(bind(fd, (void *)&local, sizeof(local)), 0);
    } else {
        assert_int_equal(bind(fd, (void *)&in, sizeof(in)), 0);
        assert_int_equal(getsockname(fd, (void *)&in, &size), 0);
        *ret_port = ntohs(in.sin_port);
    }
    assert_int_equal(listen(fd, 4096), 0);
    return fd;
}

void server_start(struct server *s, const char *path, const char *script)
{
    *s = (struct server){0};
    s->private = calloc(1, sizeof(*s->private));
    assert_non_null(s->private);
    pthread_mutex_init(&s->private->lock, NULL);
    s->private->script = script;
    s->private->listener = listen_at(path, &s->port);
    if (path)
        memcpy(s->private->path, path, strlen(path) + 1);
    assert_int_equal(pipe(s->private->wake), 0);
    assert_int_equal(pthread_create(&s->private->thread, NULL, serve, s), 0);
}

void server_stop(struct server *s)
{
    struct server_private *p = s->private;
    assert_int_equal(write(p->wake[1], "x", 1), 1);
    pthread_join(p->thread, NULL);
    close(p->listener);
    close(p->wake[0]);
    close(p->wake[1]);
    if (p->path[0])
        unlink(p->path);
    pthread_mutex_destroy(&p->lock);
    free(p);
    s->private = NULL;
}

uint16_t port_nobody(void)
{
    uint16_t port = 0;
    close(listen_at(NULL, &port));
    return port;
}

/* ---- the prober ---- */

static const struct status_range expect_default[] = {{200, 399}};

void rig_init(struct rig *r, enum health_type type, uint32_t n, uint16_t port)
{
    *r = (struct rig){0};
    fixture_init(&r->f, BALANCE_ROUND_ROBIN, n, NULL);
    for (uint32_t i = 0; i < n; i++)
        r->f.backends[i].address.port = port;
    r->f.pool_conf.health = (struct health_conf){
        .type = type,
        .path = "/health",
        .expect = (struct status_range *)(uintptr_t)expect_default,
        .expect_count = 1,
        .interval_ms = 20,
        .timeout_ms = 5000,
        .rise = 2,
        .fall = 3,
    };
    struct loop_options options = {.engine = LOOP_ENGINE_EPOLL};
    assert_int_equal(loop_new(&options, &r->loop), 0);
}

static void changed(void *user, struct pool *pool)
{
    struct rig *r = user;
    struct view *old = pool_rebuild(pool);
    assert_non_null(old);
    view_free(&old);
    if (r->changes < ARRAY_LEN(r->active))
        r->active[r->changes] = view_active_count(atomic_load(&pool->view));
    r->changes++;
}

void rig_start(struct rig *r)
{
    fixture_start(&r->f);
    assert_int_equal(health_start(r->loop, &r->f.pool, 1, 7, changed, r, &r->health), 0);
}

void rig_fini(struct rig *r)
{
    health_stop(&r->health);
    assert_null(r->health);
    loop_free(&r->loop);
    fixture_fini(&r->f);
}

static void on_tick(struct timer *t)
{
    struct rig *r = container_of(t, struct rig, tick);
    if (r->happened(r) || --r->ticks_left == 0)
        loop_stop(r->loop);
    else
        loop_timer_set(r->loop, t, TICK_MS);
}

void rig_until(struct rig *r, bool (*happened)(struct rig *r))
{
    r->happened = happened;
    r->ticks_left = TICKS_MAX;
    timer_init(&r->tick, on_tick);
    loop_timer_set(r->loop, &r->tick, 1);
    loop_run(r->loop);
    assert_int_not_equal(r->ticks_left, 0);
}

void rig_capture_begin(struct rig *r)
{
    r->stderr_saved = dup(STDERR_FILENO);
    r->stderr_captured = memfd_create("stderr", 0);
    assert_true(r->stderr_saved >= 0 && r->stderr_captured >= 0);
    assert_true(dup2(r->stderr_captured, STDERR_FILENO) >= 0);
}

char *rig_capture_end(struct rig *r)
{
    off_t size = lseek(r->stderr_captured, 0, SEEK_CUR);
    char *text = calloc((size_t)size + 1, 1);
    assert_non_null(text);
    assert_int_equal(pread(r->stderr_captured, text, (size_t)size, 0), size);
    assert_true(dup2(r->stderr_saved, STDERR_FILENO) >= 0);
    close(r->stderr_saved);
    close(r->stderr_captured);
    return text;
}

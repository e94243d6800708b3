/* SPDX-License-Identifier: MIT */
#include "app/demo_balancer.h"

#include "account/reason.h"
#include "app/door_wire.h"
#include "base/bytes.h"
#include "base/check.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define START_MS 10000

/* Checks follow each other quickly, so that half a minute shows a whole story. */
static void write_config(struct writer *w, const struct demo_backend_address *backends,
                         size_t count, int log)
{
    w_printf(w,
             "log: {level: info, file: /proc/self/fd/%d}\n"
             "admin: {listen: \"127.0.0.1:0\", token: \"" DEMO_TOKEN "\"}\n"
             "listeners:\n"
             "  - {name: web, listen: \"127.0.0.1:0\", protocol: http, pool: app}\n"
             "pools:\n"
             "  - name: app\n"
             "    balance: round_robin\n"
             "    health: {type: http, path: /health, interval: 500ms, timeout: 400ms, rise: 2, "
             "fall: 2}\n"
             "    passive_health: {failures: 5, window: 10s, eject_for: 1s}\n"
             "    backends:\n",
             log);
    for (size_t i = 0; i < count; i++)
        w_printf(w, "      - {name: %s, address: \"127.0.0.1:%u\"}\n", backends[i].name,
                 backends[i].port);
}

static bool make_files(struct demo_balancer *b, const struct demo_backend_address *backends,
                       size_t count)
{
    char text[2048];
    struct writer w = writer_of(text, sizeof(text));
    b->log = memfd_create("load_balancer.log", MFD_CLOEXEC);
    if (b->log < 0)
        return false;
    write_config(&w, backends, count, b->log);
    CHECK(w_ok(&w));
    b->config = wire_file("poise.yaml", w_span_of_result(&w));
    return b->config >= 0;
}

static bool start_child(struct demo_balancer *b)
{
    char config[64];
    (void)snprintf(config, sizeof(config), "/proc/self/fd/%d", b->config);
    const char *argv[] = {"poise", "run", "-c", config, NULL};
    int keep[] = {b->config, b->log};
    return demo_child_start(argv, keep, ARRAY_LEN(keep), &b->child) == 0;
}

/* "Load Balancer listening on 127.0.0.1:41234", "Admin at http://127.0.0.1:41235/" */
static bool read_ports(struct demo_balancer *b)
{
    return demo_child_port(&b->child, START_MS, &b->port) &&
           demo_child_port(&b->child, START_MS, &b->admin_port);
}

static void say_why(struct demo_balancer *b, FILE *err)
{
    char line[DEMO_LINE_MAX];
    fputs("poise: the balancer of the demo did not start\n", err);
    while (b->log >= 0 && demo_balancer_event(b, line))
        fprintf(err, "  %s\n", line);
}

int demo_balancer_start(const struct demo_backend_address *backends, size_t count, FILE *err,
                        struct demo_balancer *ret_balancer)
{
    struct demo_balancer b = {.child = {.out = -1}, .config = -1, .log = -1};
    if (!make_files(&b, backends, count) || !start_child(&b) || !read_ports(&b)) {
        say_why(&b, err);
        demo_balancer_end(&b);
        return -(int)REASON_system_error;
    }
    *ret_balancer = b;
    return 0;
}

bool demo_balancer_event(struct demo_balancer *b, char line[DEMO_LINE_MAX])
{
    ssize_t n = pread(b->log, line, DEMO_LINE_MAX - 1, (off_t)b->log_at);
    if (n <= 0)
        return false;
    struct span text = span_of(line, (size_t)n);
    size_t end = span_find(text, '\n');
    if (end == SPAN_NOT_FOUND && (size_t)n < DEMO_LINE_MAX - 1)
        return false;
    bool whole = end != SPAN_NOT_FOUND;
    size_t len = whole ? end : (size_t)n;
    line[len] = '\0';
    b->log_at += len + (whole ? 1 : 0);
    return true;
}

static void close_file(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void demo_balancer_end(struct demo_balancer *b)
{
    demo_child_end(&b->child);
    close_file(&b->config);
    close_file(&b->log);
}

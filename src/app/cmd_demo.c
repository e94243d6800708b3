/* SPDX-License-Identifier: MIT */
/*
 * `poise demo`: three backends and the balancer as children, traffic from here.
 *
 *   0 ───────────── 1/3 ───────────────── 2/3 ──────────── end
 *   all serve       B2 is killed          B2 starts again  summary
 */
#include "app/cli.h"
#include "app/demo_balancer.h"
#include "app/demo_child.h"
#include "app/demo_screen.h"
#include "app/exit_code.h"
#include "app/stop_signal.h"
#include "app/term.h"
#include "app/traffic.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/str.h"
#include "io/loop.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define BACKENDS    3
#define VICTIM      1 /* index of the one that is killed */
#define RATE_PER_S  500
#define CONNECTIONS 8
#define TICK_MS     100
#define START_MS    10000

enum phase { PHASE_ALL_SERVE, PHASE_KILLED, PHASE_RESTARTED, PHASE_ENDING };

struct backend {
    const char *name;
    struct demo_child child;
    uint16_t port;
};

struct demo {
    struct loop *loop;
    struct backend backends[BACKENDS];
    struct demo_balancer balancer;
    struct demo_screen screen;
    struct traffic *traffic;
    struct timer tick;
    enum phase phase;
    bool json;
    uint64_t start_ns, until_ms;
    uint64_t killed_ms, left_ms, restarted_ms, back_ms; /* of the victim; 0 = not yet */
    uint64_t answers_at_restart;                        /* of the victim */
};

static uint64_t at_ms(const struct demo *d)
{
    return (clock_mono_ns() - d->start_ns) / NS_PER_MS;
}

static uint64_t answers_of_victim(const struct demo *d)
{
    return traffic_tally_of(&traffic_report(d->traffic)->backends, d->backends[VICTIM].name);
}

/* ---- the actors ---- */

static bool start_backend(struct backend *b)
{
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", b->port);
    const char *argv[] = {"poise",  "test-server", "--quiet", "--name", b->name,
                          "--host", "127.0.0.1",   "--port",  port,     NULL};
    return demo_child_start(argv, NULL, 0, &b->child) == 0;
}

/* "Backend server 'B1' listening on 127.0.0.1:41234" */
static int start_all(struct demo *d)
{
    static const char *const names[BACKENDS] = {"B1", "B2", "B3"};
    struct demo_backend_address addresses[BACKENDS];
    for (size_t i = 0; i < BACKENDS; i++) {
        d->backends[i] = (struct backend){.name = names[i], .child = {.out = -1}};
        if (!start_backend(&d->backends[i]) ||
            !demo_child_port(&d->backends[i].child, START_MS, &d->backends[i].port)) {
            fprintf(stderr, "poise: backend %s of the demo did not start\n", names[i]);
            return EXIT_RUNTIME;
        }
        addresses[i] = (struct demo_backend_address){names[i], d->backends[i].port};
        demo_screen_say(&d->screen, "Backend %s listens on 127.0.0.1:%u", names[i],
                        d->backends[i].port);
    }
    if (demo_balancer_start(addresses, BACKENDS, stderr, &d->balancer) != 0)
        return EXIT_RUNTIME;
    demo_screen_say(
        &d->screen,
        "The balancer listens on 127.0.0.1:%u. Try it from another terminal:\n\n"
        "    curl http://127.0.0.1:%u/\n\n"
        "Watch it at http://127.0.0.1:%u/ (the token for changes is " DEMO_TOKEN ").\n\n"
        "%u requests a second go through it over %u connections.",
        d->balancer.port, d->balancer.port, d->balancer.admin_port, RATE_PER_S, CONNECTIONS);
    return EXIT_OK;
}

static void end_all(struct demo *d)
{
    demo_balancer_end(&d->balancer);
    for (size_t i = 0; i < BACKENDS; i++)
        demo_child_end(&d->backends[i].child);
}

/* ---- the story ---- */

static void say(struct demo *d, const char *what)
{
    uint64_t now_ms = at_ms(d);
    demo_screen_say(&d->screen, "%llu.%llu s: %s", (unsigned long long)(now_ms / 1000),
                    (unsigned long long)(now_ms % 1000 / 100), what);
}

static void kill_victim(struct demo *d)
{
    d->phase = PHASE_KILLED;
    d->killed_ms = at_ms(d);
    demo_child_kill(&d->backends[VICTIM].child);
    say(d, "B2 is killed (SIGKILL)");
}

static void restart_victim(struct demo *d)
{
    d->phase = PHASE_RESTARTED;
    d->restarted_ms = at_ms(d);
    d->answers_at_restart = answers_of_victim(d);
    if (start_backend(&d->backends[VICTIM]))
        say(d, "B2 is started again");
    else
        say(d, "B2 could not be started again");
}

/* Leaves out the stamp, the level and the area of a line. */
static const char *event_text(const char *line)
{
    const char *text = line;
    for (int words = 0; words < 3; words++) {
        const char *space = strchr(text, ' ');
        if (!space)
            return line;
        text = space + strspn(space, " ");
    }
    return text;
}

static void note_event(struct demo *d, const char *line)
{
    bool about_victim = strstr(line, "backend=B2") && strstr(line, "state=");
    if (about_victim && d->killed_ms && !d->left_ms && !strstr(line, "state=up"))
        d->left_ms = at_ms(d);
    if (about_victim && d->restarted_ms && !d->back_ms && strstr(line, "state=up"))
        d->back_ms = at_ms(d);
    if (strstr(line, "backend=")) {
        char text[DEMO_LINE_MAX + 16];
        (void)snprintf(text, sizeof(text), "event log: %s", event_text(line));
        say(d, text);
    }
}

static void show(struct demo *d)
{
    struct demo_row rows[BACKENDS];
    for (size_t i = 0; i < BACKENDS; i++)
        rows[i] = (struct demo_row){d->backends[i].name, "up", true};
    struct demo_row *victim = &rows[VICTIM];
    if (d->killed_ms && !d->back_ms) {
        victim->state = d->restarted_ms ? "starting" : d->left_ms ? "out" : "killed";
        victim->good = false;
    }
    demo_screen_update(&d->screen, at_ms(d), d->until_ms, rows, BACKENDS,
                       traffic_report(d->traffic));
}

static void on_tick(struct timer *t)
{
    struct demo *d = container_of(t, struct demo, tick);
    uint64_t now_ms = at_ms(d);
    char line[DEMO_LINE_MAX];
    if (d->phase == PHASE_ALL_SERVE && now_ms >= d->until_ms / 3)
        kill_victim(d);
    else if (d->phase == PHASE_KILLED && now_ms >= d->until_ms / 3 * 2)
        restart_victim(d);
    while (demo_balancer_event(&d->balancer, line))
        note_event(d, line);
    show(d);
    if (now_ms < d->until_ms) {
        loop_timer_set(d->loop, &d->tick, TICK_MS);
    } else {
        d->phase = PHASE_ENDING;
        traffic_stop(d->traffic);
    }
}

static void on_finished(struct traffic *t, void *user)
{
    (void)t;
    loop_stop(user);
}

/* ---- the end ---- */

static void print_seconds(const char *text, uint64_t ms)
{
    printf("%s%llu.%02llu s", text, (unsigned long long)(ms / 1000),
           (unsigned long long)(ms % 1000 / 10));
}

static void print_victim(const struct demo *d)
{
    if (d->left_ms)
        print_seconds(", out of the rotation ", d->left_ms - d->killed_ms);
    if (d->left_ms)
        printf(" after the kill");
    if (d->back_ms)
        print_seconds(", back ", d->back_ms - d->restarted_ms);
    if (d->back_ms)
        printf(" after its restart, %llu answers since",
               (unsigned long long)(answers_of_victim(d) - d->answers_at_restart));
}

static void print_summary(const struct demo *d)
{
    const struct traffic_report *report = traffic_report(d->traffic);
    char p50[FORMAT_SHORT_MAX], p99[FORMAT_SHORT_MAX];
    printf(
        "\n%llu requests, %llu failed, p50 %s, p99 %s\n",
        (unsigned long long)(report->answered + report->failed), (unsigned long long)report->failed,
        format_duration_human_ns(p50, histogram_quantile(&report->latency_us, 0.5) * NS_PER_US),
        format_duration_human_ns(p99, histogram_quantile(&report->latency_us, 0.99) * NS_PER_US));
    for (size_t i = 0; i < BACKENDS; i++) {
        const char *name = d->backends[i].name;
        printf("  %s  %6llu answers", name,
               (unsigned long long)traffic_tally_of(&report->backends, name));
        if (i == VICTIM && d->killed_ms)
            print_victim(d);
        putchar('\n');
    }
    for (size_t i = 0; i < report->errors.count; i++)
        printf("  failed: %llu x %s\n", (unsigned long long)report->errors.items[i].count,
               report->errors.items[i].name);
    if (report->failed == 0 && report->answered && d->killed_ms)
        puts("No request failed although a backend was killed under load.");
}

static void print_json(const struct demo *d)
{
    const struct traffic_report *report = traffic_report(d->traffic);
    json_t *root =
        json_pack("{s:I, s:I, s:f, s:f, s:{}}", "answered", (json_int_t)report->answered, "failed",
                  (json_int_t)report->failed, "p50_seconds",
                  (double)histogram_quantile(&report->latency_us, 0.5) / 1e6, "p99_seconds",
                  (double)histogram_quantile(&report->latency_us, 0.99) / 1e6, "backends");
    json_t *backends = json_object_get(root, "backends");
    for (size_t i = 0; i < report->backends.count; i++)
        json_object_set_new(backends, report->backends.items[i].name,
                            json_integer((json_int_t)report->backends.items[i].count));
    json_object_set_new(root, "left_rotation", json_boolean(d->left_ms != 0));
    json_object_set_new(root, "returned", json_boolean(d->back_ms != 0));
    (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

static int run_story(struct demo *d)
{
    char host[32];
    (void)snprintf(host, sizeof(host), "127.0.0.1:%u", d->balancer.port);
    struct traffic_options options = {
        .to = {.kind = ADDRESS_V4, .port = d->balancer.port, .ip = {127, 0, 0, 1}},
        .host = host,
        .path = "/",
        .http = true,
        .connections = CONNECTIONS,
        .rate_per_s = RATE_PER_S,
        .timeout_ms = 5000,
    };
    struct signals *stop;
    if (stop_signal_open(d->loop, &stop) != 0)
        return EXIT_RUNTIME;
    d->start_ns = clock_mono_ns();
    d->traffic = traffic_new(d->loop, &options, on_finished, d->loop);
    timer_init(&d->tick, on_tick);
    loop_timer_set(d->loop, &d->tick, TICK_MS);
    loop_run(d->loop);
    loop_timer_stop(d->loop, &d->tick);
    signals_close(&stop);
    struct traffic_report *report = traffic_report(d->traffic);
    demo_screen_end(&d->screen);
    if (d->json)
        print_json(d);
    else
        print_summary(d);
    bool good = report->failed == 0 && report->answered > 0;
    traffic_free(&d->traffic);
    return good ? EXIT_OK : EXIT_RUNTIME;
}

int cmd_demo(const struct cli_args *args)
{
    uint64_t seconds = cli_number(args, OPT_demo_seconds, term_live(stdout) ? 30 : 12);
    struct demo d = {.until_ms = seconds * 1000, .json = cli_has(args, OPT_demo_json)};
    d.balancer = (struct demo_balancer){.child = {.out = -1}, .config = -1, .log = -1};
    demo_screen_init(&d.screen, d.json);
    struct loop_options looping = {.engine = LOOP_ENGINE_AUTO};
    if (loop_new(&looping, &d.loop) != 0) {
        fputs("poise: cannot make an event loop\n", stderr);
        return EXIT_RUNTIME;
    }
    int code = start_all(&d);
    if (code == EXIT_OK)
        code = run_story(&d);
    end_all(&d);
    loop_free(&d.loop);
    return code;
}

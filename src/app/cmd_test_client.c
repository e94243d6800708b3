/* SPDX-License-Identifier: MIT */
#include "app/cli.h"
#include "app/exit_code.h"
#include "app/resolve.h"
#include "app/stop_signal.h"
#include "app/traffic.h"
#include "base/clock.h"
#include "base/str.h"
#include "codec/h1.h"
#include "io/loop.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define HOST_TEXT_MAX 300

struct request {
    struct traffic_options options;
    char host[HOST_TEXT_MAX]; /* "127.0.0.1:8080" */
    bool many;                /* -n: a table instead of the conversation */
    bool json;
};

static int fail(int code, const char *why)
{
    fprintf(stderr, "poise: %s\n", why);
    return code;
}

/* ---- one request ---- */

static const struct failure_text {
    const char *failure, *sentence;
} failure_texts[] = {
    {"connect_refused", "Cannot connect to %s: connection refused. Is the load balancer running?"},
    {"connect_unreachable", "Cannot connect to %s: it cannot be reached over the network."},
    {"connect_failed", "Cannot connect to %s: the connection could not be made."},
    {"connect_timeout", "Cannot connect to %s: it did not answer in time."},
    {"closed without an answer", "%s closed the connection without an answer."},
    {"no answer in time", "%s did not answer in time."},
};

static void print_failure(const struct request *r, const char *failure)
{
    char text[HOST_TEXT_MAX + 128];
    struct writer w = writer_of(text, sizeof(text));
    const char *sentence = "%s did not answer as it should: ";
    const char *end = failure;
    for (size_t i = 0; i < ARRAY_LEN(failure_texts); i++) {
        if (strcmp(failure_texts[i].failure, failure) == 0) {
            sentence = failure_texts[i].sentence;
            end = "";
        }
    }
    struct span rest = span_cstr(sentence);
    size_t at = span_find(rest, '%');
    w_span(&w, span_sub(rest, 0, at));
    w_str(&w, r->host);
    w_span(&w, span_from(rest, at + 2));
    w_str(&w, end);
    fprintf(stderr, "%s\n", w_cstr(&w));
}

static void print_quoted(const char *what, struct span text)
{
    char escaped[4 * TRAFFIC_ANSWER_MAX + 1];
    struct writer w = writer_of(escaped, sizeof(escaped));
    w_escaped(&w, span_sub(text, 0, TRAFFIC_ANSWER_MAX));
    printf("%s: '%s'\n", what, w_cstr(&w));
    (void)fflush(stdout);
}

static void print_opening(const struct request *r)
{
    printf("Connecting to %s...\n", r->host);
    if (r->options.message) {
        print_quoted("Sending", span_cstr(r->options.message));
    } else {
        char line[TRAFFIC_ANSWER_MAX];
        (void)snprintf(line, sizeof(line), "GET %s", r->options.path);
        print_quoted("Sending", span_cstr(line));
    }
}

static void print_conversation(const struct request *r, const struct traffic_report *report)
{
    if (report->answered == 0) {
        print_failure(r, report->errors.count ? report->errors.items[0].name : "interrupted");
        return;
    }
    print_quoted("Received", span_of(report->last_answer, report->last_answer_len));
    puts("Closing the connection.");
}

/* ---- many ---- */

static double seconds_of(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

static double rate_of(const struct traffic_report *report)
{
    return report->took_ns ? (double)report->answered / seconds_of(report->took_ns) : 0;
}

static void print_tallies(const char *title, const struct traffic_tallies *tallies, uint64_t total)
{
    printf("\n%-32s %10s %7s\n", title, "requests", "share");
    for (size_t i = 0; i < tallies->count; i++) {
        const struct traffic_tally *t = &tallies->items[i];
        printf("%-32s %10llu %6.1f%%\n", t->name, (unsigned long long)t->count,
               100.0 * (double)t->count / (double)total);
    }
}

static void print_latency(const struct histogram *us)
{
    static const struct {
        const char *name;
        double share;
    } points[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
    char text[FORMAT_SHORT_MAX];
    printf("\nLatency");
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        uint64_t value = histogram_quantile(us, points[i].share);
        printf("  %s %s", points[i].name, format_duration_human_ns(text, value * NS_PER_US));
    }
    printf("  max %s\n", format_duration_human_ns(text, histogram_max(us) * NS_PER_US));
}

static void print_table(const struct request *r, const struct traffic_report *report)
{
    uint64_t total = report->answered + report->failed;
    printf("%llu requests to %s in %.2f s: %.0f answers/s, %llu failed\n",
           (unsigned long long)total, r->host, seconds_of(report->took_ns), rate_of(report),
           (unsigned long long)report->failed);
    if (report->answered)
        print_tallies("Answered by", &report->backends, total);
    if (report->failed)
        print_tallies("Failed with", &report->errors, total);
    if (report->answered)
        print_latency(&report->latency_us);
}

static json_t *tallies_json(const struct traffic_tallies *tallies)
{
    json_t *object = json_object();
    for (size_t i = 0; i < tallies->count; i++) {
        const struct traffic_tally *t = &tallies->items[i];
        char name[6 * TRAFFIC_NAME_MAX];
        struct writer w = writer_of(name, sizeof(name));
        w_escaped(&w, span_cstr(t->name));
        json_object_set_new(object, w_cstr(&w), json_integer((json_int_t)t->count));
    }
    return object;
}

static json_t *latency_json(const struct histogram *us)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "p50", (double)histogram_quantile(us, 0.5) / 1e6,
                     "p90", (double)histogram_quantile(us, 0.9) / 1e6, "p99",
                     (double)histogram_quantile(us, 0.99) / 1e6, "max",
                     (double)histogram_max(us) / 1e6);
}

static void print_json(const struct request *r, const struct traffic_report *report)
{
    json_t *root =
        json_pack("{s:s, s:I, s:I, s:I, s:f, s:f}", "address", r->host, "requests",
                  (json_int_t)(report->answered + report->failed), "answered",
                  (json_int_t)report->answered, "failed", (json_int_t)report->failed, "seconds",
                  seconds_of(report->took_ns), "answers_per_second", rate_of(report));
    json_object_set_new(root, "backends", tallies_json(&report->backends));
    json_object_set_new(root, "errors", tallies_json(&report->errors));
    json_object_set_new(root, "latency_seconds", latency_json(&report->latency_us));
    (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

/* ---- */

static void on_finished(struct traffic *t, void *user)
{
    (void)t;
    loop_stop(user);
}

static int run(struct request *r, struct loop *loop)
{
    struct signals *stop;
    if (stop_signal_open(loop, &stop) != 0)
        return fail(EXIT_RUNTIME, "cannot wait for signals");
    bool conversation = !r->many && !r->json;
    if (conversation)
        print_opening(r);
    struct traffic *t = traffic_new(loop, &r->options, on_finished, loop);
    loop_run(loop);
    signals_close(&stop);
    struct traffic_report *report = traffic_report(t);
    traffic_tally_sort(&report->backends);
    if (report->took_ns == 0) /* interrupted */
        report->took_ns = traffic_elapsed_ns(t);
    if (r->json)
        print_json(r, report);
    else if (conversation)
        print_conversation(r, report);
    else
        print_table(r, report);
    bool good = report->failed == 0 && report->answered > 0;
    traffic_free(&t);
    return good ? EXIT_OK : EXIT_RUNTIME;
}

static struct request request_of(const struct cli_args *args)
{
    const char *message = cli_text(args, OPT_test_client_message);
    const char *path = cli_text(args, OPT_test_client_path);
    uint64_t timeout_ms = cli_number(args, OPT_test_client_timeout, 10000);
    timeout_ms = MIN(timeout_ms, (uint64_t)UINT32_MAX);
    bool http = cli_has(args, OPT_test_client_http);
    if (!message && !http)
        message = "Hello from Client";
    return (struct request){
        .many = cli_has(args, OPT_test_client_requests),
        .json = cli_has(args, OPT_test_client_json),
        .options =
            {
                .path = path ? path : "/",
                .message = message,
                .http = http,
                .turn_http = !http,
                .requests = cli_number(args, OPT_test_client_requests, 1),
                .connections = (uint32_t)cli_number(args, OPT_test_client_concurrency, 1),
                .timeout_ms = (uint32_t)timeout_ms,
            },
    };
}

static const char *wrong_words(const struct request *r)
{
    const char *path = r->options.path;
    if (r->options.message && !r->options.message[0])
        return "--message: nothing to say";
    if (!r->options.http && strcmp(path, "/") != 0)
        return "--path is for HTTP; add --http";
    if (path[0] != '/' || strpbrk(path, " \r\n"))
        return "--path: a path begins with '/' and has no spaces";
    return NULL;
}

int cmd_test_client(const struct cli_args *args)
{
    struct request r = request_of(args);
    const char *wrong = wrong_words(&r);
    if (wrong)
        return fail(EXIT_USAGE, wrong);
    const char *given = cli_text(args, OPT_test_client_host);
    const char *host = given ? given : "127.0.0.1";
    uint16_t port = (uint16_t)cli_number(args, OPT_test_client_port, 8080);
    bool v6 = strchr(host, ':') != NULL;
    (void)snprintf(r.host, sizeof(r.host), v6 ? "[%s]:%u" : "%s:%u", host, port);
    r.options.host = r.host;
    struct loop_options looping = {.engine = LOOP_ENGINE_AUTO};
    struct loop *loop;
    if (loop_new(&looping, &loop) != 0)
        return fail(EXIT_RUNTIME, "cannot make an event loop");
    char why[300];
    int code = EXIT_RUNTIME;
    if (resolve_host(loop, host, port, &r.options.to, why, sizeof(why)) != 0)
        (void)fail(code, why);
    else
        code = run(&r, loop);
    loop_free(&loop);
    return code;
}

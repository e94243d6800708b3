/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds of an access log record: what the worker pays to count an exchange without a log and
 * to put its record into the ring, what the writer thread pays to make the line, and what all
 * threads pay until it is in a file. Threads' CPU time, not the clock's. Records come in batches
 * with a rest between them, so that the writer thread keeps up and nothing is dropped.
 * Usage: micro_log [FILE to write to, default /dev/null] [batches, default 50]
 */
#include "account/access_log_line.h"
#include "account/account.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 1000, LINES = 200000 };

static struct record sample(void)
{
    return (struct record){
        .start_wall_ms = 1795251600123,
        .client = {.kind = ADDRESS_V4, .port = 40000, .ip = {192, 0, 2, 7}},
        .listener = span_str("web"),
        .route = span_str("web[0]"),
        .pool = span_str("app"),
        .backend = span_str("app-17"),
        .http = true,
        .method = span_str("GET"),
        .target = span_str("/articles/2026/11/index.html?page=2&order=date"),
        .host = span_str("www.example.org"),
        .user_agent = span_str("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 "
                               "Firefox/128.0"),
        .referer = span_str("https://www.example.org/articles/2026/"),
        .request_id = span_str("0123456789abcdef0123456789abcdef"),
        .version_minor = 1,
        .status = 200,
        .bytes_in = 478,
        .bytes_out = 5213,
        .connect_us = 120,
        .response_us = 1500,
        .total_us = 1701,
        .reason = REASON_ok,
    };
}

static uint64_t cpu_ns(clockid_t clock)
{
    struct timespec ts;
    (void)clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void rest(void)
{
    struct timespec ts = {.tv_nsec = 60 * 1000000};
    (void)nanosleep(&ts, NULL);
}

static uint64_t batch_ns(struct account *a, struct record *r)
{
    uint64_t begin = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < BATCH; i++) {
        r->start_wall_ms += i % 64 == 0;
        r->bytes_out += i;
        account_exchange(a, r);
    }
    return cpu_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
}

static double counted(struct record *r)
{
    struct account *a = account_new(NULL);
    if (!a)
        abort();
    uint64_t ns = 0;
    for (unsigned i = 0; i < LINES / BATCH; i++)
        ns += batch_ns(a, r);
    account_free(&a);
    return (double)ns / LINES;
}

static double line(enum access_log_format format, struct record *r)
{
    static char out[ACCESS_RECORD_MAX];
    struct access_log_second second = {0};
    uint64_t begin = cpu_ns(CLOCK_THREAD_CPUTIME_ID), bytes = 0;
    for (unsigned i = 0; i < LINES; i++) {
        r->start_wall_ms += i % 64 == 0;
        bytes += access_log_line(out, format, r, &second);
    }
    if (bytes == 0)
        abort();
    return (double)(cpu_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / LINES;
}

struct logged {
    double worker, all;
};

static struct logged logged(const char *path, enum access_log_format format, unsigned batches,
                            struct record *r)
{
    char why[256];
    struct access_log *log;
    struct account_totals totals = {0};
    if (access_log_open(path, format, &log, why, sizeof(why)) != 0) {
        fprintf(stderr, "micro_log: %s\n", why);
        exit(1);
    }
    struct account *a = account_new(log);
    if (!a)
        abort();
    (void)batch_ns(a, r); /* touches the ring's memory */
    rest();
    uint64_t worker = 0, begin = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = 0; i < batches; i++) {
        worker += batch_ns(a, r);
        rest();
    }
    uint64_t all = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - begin;
    account_totals(a, &totals);
    if (totals.records_dropped)
        fprintf(stderr, "micro_log: records were dropped\n");
    account_free(&a);
    access_log_close(&log);
    double records = (double)batches * BATCH;
    return (struct logged){(double)worker / records, (double)all / records};
}

int main(int argc, char **argv)
{
    static const char *const names[] = {
        [ACCESS_LOG_JSON] = "json", [ACCESS_LOG_COMBINED] = "combined"};
    const char *path = argc > 1 ? argv[1] : "/dev/null";
    unsigned batches = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 50;
    struct record r = sample();
    printf("ns per exchange      worker   line made   all threads\n");
    printf("%-16s %10.0f\n", "no log", counted(&r));
    for (int f = ACCESS_LOG_JSON; f <= ACCESS_LOG_COMBINED; f++) {
        enum access_log_format format = (enum access_log_format)f;
        double made = line(format, &r);
        struct logged l = logged(path, format, batches, &r);
        printf("%-16s %10.0f %11.0f %13.0f\n", names[f], l.worker, made, l.all);
    }
    return 0;
}

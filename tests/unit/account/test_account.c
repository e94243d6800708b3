/* SPDX-License-Identifier: MIT */
/* Counters, and the way of records through rings and the writer thread into a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "account/account.h"
#include "base/limits.h"

static char dir[] = "/tmp/test_account.XXXXXX";
static char path[64], old_path[64];
static char why[256];

static int setup(void **state)
{
    (void)state;
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/access.log", dir);
    (void)snprintf(old_path, sizeof(old_path), "%s/access.log.1", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(old_path);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static struct access_log *open_log(enum access_log_format format)
{
    struct access_log *log = NULL;
    assert_int_equal(access_log_open(path, format, &log, why, sizeof(why)), 0);
    return log;
}

static struct record sample(uint64_t number)
{
    static char target[32];
    int n = snprintf(target, sizeof(target), "/%llu", (unsigned long long)number);
    return (struct record){
        .start_wall_ms = 1795251600000,
        .client = {.kind = ADDRESS_V4, .port = 1, .ip = {127, 0, 0, 1}},
        .http = true,
        .method = span_str("GET"),
        .target = span_of(target, (size_t)n),
        .version_minor = 1,
        .status = 200,
        .bytes_in = 10,
        .bytes_out = 20,
        .total_us = 1000,
        .reason = REASON_ok,
    };
}

/* Lines of a file; each must begin as the writer begins it, and in the order written. */
static uint64_t count_lines(const char *name, uint64_t *next)
{
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    static char line[2 * ACCESS_RECORD_MAX];
    uint64_t count = 0;
    while (fgets(line, sizeof(line), f)) {
        unsigned long long number;
        assert_int_equal(strncmp(line, "127.0.0.1 - - [", 15), 0);
        assert_int_equal(line[strlen(line) - 1], '\n');
        const char *at = strstr(line, "GET /");
        assert_non_null(at);
        assert_int_equal(sscanf(at, "GET /%llu ", &number), 1);
        if (next)
            assert_int_equal(number, (*next)++);
        count++;
    }
    (void)fclose(f);
    return count;
}

static void counts_without_a_log(void **state)
{
    (void)state;
    struct account *a = account_new(NULL), *b = account_new(NULL);
    struct record r = sample(1);
    account_exchange(a, &r);
    r.retries = 2;
    r.status = 503;
    r.reason = REASON_no_backend;
    r.total_us = 5000;
    account_exchange(a, &r);
    r.status = 0;
    account_exchange(b, &r);
    r.status = 999; /* a backend may answer anything */
    account_exchange(b, &r);
    struct account_totals totals = {0};
    account_totals(a, &totals);
    account_totals(b, &totals);
    assert_int_equal(totals.exchanges, 4);
    assert_int_equal(totals.by_reason[REASON_ok], 1);
    assert_int_equal(totals.by_reason[REASON_no_backend], 3);
    assert_int_equal(totals.by_class[0], 1);
    assert_int_equal(totals.by_class[2], 1);
    assert_int_equal(totals.by_class[5], 2);
    assert_int_equal(totals.bytes_in, 40);
    assert_int_equal(totals.bytes_out, 80);
    assert_int_equal(totals.retries, 6);
    assert_int_equal(totals.records_dropped, 0);
    struct latency_sum l = {0};
    account_latency(a, &l);
    account_latency(b, &l);
    assert_int_equal(l.count, 4);
    assert_int_equal(l.buckets[latency_bucket_of(1000000)], 1);
    assert_int_equal(l.buckets[latency_bucket_of(5000000)], 3);
    assert_float_equal(l.seconds, 0.016, 4 * LATENCY_SUM_NS / 1e9);
    account_free(&a);
    account_free(&b);
    assert_null(a);
    account_free(&a);
}

/* Both ways into the account come to the same. */
static void counting_needs_no_record(void **state)
{
    (void)state;
    struct account *recorded = account_new(NULL), *counted = account_new(NULL);
    assert_false(account_has_log(counted));
    for (uint16_t status = 0; status <= 999; status += 37) {
        struct record r = sample(status);
        r.status = status;
        r.retries = status % 3;
        r.reason = (enum reason)(status % REASON_COUNT);
        r.total_us = (uint64_t)status * status;
        account_exchange(recorded, &r);
        account_count(counted, &(struct account_count){.bytes_in = r.bytes_in,
                                                       .bytes_out = r.bytes_out,
                                                       .total_ns = r.total_us * 1000,
                                                       .retries = r.retries,
                                                       .status = r.status,
                                                       .reason = r.reason});
    }
    struct account_totals a = {0}, b = {0};
    account_totals(recorded, &a);
    account_totals(counted, &b);
    assert_int_equal(a.exchanges, 28);
    assert_memory_equal(&a, &b, sizeof(a));
    struct latency_sum latency = {0}, same = {0};
    account_latency(recorded, &latency);
    account_latency(counted, &same);
    assert_memory_equal(&latency, &same, sizeof(same));
    account_free(&recorded);
    account_free(&counted);
}

static void records_become_lines_in_order(void **state)
{
    (void)state;
    struct access_log *log = open_log(ACCESS_LOG_COMBINED);
    struct account *a = account_new(log);
    for (uint64_t i = 0; i < 2000; i++) {
        struct record r = sample(i);
        account_exchange(a, &r);
    }
    account_free(&a);
    access_log_close(&log);
    assert_null(log);
    uint64_t next = 0;
    assert_int_equal(count_lines(path, &next), 2000);
}

static void json_goes_the_same_way(void **state)
{
    (void)state;
    struct access_log *log = open_log(ACCESS_LOG_JSON);
    struct account *a = account_new(log);
    struct record r = sample(7);
    account_exchange(a, &r);
    account_free(&a);
    access_log_close(&log);
    char line[2048];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    assert_non_null(strstr(line, "\"target\":\"/7\""));
    (void)fclose(f);
}

/* Many more than a ring holds, until the writer has fallen behind: what is not in the file is in
 * the count. */
static void what_does_not_fit_is_counted(void **state)
{
    (void)state;
    enum { BATCH = 100000, BATCHES_MAX = 50 };
    struct access_log *log = open_log(ACCESS_LOG_COMBINED);
    struct account *a = account_new(log);
    static char agent[1000];
    memset(agent, 'x', sizeof(agent));
    struct account_totals totals = {0};
    uint64_t made = 0;
    while (totals.records_dropped == 0 && made < BATCHES_MAX * BATCH) {
        for (uint64_t i = 0; i < BATCH; i++) {
            struct record r = sample(made++);
            r.user_agent = span_of(agent, sizeof(agent));
            account_exchange(a, &r);
        }
        totals = (struct account_totals){0};
        account_totals(a, &totals);
    }
    assert_int_equal(totals.exchanges, made);
    assert_true(totals.records_dropped > 0);
    assert_int_equal(account_log_to(a, NULL), 0); /* the log goes, its count stays */
    assert_int_equal(account_records_dropped(a), totals.records_dropped);
    account_free(&a);
    access_log_close(&log);
    assert_int_equal(count_lines(path, NULL) + totals.records_dropped, made);
}

/* Looked at from elsewhere, as the metrics do, while the log changes: for the sanitizers. */
static void *look(void *arg)
{
    struct account *a = arg;
    struct account_totals totals = {0};
    while (account_reason(a, REASON_ok) == 0)
        account_totals(a, &totals);
    return NULL;
}

static void the_log_changes_while_somebody_looks(void **state)
{
    (void)state;
    struct account *a = account_new(NULL);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look, a), 0);
    for (int i = 0; i < 20; i++) {
        struct access_log *log = open_log(ACCESS_LOG_JSON);
        assert_int_equal(account_log_to(a, log), 0);
        assert_int_equal(account_log_to(a, NULL), 0);
        access_log_close(&log);
    }
    account_count(a, &(struct account_count){.reason = REASON_ok});
    assert_int_equal(pthread_join(thread, NULL), 0);
    account_free(&a);
}

struct worker {
    struct access_log *log;
    struct account *account;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (uint64_t i = 0; i < 1000; i++) {
        struct record r = {.start_wall_ms = 1795251600000,
                           .client = {.kind = ADDRESS_V4, .ip = {127, 0, 0, 1}},
                           .http = true,
                           .method = span_str("GET"),
                           .target = span_str("/1"),
                           .status = 200};
        account_exchange(w->account, &r);
    }
    return NULL;
}

static void workers_share_one_file(void **state)
{
    (void)state;
    enum { WORKERS = 4 };
    struct access_log *log = open_log(ACCESS_LOG_COMBINED);
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    struct account_totals totals = {0};
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){log, account_new(log)};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    account_totals(workers[0].account, &totals); /* any thread may read meanwhile */
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        account_free(&workers[i].account);
    }
    access_log_close(&log);
    assert_int_equal(count_lines(path, NULL), WORKERS * 1000);
}

/* Rotation: the file is moved away and a new one made; no record is lost or torn between them. */
static void a_reopened_log_goes_on(void **state)
{
    (void)state;
    struct access_log *log = open_log(ACCESS_LOG_COMBINED);
    struct account *a = account_new(log);
    struct record r = sample(0);
    account_exchange(a, &r);
    assert_int_equal(rename(path, old_path), 0);
    access_log_reopen(log);
    while (access(path, F_OK) != 0)
        (void)usleep(1000);
    r = sample(1);
    account_exchange(a, &r);
    account_free(&a);
    access_log_close(&log);
    uint64_t next = 0;
    assert_int_equal(count_lines(old_path, &next), 1);
    assert_int_equal(count_lines(path, &next), 1);
}

static void a_bad_place_is_said(void **state)
{
    (void)state;
    struct access_log *log = NULL;
    assert_int_equal(
        access_log_open("/nowhere/access.log", ACCESS_LOG_JSON, &log, why, sizeof(why)),
        -(int)REASON_system_error);
    assert_null(log);
    assert_string_equal(
        why, "cannot open the access log /nowhere/access.log: No such file or directory");
    access_log_close(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_without_a_log),
        cmocka_unit_test(counting_needs_no_record),
        cmocka_unit_test_setup_teardown(records_become_lines_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(json_goes_the_same_way, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_log_changes_while_somebody_looks, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_share_one_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reopened_log_goes_on, setup, teardown),
        cmocka_unit_test(a_bad_place_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

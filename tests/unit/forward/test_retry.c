/* SPDX-License-Identifier: MIT */
/* The rule of retries, row by row. */
#include "forward/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ON_CONNECT RETRY_ON_CONNECT_FAILURE
#define ON_RESET   RETRY_ON_RESET_BEFORE_RESPONSE
#define ON_BOTH    (ON_CONNECT | ON_RESET)

struct row {
    const char *name;
    uint32_t on, attempts;
    struct retry_facts facts;
    enum reason why;
    bool allowed;
};

static const struct row rows[] = {
    {"refused, any method", ON_BOTH, 2, {.idempotent = false}, REASON_connect_refused, true},
    {"refused, not configured", ON_RESET, 2, {.idempotent = true}, REASON_connect_refused, false},
    {"refused, none left", ON_BOTH, 2, {.retries = 2}, REASON_connect_refused, false},
    {"refused, one left", ON_BOTH, 2, {.retries = 1}, REASON_connect_refused, true},
    {"refused, no attempts", ON_BOTH, 0, {.idempotent = true}, REASON_connect_refused, false},
    {"connect timeout", ON_BOTH, 1, {.idempotent = false}, REASON_connect_timeout, true},
    {"tcp refused", ON_BOTH, 1, {.tcp = true}, REASON_connect_refused, true},
    {"reset, safe", ON_BOTH, 1, {.idempotent = true}, REASON_backend_reset, true},
    {"closed, safe", ON_BOTH, 1, {.idempotent = true}, REASON_backend_closed, true},
    {"reset, unsafe", ON_BOTH, 1, {.idempotent = false}, REASON_backend_reset, false},
    {"reset, not configured", ON_CONNECT, 1, {.idempotent = true}, REASON_backend_reset, false},
    {"reset, body or answer begun",
     ON_BOTH,
     1,
     {.idempotent = true, .spent = true},
     REASON_backend_reset,
     false},
    {"tcp reset", ON_BOTH, 1, {.idempotent = true, .tcp = true}, REASON_backend_reset, false},
    {"stale, safe, nothing configured",
     0,
     0,
     {.idempotent = true, .stale = true},
     REASON_backend_closed,
     true},
    {"stale twice",
     0,
     0,
     {.idempotent = true, .stale = true, .retries = 1},
     REASON_backend_closed,
     false},
    {"stale, unsafe",
     ON_BOTH,
     2,
     {.idempotent = false, .stale = true},
     REASON_backend_closed,
     false},
    {"refused unseen, unsafe, nothing configured",
     0,
     0,
     {.idempotent = false, .stale = true},
     REASON_stream_refused,
     true},
    {"refused unseen, body gone",
     ON_BOTH,
     2,
     {.idempotent = false, .stale = true, .spent = true},
     REASON_stream_refused,
     false},
    {"refused unseen once more", ON_BOTH, 2, {.retries = 1}, REASON_stream_refused, true},
    {"stream reset, unsafe", ON_BOTH, 2, {.idempotent = false}, REASON_backend_stream_reset, false},
    {"stream reset, safe", ON_BOTH, 2, {.idempotent = true}, REASON_backend_stream_reset, true},
    {"slow", ON_BOTH, 2, {.idempotent = true}, REASON_response_timeout, false},
    {"nonsense", ON_BOTH, 2, {.idempotent = true}, REASON_bad_status_line, false},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pool_conf conf = {.retry_on = rows[i].on, .retry_attempts = rows[i].attempts};
        if (retry_allowed(&conf, &rows[i].facts, rows[i].why) != rows[i].allowed)
            fail_msg("row '%s': expected %s", rows[i].name, rows[i].allowed ? "yes" : "no");
    }
}

/* Whatever is configured, a request is repeated a bounded number of times. */
static void test_bounded(void **state)
{
    (void)state;
    struct pool_conf conf = {.retry_on = ON_BOTH, .retry_attempts = UINT32_MAX};
    for (int r = 0; r < REASON_COUNT; r++) {
        for (int bits = 0; bits < 8; bits++) {
            struct retry_facts f = {
                .idempotent = bits & 1, .stale = bits & 2, .tcp = bits & 4, .retries = 10};
            assert_false(retry_allowed(&conf, &f, (enum reason)r));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What workers count is found on the board, by listener, pool and backend; numbers are used again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "account/account.h"
#include "account/board.h"
#include "base/limits.h"

enum { GET = 1, POST = 3 };

struct fixture {
    struct account *a, *b;
    struct account_board *board;
};

static struct fixture begin(void)
{
    struct fixture f = {account_new(NULL), account_new(NULL), board_new(2)};
    assert_non_null(f.a);
    assert_non_null(f.b);
    assert_non_null(f.board);
    board_add(f.board, f.a);
    board_add(f.board, f.b);
    return f;
}

static void end(struct fixture *f)
{
    board_free(&f->board);
    account_free(&f->a);
    account_free(&f->b);
}

static void one(struct account *a, const struct board_key *listener, const struct board_key *pool,
                uint16_t status, uint8_t method)
{
    account_count(a, &(struct account_count){
                         .bytes_in = 10,
                         .bytes_out = 20,
                         .total_ns = 1000000,
                         .status = status,
                         .method = method,
                         .listener = listener,
                         .pool = pool,
                     });
}

static uint64_t code(const struct board_codes *c, uint16_t status, uint8_t method)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (c->codes[i].status == status && c->codes[i].method == method)
            return c->codes[i].count;
    return 0;
}

static uint64_t requests_of(const struct fixture *f, struct board_key listener,
                            const struct board_key *pool)
{
    struct board_sum sum = {0};
    (void)board_pair(f->board, listener, pool, &sum);
    return sum.requests;
}

static void pairs_of_all_workers_add_up(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct board_key web = board_key(0), side = board_key(1), app = board_key(0),
                     far = board_key(BOARD_POOLS_MAX - 2);
    one(f.a, &web, &app, 200, GET);
    one(f.b, &web, &app, 200, GET);
    one(f.b, &web, &app, 404, POST);
    one(f.a, &web, &far, 200, GET);
    one(f.b, &web, NULL, 400, BOARD_METHOD_NONE);
    one(f.b, &side, &app, 0, BOARD_METHOD_NONE);
    assert_int_equal(requests_of(&f, web, &app), 3);
    assert_int_equal(requests_of(&f, web, &far), 1);
    assert_int_equal(requests_of(&f, web, NULL), 1);
    assert_int_equal(requests_of(&f, side, &app), 1);
    assert_int_equal(requests_of(&f, side, NULL), 0);

    static struct board_codes codes;
    board_codes_clear(&codes);
    board_pair_codes(f.board, web, &app, &codes);
    assert_int_equal(codes.count, 2);
    assert_int_equal(code(&codes, 200, GET), 2);
    assert_int_equal(code(&codes, 404, POST), 1);

    uint32_t at = 0, number;
    assert_true(board_next_pool(f.board, web, &at, &number));
    assert_int_equal(number, BOARD_NO_POOL);
    assert_true(board_next_pool(f.board, web, &at, &number));
    assert_int_equal(number, 0);
    assert_true(board_next_pool(f.board, web, &at, &number));
    assert_int_equal(number, BOARD_POOLS_MAX - 2);
    assert_false(board_next_pool(f.board, web, &at, &number));

    struct board_sum sum = {0};
    uint64_t classes[BOARD_CLASSES] = {0};
    board_listener(f.board, web, &sum, classes);
    assert_int_equal(sum.requests, 5);
    assert_int_equal(sum.bytes_in, 50);
    assert_int_equal(sum.bytes_out, 100);
    assert_int_equal(classes[2], 3);
    assert_int_equal(classes[4], 2);
    sum = (struct board_sum){0};
    board_pool(f.board, app, &sum, classes);
    assert_int_equal(sum.requests, 4);
    sum = (struct board_sum){0};
    board_process(f.board, &sum, classes);
    assert_int_equal(sum.requests, 6);
    end(&f);
}

static void a_number_taken_anew_starts_from_zero(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct board_key web = board_key(0), app = board_key(3), next = board_key(3);
    assert_int_not_equal(app.birth, next.birth);
    one(f.a, &web, &app, 200, GET);
    assert_int_equal(requests_of(&f, web, &next), 0);
    one(f.a, &web, &next, 503, GET);
    assert_int_equal(requests_of(&f, web, &next), 1);
    assert_int_equal(requests_of(&f, web, &app), 0);
    static struct board_codes codes;
    board_codes_clear(&codes);
    board_pair_codes(f.board, web, &next, &codes);
    assert_int_equal(codes.count, 1);
    assert_int_equal(code(&codes, 503, GET), 1);

    /* What the listener and the process did is not forgotten. */
    struct board_sum sum = {0};
    uint64_t classes[BOARD_CLASSES] = {0};
    board_listener(f.board, web, &sum, classes);
    assert_int_equal(sum.requests, 2);
    assert_int_equal(classes[2], 1);
    assert_int_equal(classes[5], 1);
    struct board_key other = board_key(0);
    one(f.a, &other, &next, 200, GET);
    assert_int_equal(requests_of(&f, other, &next), 1);
    assert_int_equal(requests_of(&f, web, &next), 0);
    sum = (struct board_sum){0};
    board_process(f.board, &sum, classes);
    assert_int_equal(sum.requests, 3);
    struct account_totals totals = {0};
    account_totals(f.a, &totals);
    assert_int_equal(totals.exchanges, 3);
    assert_int_equal(totals.bytes_in, 30);
    end(&f);
}

static void backends_have_their_own(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct board_key b1 = board_key(7), b2 = board_key(70000), again = board_key(7);
    account_left(f.a, &b1, &(struct account_left){.ns = 1000, .status = 200, .bytes_out = 5});
    account_left(f.b, &b1, &(struct account_left){.failure = REASON_connect_refused});
    account_left(f.b, &b1, &(struct account_left){.failure = REASON_unresolved});
    account_left(f.b, &b1, &(struct account_left){.failure = REASON_backend_reset});
    account_retried(f.b, &b1);
    account_left(f.a, &b2, &(struct account_left){.status = 999});
    struct board_sum sum = {0};
    assert_true(board_backend(f.board, b1, &sum));
    assert_int_equal(sum.requests, 4);
    assert_int_equal(sum.failures, 3);
    assert_int_equal(sum.retries, 1);
    assert_int_equal(sum.bytes_out, 5);
    uint64_t errors[BOARD_CONNECT_REASONS] = {0}, all = 0;
    board_backend_connect_errors(f.board, b1, errors);
    for (size_t i = 0; i < BOARD_CONNECT_REASONS; i++) {
        enum reason r = board_connect_reason(i);
        assert_int_equal(reason_retry(r), REASON_RETRY_CONNECT);
        assert_int_equal(errors[i], r == REASON_connect_refused || r == REASON_unresolved);
        all += errors[i];
    }
    assert_int_equal(all, 2);
    uint64_t classes[BOARD_CLASSES] = {0};
    board_backend_classes(f.board, b2, classes);
    assert_int_equal(classes[5], 1);
    static struct board_codes codes;
    board_codes_clear(&codes);
    board_backend_codes(f.board, b1, &codes);
    assert_int_equal(code(&codes, 0, BOARD_METHOD_NONE), 3);
    assert_int_equal(code(&codes, 200, BOARD_METHOD_NONE), 1);

    sum = (struct board_sum){0};
    assert_false(board_backend(f.board, again, &sum));
    account_left(f.b, &again, &(struct account_left){.status = 200});
    assert_true(board_backend(f.board, again, &sum));
    assert_int_equal(sum.requests, 1); /* the other worker still has the old one's */
    assert_int_equal(sum.failures, 0);
    end(&f);
}

/* Every reason for which there is no connection has a counter. */
static void connect_reasons_are_complete(void **state)
{
    (void)state;
    for (size_t r = 0; r < REASON_COUNT; r++) {
        size_t found = 0;
        for (size_t i = 0; i < BOARD_CONNECT_REASONS; i++)
            found += board_connect_reason(i) == r;
        assert_int_equal(found, reason_retry((enum reason)r) == REASON_RETRY_CONNECT);
    }
}

/* However many codes there are, none is lost, and the series are bounded. */
static void codes_are_bounded(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct board_key web = board_key(0), app = board_key(0), b = board_key(0);
    uint64_t made = 0;
    for (int round = 0; round < 2; round++) {
        for (uint16_t status = 100; status < 1000; status++, made++) {
            one(f.a, &web, &app, status, (uint8_t)(status % BOARD_METHODS));
            account_left(f.a, &b, &(struct account_left){.status = status});
        }
    }
    static struct board_codes codes;
    uint64_t sum = 0;
    board_codes_clear(&codes);
    board_pair_codes(f.board, web, &app, &codes);
    assert_in_range(codes.count, 30, 64);
    for (uint32_t i = 0; i < codes.count; i++)
        sum += codes.codes[i].count;
    for (size_t i = 0; i < BOARD_CLASSES * BOARD_METHODS; i++)
        sum += codes.by_class[i / BOARD_METHODS][i % BOARD_METHODS];
    assert_int_equal(sum, made);
    board_codes_clear(&codes);
    board_backend_codes(f.board, b, &codes);
    assert_int_equal(codes.count, 16);
    sum = codes.by_class[1][BOARD_METHOD_NONE];
    for (uint32_t i = 0; i < codes.count; i++)
        sum += codes.codes[i].status < 200 ? codes.codes[i].count : 0;
    assert_int_equal(sum, 200);
    end(&f);
}

static void what_has_no_room_is_counted(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct board_key web = board_key(0), far = board_key(BOARD_POOLS_MAX),
                     beyond = board_key(BOARD_LISTENERS_MAX), last = board_key(BOARD_BACKENDS_MAX),
                     never = {0};
    one(f.a, &web, &far, 200, GET);
    one(f.a, &beyond, NULL, 200, GET);
    one(f.a, &never, NULL, 200, GET);
    account_left(f.a, &last, &(struct account_left){.status = 200});
    account_connection(f.a, &beyond);
    assert_int_equal(board_untold(f.board), 4);
    struct account_totals totals = {0};
    account_totals(f.a, &totals);
    assert_int_equal(totals.by_class[2], 3);
    struct board_sum sum = {0};
    assert_false(board_backend(f.board, last, &sum));
    assert_false(board_pair(f.board, web, &far, &sum));
    assert_int_equal(board_connections(f.board, beyond), 0);
    end(&f);
}

static void connections_of_listeners(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct board_key web = board_key(BOARD_LISTENERS_MAX - 1);
    assert_int_equal(board_connections(f.board, web), 0);
    account_connection(f.a, &web);
    account_connection(f.b, &web);
    account_connection(f.b, &web);
    assert_int_equal(board_connections(f.board, web), 3);
    assert_int_equal(board_connections(f.board, board_key(web.number)), 0);
    end(&f);
}

static void handshakes_of_listeners(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct board_key web = board_key(3), other = board_key(4);
    account_handshake(f.a, &web, true, false);
    account_handshake(f.b, &web, true, false);
    account_handshake(f.b, &web, false, true);
    account_handshake_failed(f.a, &web, REASON_tls_alert);
    account_handshake_failed(f.b, &web, REASON_overload);
    struct board_handshakes h = {0};
    board_tls(f.board, web, &h);
    assert_int_equal(h.done[board_handshake(true, false)], 2);
    assert_int_equal(h.done[board_handshake(false, true)], 1);
    assert_int_equal(h.done[board_handshake(true, true)], 0);
    for (size_t i = 0; i < BOARD_HANDSHAKE_REASONS; i++) {
        enum reason why = board_handshake_reason(i);
        bool expected = why == REASON_tls_alert || why == REASON_tls_handshake_failed;
        assert_int_equal(h.failed[i], expected);
    }
    struct board_handshakes none = {0}, his = {0};
    board_tls(f.board, other, &his);
    assert_memory_equal(&his, &none, sizeof(none));
    web = board_key(web.number); /* reborn */
    account_connection(f.a, &web);
    account_connection(f.b, &web);
    board_tls(f.board, web, &his);
    assert_memory_equal(&his, &none, sizeof(none));
    end(&f);
}

static void calls_of_grpc(void **state)
{
    (void)state;
    struct fixture f = begin();
    struct board_key web = board_key(3), app = board_key(5), far = board_key(BOARD_POOLS_MAX);
    one(f.a, &web, &app, 200, GET);
    uint64_t n[BOARD_GRPC] = {0}, none[BOARD_GRPC] = {0};
    board_pair_grpc(f.board, web, &app, n);
    assert_memory_equal(n, none, sizeof(n));
    account_call(f.a, &web, &app, RECORD_GRPC(0));
    account_call(f.b, &web, &app, RECORD_GRPC(0));
    account_call(f.b, &web, &app, RECORD_GRPC(16));
    account_call(f.b, &web, &app, RECORD_GRPC_NONE);
    account_call(f.b, &web, NULL, RECORD_GRPC(12));
    account_call(f.b, &web, &far, RECORD_GRPC(1)); /* no room */
    account_call(f.b, NULL, NULL, RECORD_GRPC(1));
    board_pair_grpc(f.board, web, &app, n);
    for (size_t i = 0; i < BOARD_GRPC; i++)
        assert_int_equal(n[i], i == 1 ? 2 : i == 0 || i == 17);
    memset(n, 0, sizeof(n));
    board_pair_grpc(f.board, web, NULL, n);
    assert_int_equal(n[13], 1);
    app = board_key(app.number); /* reborn */
    one(f.b, &web, &app, 200, GET);
    memset(n, 0, sizeof(n));
    board_pair_grpc(f.board, web, &app, n);
    assert_memory_equal(n, none, sizeof(n));
    end(&f);
}

enum { ROUNDS = 100000, NUMBERS = 50 };

static void *work(void *arg)
{
    struct account *a = arg;
    struct board_key web = board_key(0), app = board_key(0);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct board_key b = {i % NUMBERS, 1 + i / (ROUNDS / 4)}; /* reborn three times */
        one(a, &web, &app, 200, GET);
        account_left(a, &b, &(struct account_left){.status = 200, .bytes_in = 1});
    }
    return NULL;
}

/* Read while it is written: what is seen of one birth only grows. */
static void readers_need_no_lock(void **state)
{
    (void)state;
    struct fixture f = begin();
    pthread_t thread;
    struct board_key b = {NUMBERS - 1, 4};
    assert_int_equal(pthread_create(&thread, NULL, work, f.a), 0);
    uint64_t before = 0, all_before = 0;
    while (before < ROUNDS / 4 / NUMBERS) {
        uint64_t now = board_backend_requests(f.board, b);
        assert_true(now >= before);
        before = now;
        struct board_sum sum = {0};
        uint64_t classes[BOARD_CLASSES] = {0};
        board_process(f.board, &sum, classes);
        assert_true(sum.requests >= all_before);
        all_before = sum.requests;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(board_backend_requests(f.board, b), ROUNDS / 4 / NUMBERS);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_of_all_workers_add_up),
        cmocka_unit_test(a_number_taken_anew_starts_from_zero),
        cmocka_unit_test(backends_have_their_own),
        cmocka_unit_test(connect_reasons_are_complete),
        cmocka_unit_test(codes_are_bounded),
        cmocka_unit_test(calls_of_grpc),
        cmocka_unit_test(what_has_no_room_is_counted),
        cmocka_unit_test(connections_of_listeners),
        cmocka_unit_test(handshakes_of_listeners),
        cmocka_unit_test(readers_need_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Two ends of an HTTP/2 connection, joined by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "forward/h2_conn_priv.h"
#include "h2_end.h"

static struct loop *loop;
static struct h2_library *library;
static struct end *client, *server;
static uint8_t bytes[300000];

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(loop_new(&(struct loop_options){0}, &loop), 0);
    library = h2_library_new(loop);
    assert_non_null(library);
    client = end_new(loop, library, false, 0);
    server = end_new(loop, library, true, 100);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    end_free(&client);
    end_free(&server);
    h2_library_free(&library);
    loop_free(&loop);
    return 0;
}

/* Hands over what one end has sent. True if there was any. */
static bool carry(struct end *from, struct end *to)
{
    end_turn(from);
    size_t n = from->out_bytes - from->out_read;
    const uint8_t *p = from->out + from->out_read;
    end_take(to, p, n);
    from->out_bytes = from->out_read = 0;
    return n > 0;
}

/* Until nobody has anything to say. */
static void talk(void)
{
    for (unsigned i = 0; i < 1000; i++) {
        bool more = carry(client, server);
        more = carry(server, client) || more;
        if (!more)
            return;
    }
    fail_msg("they talk without end");
}

static struct end_stream *request(bool end)
{
    nghttp2_nv nv[] = {end_nv(":method", end ? "GET" : "POST"), end_nv(":scheme", "http"),
                       end_nv(":path", "/"), end_nv(":authority", "web.test")};
    struct end_stream *t = end_stream_new(client);
    assert_int_equal(h2_stream_open(&client->c, &t->s, nv, 4, end), 0);
    return t;
}

static void respond(struct end_stream *t, size_t body_bytes)
{
    nghttp2_nv nv[] = {end_nv(":status", "200"), end_nv("server", "unit")};
    assert_int_equal(h2_stream_head(&t->s, nv, 2, false, body_bytes == 0), 0);
    if (body_bytes > 0)
        h2_stream_body(&t->s, (struct slice){bytes, (uint32_t)body_bytes, NULL});
    assert_int_equal(h2_stream_end(&t->s, NULL, 0), 0);
}

static uint32_t sum_of(size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static void check_done(const struct end_stream *t, size_t body_bytes)
{
    assert_int_equal(t->heads, 1);
    assert_int_equal(t->ends, 1);
    assert_int_equal(t->body_bytes, body_bytes);
    assert_int_equal(t->sum, sum_of(body_bytes));
    assert_true(t->over);
    assert_int_equal(t->why, REASON_ok);
}

static void test_request_and_response(void **state)
{
    (void)state;
    struct end_stream *c = request(true);
    talk();
    struct end_stream *s = &server->streams[0];
    assert_int_equal(s->heads, 1);
    assert_int_equal(s->ends, 1);
    respond(s, 1000);
    assert_true(h2_stream_flush(&s->s));
    talk();
    check_done(c, 1000);
    assert_string_equal(c->status, "200");
    assert_true(s->over);
    assert_int_equal(s->why, REASON_ok);
}

static void test_one_send_for_all_of_a_turn(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++)
        request(true);
    unsigned sends = client->sends;
    end_turn(client);
    assert_int_equal(client->sends, sends + 1);
    talk();
    assert_int_equal(server->stream_count, 50);
    sends = server->sends;
    for (unsigned i = 0; i < 50; i++) {
        respond(&server->streams[i], 100);
        assert_true(h2_stream_flush(&server->streams[i].s));
    }
    end_turn(server);
    assert_int_equal(server->sends, sends + 1);
    talk();
    for (unsigned i = 0; i < 50; i++)
        check_done(&client->streams[i], 100);
}

static void test_windows_hold_back(void **state)
{
    (void)state;
    struct end_stream *c = request(true);
    talk();
    h2_stream_read(&c->s, false);
    struct end_stream *s = &server->streams[0];
    respond(s, 200000);
    assert_false(h2_stream_flush(&s->s));
    talk();
    assert_int_equal(c->body_bytes, 0);
    assert_int_equal(s->writables, 0);
    struct end_stream *other = request(true); /* another is not held back by it */
    talk();
    respond(&server->streams[1], 1000);
    assert_true(h2_stream_flush(&server->streams[1].s));
    talk();
    check_done(other, 1000);
    h2_stream_read(&c->s, true);
    talk();
    check_done(c, 200000);
    assert_int_equal(s->writables, 1);
}

static void test_what_is_held_is_a_window(void **state)
{
    (void)state;
    struct end_stream *c = request(false);
    server->hold = true;
    talk();
    struct end_stream *s = &server->streams[0];
    for (unsigned i = 0; i < 65535; i++) { /* each a frame of its own */
        h2_stream_body(&c->s, (struct slice){bytes + i, 1, NULL});
        assert_true(h2_stream_flush(&c->s));
        if (i % 1000 == 0)
            carry(client, server);
    }
    h2_stream_body(&c->s, (struct slice){bytes + 65535, 1, NULL});
    assert_false(h2_stream_flush(&c->s));
    assert_int_equal(h2_stream_end(&c->s, NULL, 0), 0);
    talk();
    assert_int_equal(s->body_bytes, 0);
    assert_int_equal(s->ends, 0);
    h2_stream_read(&s->s, true);
    talk();
    assert_int_equal(s->body_bytes, 65536);
    assert_int_equal(s->sum, sum_of(65536));
    assert_int_equal(s->ends, 1);
    assert_int_equal(c->writables, 1);
}

#define WAITING 40

/* Uploads that nobody reads, each of more than a window. */
static void begin_waiting(void)
{
    server->hold = true;
    for (unsigned i = 0; i < WAITING; i++) {
        struct end_stream *c = request(false);
        h2_stream_body(&c->s, (struct slice){bytes, 100000, NULL});
        assert_int_equal(h2_stream_end(&c->s, NULL, 0), 0);
        assert_false(h2_stream_flush(&c->s));
        talk();
    }
    server->hold = false;
}

static void read_waiting(void)
{
    for (unsigned i = 0; i < WAITING; i++) {
        h2_stream_read(&server->streams[i].s, true);
        talk();
    }
    for (unsigned i = 0; i < WAITING; i++) {
        assert_int_equal(server->streams[i].body_bytes, 100000);
        assert_int_equal(server->streams[i].sum, sum_of(100000));
        assert_int_equal(server->streams[i].ends, 1);
    }
    assert_int_equal(library->held[true], 0);
}

static void test_uploads_that_wait_leave_the_connection_open(void **state)
{
    (void)state;
    begin_waiting();
    struct end_stream *c = request(false);
    h2_stream_body(&c->s, (struct slice){bytes, 200000, NULL});
    assert_int_equal(h2_stream_end(&c->s, NULL, 0), 0);
    assert_false(h2_stream_flush(&c->s));
    talk();
    assert_int_equal(server->streams[WAITING].body_bytes, 200000);
    assert_int_equal(server->streams[WAITING].ends, 1);
    read_waiting();
}

static void test_a_worker_that_holds_much_holds_back(void **state)
{
    (void)state;
    library->held[true] = H2_HELD_EARLY;
    begin_waiting();
    size_t held = library->held[true] - H2_HELD_EARLY;
    assert_in_range(held, H2_CONNECTION_WINDOW / 2, H2_CONNECTION_WINDOW + WAITING * 18432);
    library->held[true] -= H2_HELD_EARLY;
    assert_true(h2_conn_tick(&server->c, UINT32_MAX, UINT32_MAX)); /* there is room again */
    talk();
    assert_true(library->held[true] >= WAITING * H2_STREAM_WINDOW);
    read_waiting();
}

static void test_what_is_owed_is_paid_when_it_is_taken(void **state)
{
    (void)state;
    library->held[true] = H2_HELD_EARLY;
    begin_waiting();
    for (unsigned i = 0; i < WAITING; i++) {
        h2_stream_read(&server->streams[i].s, true);
        talk();
    }
    for (unsigned i = 0; i < WAITING; i++)
        assert_int_equal(server->streams[i].body_bytes, 100000);
    library->held[true] -= H2_HELD_EARLY;
    assert_int_equal(library->held[true], 0);
}

static void test_no_room_for_a_stream_ends_it_alone(void **state)
{
    (void)state;
    struct end_stream *a = request(false), *b = request(false);
    server->hold = true;
    talk();
    h2_stream_read(&server->streams[1].s, true);
    h2_stream_body(&a->s, (struct slice){bytes, 1000, NULL});
    assert_true(h2_stream_flush(&a->s));
    talk();
    library->held[true] += H2_HELD_MAX;
    h2_stream_body(&a->s, (struct slice){bytes + 1000, 50000, NULL});
    assert_int_equal(h2_stream_end(&a->s, NULL, 0), 0);
    assert_true(h2_stream_flush(&a->s));
    carry(client, server);
    h2_stream_read(&server->streams[0].s, true); /* a body with a gap is no body */
    talk();
    assert_true(server->streams[0].over && a->over);
    assert_int_equal(server->streams[0].why, REASON_overload);
    assert_int_equal(a->code, NGHTTP2_INTERNAL_ERROR);
    assert_int_equal(server->streams[0].body_bytes, 0);
    assert_int_equal(server->streams[0].ends, 0);
    library->held[true] -= H2_HELD_MAX;
    assert_int_equal(library->held[true], 0);
    h2_stream_body(&b->s, (struct slice){bytes, 200000, NULL});
    assert_int_equal(h2_stream_end(&b->s, NULL, 0), 0);
    assert_false(h2_stream_flush(&b->s));
    talk();
    assert_int_equal(server->streams[1].body_bytes, 200000);
    assert_int_equal(server->streams[1].ends, 1);
    assert_false(server->failed || client->failed);
}

static void test_a_send_under_way(void **state)
{
    (void)state;
    request(true);
    request(true);
    talk();
    server->pending = true;
    struct end_stream *a = &server->streams[0], *b = &server->streams[1];
    respond(a, 10);
    assert_true(h2_stream_flush(&a->s));
    end_turn(server);
    assert_true(server->in_flight);
    assert_false(h2_conn_packs_now(&server->c));
    respond(b, 5000);
    assert_false(h2_stream_flush(&b->s));
    memset(bytes, 0, 5000); /* they are its own by now */
    unsigned sends = server->sends;
    end_turn(server);
    assert_int_equal(server->sends, sends);
    server->pending = false;
    end_sent(server);
    talk();
    assert_int_equal(b->writables, 1);
    assert_int_equal(client->streams[1].body_bytes, 5000);
    assert_int_not_equal(client->streams[1].sum, sum_of(5000));
}

static void test_trailers_and_interim(void **state)
{
    (void)state;
    struct end_stream *c = request(false);
    nghttp2_nv trailer = end_nv("x-sum", "1");
    h2_stream_body(&c->s, (struct slice){bytes, 100, NULL});
    assert_int_equal(h2_stream_end(&c->s, &trailer, 1), 0);
    assert_true(h2_stream_flush(&c->s));
    talk();
    struct end_stream *s = &server->streams[0];
    assert_int_equal(s->trailers, 1);
    assert_int_equal(s->ends, 1);
    nghttp2_nv hint = end_nv(":status", "103"), final = end_nv(":status", "200");
    assert_int_equal(h2_stream_head(&s->s, &hint, 1, true, false), 0);
    talk();
    assert_string_equal(c->status, "103");
    assert_int_equal(h2_stream_head(&s->s, &final, 1, false, false), 0);
    assert_int_equal(h2_stream_end(&s->s, &trailer, 1), 0);
    assert_true(h2_stream_flush(&s->s));
    talk();
    assert_string_equal(c->status, "200");
    assert_int_equal(c->heads, 2);
    assert_int_equal(c->trailers, 1);
    assert_int_equal(c->why, REASON_ok);
    assert_true(c->over);
}

static void test_resets(void **state)
{
    (void)state;
    struct end_stream *a = request(true), *b = request(true), *c = request(true);
    talk();
    h2_stream_reset(&a->s, NGHTTP2_CANCEL);
    h2_stream_reset(&server->streams[1].s, NGHTTP2_INTERNAL_ERROR);
    h2_stream_reset(&server->streams[2].s, NGHTTP2_REFUSED_STREAM);
    talk();
    assert_int_equal(server->streams[0].why, REASON_client_cancelled);
    assert_int_equal(b->why, REASON_backend_stream_reset);
    assert_int_equal(b->code, NGHTTP2_INTERNAL_ERROR);
    assert_int_equal(c->why, REASON_stream_refused);
}

static void test_early_response_stops_the_upload(void **state)
{
    (void)state;
    struct end_stream *c = request(false);
    h2_stream_body(&c->s, (struct slice){bytes, 100, NULL});
    assert_true(h2_stream_flush(&c->s));
    talk();
    struct end_stream *s = &server->streams[0];
    respond(s, 10);
    assert_true(h2_stream_flush(&s->s));
    h2_stream_leave(&s->s);
    talk();
    assert_int_equal(c->ends, 1);
    assert_int_equal(c->body_bytes, 10);
    assert_true(c->over);
    assert_int_equal(c->code, NGHTTP2_NO_ERROR);
}

static void test_drain(void **state)
{
    (void)state;
    struct end_stream *c = request(true);
    talk();
    h2_conn_drain(&server->c);
    talk();
    assert_int_equal(client->goaways, 2); /* the largest id, and when that was heard the last */
    assert_int_equal(h2_conn_room(&client->c), 0);
    assert_false(server->failed);
    respond(&server->streams[0], 10);
    assert_true(h2_stream_flush(&server->streams[0].s));
    talk();
    check_done(c, 10);
    assert_true(server->failed);
    assert_int_equal(server->why, REASON_ok);
    assert_true(client->failed);
    assert_int_equal(client->why, REASON_ok);
}

static void test_too_many_requests_are_not_opened(void **state)
{
    (void)state;
    talk();
    assert_int_equal(h2_conn_room(&client->c), 100);
    for (unsigned i = 0; i < 100; i++)
        request(true);
    assert_int_equal(h2_conn_room(&client->c), 0);
    nghttp2_nv nv = end_nv(":method", "GET");
    struct end_stream *t = end_stream_new(client);
    assert_int_equal(h2_stream_open(&client->c, &t->s, &nv, 1, true), -(int)REASON_stream_refused);
    talk();
    assert_int_equal(server->stream_count, 100);
}

static void test_the_end_is_told_to_all(void **state)
{
    (void)state;
    struct end_stream *a = request(true), *b = request(false);
    talk();
    h2_conn_eof(&client->c, REASON_backend_closed);
    assert_true(a->over && b->over && client->failed);
    assert_int_equal(a->why, REASON_backend_closed);
    h2_conn_fail(&server->c, REASON_h2_protocol_error, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(server->streams[1].why, REASON_h2_protocol_error);
    assert_true(h2_conn_polite(&server->c));
    assert_int_equal(server->out[server->out_bytes - 17 + 3], NGHTTP2_GOAWAY);
}

/* A frame that may not come on stream 0. */
static void misbehave(void)
{
    static const uint8_t priority[] = {0, 0, 5, NGHTTP2_PRIORITY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    end_take(client, priority, sizeof(priority));
}

static void test_a_whole_response_survives_a_mistake(void **state)
{
    (void)state;
    struct end_stream *a = request(true), *b = request(true);
    talk();
    h2_stream_read(&a->s, false);
    respond(&server->streams[0], 1000);
    assert_true(h2_stream_flush(&server->streams[0].s));
    talk();
    misbehave();
    end_turn(client);
    assert_true(b->over && !a->over && !client->failed);
    assert_int_equal(b->why, REASON_backend_h2_error);
    assert_int_equal(h2_conn_room(&client->c), 0);
    assert_int_equal(client->out[client->out_bytes - 17 + 3], NGHTTP2_GOAWAY);
    h2_stream_read(&a->s, true);
    end_turn(client);
    check_done(a, 1000);
    assert_true(client->failed);
    assert_int_equal(client->why, REASON_backend_h2_error);
}

static void test_an_owner_waits_for_nothing(void **state)
{
    (void)state;
    struct end_stream *a = request(true);
    talk();
    h2_stream_read(&a->s, false);
    respond(&server->streams[0], 1000);
    assert_true(h2_stream_flush(&server->streams[0].s));
    talk();
    misbehave();
    end_turn(client);
    assert_false(a->over);
    assert_false(h2_conn_fail(&client->c, REASON_shutting_down, H2_NO_GOAWAY));
    assert_true(a->over && client->failed);
    assert_int_equal(a->why, REASON_shutting_down);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_and_response),
        TEST(test_one_send_for_all_of_a_turn),
        TEST(test_windows_hold_back),
        TEST(test_what_is_held_is_a_window),
        TEST(test_uploads_that_wait_leave_the_connection_open),
        TEST(test_a_worker_that_holds_much_holds_back),
        TEST(test_what_is_owed_is_paid_when_it_is_taken),
        TEST(test_no_room_for_a_stream_ends_it_alone),
        TEST(test_a_send_under_way),
        TEST(test_trailers_and_interim),
        TEST(test_resets),
        TEST(test_early_response_stops_the_upload),
        TEST(test_drain),
        TEST(test_too_many_requests_are_not_opened),
        TEST(test_the_end_is_told_to_all),
        TEST(test_a_whole_response_survives_a_mistake),
        TEST(test_an_owner_waits_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

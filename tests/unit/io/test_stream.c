/* SPDX-License-Identifier: MIT */
/* Connections as users of loop.h see them: order of answers, half-close, bulk, closing. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- echo ---- */

static void echo(struct end *e, struct slice in)
{
    assert_int_equal(stream_send(e->s, &in, 1), SEND_DONE);
}

static void echo_on_accept(struct end *server)
{
    server->on_data = echo;
}

static void say_hello(struct end *e)
{
    assert_int_equal(end_send_text(e, "hello"), SEND_DONE);
    stream_read(e->s, true);
}

static bool client_has_five(struct rig *rig)
{
    return rig->client.received >= 5;
}

static void check_echo(void **state, const char *where)
{
    struct rig rig;
    rig_open(&rig, state, where);
    rig.on_accepted = echo_on_accept;
    rig.client.on_connected = say_hello;
    rig_connect(&rig);
    assert_int_equal(rig.client.connected, 0); /* never inside the call */
    rig_run(&rig, client_has_five);
    assert_string_equal(rig.client.text, "hello");
    assert_int_equal(rig.client.connected, 1);
    assert_int_equal(rig.client.sents, 0); /* SEND_DONE was said */
    assert_int_equal(loop_stats(rig.loop)->streams_open, 2);
    rig_close(&rig);
}

static void test_echo_v4(void **state)
{
    check_echo(state, "127.0.0.1:0");
}

static void test_echo_any(void **state)
{
    struct rig rig;
    rig_open(&rig, state, ":0");
    rig.on_accepted = echo_on_accept;
    rig.client.on_connected = say_hello;
    struct address to = {.kind = ADDRESS_V4, .ip = {127, 0, 0, 1}};
    to.port = listener_address(rig.listener)->port;
    rig_connect_end(&rig, &rig.client, &to);
    rig_run(&rig, client_has_five);
    /* an IPv4 client of a dual-stack socket is an IPv4 client */
    assert_int_equal(stream_peer(rig.server0.s).kind, ADDRESS_V4);
    rig_close(&rig);
}

static void test_echo_unix(void **state)
{
    char where[64];
    snprintf(where, sizeof where, "unix:/tmp/test-io-%ld.sock", (long)getpid());
    check_echo(state, where);
    assert_int_equal(access(where + 5, F_OK), -1); /* gone with its listener */
}

static bool server_came(struct rig *rig)
{
    return rig->servers_count == 1 && (rig->client.connected || rig->client.fails);
}

static void test_addresses(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig_connect(&rig);
    rig_run(&rig, server_came);
    const struct address *bound = listener_address(rig.listener);
    struct address peer = stream_peer(rig.client.s);
    assert_true(address_equal(&peer, bound));
    struct address local = stream_local(rig.server0.s);
    assert_true(address_equal(&local, bound));
    peer = stream_peer(rig.server0.s);
    local = stream_local(rig.client.s);
    assert_true(address_equal(&peer, &local));
    rig_close(&rig);
}

/* ---- half-close ---- */

static void ask_and_shut(struct end *e)
{
    assert_int_equal(end_send_text(e, "question"), SEND_DONE);
    stream_shutdown(e->s);
    stream_read(e->s, true);
}

static void answer_and_shut(struct end *e)
{
    assert_string_equal(e->text, "question");
    assert_int_equal(end_send_text(e, "answer"), SEND_DONE);
    stream_shutdown(e->s);
}

static void answer_at_eof(struct end *server)
{
    server->on_eof = answer_and_shut;
}

static bool both_ended(struct rig *rig)
{
    return rig->client.eofs && rig->server0.eofs;
}

static void test_half_close(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = answer_at_eof;
    rig.client.on_connected = ask_and_shut;
    rig_connect(&rig);
    rig_run(&rig, both_ended);
    assert_string_equal(rig.client.text, "answer");
    assert_int_equal(rig.client.fails + rig.server0.fails, 0);
    rig_close(&rig);
}

static void shut_then_read(struct end *e)
{
    stream_shutdown(e->s);
    stream_read(e->s, true);
}

static void greet_and_shut(struct end *server)
{
    server->on_eof = NULL;
    assert_int_equal(end_send_text(server, "greeting"), SEND_DONE);
    stream_shutdown(server->s);
}

static void test_half_close_server_first(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = greet_and_shut;
    rig.client.on_eof = shut_then_read;
    rig_connect(&rig);
    stream_read(rig.client.s, true);
    rig_run(&rig, both_ended);
    assert_string_equal(rig.client.text, "greeting");
    rig_close(&rig);
}

/* ---- bulk with credit ---- */

#define BULK (8u * 1024 * 1024)

struct bulk {
    uint64_t sent;
    unsigned pendings;
    uint32_t chunk_bytes;
    uint8_t *chunk; /* without a buffer: ours to keep unchanged while pending */
    struct end *reader;
    struct timer again;
};

static void send_more(struct end *e)
{
    struct bulk *bulk = e->rig->user;
    while (bulk->sent < BULK) {
        uint32_t n = (uint32_t)MIN((uint64_t)bulk->chunk_bytes, BULK - bulk->sent);
        rig_fill(bulk->chunk, n, bulk->sent);
        bulk->sent += n;
        struct slice parts[3] = {
            {bulk->chunk, 1, NULL},
            {bulk->chunk + 1, n / 2, NULL},
            {bulk->chunk + 1 + n / 2, n - 1 - n / 2, NULL},
        };
        if (stream_send(e->s, parts, 3) == SEND_PENDING) {
            bulk->pendings++;
            return;
        }
    }
    stream_shutdown(e->s);
}

static void give_credit(struct timer *t)
{
    struct bulk *bulk = container_of(t, struct bulk, again);
    if (bulk->reader->s)
        stream_read(bulk->reader->s, true);
}

static void take_slowly(struct end *e, struct slice in)
{
    (void)in;
    struct bulk *bulk = e->rig->user;
    bulk->reader = e;
    stream_read(e->s, false);
    loop_timer_set(e->rig->loop, &bulk->again, 1);
}

static void slow_reader(struct end *server)
{
    server->exact = true;
    server->on_data = take_slowly;
}

static bool server_ended(struct rig *rig)
{
    return rig->server0.eofs != 0;
}

static struct bulk *bulk_new(uint32_t chunk_bytes)
{
    struct bulk *bulk = calloc(1, sizeof *bulk);
    bulk->chunk_bytes = chunk_bytes;
    bulk->chunk = malloc(chunk_bytes);
    timer_init(&bulk->again, give_credit);
    return bulk;
}

static void bulk_free(struct rig *rig, struct bulk *bulk)
{
    loop_timer_stop(rig->loop, &bulk->again);
    rig_close(rig);
    free(bulk->chunk);
    free(bulk);
}

static void check_bulk(void **state, const char *where, uint32_t chunk_bytes)
{
    struct rig rig;
    struct bulk *bulk = bulk_new(chunk_bytes);
    rig_open(&rig, state, where);
    rig.user = bulk;
    rig.on_accepted = slow_reader;
    rig.client.on_connected = send_more;
    rig.client.on_sent = send_more;
    rig_connect(&rig);
    rig_run(&rig, server_ended);
    assert_int_equal(rig.server0.received, BULK);
    assert_true(bulk->pendings > 0);
    assert_int_equal(rig.client.sents, bulk->pendings);
    bulk_free(&rig, bulk);
}

static void test_bulk_tcp(void **state)
{
    check_bulk(state, "127.0.0.1:0", 96 * 1024);
}

static void test_bulk_unix(void **state)
{
    char where[64];
    snprintf(where, sizeof where, "unix:/tmp/test-io-%ld.sock", (long)getpid());
    check_bulk(state, where, 96 * 1024);
}

/* More than the kernel takes at once, many times over. */
static void test_bulk_at_once(void **state)
{
    check_bulk(state, "127.0.0.1:0", BULK);
}

/* The relay's way: what arrives is sent on from the buffer it came in, credit from `sent`. */
static void relay_sent(struct end *e)
{
    stream_read(e->s, true);
}

static void relay_data(struct end *e, struct slice in)
{
    if (stream_send(e->s, &in, 1) == SEND_PENDING)
        stream_read(e->s, false);
}

static void relay_eof(struct end *e)
{
    stream_shutdown(e->s);
}

static void relay(struct end *server)
{
    server->on_data = relay_data;
    server->on_sent = relay_sent;
    server->on_eof = relay_eof;
}

static void send_and_read(struct end *e)
{
    e->exact = true;
    e->on_data = take_slowly; /* so that the relay blocks, too */
    stream_read(e->s, true);
    send_more(e);
}

static bool client_ended(struct rig *rig)
{
    return rig->client.eofs != 0;
}

static void test_bulk_echo(void **state)
{
    struct rig rig;
    struct bulk *bulk = bulk_new(96 * 1024);
    rig_open(&rig, state, "127.0.0.1:0");
    rig.user = bulk;
    rig.on_accepted = relay;
    rig.client.on_connected = send_and_read;
    rig.client.on_sent = send_more;
    rig_connect(&rig);
    rig_run(&rig, client_ended);
    assert_int_equal(rig.client.received, BULK);
    assert_true(rig.server0.sents > 0);
    bulk_free(&rig, bulk);
}

/* ---- closing inside every callback ---- */

static void close_self(struct end *e)
{
    e->closed_by_hook = true;
    stream_close(&e->s, STREAM_CLOSE_NORMAL);
}

static void close_self_data(struct end *e, struct slice in)
{
    (void)in;
    close_self(e);
}

static void close_all_data(struct end *e, struct slice in)
{
    (void)in;
    close_self(e);
    end_close(&e->rig->client);
}

static void reset_self_data(struct end *e, struct slice in)
{
    (void)in;
    e->closed_by_hook = true;
    stream_close(&e->s, STREAM_CLOSE_RESET);
}

static bool client_closed(struct rig *rig)
{
    return rig->client.closed_by_hook;
}

static bool server_closed(struct rig *rig)
{
    return rig->server0.closed_by_hook;
}

static void test_close_in_connected(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.client.on_connected = close_self;
    rig_connect(&rig);
    (void)end_send_text(&rig.client, "never sent"); /* pending: `sent` must not follow */
    rig_run(&rig, client_closed);
    rig_run_ms(&rig, 20);
    assert_int_equal(rig.client.sents + rig.client.fails, 0);
    assert_int_equal(rig.server0.received, 0);
    assert_int_equal(rig.server0.eofs, 1);
    rig_close(&rig);
}

static void server_closes_on_data(struct end *server)
{
    server->on_data = close_self_data;
}

static void server_closes_all_on_data(struct end *server)
{
    server->on_data = close_all_data;
}

static void server_resets_on_data(struct end *server)
{
    server->on_data = reset_self_data;
}

static void test_close_in_data(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = server_closes_on_data;
    rig.client.on_connected = ask_and_shut;
    rig_connect(&rig);
    rig_run(&rig, client_ended);
    assert_int_equal(rig.server0.eofs, 0); /* nothing after close */
    assert_int_equal(loop_stats(rig.loop)->streams_open, 1);
    rig_close(&rig);
}

static void test_close_both_in_data(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = server_closes_all_on_data;
    rig.client.on_connected = ask_and_shut;
    rig_connect(&rig);
    rig_run(&rig, server_closed);
    rig_run_ms(&rig, 20);
    assert_int_equal(loop_stats(rig.loop)->streams_open, 0);
    rig_close(&rig);
}

static void server_closes_on_eof(struct end *server)
{
    server->on_eof = close_self;
}

static void test_close_in_eof(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = server_closes_on_eof;
    rig.client.on_connected = ask_and_shut;
    rig_connect(&rig);
    rig_run(&rig, client_ended);
    assert_true(rig.server0.closed_by_hook);
    rig_close(&rig);
}

static void test_close_in_sent(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.client.on_sent = close_self;
    rig_connect(&rig);
    assert_int_equal(end_send_text(&rig.client, "early"), SEND_PENDING);
    rig_run(&rig, client_closed);
    rig_run(&rig, server_ended);
    assert_string_equal(rig.server0.text, "early");
    rig_close(&rig);
}

static bool client_failed(struct rig *rig)
{
    return rig->client.fails != 0;
}

static void test_close_in_failed(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = server_resets_on_data;
    rig.client.on_connected = say_hello;
    rig.client.on_failed = close_self;
    rig_connect(&rig);
    rig_run(&rig, client_failed);
    assert_int_equal(rig.client.why, REASON_backend_reset);
    assert_int_equal(rig.client.eofs, 0);
    rig_run_ms(&rig, 10);
    rig_close(&rig);
}

static void close_on_accept(struct end *server)
{
    close_self(server);
}

static void test_close_in_accepted(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = close_on_accept;
    rig_connect(&rig);
    stream_read(rig.client.s, true);
    rig_run(&rig, client_ended);
    rig_close(&rig);
}

static bool is_true(struct rig *rig)
{
    (void)rig;
    return true;
}

static void test_close_before_answer(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    for (int i = 0; i < 10; i++) {
        rig_connect(&rig);
        (void)end_send_text(&rig.client, "x");
        end_close(&rig.client);
    }
    rig_run(&rig, is_true);
    assert_int_equal(rig.client.connected + rig.client.fails, 0);
    rig_close(&rig);
}

/* ---- connecting ---- */

static void test_refused(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    struct address to = *listener_address(rig.listener);
    acceptor_stop(&rig.acceptor);
    listener_close(&rig.listener);
    rig_connect_end(&rig, &rig.client, &to);
    stream_read(rig.client.s, true);
    assert_int_equal(end_send_text(&rig.client, "x"), SEND_PENDING);
    rig_run(&rig, client_failed);
    assert_int_equal(rig.client.why, REASON_connect_refused);
    assert_int_equal(rig.client.connected + rig.client.sents, 0);
    rig_close(&rig);
}

static void test_refused_unix(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    struct address to = {.kind = ADDRESS_UNIX, .text = "/tmp/there-is-no-such-folder/x.sock"};
    rig_connect_end(&rig, &rig.client, &to);
    assert_int_equal(rig.client.fails, 0); /* never inside the call */
    rig_run(&rig, client_failed);
    assert_int_equal(rig.client.why, REASON_connect_refused);
    rig_close(&rig);
}

static void check_connected_first(struct end *e)
{
    assert_int_equal(e->connected, 1);
}

static bool server_has_all(struct rig *rig)
{
    return rig->server0.received == 300000 && rig->client.sents;
}

static void exact_reader(struct end *server)
{
    server->exact = true;
}

static void test_send_before_connected(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    uint8_t *bytes = malloc(300000);
    rig_fill(bytes, 300000, 0);
    rig.on_accepted = exact_reader;
    rig.client.on_sent = check_connected_first;
    rig_connect(&rig);
    struct slice parts[2] = {{bytes, 100000, NULL}, {bytes + 100000, 200000, NULL}};
    assert_int_equal(stream_send(rig.client.s, parts, 2), SEND_PENDING);
    stream_shutdown(rig.client.s);
    rig_run(&rig, server_has_all);
    rig_run(&rig, server_ended);
    assert_int_equal(rig.client.sents, 1);
    rig_close(&rig);
    free(bytes);
}

static void test_streams_max(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    struct loop *small;
    const struct loop_options options = {.engine = LOOP_ENGINE_AUTO, .streams_max = 2};
    assert_int_equal(loop_new(&options, &small), 0);
    struct stream *s[3];
    for (int i = 0; i < 3; i++)
        s[i] = stream_connect(small, listener_address(rig.listener), &end_ops, NULL);
    assert_non_null(s[1]);
    assert_null(s[2]);
    stream_close(&s[0], STREAM_CLOSE_NORMAL);
    s[2] = stream_connect(small, listener_address(rig.listener), &end_ops, NULL);
    assert_non_null(s[2]);
    stream_close(&s[1], STREAM_CLOSE_NORMAL);
    stream_close(&s[2], STREAM_CLOSE_NORMAL);
    loop_free(&small);
    rig_close(&rig);
}

/* ---- the last bytes ---- */

static bool server_has_question(struct rig *rig)
{
    return rig->servers_count == 1 && rig->server0.received == 8;
}

static void serve_one(struct rig *rig, void **state, int *ret_fd)
{
    rig_open(rig, state, "127.0.0.1:0");
    *ret_fd = rig_raw_connect(rig);
    assert_int_equal(send(*ret_fd, "question", 8, 0), 8);
    rig_run(rig, server_has_question);
}

static void answer_last(struct end *e)
{
    stream_last(e->s);
    assert_int_equal(end_send_text(e, "answer"), SEND_DONE);
}

static void expect_answer(int fd)
{
    char got[16] = "";
    assert_int_equal(recv(fd, got, sizeof got, 0), 6);
    assert_string_equal(got, "answer");
}

/* A machine that stalls between two of our calls lets them go, so a few tries are allowed. */
static void test_last_waits_for_end(void **state)
{
    bool waited = false;
    for (int i = 0; i < 10 && !waited; i++) {
        struct rig rig;
        int fd;
        char byte;
        serve_one(&rig, state, &fd);
        answer_last(&rig.server0);
        waited = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
        end_close(&rig.server0);
        expect_answer(fd);
        assert_int_equal(recv(fd, &byte, 1, 0), 0);
        close(fd);
        rig_close(&rig);
    }
    assert_true(waited);
}

/* A close on top of bytes that nobody read resets the connection; what was sent must get there
 * before. */
static void test_last_with_unread(void **state)
{
    struct rig rig;
    int fd;
    serve_one(&rig, state, &fd);
    stream_read(rig.server0.s, false);
    assert_int_equal(send(fd, "surplus", 7, 0), 7);
    answer_last(&rig.server0);
    end_close(&rig.server0);
    expect_answer(fd);
    close(fd);
    rig_close(&rig);
}

static void test_last_without_end(void **state)
{
    struct rig rig;
    int fd;
    serve_one(&rig, state, &fd);
    answer_last(&rig.server0);
    expect_answer(fd);
    answer_last(&rig.server0);
    expect_answer(fd);
    stream_shutdown(rig.server0.s);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
    rig_close(&rig);
}

static void note_ending(struct end *e, struct slice in)
{
    (void)in;
    e->rig->user = stream_is_ending(e->s) ? e->rig : NULL;
}

static void note_on_accept(struct end *server)
{
    server->on_data = note_ending;
}

static bool one_server(struct rig *rig)
{
    return rig->servers_count == 1;
}

static bool server_saw_end(struct rig *rig)
{
    return rig->server0.eofs == 1;
}

/* Known together with the bytes before it, once the kernel has told. */
static void test_is_ending(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = note_on_accept;
    int fd = rig_raw_connect(&rig);
    rig_run(&rig, one_server);
    rig_run_ms(&rig, 12); /* finds nothing, so it is watched from now on */
    assert_false(stream_is_ending(rig.server0.s));
    assert_int_equal(send(fd, "last", 4, 0), 4);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    rig_run(&rig, server_saw_end);
    assert_ptr_equal(rig.user, &rig);
    close(fd);
    rig_close(&rig);
}

static void test_ops_change_hands(void **state)
{
    struct rig rig;
    rig_open(&rig, state, "127.0.0.1:0");
    rig.on_accepted = echo_on_accept;
    rig_connect(&rig);
    rig_run(&rig, server_came);
    struct end other;
    end_init(&rig, &other);
    other.s = rig.client.s;
    rig.client.s = NULL;
    stream_set_ops(other.s, &end_ops, &other);
    assert_int_equal(end_send_text(&other, "hello"), SEND_DONE);
    stream_read(other.s, true);
    rig_run_ms(&rig, 30);
    assert_string_equal(other.text, "hello");
    end_close(&other);
    rig_close(&rig);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"echo over IPv4", test_echo_v4},
        {"echo on every address", test_echo_any},
        {"echo over a unix socket", test_echo_unix},
        {"addresses of both sides", test_addresses},
        {"half-close by the client", test_half_close},
        {"half-close by the server", test_half_close_server_first},
        {"8 MiB to a slow reader over TCP", test_bulk_tcp},
        {"8 MiB to a slow reader over a unix socket", test_bulk_unix},
        {"8 MiB in one send", test_bulk_at_once},
        {"8 MiB echoed from the receive buffers", test_bulk_echo},
        {"close inside connected", test_close_in_connected},
        {"close inside data", test_close_in_data},
        {"close both inside data", test_close_both_in_data},
        {"close inside eof", test_close_in_eof},
        {"close inside sent", test_close_in_sent},
        {"close inside failed", test_close_in_failed},
        {"close inside accepted", test_close_in_accepted},
        {"close before the answer", test_close_before_answer},
        {"connection refused", test_refused},
        {"connection refused by a missing unix socket", test_refused_unix},
        {"send before connected", test_send_before_connected},
        {"limit of open streams", test_streams_max},
        {"a stream changes hands", test_ops_change_hands},
    };
    static const struct rig_test ends[] = {
        {"the last bytes wait for the end", test_last_waits_for_end},
        {"the last bytes are not lost to unread ones", test_last_with_unread},
        {"the last bytes leave without an end", test_last_without_end},
    };
    /* A poll of the ring answers with what woke it: the end may have come a moment later. */
    static const struct rig_test known[] = {
        {"an end is known with the last bytes", test_is_ending},
    };
    return rig_main("stream", tests, ARRAY_LEN(tests)) +
           rig_main("stream's end", ends, ARRAY_LEN(ends)) +
           rig_main_epoll("stream's end", known, ARRAY_LEN(known));
}

/* SPDX-License-Identifier: MIT */
/* TLS as a layer: it keeps the rules of io/loop.h, on every engine, and ends as TLS should. */
#include "../codec/tls_fixture.h"
#include "../io/rig.h"

#include "forward/tls_stream_priv.h"
#include "io/layer.h"

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct tls_library *library;
static struct tls_tickets *tickets;
static struct made ca, leaf;
static struct tls_server *server;
static struct tls_client *client;
static struct tls_worker *worker;
static struct rig rig;

static const struct slice nothing = {0};

static void open_library(void)
{
    static char why[TLS_WHY_MAX];
    assert_int_equal(tls_library_new(&library), 0);
    assert_int_equal(tls_tickets_new(&tickets), 0);
    ca = make_certificate(&(struct wish){.subject = "Test CA", .ca = true});
    leaf = make_certificate(&(struct wish){.issuer = &ca, .sans = "DNS:localhost"});
    const struct tls_certificate given = made_given(&leaf);
    const struct tls_server_options so = {
        .certificates = &given,
        .certificates_count = 1,
        .domain = span_str("web"),
        .alpn = TLS_ALPN_HTTP1,
        .tickets = tickets,
    };
    assert_int_equal(tls_server_new(library, &so, &server, why), 0);
    struct tls_ca *trusted = make_ca(library, ca.pem);
    const struct tls_client_options co = {.verify = true, .ca = trusted};
    assert_int_equal(tls_client_new(library, &co, &client, why), 0);
    tls_ca_unref(&trusted);
}

static void close_library(void)
{
    tls_client_unref(&client);
    tls_server_unref(&server);
    made_free(&leaf);
    made_free(&ca);
    tls_tickets_free(&tickets);
    tls_library_free(&library);
}

/* ---- the rig ---- */

static void secure_server(struct end *e)
{
    stream_read(e->s, false);
    e->s = tls_stream_accept(worker, server, e->s, nothing, &end_ops, e);
    assert_non_null(e->s);
    if (!rig.servers_silent)
        stream_read(e->s, true);
}

static void open_rig(void **state)
{
    rig_open(&rig, state, "127.0.0.1:0");
    assert_int_equal(tls_worker_new(rig.loop, &worker), 0);
    rig.on_accepted = secure_server;
}

static void close_rig(void)
{
    end_close(&rig.client);
    for (unsigned i = 0; i < rig.servers_count; i++)
        end_close(&rig.servers[i]);
    tls_worker_free(&worker);
    rig_close(&rig);
}

static void secure_client_end(struct end *e, struct tls_resumption *r, struct slice prefix)
{
    rig_connect_end(&rig, e, listener_address(rig.listener));
    e->s = tls_stream_connect(worker, client, span_str("localhost"), r, e->s, prefix, &end_ops, e);
    assert_non_null(e->s);
    stream_read(e->s, true);
}

static void secure_client(void)
{
    secure_client_end(&rig.client, NULL, nothing);
}

static bool both_connected(struct rig *r)
{
    return r->client.connected && r->server0.connected;
}

static bool server_got_five(struct rig *r)
{
    return r->server0.received >= 5;
}

static bool client_got_five(struct rig *r)
{
    return r->client.received >= 5;
}

static bool client_ended(struct rig *r)
{
    return r->client.eofs || r->client.fails;
}

static bool server_ended(struct rig *r)
{
    return r->server0.eofs || r->server0.fails;
}

static struct stream *below(struct end *e)
{
    return container_of(e->s, struct layered, stream)->below;
}

static void open_pair(void **state)
{
    open_rig(state);
    secure_client();
    rig_run(&rig, both_connected);
}

/* ---- data ---- */

static void test_hello(void **state)
{
    open_pair(state);
    assert_int_equal(end_send_text(&rig.client, "hello"), SEND_DONE);
    rig_run(&rig, server_got_five);
    assert_int_equal(rig.server0.datas, 1);
    assert_string_equal(rig.server0.text, "hello");
    assert_int_equal(end_send_text(&rig.server0, "world"), SEND_DONE);
    rig_run(&rig, client_got_five);
    assert_string_equal(rig.client.text, "world");
    assert_int_equal(rig.client.connected, 1);
    assert_int_equal(rig.server0.connected, 1);
    struct tls_facts facts;
    tls_session_facts(tls_stream_session(rig.server0.s), &facts);
    assert_string_equal(facts.sni_text, "localhost");
    assert_null(tls_stream_session(below(&rig.server0)));
    assert_false(stream_bulk(rig.server0.s, below(&rig.client), 10));
    close_rig();
}

static void test_sends_before_the_handshake(void **state)
{
    open_rig(state);
    secure_client();
    char text[] = "hello";
    struct slice s[2] = {{(const uint8_t *)text, 2, NULL}, {(const uint8_t *)text + 2, 3, NULL}};
    assert_int_equal(stream_send(rig.client.s, s, 2), SEND_PENDING);
    stream_shutdown(rig.client.s);
    rig_run(&rig, server_ended);
    assert_string_equal(rig.server0.text, "hello");
    assert_int_equal(rig.client.sents, 1);
    assert_int_equal(rig.server0.eofs, 1);
    close_rig();
}

#define BULK_BYTES (3u << 20)

static uint64_t sent_bytes, bulk_bytes;

static void send_more(struct end *e)
{
    static uint8_t bytes[200000];
    while (sent_bytes < bulk_bytes) {
        size_t n = MIN((size_t)(bulk_bytes - sent_bytes), 1 + sent_bytes * 7 % sizeof bytes);
        size_t head = MIN(n, (size_t)100);
        rig_fill(bytes, n, sent_bytes);
        sent_bytes += n;
        struct slice s[2] = {{bytes, (uint32_t)head, NULL},
                             {bytes + head, (uint32_t)(n - head), NULL}};
        if (stream_send(e->s, s, n > head ? 2 : 1) == SEND_PENDING)
            return;
    }
    stream_shutdown(e->s);
}

static unsigned rests;

/* Reads a little, rests, reads on. */
static void wake_reader(struct timer *t);
static struct timer reader_wakes;

static void rest_now_and_then(struct end *e, struct slice in)
{
    (void)in;
    if (e->datas % 3 == 0) {
        rests++;
        stream_read(e->s, false);
        loop_timer_set(rig.loop, &reader_wakes, 1);
    }
}

static void wake_reader(struct timer *t)
{
    (void)t;
    struct end *e = rig.client.on_data ? &rig.client : &rig.server0;
    stream_read(e->s, true);
}

static void run_bulk(void **state, bool from_client)
{
    open_pair(state);
    struct end *from = from_client ? &rig.client : &rig.server0;
    struct end *to = from_client ? &rig.server0 : &rig.client;
    sent_bytes = rests = 0;
    bulk_bytes = BULK_BYTES;
    timer_init(&reader_wakes, wake_reader);
    to->exact = true;
    to->on_data = rest_now_and_then;
    from->on_sent = send_more;
    send_more(from);
    rig_run(&rig, from_client ? server_ended : client_ended);
    assert_int_equal(to->received, BULK_BYTES);
    assert_int_equal(to->eofs, 1);
    assert_true(rests > 0);
    loop_timer_stop(rig.loop, &reader_wakes);
    close_rig();
}

static void test_bulk_to_server(void **state)
{
    run_bulk(state, true);
}

static void test_bulk_to_client(void **state)
{
    run_bulk(state, false);
}

static void stop_reading(struct end *e, struct slice in)
{
    (void)in;
    stream_read(e->s, false);
}

static bool sender_is_stuck(struct rig *r)
{
    return stream_unsent(r->client.s) > 0 && loop_stats(r->loop)->turns > 50;
}

/* Without credit nothing is delivered, and the peer cannot go on for long. */
static void test_credit(void **state)
{
    open_pair(state);
    rig.server0.on_data = stop_reading;
    rig.server0.exact = true;
    rig.client.on_sent = send_more;
    sent_bytes = 0;
    bulk_bytes = BULK_BYTES;
    send_more(&rig.client);
    rig_run(&rig, sender_is_stuck);
    rig_run_ms(&rig, 30);
    assert_int_equal(rig.server0.datas, 1);
    stream_read(rig.server0.s, true);
    assert_int_equal(rig.server0.datas, 1); /* not inside the call */
    rig.server0.on_data = NULL;
    rig_run(&rig, server_ended);
    assert_int_equal(rig.server0.received, BULK_BYTES);
    close_rig();
}

/* ---- ends ---- */

static void test_close_is_eof(void **state)
{
    open_pair(state);
    assert_int_equal(end_send_text(&rig.client, "hello"), SEND_DONE);
    end_close(&rig.client);
    rig_run(&rig, server_ended);
    assert_int_equal(rig.server0.eofs, 1);
    assert_string_equal(rig.server0.text, "hello");
    close_rig();
}

static void test_half_close(void **state)
{
    open_pair(state);
    stream_last(rig.client.s);
    assert_int_equal(end_send_text(&rig.client, "hello"), SEND_DONE);
    stream_shutdown(rig.client.s);
    rig_run(&rig, server_ended);
    assert_int_equal(rig.server0.eofs, 1);
    assert_int_equal(end_send_text(&rig.server0, "world"), SEND_DONE);
    stream_shutdown(rig.server0.s);
    rig_run(&rig, client_ended);
    assert_string_equal(rig.client.text, "world");
    assert_int_equal(rig.client.eofs, 1);
    close_rig();
}

/* An eof that comes while there is no credit waits for it. */
static void test_eof_waits_for_credit(void **state)
{
    open_pair(state);
    stream_read(rig.server0.s, false);
    end_close(&rig.client);
    rig_run_ms(&rig, 10);
    assert_int_equal(rig.server0.eofs + rig.server0.fails, 0);
    stream_read(rig.server0.s, true);
    assert_int_equal(rig.server0.eofs, 0);
    rig_run(&rig, server_ended);
    assert_int_equal(rig.server0.eofs, 1);
    close_rig();
}

/* The same of one that came together with the last bytes. */
static void test_eof_behind_bytes_waits_for_credit(void **state)
{
    open_pair(state);
    rig.server0.on_data = stop_reading;
    stream_last(rig.client.s);
    assert_int_equal(end_send_text(&rig.client, "hello"), SEND_DONE);
    stream_shutdown(rig.client.s);
    rig_run(&rig, server_got_five);
    rig_run_ms(&rig, 10);
    assert_int_equal(rig.server0.eofs + rig.server0.fails, 0);
    stream_read(rig.server0.s, true);
    assert_int_equal(rig.server0.eofs, 0);
    rig_run(&rig, server_ended);
    assert_int_equal(rig.server0.eofs, 1);
    close_rig();
}

static void test_truncated(void **state)
{
    open_pair(state);
    assert_int_equal(end_send_text(&rig.client, "hello"), SEND_DONE);
    stream_shutdown(below(&rig.client));
    rig_run(&rig, server_ended);
    assert_string_equal(rig.server0.text, "hello");
    assert_int_equal(rig.server0.eofs, 0);
    assert_int_equal(rig.server0.why, REASON_tls_truncated);
    stream_close(&rig.client.s, STREAM_CLOSE_RESET); /* its layer knows nothing of that end */
    close_rig();

    open_pair(state);
    assert_int_equal(end_send_text(&rig.server0, "hello"), SEND_DONE);
    stream_shutdown(below(&rig.server0));
    rig_run(&rig, client_ended);
    assert_string_equal(rig.client.text, "hello");
    assert_int_equal(rig.client.eofs, 0);
    assert_int_equal(rig.client.why, REASON_backend_tls_truncated);
    stream_close(&rig.server0.s, STREAM_CLOSE_RESET);
    close_rig();
}

static void test_reset(void **state)
{
    open_pair(state);
    stream_close(&rig.client.s, STREAM_CLOSE_RESET);
    rig_run(&rig, server_ended);
    assert_int_equal(rig.server0.why, REASON_backend_reset);
    close_rig();
}

/* Bytes that came before a reset, and that we hold, are delivered before it is told. */
static void test_reset_behind_held_bytes(void **state)
{
    open_rig(state);
    rig.servers_silent = true;
    secure_client();
    assert_int_equal(end_send_text(&rig.client, "hello"), SEND_PENDING);
    rig_run(&rig, both_connected);
    rig_run_ms(&rig, 5);
    stream_close(&rig.client.s, STREAM_CLOSE_RESET);
    rig_run_ms(&rig, 10);
    assert_int_equal(rig.server0.datas, 0);
    assert_int_equal(rig.server0.fails, 0);
    stream_read(rig.server0.s, true);
    rig_run(&rig, server_ended);
    assert_string_equal(rig.server0.text, "hello");
    assert_int_equal(rig.server0.why, REASON_backend_reset);
    close_rig();
}

/* What is held goes with the stream: else the loop would miss a buffer at its end. */
static void test_close_with_held_bytes(void **state)
{
    open_rig(state);
    rig.servers_silent = true;
    secure_client();
    assert_int_equal(end_send_text(&rig.client, "hello"), SEND_PENDING);
    rig_run(&rig, both_connected);
    rig_run_ms(&rig, 5);
    end_close(&rig.server0);
    close_rig();
}

static void close_now(struct end *e)
{
    end_close(e);
    e->closed_by_hook = true;
}

static void close_in_data(struct end *e, struct slice in)
{
    (void)in;
    close_now(e);
}

static bool server_closed(struct rig *r)
{
    return r->server0.closed_by_hook;
}

static void close_server_when_connected(struct end *e)
{
    secure_server(e);
    e->on_connected = close_now;
}

static void test_close_in_callbacks(void **state)
{
    open_rig(state);
    rig.on_accepted = close_server_when_connected;
    secure_client();
    rig_run(&rig, client_ended);
    assert_int_equal(rig.client.eofs, 1);
    close_rig();

    open_pair(state);
    rig.server0.on_data = close_in_data;
    assert_int_equal(end_send_text(&rig.client, "hello"), SEND_DONE);
    rig_run(&rig, client_ended);
    assert_int_equal(rig.client.eofs, 1);
    assert_int_equal(rig.server0.datas, 1);
    close_rig();

    open_pair(state);
    rig.server0.on_eof = close_now;
    end_close(&rig.client);
    rig_run(&rig, server_closed);
    close_rig();

    open_pair(state);
    rig.server0.on_failed = close_now;
    stream_close(&rig.client.s, STREAM_CLOSE_RESET);
    rig_run(&rig, server_closed);
    close_rig();
}

/* ---- handshakes ---- */

static void test_plain_http(void **state)
{
    open_rig(state);
    int fd = rig_raw_connect(&rig);
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    rig_run(&rig, server_ended);
    assert_int_equal(rig.server0.why, REASON_not_tls);
    close(fd);
    close_rig();
}

static void test_leaves_in_the_handshake(void **state)
{
    open_rig(state);
    int fd = rig_raw_connect(&rig);
    close(fd);
    rig_run(&rig, server_ended);
    assert_int_equal(rig.server0.why, REASON_client_closed);
    close_rig();
}

static void test_refused_connection(void **state)
{
    open_rig(state);
    struct address gone = *listener_address(rig.listener);
    acceptor_stop(&rig.acceptor);
    listener_close(&rig.listener);
    rig_connect_end(&rig, &rig.client, &gone);
    rig.client.s = tls_stream_connect(worker, client, span_str("localhost"), NULL, rig.client.s,
                                      nothing, &end_ops, &rig.client);
    rig_run(&rig, client_ended);
    assert_int_equal(rig.client.why, REASON_connect_refused);
    assert_int_equal(rig.client.connected, 0);
    close_rig();
}

static void test_wrong_name(void **state)
{
    open_rig(state);
    rig_connect_end(&rig, &rig.client, listener_address(rig.listener));
    rig.client.s = tls_stream_connect(worker, client, span_str("other.example"), NULL, rig.client.s,
                                      nothing, &end_ops, &rig.client);
    rig_run(&rig, client_ended);
    assert_int_equal(rig.client.why, REASON_backend_certificate);
    assert_non_null(tls_session_why(tls_stream_session(rig.client.s)));
    end_close(&rig.client);
    rig_run(&rig, server_ended);
    assert_int_equal(rig.server0.why, REASON_tls_alert);
    close_rig();
}

static void expect_prefix(struct end *e, struct slice in)
{
    assert_memory_equal(in.p, "PROXY\r\n", 7);
    struct slice rest = {in.p + 7, in.n - 7, in.buf};
    e->on_data = NULL;
    e->datas = 0;
    e->received = 0;
    e->s = tls_stream_accept(worker, server, e->s, rest, &end_ops, e);
    stream_read(e->s, true);
}

static void plain_at_first(struct end *e)
{
    e->on_data = expect_prefix;
}

static void test_prefix_and_early_bytes(void **state)
{
    open_rig(state);
    rig.on_accepted = plain_at_first;
    secure_client_end(&rig.client, NULL, (struct slice){(const uint8_t *)"PROXY\r\n", 7, NULL});
    rig_run(&rig, both_connected);
    assert_int_equal(end_send_text(&rig.client, "hello"), SEND_DONE);
    rig_run(&rig, server_got_five);
    assert_memory_equal(rig.server0.text, "hello", 5);
    assert_int_equal(rig.server0.received, 5);
    close_rig();
}

#define CROWD 24

static uint32_t most_waited;

static bool crowd_connected(struct rig *r)
{
    unsigned connected = 0;
    most_waited = MAX(most_waited, worker->waiting);
    for (unsigned i = 0; i < r->servers_count; i++)
        connected += r->servers[i].connected;
    return connected == CROWD;
}

/* Costly steps are rationed, and everybody gets through. */
static void test_crowd(void **state)
{
    static struct end ends[CROWD];
    open_rig(state);
    most_waited = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        end_init(&rig, &ends[i]);
        secure_client_end(&ends[i], NULL, nothing);
    }
    rig_run(&rig, crowd_connected);
    assert_true(most_waited > 0);
    assert_int_equal(worker->waiting, 0);
    for (unsigned i = 0; i < CROWD; i++)
        end_close(&ends[i]);
    close_rig();
}

#define LARGE_CROWD 60 /* and the backend */

static void backend_waits(struct end *e)
{
    if (e == &rig.server0)
        stream_read(e->s, false);
    else
        secure_server(e);
}

static bool crowd_waits(struct rig *r)
{
    return r->servers_count == LARGE_CROWD + 1 && worker->waiting > LARGE_CROWD / 3;
}

static bool backend_connected(struct rig *r)
{
    return r->client.connected > 0;
}

static bool backend_accepted(struct rig *r)
{
    return r->servers_count > 0;
}

/* Who greets us in large numbers does not keep us from our backends. */
static void test_backends_do_not_wait_for_a_crowd(void **state)
{
    static struct end ends[LARGE_CROWD];
    struct tls_worker *others;
    open_rig(state);
    rig.on_accepted = backend_waits;
    assert_int_equal(tls_worker_new(rig.loop, &others), 0);
    secure_client();
    rig_run(&rig, backend_accepted);
    for (unsigned i = 0; i < LARGE_CROWD; i++) {
        end_init(&rig, &ends[i]);
        rig_connect_end(&rig, &ends[i], listener_address(rig.listener));
        ends[i].s = tls_stream_connect(others, client, span_str("localhost"), NULL, ends[i].s,
                                       nothing, &end_ops, &ends[i]);
        assert_non_null(ends[i].s);
    }
    rig_run(&rig, crowd_waits);
    rig.server0.s =
        tls_stream_accept(others, server, rig.server0.s, nothing, &end_ops, &rig.server0);
    assert_non_null(rig.server0.s);
    rig_run(&rig, backend_connected);
    assert_true(worker->waiting > 0);
    for (unsigned i = 0; i < LARGE_CROWD; i++)
        end_close(&ends[i]);
    end_close(&rig.client);
    for (unsigned i = 0; i < rig.servers_count; i++)
        end_close(&rig.servers[i]);
    tls_worker_free(&others);
    close_rig();
}

static bool crowd_hums(struct rig *r)
{
    (void)r;
    return worker->waiting > LARGE_CROWD / 3;
}

static bool crowd_ended(struct rig *r)
{
    unsigned ended = 0;
    for (unsigned i = 0; i < r->servers_count; i++)
        ended += r->servers[i].fails > 0 || r->servers[i].eofs > 0;
    return ended == LARGE_CROWD;
}

/* … nor costs a handshake each when it does not stay for it. */
static void test_a_crowd_that_leaves(void **state)
{
    static struct end ends[LARGE_CROWD];
    struct tls_worker *others;
    unsigned spared = 0;
    open_rig(state);
    assert_int_equal(tls_worker_new(rig.loop, &others), 0);
    for (unsigned i = 0; i < LARGE_CROWD; i++) {
        end_init(&rig, &ends[i]);
        rig_connect_end(&rig, &ends[i], listener_address(rig.listener));
        ends[i].s = tls_stream_connect(others, client, span_str("localhost"), NULL, ends[i].s,
                                       nothing, &end_ops, &ends[i]);
    }
    rig_run(&rig, crowd_hums);
    for (unsigned i = 0; i < LARGE_CROWD; i++)
        end_close(&ends[i]);
    rig_run(&rig, crowd_ended);
    for (unsigned i = 0; i < LARGE_CROWD; i++)
        spared += rig.servers[i].why == REASON_client_closed;
    assert_true(spared >= LARGE_CROWD / 6);
    tls_worker_free(&others);
    close_rig();
}

static bool is_resumed(const struct end *e)
{
    struct tls_facts facts;
    tls_session_facts(tls_stream_session(e->s), &facts);
    return facts.resumed;
}

/* A ticket leads to a shorter handshake, and it leaves with the first answer at the latest. */
static void test_resumption(void **state)
{
    struct tls_resumption r = {0};
    open_rig(state);
    secure_client_end(&rig.client, &r, nothing);
    rig_run(&rig, both_connected);
    assert_int_equal(end_send_text(&rig.server0, "hello"), SEND_DONE);
    rig_run(&rig, client_got_five);
    assert_non_null(r.session);
    end_close(&rig.client);
    end_init(&rig, &rig.client);
    secure_client_end(&rig.client, &r, nothing);
    rig_run(&rig, both_connected);
    rig_run_ms(&rig, 5);
    assert_true(is_resumed(&rig.client));
    assert_true(is_resumed(&rig.servers[1]));
    tls_resumption_clear(&r);
    close_rig();
}

/* ---- what TLS says by itself ---- */

static void test_key_update_is_answered(void **state)
{
    open_pair(state);
    struct ssl_st *ssl = tls_stream_session(rig.client.s)->ssl;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(end_send_text(&rig.client, "hello"), SEND_DONE);
        rig_run_ms(&rig, 3);
        assert_int_equal(end_send_text(&rig.server0, "world"), SEND_DONE);
        rig_run_ms(&rig, 3);
    }
    assert_int_equal(rig.server0.received, 25);
    assert_int_equal(rig.client.received, 25);
    close_rig();
}

/* The same while a send of ours is stuck: the answers wait behind it. */
static void test_key_update_behind_a_stuck_send(void **state)
{
    open_pair(state);
    struct ssl_st *ssl = tls_stream_session(rig.client.s)->ssl;
    sent_bytes = 0;
    bulk_bytes = 10 * BULK_BYTES; /* more than any kernel takes */
    rig.client.exact = true;
    stream_read(rig.client.s, false);
    rig.server0.on_sent = send_more;
    send_more(&rig.server0);
    assert_true(sent_bytes < bulk_bytes);
    for (unsigned i = 1; i <= 20; i++) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(end_send_text(&rig.client, "hello"), SEND_DONE);
        rig_run_ms(&rig, 2);
    }
    stream_read(rig.client.s, true);
    rig_run(&rig, client_ended);
    assert_int_equal(rig.client.received, bulk_bytes);
    assert_int_equal(rig.client.eofs, 1);
    rig_run_ms(&rig, 5);
    assert_int_equal(rig.server0.received, 100);
    close_rig();
}

static void test_quiet_streams_hold_no_buffers(void **state)
{
    open_pair(state);
    assert_int_equal(end_send_text(&rig.client, "hello"), SEND_DONE);
    rig_run(&rig, server_got_five);
    assert_true(tls_stream_session(rig.server0.s)->warm);
    rig_run_ms(&rig, 700);
    assert_false(tls_stream_session(rig.server0.s)->warm);
    assert_false(tls_stream_session(rig.client.s)->warm);
    assert_int_equal(end_send_text(&rig.server0, "world"), SEND_DONE);
    rig_run(&rig, client_got_five);
    close_rig();
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"hello", test_hello},
        {"sends before the handshake", test_sends_before_the_handshake},
        {"bulk to server", test_bulk_to_server},
        {"bulk to client", test_bulk_to_client},
        {"credit", test_credit},
        {"close is eof", test_close_is_eof},
        {"half close", test_half_close},
        {"eof waits for credit", test_eof_waits_for_credit},
        {"eof behind bytes waits for credit", test_eof_behind_bytes_waits_for_credit},
        {"truncated", test_truncated},
        {"reset", test_reset},
        {"reset behind held bytes", test_reset_behind_held_bytes},
        {"close with held bytes", test_close_with_held_bytes},
        {"close in callbacks", test_close_in_callbacks},
        {"plain HTTP", test_plain_http},
        {"leaves in the handshake", test_leaves_in_the_handshake},
        {"refused connection", test_refused_connection},
        {"wrong name", test_wrong_name},
        {"prefix and early bytes", test_prefix_and_early_bytes},
        {"crowd", test_crowd},
        {"backends do not wait for a crowd", test_backends_do_not_wait_for_a_crowd},
        {"a crowd that leaves", test_a_crowd_that_leaves},
        {"resumption", test_resumption},
        {"key update", test_key_update_is_answered},
        {"key update behind a stuck send", test_key_update_behind_a_stuck_send},
        {"quiet streams", test_quiet_streams_hold_no_buffers},
    };
    open_library();
    int failed = rig_main("tls streams", tests, ARRAY_LEN(tests));
    close_library();
    return failed;
}

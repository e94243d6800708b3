/* SPDX-License-Identifier: MIT */
/* TLS sessions of both roles in memory: handshakes however they are cut, data, ends. */
#include "../base/unit.h"

#include "tls_fixture.h"

#include <malloc.h>

static struct tls_library *library;
static struct tls_tickets *tickets;
static struct made ca, leaf, rsa_leaf;
static struct tls_server *server, *openssl_server;
static struct tls_client *client;
static char why[TLS_WHY_MAX];

static int open_all(void **state)
{
    (void)state;
    assert_int_equal(tls_library_new(&library), 0);
    assert_int_equal(tls_tickets_new(&tickets), 0);
    ca = make_certificate(&(struct wish){.subject = "Test CA", .ca = true});
    const char *sans = "DNS:localhost,DNS:*.example.com,IP:127.0.0.1";
    leaf = make_certificate(&(struct wish){.issuer = &ca, .sans = sans});
    rsa_leaf = make_certificate(&(struct wish){.issuer = &ca, .sans = sans, .rsa = true});
    const struct tls_certificate given[] = {made_given(&leaf), made_given(&rsa_leaf)};
    struct tls_server_options so = {
        .certificates = given,
        .certificates_count = 2,
        .domain = span_str("web"),
        .alpn = TLS_ALPN_H2 | TLS_ALPN_HTTP1,
        .tickets = tickets,
    };
    if (tls_server_new(library, &so, &server, why) != 0)
        fail_msg("%s", why);
    so.openssl_records = true;
    if (tls_server_new(library, &so, &openssl_server, why) != 0)
        fail_msg("%s", why);
    struct tls_ca *trusted = make_ca(library, ca.pem);
    const struct tls_client_options co = {.verify = true, .ca = trusted, .alpn = TLS_ALPN_HTTP1};
    if (tls_client_new(library, &co, &client, why) != 0)
        fail_msg("%s", why);
    tls_ca_unref(&trusted);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    tls_client_unref(&client);
    tls_server_unref(&server);
    tls_server_unref(&openssl_server);
    made_free(&rsa_leaf);
    made_free(&leaf);
    made_free(&ca);
    tls_tickets_free(&tickets);
    tls_library_free(&library);
    return 0;
}

static void test_handshake_at_every_cut(void **state)
{
    (void)state;
    for (size_t step = 1; step < 2000; step = step < 20 ? step + 1 : step * 3 / 2) {
        static struct pair p;
        pair_open(&p, step % 2 ? server : openssl_server, client, "localhost", NULL);
        assert_true(pair_run(&p, step));
        assert_int_equal(p.server.t.records != NULL, step % 2);
        assert_true(pair_send(&p.client, &p.server, "GET /", 5));
        assert_true(pair_send(&p.server, &p.client, "200", 3));
        pair_close(&p);
    }
}

static void test_facts(void **state)
{
    (void)state;
    static struct pair p;
    pair_open(&p, server, client, "A.Example.com", NULL);
    assert_true(pair_run(&p, SIZE_MAX));
    struct tls_facts f;
    tls_session_facts(&p.server.t, &f);
    assert_string_equal(f.version, "TLSv1.3");
    assert_string_equal(f.cipher, "TLS_AES_128_GCM_SHA256");
    assert_span(f.sni, "a.example.com");
    assert_span(f.alpn, "http/1.1");
    assert_false(f.resumed || f.has_certificate || f.verified);
    assert_null(tls_session_peer(&p.server.t));
    tls_session_facts(&p.client.t, &f);
    assert_true(f.has_certificate && f.verified);
    assert_span(f.sni, "");
    struct tls_peer *peer = tls_session_peer(&p.client.t);
    assert_string_equal(peer->subject, "CN=localhost");
    assert_string_equal(peer->common_name, "localhost");
    assert_int_equal(peer->names_count, 3);
    assert_string_equal(peer->names[1], "*.example.com");
    assert_string_equal(peer->names[2], "127.0.0.1");
    assert_int_equal(strlen(peer->fingerprint), 64);
    tls_peer_free(&peer);
    pair_close(&p);
}

/* All lengths around a record's, in pieces of all kinds, arrive as they were, at every cut. */
static void test_pieces(void **state)
{
    (void)state;
    static uint8_t bytes[200000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    static const size_t cuts[][6] = {
        {1, 1, 1, 0},
        {200, 1000, 0},
        {200, 16384, 0},
        {16384, 16384, 5, 0},
        {16383, 2, 16384, 0},
        {300, 65536, 2, 0},
        {16385, 100, 40000, 7, 0},
        {100000, 0},
        {5, 100000, 16384, 16384, 9, 0},
    };
    static struct pair p;
    pair_open(&p, server, client, "localhost", NULL);
    assert_true(pair_run(&p, SIZE_MAX));
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        struct span pieces[6];
        size_t count = 0, n = 0;
        for (; cuts[i][count] > 0; count++) {
            pieces[count] = span_of(bytes + n, cuts[i][count]);
            n += cuts[i][count];
        }
        size_t before = wire_unread(&p.server.out).n;
        assert_int_equal(before, 0);
        assert_int_equal(tls_session_output(&p.server.t, pieces, count, &p.server.out.sink), 0);
        size_t sealed = wire_unread(&p.server.out).n;
        assert_true(sealed <= tls_output_bytes_max(n));
        p.client.plain_n = 0;
        assert_int_equal(party_take(&p.client, &p.server.out, 1 + i * 1000), TLS_NEED_MORE);
        assert_true(span_eq(span_of(p.client.plain, p.client.plain_n), span_of(bytes, n)));
    }
    pair_close(&p);
}

/* A head and a small body share a record. */
static void test_small_pieces_share_a_record(void **state)
{
    (void)state;
    static struct pair p;
    pair_open(&p, server, client, "localhost", NULL);
    assert_true(pair_run(&p, SIZE_MAX));
    const struct span pieces[] = {span_str("head"), span_str("body")};
    assert_int_equal(tls_session_output(&p.server.t, pieces, 2, &p.server.out.sink), 0);
    assert_int_equal(wire_unread(&p.server.out).n, 5 + 8 + 1 + 16);
    pair_close(&p);
}

static void fill_room(struct party *from, struct party *to)
{
    static uint8_t bytes[70000], got[70000 + TLS_INPUT_ROOM_MIN];
    memset(bytes, 'x', sizeof bytes);
    memset(got, 0, sizeof got);
    const struct span piece = span_of(bytes, sizeof bytes);
    assert_int_equal(tls_session_output(&from->t, &piece, 1, &from->out.sink), 0);
    struct span in = wire_unread(&from->out);
    size_t total = 0;
    int r = TLS_ROOM_FULL;
    while (r == TLS_ROOM_FULL) {
        size_t n = 0;
        r = tls_session_input(&to->t, &in, got + total, TLS_INPUT_ROOM_MIN + 100, &n,
                              &to->out.sink);
        total += n;
    }
    assert_int_equal(r, TLS_NEED_MORE);
    assert_int_equal(in.n, 0);
    assert_int_equal(total, sizeof bytes);
    assert_memory_equal(got, bytes, sizeof bytes);
}

static void test_room_full(void **state)
{
    (void)state;
    static struct pair p;
    pair_open(&p, server, client, "localhost", NULL);
    assert_true(pair_run(&p, SIZE_MAX));
    fill_room(&p.server, &p.client);
    fill_room(&p.client, &p.server);
    pair_close(&p);
}

static void test_close_notify(void **state)
{
    (void)state;
    static struct pair p;
    pair_open(&p, server, client, "localhost", NULL);
    assert_true(pair_run(&p, SIZE_MAX));
    const struct span bye = span_str("bye");
    assert_int_equal(tls_session_output(&p.client.t, &bye, 1, &p.client.out.sink), 0);
    assert_int_equal(tls_session_end(&p.client.t, &p.client.out.sink), 0);
    assert_int_equal(tls_session_end(&p.client.t, &p.client.out.sink), 0);
    p.server.plain_n = 0;
    assert_int_equal(party_take(&p.server, &p.client.out, SIZE_MAX), TLS_CLOSED);
    assert_span(span_of(p.server.plain, p.server.plain_n), "bye");
    /* The other direction goes on. */
    assert_true(pair_send(&p.server, &p.client, "late", 4));
    pair_close(&p);
}

static int feed(struct tls_server *s, struct span in)
{
    struct tls_session t;
    struct wire out;
    uint8_t room[256];
    size_t n = 0;
    wire_init(&out);
    assert_int_equal(tls_session_init_server(&t, s), 0);
    int r = tls_session_input(&t, &in, room, sizeof room, &n, &out.sink);
    tls_session_fini(&t);
    wire_fini(&out);
    return r;
}

static void test_not_tls(void **state)
{
    (void)state;
    assert_int_equal(feed(server, span_str("GET / HTTP/1.1\r\nHost: a\r\n\r\n")), -REASON_not_tls);
    assert_int_equal(feed(server, span_str("G")), -REASON_not_tls);
    assert_int_equal(feed(server, span_str("SSH-2.0-x\r\n")), -REASON_not_tls);
    assert_int_equal(feed(server, span_str("\x16\x03")), TLS_NEED_MORE);
    assert_int_equal(feed(server, span_str("\x16\x03\x01\x00\x04\x01\x00\x00\x00")),
                     -REASON_tls_handshake_failed);
    assert_int_equal(feed(server, span_str("\x16GET / HTTP/1.1\r\n\r\n")),
                     -REASON_tls_handshake_failed);
}

static void test_changed_record(void **state)
{
    (void)state;
    static struct pair p;
    pair_open(&p, server, client, "localhost", NULL);
    assert_true(pair_run(&p, SIZE_MAX));
    const struct span piece = span_str("hello");
    assert_int_equal(tls_session_output(&p.client.t, &piece, 1, &p.client.out.sink), 0);
    p.client.out.sink.at[-1] ^= 1;
    p.server.plain_n = 0;
    assert_int_equal(party_take(&p.server, &p.client.out, SIZE_MAX), -REASON_tls_bad_record);
    assert_int_equal(p.server.plain_n, 0);
    /* The other end is told, and takes it for what it is. */
    assert_int_equal(party_take(&p.client, &p.server.out, SIZE_MAX), -REASON_backend_tls_truncated);
    assert_non_null(tls_session_why(&p.server.t));
    pair_close(&p);
}

static void measure_idle(struct tls_server *by, size_t most)
{
    enum { COUNT = 1000 };
    static struct tls_session kept[COUNT];
    static struct pair p;
    pair_open(&p, by, client, "localhost", NULL); /* what is made once */
    assert_true(pair_run(&p, SIZE_MAX));
    pair_close(&p);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < COUNT; i++) {
        pair_open(&p, by, client, "localhost", NULL);
        assert_true(pair_run(&p, SIZE_MAX));
        assert_true(pair_send(&p.client, &p.server, "GET /", 5));
        assert_true(pair_send(&p.server, &p.client, "200", 3));
        kept[i] = p.server.t;
        tls_session_idle(&kept[i]);
        tls_session_fini(&p.client.t);
        wire_fini(&p.server.out);
        wire_fini(&p.client.out);
    }
    struct mallinfo2 after = mallinfo2();
    size_t each = (after.uordblks - before.uordblks) / COUNT;
    print_message("an idle session: %zu bytes\n", each);
    assert_true(each <= most);
    for (int i = 0; i < COUNT; i++)
        tls_session_fini(&kept[i]);
}

static void test_idle_memory(void **state)
{
    (void)state;
#if SANITIZED
    skip();
#endif
    measure_idle(openssl_server, 14 * 1024);
    measure_idle(server, 3 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_at_every_cut),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_small_pieces_share_a_record),
        cmocka_unit_test(test_room_full),
        cmocka_unit_test(test_close_notify),
        cmocka_unit_test(test_not_tls),
        cmocka_unit_test(test_changed_record),
        cmocka_unit_test(test_idle_memory),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

/* SPDX-License-Identifier: MIT */
/*
 * TLS input: whatever a peer sends leads to an event or a reason, nothing is read out of bounds,
 * and what comes through is what was sent. The first byte says to whom the rest is sent, the second
 * in what pieces. Public-key operations are a thousand times dearer than the rest: only one input
 * in sixteen may lead to any.
 *
 *   3     to a client, as the first answer      4     to both ends of a connection, as a play
 *   else  to a server, as the first bytes
 */
#include "../tests/unit/codec/tls_fixture.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct tls_library *library;
static struct tls_server *server;
static struct tls_client *client;
static struct pair p; /* of plays */
static int odd_group = NID_secp521r1, quick_group = NID_X9_62_prime256v1;
static struct party alone; /* of the rest */

static void open_all(void)
{
    static char why[TLS_WHY_MAX];
    struct tls_tickets *tickets;
    CHECK(tls_library_new(&library) == 0 && tls_tickets_new(&tickets) == 0);
    struct made ca = make_certificate(&(struct wish){.subject = "CA", .ca = true});
    struct made leaf = make_certificate(&(struct wish){.issuer = &ca, .sans = "DNS:localhost"});
    struct made other = make_certificate(&(struct wish){.issuer = &ca, .sans = "DNS:*.a.example"});
    const struct tls_certificate given[] = {made_given(&leaf), made_given(&other)};
    struct tls_ca *trusted = make_ca(library, ca.pem);
    const struct tls_server_options so = {
        .certificates = given,
        .certificates_count = 2,
        .client_auth = TLS_CLIENT_AUTH_OPTIONAL,
        .client_ca = trusted,
        .alpn = TLS_ALPN_H2 | TLS_ALPN_HTTP1,
        .tickets = tickets,
    };
    CHECK(tls_server_new(library, &so, &server, why) == 0);
    const struct tls_client_options co = {.verify = true, .ca = trusted, .alpn = TLS_ALPN_HTTP1};
    CHECK(tls_client_new(library, &co, &client, why) == 0);
    tls_ca_unref(&trusted);
    made_free(&ca);
    made_free(&leaf);
    made_free(&other);
}

/* Bytes to one end, in pieces. */
static void feed(struct party *to, struct span in, size_t step)
{
    while (in.n > 0 && to->last >= 0 && to->last != TLS_CLOSED) {
        struct span part = span_sub(in, 0, step), left = part;
        to->plain_n = 0;
        do {
            to->last = tls_session_input(&to->t, &left, to->plain, sizeof to->plain, &to->plain_n,
                                         &to->out.sink);
        } while (to->last == TLS_HANDSHAKE_DONE || to->last == TLS_ROOM_FULL);
        CHECK(left.n == 0 || to->last < 0 || to->last == TLS_CLOSED);
        CHECK(to->last > -(int)REASON_COUNT);
        in = span_from(in, part.n);
    }
}

/* Cheaply: a server that shares no group with anybody refuses before the dear part. */
static void to_server(struct span in, size_t step, bool cheaply)
{
    struct party *s = &alone;
    memset(&s->t, 0, sizeof s->t);
    s->last = 0;
    wire_init(&s->out);
    CHECK(tls_session_init_server(&s->t, server) == 0);
    if (cheaply)
        (void)SSL_set1_groups(s->t.ssl, &odd_group, 1);
    feed(s, in, step);
    tls_session_fini(&s->t);
    wire_fini(&s->out);
}

static void to_client(struct span in, size_t step)
{
    struct party *c = &alone;
    memset(&c->t, 0, sizeof c->t);
    c->last = 0;
    wire_init(&c->out);
    CHECK(tls_session_init_client(&c->t, client, span_str("localhost"), NULL) == 0);
    (void)SSL_set1_groups(c->t.ssl, &quick_group, 1);
    CHECK(tls_session_start(&c->t, &c->out.sink) == 0);
    feed(c, in, step);
    tls_session_fini(&c->t);
    wire_fini(&c->out);
}

/* What one says is understood, unless something was slipped in before (`dirty`). */
static void say(struct party *from, struct party *to, size_t length, bool dirty)
{
    static uint8_t bytes[65537];
    struct span piece = span_of(bytes, length);
    if (dirty && from->t.alert)
        return; /* its session is over */
    CHECK(tls_session_output(&from->t, &piece, 1, &from->out.sink) == 0);
    feed(to, wire_unread(&from->out), SIZE_MAX);
    from->out.taken = (size_t)(from->out.sink.at - from->out.bytes);
    CHECK(dirty || (to->last == TLS_NEED_MORE && to->plain_n == length));
}

/* Answers that nobody waited for arrive; the memory serves again. */
static void settle(struct party *from, struct party *to)
{
    feed(to, wire_unread(&from->out), SIZE_MAX);
    from->out.sink.at = from->out.bytes;
    from->out.taken = 0;
}

/* Each move is a byte and its length: who does what. */
static void play(struct span in)
{
    static struct tls_resumption resumption;
    static bool stands; /* from one play to the next, if it was clean */
    bool dirty = false;
    if (!stands) {
        pair_open(&p, server, client, "localhost", &resumption);
        CHECK(pair_run(&p, SIZE_MAX));
    }
    stands = true;
    struct reader r = reader_of(in);
    for (int i = 0; i < 64 && r_left(&r) >= 3 && p.server.last == 0 && p.client.last == 0; i++) {
        uint8_t move = r_u8(&r);
        size_t length = r_u16be(&r);
        struct party *from = move & 1 ? &p.server : &p.client;
        struct party *to = move & 1 ? &p.client : &p.server;
        int kind = move & 8 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED;
        switch (move >> 1 & 3) {
        case 0: say(from, to, length / 8 + 1, dirty); break;
        case 1:
            dirty = true;
            feed(to, r_bytes(&r, MIN(length, r_left(&r))), 1 + (move >> 3));
            break;
        case 2:
            if (from->t.ssl)
                (void)SSL_key_update(from->t.ssl, kind);
            say(from, to, 1, dirty);
            break;
        default:
            (void)!tls_session_end(&from->t, &from->out.sink);
            feed(to, wire_unread(&from->out), SIZE_MAX);
            CHECK(dirty || to->last == TLS_CLOSED);
            stands = false;
            pair_close(&p);
            return;
        }
        tls_session_idle(&to->t);
    }
    stands = !dirty && p.server.t.messages < 500 && p.client.t.messages < 500;
    settle(&p.server, &p.client);
    settle(&p.client, &p.server);
    if (!stands)
        pair_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!library)
        open_all();
    if (n < 2)
        return 0;
    struct span in = span_of(data + 2, n - 2);
    size_t step = data[1] ? data[1] : SIZE_MAX;
    unsigned way = data[0] & 7, sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += data[i];
    bool dear = sum % 16 == 0;
    if (way == 3 && dear)
        to_client(in, step);
    else if (way == 4 && dear)
        play(in);
    else
        to_server(in, step, !dear);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * TLS input: whatever a peer sends leads to an event or a reason, nothing is read out of bounds,
 * and what comes through is what was sent. The first byte says to whom the rest is sent and how:
 *
 *   0  to a server, as the first bytes      2  to both ends of a connection that stands, as a play
 *   1  to a client, as the first answer     3  to those who only look for a name
 */
#include "../tests/unit/codec/tls_fixture.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct tls_library *library;
static struct tls_server *server;
static struct tls_client *client;
static struct pair p;

static void open_all(void)
{
    static char why[TLS_WHY_MAX];
    struct tls_tickets *tickets;
    CHECK(tls_library_new(&library) == 0 && tls_tickets_new(&tickets) == 0);
    struct made ca = make_certificate(&(struct wish){.subject = "CA", .ca = true});
    struct made leaf = make_certificate(&(struct wish){.issuer = &ca, .sans = "DNS:localhost"});
    struct made other = make_certificate(&(struct wish){.issuer = &ca, .sans = "DNS:*.a.example"});
    const struct tls_certificate given[] = {made_given(&leaf), made_given(&other)};
    const struct tls_server_options so = {
        .certificates = given,
        .certificates_count = 2,
        .client_auth = TLS_CLIENT_AUTH_OPTIONAL,
        .client_ca_pem = span_cstr(ca.pem),
        .alpn = TLS_ALPN_H2 | TLS_ALPN_HTTP1,
        .tickets = tickets,
    };
    CHECK(tls_server_new(library, &so, &server, why) == 0);
    const struct tls_client_options co = {
        .verify = true, .ca_pem = span_cstr(ca.pem), .alpn = TLS_ALPN_HTTP1};
    CHECK(tls_client_new(library, &co, &client, why) == 0);
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

static void to_server(struct span in, size_t step)
{
    struct party *s = &p.server;
    memset(&s->t, 0, sizeof s->t);
    s->last = 0;
    wire_init(&s->out);
    CHECK(tls_session_init_server(&s->t, server) == 0);
    feed(s, in, step);
    tls_session_fini(&s->t);
    wire_fini(&s->out);
}

static void to_client(struct span in, size_t step)
{
    struct party *c = &p.client;
    memset(&c->t, 0, sizeof c->t);
    c->last = 0;
    wire_init(&c->out);
    CHECK(tls_session_init_client(&c->t, client, span_str("localhost"), NULL) == 0);
    CHECK(tls_session_start(&c->t, &c->out.sink) == 0);
    feed(c, in, step);
    tls_session_fini(&c->t);
    wire_fini(&c->out);
}

/* Each move is a byte and its length: who does what. */
static void play(struct span in)
{
    static uint8_t bytes[65536];
    static struct tls_resumption resumption;
    pair_open(&p, server, client, "localhost", &resumption);
    CHECK(pair_run(&p, SIZE_MAX));
    struct reader r = reader_of(in);
    while (r_left(&r) >= 3 && p.server.last == 0 && p.client.last == 0) {
        uint8_t move = r_u8(&r);
        size_t length = r_u16be(&r);
        struct party *from = move & 1 ? &p.server : &p.client;
        struct party *to = move & 1 ? &p.client : &p.server;
        struct span raw = r_bytes(&r, MIN(length, r_left(&r)));
        switch (move >> 1 & 3) {
        case 0: CHECK(pair_send(from, to, bytes, length + 1)); break;
        case 1: feed(to, raw, 1 + (move >> 3)); break;
        case 2:
            (void)SSL_key_update(from->t.ssl, move & 8 ? SSL_KEY_UPDATE_REQUESTED
                                                       : SSL_KEY_UPDATE_NOT_REQUESTED);
            CHECK(pair_send(from, to, "x", 1));
            CHECK(pair_run(&p, SIZE_MAX));
            break;
        case 3:
            CHECK(tls_session_end(&from->t, &from->out.sink) == 0);
            feed(to, wire_unread(&from->out), SIZE_MAX);
            CHECK(to->last == TLS_CLOSED);
            break;
        }
        tls_session_idle(&to->t);
    }
    pair_close(&p);
}

static void look(struct span in)
{
    uint8_t room[TLS_NAME_MAX];
    struct span name = {NULL, 0}, again = {NULL, 0};
    int r = tls_peek_name(in, room, &name);
    CHECK(r == 1 || r == TLS_NEED_MORE || r == -(int)REASON_not_tls);
    CHECK(name.n <= sizeof room);
    /* A beginning may be too short, but it says nothing else. */
    uint8_t other[TLS_NAME_MAX];
    int before = tls_peek_name(span_sub(in, 0, in.n / 2), other, &again);
    if (before == 1)
        CHECK(r == 1 && span_eq(name, again));
    if (before < 0)
        CHECK(r < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!library)
        open_all();
    if (n < 2)
        return 0;
    struct span in = span_of(data + 2, n - 2);
    size_t step = data[1] ? data[1] : SIZE_MAX;
    switch (data[0] & 3) {
    case 0: to_server(in, step); break;
    case 1: to_client(in, step); break;
    case 2: play(in); break;
    default: look(in); break;
    }
    return 0;
}

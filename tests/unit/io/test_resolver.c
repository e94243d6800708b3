/* SPDX-License-Identifier: MIT */
/* Against a name server of the test's own, which answers from a table or not at all. */
#include "io/resolver.h"

#include "rig.h"

#include "io/loop_priv.h"
#include "io/socket.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a name server: one UDP socket, watched by the same loop ---- */

struct server {
    struct loop_watch watch;
    struct loop *loop;
    unsigned asked;
    char csv[32];
};

static void w_record(struct writer *w, uint16_t type, const uint8_t *ip, uint16_t n)
{
    w_u16be(w, 0xc00c); /* the name in the question */
    w_u16be(w, type);
    w_u16be(w, 1);
    w_u32be(w, 60);
    w_u16be(w, n);
    w_bytes(w, ip, n);
}

/* two.example: two A and one AAAA; many.example: 40 A; others do not exist; silent.*: no answer */
static void answer(struct server *s, struct span ask, const struct sockaddr_in *from)
{
    struct reader r = reader_of(ask);
    uint16_t id = r_u16be(&r);
    r_skip(&r, 10);
    struct span question = r_rest(&r);
    struct span name = span_sub(question, 0, span_find(question, 0) + 1);
    r_skip(&r, name.n);
    uint16_t type = r_u16be(&r);
    bool two = span_eq(name, span_of("\3two\7example", 13));
    bool many = span_eq(name, span_of("\4many\7example", 14));
    if (span_starts(name, span_str("\6silent")))
        return;
    uint16_t count = 0;
    if (two)
        count = type == 1 ? 2 : 1;
    else if (many && type == 1)
        count = 40;
    uint8_t out[2048];
    struct writer w = writer_of(out, sizeof out);
    w_u16be(&w, id);
    w_u16be(&w, two || many ? 0x8180 : 0x8183);
    w_u16be(&w, 1);
    w_u16be(&w, count);
    w_u32be(&w, 0);
    w_span(&w, span_sub(question, 0, name.n + 4));
    for (uint16_t i = 0; i < count; i++) {
        const uint8_t v4[4] = {192, 0, 2, (uint8_t)(i + 1)};
        const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
        w_record(&w, type, type == 1 ? v4 : v6, type == 1 ? 4 : 16);
    }
    sendto(s->watch.fd, out, w_len(&w), 0, (const struct sockaddr *)from, sizeof *from);
}

static void question_came(struct loop_watch *w, uint32_t fired)
{
    (void)fired;
    struct server *s = w->user;
    uint8_t in[512];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    ssize_t n = recvfrom(w->fd, in, sizeof in, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
    if (n < 12)
        return;
    s->asked++;
    answer(s, span_of(in, (size_t)n), &from);
}

static void server_open(struct server *s, struct loop *loop)
{
    *s = (struct server){.loop = loop};
    const struct address any_port = {.kind = ADDRESS_V4, .ip = {127, 0, 0, 1}};
    struct sockaddr_storage sa;
    socklen_t len = socket_sockaddr(&any_port, &sa);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    struct address bound;
    socket_address(&sa, len, NULL, &bound);
    snprintf(s->csv, sizeof s->csv, "127.0.0.1:%u", (unsigned)bound.port);
    loop_watch_init(&s->watch, fd, question_came, s);
    assert_int_equal(loop_watch_set(loop, &s->watch, LOOP_WATCH_IN), 0);
}

static void server_close(struct server *s)
{
    loop_watch_end(s->loop, &s->watch);
    close(s->watch.fd);
}

/* ---- tests ---- */

struct asking {
    struct resolver_query q; /* first */
    unsigned answers;
    enum reason why;
    size_t count;
    struct address first;
    unsigned v4;
    unsigned v6;
};

static void answered(struct resolver_query *q, enum reason why, const struct address *addresses,
                     size_t count)
{
    struct asking *a = container_of(q, struct asking, q);
    a->answers++;
    a->why = why;
    a->count = count;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(addresses[i].port, 8080);
        a->v4 += addresses[i].kind == ADDRESS_V4;
        a->v6 += addresses[i].kind == ADDRESS_V6;
    }
    if (count > 0)
        a->first = addresses[0];
}

struct setup {
    struct rig rig;
    struct server server;
    struct resolver *resolver;
    struct asking asking;
};

static bool is_answered(struct rig *rig)
{
    return container_of(rig, struct setup, rig)->asking.answers > 0;
}

static void set_up(struct setup *t, void **state, uint32_t deadline_ms)
{
    memset(t, 0, sizeof *t);
    rig_open(&t->rig, state, NULL);
    server_open(&t->server, t->rig.loop);
    const struct resolver_options options = {.servers = t->server.csv, .deadline_ms = deadline_ms};
    assert_int_equal(resolver_new(t->rig.loop, &options, &t->resolver), 0);
}

static void ask(struct setup *t, const char *host)
{
    memset(&t->asking, 0, sizeof t->asking);
    resolver_lookup(t->resolver, &t->asking.q, host, 8080, answered);
    assert_int_equal(t->asking.answers, 0); /* never inside the call */
    rig_run(&t->rig, is_answered);
    assert_int_equal(t->asking.answers, 1);
}

static void tear_down(struct setup *t)
{
    resolver_free(&t->resolver);
    assert_null(t->resolver);
    unsigned answers = t->asking.answers;
    rig_run_ms(&t->rig, 12);
    assert_int_equal(t->asking.answers, answers); /* nothing late */
    server_close(&t->server);
    rig_close(&t->rig);
}

static void test_by_dns(void **state)
{
    struct setup t;
    set_up(&t, state, 0);
    ask(&t, "two.example");
    assert_int_equal(t.asking.why, REASON_ok);
    assert_int_equal(t.asking.v4, 2);
    assert_int_equal(t.asking.v6, 1);
    assert_true(t.server.asked >= 2);
    ask(&t, "many.example");
    assert_int_equal(t.asking.why, REASON_ok);
    assert_int_equal(t.asking.count, RESOLVER_ADDRESSES_MAX);
    ask(&t, "missing.example");
    assert_int_equal(t.asking.why, REASON_unresolved);
    assert_int_equal(t.asking.count, 0);
    tear_down(&t);
}

static void test_without_dns(void **state)
{
    struct setup t;
    set_up(&t, state, 0);
    ask(&t, "localhost");
    assert_int_equal(t.asking.why, REASON_ok);
    assert_true(t.asking.count >= 1);
    ask(&t, "192.0.2.77");
    assert_int_equal(t.asking.why, REASON_ok);
    assert_int_equal(t.asking.count, 1);
    assert_int_equal(t.asking.first.ip[3], 77);
    ask(&t, "::1");
    assert_int_equal(t.asking.v6, 1);
    assert_int_equal(t.server.asked, 0);
    ask(&t, "");
    assert_int_equal(t.asking.why, REASON_unresolved);
    tear_down(&t);
}

static void test_deadline(void **state)
{
    struct setup t;
    set_up(&t, state, 50);
    ask(&t, "silent.example");
    assert_int_equal(t.asking.why, REASON_unresolved);
    assert_true(t.server.asked > 0);
    tear_down(&t); /* while c-ares still waits */
}

static void test_cancel(void **state)
{
    struct setup t;
    set_up(&t, state, 0);
    resolver_cancel(&t.asking.q); /* of a query never asked */
    resolver_lookup(t.resolver, &t.asking.q, "two.example", 8080, answered);
    resolver_cancel(&t.asking.q);
    resolver_cancel(&t.asking.q);
    rig_run_ms(&t.rig, 40);
    assert_int_equal(t.asking.answers, 0);
    resolver_lookup(t.resolver, &t.asking.q, "192.0.2.77", 8080, answered);
    resolver_cancel(&t.asking.q); /* the answer is stored but not told */
    rig_run_ms(&t.rig, 12);
    assert_int_equal(t.asking.answers, 0);
    ask(&t, "two.example");
    assert_int_equal(t.asking.count, 3);
    tear_down(&t);
}

static void test_bad_server(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    struct resolver *r = NULL;
    const struct resolver_options options = {.servers = "not an address"};
    assert_int_equal(resolver_new(rig.loop, &options, &r), -(int)REASON_system_error);
    assert_null(r);
    rig_close(&rig);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"by DNS", test_by_dns},         {"hosts file and addresses", test_without_dns},
        {"deadline", test_deadline},     {"cancel", test_cancel},
        {"bad server", test_bad_server},
    };
    return rig_main("resolver", tests, ARRAY_LEN(tests));
}

/* SPDX-License-Identifier: MIT */
/*
 * A health probe over HTTP/2, gRPC's or HTTP's, under whatever a backend sends. Each input is
 * tried whole and in pieces, with sends that take their time or none. What must hold:
 *
 *   - one result for each probe, of those that such a probe may have, and nothing is left of it
 *   - a probe ends at the latest with PROBE_H2_IN_MAX bytes
 *   - one send at a time, which is bounded and stays unchanged while it is under way
 *   - whether the backend is well does not hang on how its bytes were cut
 */
#include "base/check.h"
#include "health/probe_h2.h"
#include "io/layer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum {
    GRPC = 1,
    TLS = 2,
    SERVICE = 4,
    EXPECT_503 = 8,
    PENDING = 16, /* sends are under way until after the next delivery … */
    HOLD = 32,    /* … or until the last one */
    RAW = 64,     /* no settings in front */
};

/* Fewer bytes than these cannot ask for more answers at once than a probe gives. */
#define ANSWERED_WHOLE_MAX 8000

static const uint8_t settings[] = {0, 0, 0, NGHTTP2_SETTINGS, 0, 0, 0, 0, 0};

/* The probe, and the backend's end of its connection. */
struct end {
    struct probe probe;
    struct layered stream;
    struct stream ground; /* below it: nothing */
    bool pending, in_flight, closed;
    unsigned sends, results;
    enum reason result;
    const uint8_t *sent; /* in flight … */
    uint32_t sent_bytes;
    uint8_t copy[PROBE_H2_OUT_MAX]; /* … and what it was when it was sent */
};

static struct end end;

/* ---- the stream ---- */

static void end_read(struct stream *s, bool want)
{
    CHECK(s == &end.stream.stream && want);
}

static enum send_result end_send(struct stream *s, const struct slice *slices, size_t count)
{
    CHECK(s == &end.stream.stream && !end.closed && !end.in_flight && count == 1);
    CHECK(slices->n > 0 && slices->n <= sizeof(end.copy));
    if (end.sends++ == 0)
        CHECK(slices->n > NGHTTP2_CLIENT_MAGIC_LEN &&
              memcmp(slices->p, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN) == 0);
    if (!end.pending)
        return SEND_DONE;
    end.in_flight = true;
    end.sent = slices->p;
    end.sent_bytes = slices->n;
    memcpy(end.copy, slices->p, slices->n);
    return SEND_PENDING;
}

static void end_nothing(struct stream *s)
{
    (void)s;
}

static void end_close(struct stream *s, enum stream_close_how how)
{
    (void)how;
    CHECK(s == &end.stream.stream && !end.closed);
    end.closed = true;
}

static const struct stream_layer end_layer = {
    .name = "array",
    .read = end_read,
    .send = end_send,
    .last = end_nothing,
    .shutdown = end_nothing,
    .close = end_close,
};

/* ---- the probe ---- */

static void on_done(struct probe *p, enum reason result)
{
    CHECK(p == &end.probe && !probe_running(p) && !p->state && end.closed);
    CHECK(!timer_armed(&p->deadline));
    CHECK(end.results++ == 0);
    end.result = result;
}

static void check_result(bool grpc)
{
    switch (end.result) {
    case REASON_ok:
    case REASON_probe_bad_answer:
    case REASON_probe_status:
    case REASON_probe_closed:
    case REASON_backend_no_http2:
    case REASON_backend_stream_reset:
    case REASON_stream_refused: return;
    case REASON_probe_not_serving:
    case REASON_probe_unimplemented:
    case REASON_probe_unknown_service: CHECK(grpc); return;
    default: CHECK(!"a result that no backend can bring about");
    }
}

/* What the driver does when the connection stands. */
static void begin(struct loop *loop, const struct pool_conf *pool, bool pending)
{
    struct dialer dialer = {.loop = loop};
    struct address to = {.kind = ADDRESS_UNIX};
    memset(&end, 0, offsetof(struct end, copy));
    end.pending = pending;
    end.ground = (struct stream){.magic = STREAM_MAGIC, .loop = loop};
    layered_init(&end.stream, &end_layer, &end.ground, NULL, NULL);
    probe_init(&end.probe, &dialer, pool, pool->backends, on_done);
    CHECK(end.probe.kind->begin(&end.probe, &to) == 0);
    end.probe.stream = &end.stream.stream;
    loop_timer_set(loop, &end.probe.deadline, pool->health.timeout_ms);
    end.probe.kind->connected(&end.probe);
    CHECK(probe_running(&end.probe) && end.sends == 1);
}

/* At an address of its own, so that a read past its end is seen. */
static void deliver(const uint8_t *p, size_t n)
{
    if (n == 0 || !probe_running(&end.probe))
        return;
    uint8_t *piece = malloc(n);
    CHECK(piece);
    memcpy(piece, p, n);
    end.probe.kind->data(&end.probe, (struct slice){piece, (uint32_t)n, NULL});
    free(piece);
}

static void complete_send(void)
{
    if (!probe_running(&end.probe) || !end.in_flight)
        return;
    CHECK(memcmp(end.sent, end.copy, end.sent_bytes) == 0);
    end.in_flight = false;
    end.probe.kind->sent(&end.probe);
}

static enum reason run(struct loop *loop, const struct pool_conf *pool, uint8_t how, size_t step,
                       const uint8_t *data, size_t n)
{
    begin(loop, pool, (how & PENDING) != 0);
    if (!(how & RAW))
        deliver(settings, sizeof(settings));
    for (size_t at = 0; at < n && probe_running(&end.probe); at += step) {
        deliver(data + at, MIN(step, n - at));
        if (!(how & HOLD))
            complete_send();
    }
    while (probe_running(&end.probe) && end.in_flight)
        complete_send();
    if (probe_running(&end.probe)) {
        CHECK(n <= PROBE_H2_IN_MAX);
        probe_end(&end.probe, REASON_probe_closed);
    }
    CHECK(end.results == 1);
    check_result((how & GRPC) != 0);
    return end.result;
}

/* nghttp2 ends a block after a few CONTINUATION frames, and counts one more for each delivery that
 * ends within the head of one. */
static bool has_continuation(const uint8_t *p, size_t n)
{
    for (size_t at = 0; at + 9 <= n;) {
        if (p[at + 3] == NGHTTP2_CONTINUATION)
            return true;
        at += 9 + ((size_t)p[at] << 16 | (size_t)p[at + 1] << 8 | p[at + 2]);
    }
    return false;
}

/* The first byte says how, the second how large the pieces are; the rest arrives. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct loop *loop;
    if (!loop)
        CHECK(loop_new(&(struct loop_options){0}, &loop) == 0);
    if (n < 2)
        return 0;
    uint8_t how = data[0];
    struct status_range expect =
        how & EXPECT_503 ? (struct status_range){503, 503} : (struct status_range){200, 399};
    struct backend_conf backend = {.name = "b1", .address = {.kind = ADDRESS_UNIX}};
    struct pool_conf pool = {
        .name = "app",
        .protocol = PROTOCOL_HTTP2,
        .tls = {.enabled = (how & TLS) != 0},
        .health = {.type = how & GRPC ? HEALTH_GRPC : HEALTH_HTTP,
                   .path = "/healthz",
                   .service = how & SERVICE ? "a.B" : NULL,
                   .expect = &expect,
                   .expect_count = 1,
                   .timeout_ms = 1000},
        .backends = &backend,
        .backend_count = 1,
    };
    const uint8_t *rest = data + 2;
    size_t bytes = n - 2;
    uint8_t at_once = how & (uint8_t) ~(PENDING | HOLD);
    enum reason whole = run(loop, &pool, at_once, bytes + 1, rest, bytes);
    enum reason cut = run(loop, &pool, how, data[1] ? data[1] : 1, rest, bytes);
    if (bytes <= ANSWERED_WHOLE_MAX && !has_continuation(rest, bytes))
        CHECK((whole == REASON_ok) == (cut == REASON_ok));
    return 0;
}

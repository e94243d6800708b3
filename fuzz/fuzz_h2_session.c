/* SPDX-License-Identifier: MIT */
/*
 * An HTTP/2 connection, either end, under whatever the peer sends, however its owner behaves: reads
 * or not, answers or not, with sends that take their time. What must hold is CHECKed by the owner
 * of tests/unit/forward/h2_end.h; memory is all given back.
 */
#include "base/limits.h"
#include "forward/h2_conn_priv.h"

#include "../tests/unit/forward/h2_end.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum {
    AS_CLIENT = 1,
    HOLD = 2,
    PENDING = 4,
    ANSWER = 8,
    LARGE = 16,
    TRAILERS = 32,
    DRAIN = 64,
    RAW = 128, /* no preface of ours in front */
};

static uint8_t how;
static const uint8_t body[70000];

/* Frames that a peer has to begin with. */
static const uint8_t settings[] = {0, 0, 0, NGHTTP2_SETTINGS, 0, 0, 0, 0, 0};

static void answer(struct end_stream *t)
{
    nghttp2_nv nv[] = {end_nv(":status", "200"), end_nv("server", "fuzz")};
    nghttp2_nv trailer = end_nv("x-sum", "1");
    if (!(how & ANSWER) || t->heads > 1 || !t->end->c.server)
        return;
    if (h2_stream_head(&t->s, nv, 2, false, false) < 0)
        return;
    h2_stream_body(&t->s, (struct slice){body, how & LARGE ? sizeof(body) : 50, NULL});
    CHECK(h2_stream_end(&t->s, &trailer, how & TRAILERS ? 1 : 0) == 0);
    if (h2_stream_flush(&t->s) && (t->s.id & 4))
        h2_stream_leave(&t->s);
}

static void open_some(struct end *e)
{
    nghttp2_nv nv[] = {end_nv(":method", "POST"), end_nv(":scheme", "http"), end_nv(":path", "/"),
                       end_nv(":authority", "a")};
    for (unsigned i = 0; i < 3; i++) {
        struct end_stream *t = end_stream_new(e);
        if (h2_stream_open(&e->c, &t->s, nv, 4, i == 0) < 0)
            continue;
        if (i > 0)
            h2_stream_body(&t->s, (struct slice){body, i == 1 ? 10 : sizeof(body), NULL});
        if (i == 1)
            CHECK(h2_stream_end(&t->s, NULL, 0) == 0);
        h2_stream_flush(&t->s);
    }
}

/* What owners do between deliveries. */
static void stir(struct end *e, uint8_t what)
{
    end_turn(e);
    end_sent(e);
    end_turn(e);
    for (unsigned i = 0; i < e->stream_count && !e->failed; i++) {
        struct end_stream *t = &e->streams[i];
        if (t->over || t->s.left || !t->s.conn)
            continue;
        if (what & 1)
            h2_stream_read(&t->s, (what & 2) != 0);
        if ((what & 4) && (i & 3) == 1)
            h2_stream_reset(&t->s, NGHTTP2_CANCEL);
        if ((what & 8) && (i & 3) == 2)
            h2_stream_leave(&t->s);
    }
    if ((what & 16) && !e->failed && !e->in_flight)
        h2_conn_tick(&e->c, 1, UINT32_MAX);
    end_turn(e);
}

/* The first byte says how, the second how large the deliveries are; the rest arrives. Where
 * nobody reads and those are of an odd size, the worker holds about as much as it may. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct loop *loop;
    static struct h2_library *library;
    static struct end *e;
    if (n < 2)
        return 0;
    if (!loop) {
        CHECK(loop_new(&(struct loop_options){0}, &loop) == 0);
        library = h2_library_new(loop);
        CHECK(library);
    }
    how = data[0];
    size_t step = data[1] ? data[1] * 8u : 1;
    bool server = !(how & AS_CLIENT);
    bool scarce = (how & HOLD) && (data[1] & 1);
    size_t others = !scarce ? 0 : data[1] & 2 ? H2_HELD_EARLY : H2_HELD_MAX - 30000;
    library->held[true] += others;
    e = end_new(loop, library, server, 100);
    e->hold = (how & HOLD) != 0;
    e->pending = (how & PENDING) != 0;
    e->answer = answer;
    if (!server)
        open_some(e);
    if (!(how & RAW)) {
        if (server)
            end_take(e, (const uint8_t *)NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
        end_take(e, settings, sizeof(settings));
        stir(e, 0);
    }
    for (size_t at = 2; at < n && !e->failed; at += step) {
        end_take(e, data + at, MIN(step, n - at));
        stir(e, e->hold ? data[at] : data[at] & 24);
        if ((how & DRAIN) && !e->failed && at > n / 2)
            h2_conn_drain(&e->c);
    }
    end_free(&e);
    library->held[true] -= others;
    CHECK(library->bytes == 0 && library->held[true] == 0 && library->held[false] == 0);
    return 0;
}

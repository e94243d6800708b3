/* SPDX-License-Identifier: MIT */
/*
 * Records of a TLS 1.3 connection that stands, with keys that never change from input to input: the
 * input says what a client seals (any kind, any padding, key updates) and what is slipped in raw.
 * What is well sealed data arrives as it was, however it is cut; all else leads to a reason; what
 * we answer can be opened.
 */
#include "../src/codec/tls_record.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define ROOM (2 * TLS_INPUT_ROOM_MIN)

static struct tls_library *library;
static struct tls_session t;
static struct half mine, theirs; /* the client's: what the server opens, what it seals */

/* ---- what the server says ---- */

struct outbox {
    struct tls_sink sink; /* first */
    uint8_t bytes[1 << 16];
};

static struct outbox out;

static bool refuse_to_grow(struct tls_sink *sink, size_t wanted)
{
    (void)sink;
    (void)wanted;
    return false;
}

/* Key updates and, at the end, one alert. */
static void read_answers(void)
{
    static uint8_t plain[RECORD_BODY];
    const uint8_t *at = out.bytes;
    while (at < out.sink.at) {
        size_t n = record_bytes(at, (size_t)(out.sink.at - at));
        CHECK(n > HEADER_BYTES + TAG_BYTES && n <= (size_t)(out.sink.at - at));
        CHECK(open_one(&theirs, at, n, plain));
        uint8_t kind = plain[n - HEADER_BYTES - TAG_BYTES - 1];
        at += n;
        if (kind == CONTENT_HANDSHAKE)
            CHECK(next_keys(library, &library->suites[0], &theirs, false));
        else
            CHECK(kind == CONTENT_ALERT && at == out.sink.at);
    }
    out.sink.at = out.bytes;
}

/* ---- the connection ---- */

static void set_half(struct half *h, uint8_t secret, bool sealing)
{
    memset(h->secret, secret, 32);
    h->secret_n = 32;
    CHECK(set_keys(library, &library->suites[0], h, sealing));
}

static void begin(void)
{
    if (!library)
        CHECK(tls_library_new(&library) == 0);
    t = (struct tls_session){.magic = TLS_SESSION_MAGIC, .library = library, .done = true};
    t.records = calloc(1, sizeof *t.records);
    CHECK(t.records != NULL);
    t.records->suite = &library->suites[0];
    set_half(&t.records->open, 1, false);
    set_half(&t.records->seal, 2, true);
    set_half(&mine, 1, true);
    set_half(&theirs, 2, false);
    out.sink = (struct tls_sink){out.bytes, out.bytes + sizeof out.bytes, refuse_to_grow};
}

static int give(struct span in, size_t step, struct span wanted, bool exact)
{
    static uint8_t room[ROOM];
    size_t n = 0;
    int r = TLS_NEED_MORE;
    while (in.n > 0 && r == TLS_NEED_MORE) {
        struct span part = span_sub(in, 0, step), left = part;
        r = tls_session_input(&t, &left, room, sizeof room, &n, &out.sink);
        CHECK(r < 0 || r == TLS_CLOSED || (r == TLS_NEED_MORE && left.n == 0));
        in = span_from(in, part.n);
    }
    CHECK(!exact || (r == TLS_NEED_MORE && span_eq(span_of(room, n), wanted)));
    read_answers();
    return r;
}

static int give_sealed(uint8_t kind, struct span body, size_t padding, size_t step)
{
    static uint8_t record[HEADER_BYTES + RECORD_BODY + TAG_BYTES];
    size_t n = MIN(body.n, (size_t)TLS_RECORD_PLAIN_MAX);
    memcpy(record + HEADER_BYTES, body.p ? body.p : record, n);
    record[HEADER_BYTES + n] = kind;
    memset(record + HEADER_BYTES + n + 1, 0, padding);
    /* The last byte is what seal_one calls the kind: of padding, if there is any. */
    CHECK(seal_one(&mine, padding ? 0 : kind, record, NULL, n + padding));
    size_t whole = HEADER_BYTES + n + padding + 1 + TAG_BYTES;
    bool exact = kind == CONTENT_DATA && n > 0;
    bool update = kind == CONTENT_HANDSHAKE && n == 5 && body.p[0] == 24;
    int r = give(span_of(record, whole), step, span_sub(body, 0, n), exact);
    if (r == TLS_NEED_MORE && update)
        CHECK(next_keys(library, &library->suites[0], &mine, true));
    return r;
}

/* Each move: what, how it is cut, how long; then its bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    begin();
    struct reader r = reader_of(span_of(data, n));
    int last = TLS_NEED_MORE;
    for (int i = 0; i < 64 && last == TLS_NEED_MORE && r_left(&r) >= 4; i++) {
        uint8_t what = r_u8(&r), cut = r_u8(&r);
        size_t length = r_u16be(&r), step = cut ? cut : SIZE_MAX;
        struct span body = r_bytes(&r, MIN(length, r_left(&r)));
        if (what == 0)
            last = give(body, step, body, false);
        else if (what < 8)
            last = give_sealed(CONTENT_DATA, body, what & 1 ? 200 : 0, step);
        else if (what < 12)
            last = give_sealed(CONTENT_HANDSHAKE, span_str("\x18\x00\x00\x01\x01"), 0, step);
        else
            last = give_sealed(what, body, body.n % 7, step);
        if (t.records->partial_n > 0)
            break; /* something raw that waits for more */
    }
    tls_session_fini(&t);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A row is numbers, then texts, each from a word on. It is stored word by word, as relaxed atomics:
 * plain stores to the machine, and no race to the language. The number in front orders them (a
 * sequence lock with one writer).
 */
#include "account/recorder.h"

#include "account/record.h"
#include "base/check.h"
#include "base/region.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#define WORDS    (RECORDER_ROW_BYTES / 8 - 1)
#define NAME_CUT 63
#define ID_CUT   36
#define HEAD_CUT 160

/* Behind the marks, in the same word. */
#define HAS_TLS    (UINT64_C(1) << 62)
#define HAS_OWN_ID (UINT64_C(1) << 63)
#define MARK_BITS  14

/* The first words of a row; behind them the texts, how long they are in the last of these. */
enum {
    AT_BEGUN,
    AT_PICKED,
    AT_CONNECTED,
    AT_FIRST_BYTE,
    AT_ENDED,
    AT_BYTES_IN,
    AT_BYTES_OUT,
    AT_IP, /* two */
    AT_PEER = AT_IP + 2,
    AT_END,
    AT_LENGTHS,
    TEXTS
};

#define NAME_WORDS ((4 * NAME_CUT + 7) / 8)

static_assert(TEXTS + NAME_WORDS < WORDS, "names fit; the id and the head get the rest");
static_assert((WORDS - TEXTS) * 8 <= RECORDER_TEXT_MAX, "nobody finds more text");
static_assert(HEAD_CUT <= UINT8_MAX && HEAD_CUT % 8 == 0, "whole words, counted by a byte");
static_assert(RECORD_GRPC(16) << FLIGHT_GRPC_SHIFT < 1 << MARK_BITS, "marks are these bits");
static_assert((RECORDER_ROWS & (RECORDER_ROWS - 1)) == 0, "rows are found by masking");

struct row {
    _Atomic uint64_t number; /* odd while it is written */
    _Atomic uint64_t words[WORDS];
};

static_assert(sizeof(struct row) == RECORDER_ROW_BYTES, "rows share no line");
static_assert(sizeof(struct flight_row) == WORDS * 8, "one form");

/*
 * Names as they were last stored for one listener, pool and backend, to be stored again without a
 * look at each letter. Births are never given twice, so that an entry cannot be of somebody gone.
 */
#define KNOWN_NAMES 16
#define KNOWN_WORDS 5

struct known {
    uint32_t births[3];
    uint32_t lengths;
    uint64_t count; /* of words */
    uint64_t words[KNOWN_WORDS];
};

static_assert(sizeof(struct known) == 64, "one line");

struct recorder {
    ALIGNED(64) _Atomic uint64_t count;
    ALIGNED(64) struct known known[KNOWN_NAMES]; /* the worker's alone */
    ALIGNED(64) struct row rows[RECORDER_ROWS];
};

/* Pages of rows that were never written cost nothing. */
struct recorder *recorder_new(void)
{
    return region_new(sizeof(struct recorder), 0);
}

void recorder_free(struct recorder **r)
{
    if (*r)
        region_free(*r, sizeof(struct recorder));
    *r = NULL;
}

/* ---- one row ---- */

static inline void store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline uint64_t load8(const void *from)
{
    uint64_t word;
    memcpy(&word, from, 8);
    return word;
}

/* Stores whole words, the last with whatever the source has behind: `from` has so many. */
static inline size_t store_words(_Atomic uint64_t *words, size_t at, const void *from, size_t count)
{
    const uint8_t *p = from;
#pragma GCC unroll 4
    for (size_t i = 0; i < count; i++)
        store(&words[at + i], load8(p + 8 * i));
    return at + count;
}

/* Stores a text of any length; no byte behind it is read. */
static inline size_t store_text(_Atomic uint64_t *words, size_t at, const uint8_t *from, size_t n)
{
    at = store_words(words, at, from, n / 8);
    uint8_t rest[8] = {0};
    if (n % 8 == 0)
        return at;
    for (size_t i = 0; i < n % 8; i++)
        rest[i] = from[n / 8 * 8 + i];
    return store_words(words, at, rest, 1);
}

/* Copies until the end or the cut; names are short, so a loop beats a call. */
static inline uint8_t *put_name(uint8_t *to, const char *name, unsigned shift, uint32_t *lengths)
{
    uint32_t n = 0;
    for (; name && n < NAME_CUT && name[n]; n++)
        to[n] = (uint8_t)name[n];
    *lengths |= n << shift;
    return to + n;
}

/* Of a flight. */
struct flight_names {
    const char *listener, *route, *pool, *backend;
    uint32_t births[3];
};

/* The names one behind the other; how many words that is. */
static size_t gather_names(const struct flight_names *f, uint64_t words[NAME_WORDS + 1],
                           uint32_t *ret_lengths)
{
    uint8_t *names = (uint8_t *)words, *to = names;
    *ret_lengths = 0;
    to = put_name(to, f->listener, 0, ret_lengths);
    to = put_name(to, f->route, 8, ret_lengths);
    to = put_name(to, f->pool, 16, ret_lengths);
    to = put_name(to, f->backend, 24, ret_lengths);
    memset(to, 0, 8); /* up to a whole word */
    return (size_t)(to - names + 7) / 8;
}

static void learn_names(struct known *k, const struct flight_names *f, const uint64_t *words,
                        size_t count, uint32_t lengths)
{
    if (count > KNOWN_WORDS || f->route || !f->births[0] || !f->births[1] || !f->births[2])
        return;
    memcpy(k->births, f->births, sizeof(k->births));
    memcpy(k->words, words, count * 8);
    k->lengths = lengths;
    k->count = count;
}

/* Gathers and stores them, and knows them from then on. Returns the word behind them. */
static NOINLINE size_t store_new_names(_Atomic uint64_t *words, const struct flight_names *f,
                                       struct known *k, uint32_t *ret_lengths)
{
    uint64_t names[NAME_WORDS + 1];
    size_t count = gather_names(f, names, ret_lengths);
    if (k)
        learn_names(k, f, names, count, *ret_lengths);
    return store_words(words, TEXTS, names, count);
}

/* Returns the word behind them. */
static inline ALWAYS_INLINE size_t store_names(_Atomic uint64_t *words, const struct flight *f,
                                               struct known *known, uint32_t *ret_lengths)
{
    struct known *k = known ? &known[f->births[2] & (KNOWN_NAMES - 1)] : NULL;
    if (LIKELY(k && !f->route && f->births[2]) && LIKELY(f->births[2] == k->births[2]) &&
        LIKELY(f->births[1] == k->births[1] && f->births[0] == k->births[0])) {
        *ret_lengths = k->lengths;
#pragma GCC unroll 5
        for (size_t i = 0; i < KNOWN_WORDS; i++)
            store(&words[TEXTS + i], k->words[i]);
        return TEXTS + k->count;
    }
    struct flight_names names = {
        f->listener, f->route, f->pool, f->backend, {f->births[0], f->births[1], f->births[2]}};
    return store_new_names(words, &names, k, ret_lengths);
}

/* Texts of TLS in their order, and how much is kept of each. */
static const struct {
    size_t offset;
    uint8_t cut;
} tls_texts[] = {
    {offsetof(struct flight_tls, version), 15},
    {offsetof(struct flight_tls, cipher), 47},
    {offsetof(struct flight_tls, sni), NAME_CUT},
    {offsetof(struct flight_tls, backend_version), 15},
    {offsetof(struct flight_tls, backend_cipher), 47},
};

static_assert(ARRAY_LEN(tls_texts) <= 8, "a word has all their lengths");

/* A word of lengths, then the texts; there is room for the first at least. Returns the word behind
 * them. */
static NOINLINE size_t store_tls(_Atomic uint64_t *words, size_t at, const struct flight_tls *tls)
{
    size_t lengths_at = at++;
    uint64_t lengths = 0;
    for (size_t i = 0; i < ARRAY_LEN(tls_texts); i++) {
        struct span text;
        memcpy(&text, (const uint8_t *)tls + tls_texts[i].offset, sizeof(text));
        size_t n = MIN(text.n, MIN((size_t)tls_texts[i].cut, (WORDS - at) * 8));
        at = store_text(words, at, text.p, n);
        lengths |= (uint64_t)n << 8 * i;
    }
    store(&words[lengths_at], lengths);
    return at;
}

/* An id in the part of the head that is kept need not be kept twice: else *marks say so.
 * Returns the lengths. */
static inline uint64_t store_head(_Atomic uint64_t *words, size_t at, const struct flight *f,
                                  uint64_t *marks)
{
    size_t head = MIN(f->head.n, MIN((size_t)HEAD_CUT, (WORDS - at) * 8));
    size_t id = MIN(f->request_id.n, (size_t)ID_CUT);
    size_t id_at = (uintptr_t)f->request_id.p - (uintptr_t)f->head.p;
    if (id == 0) {
        id_at = 0;
    } else if (id_at > head || id > head - id_at) {
        *marks |= HAS_OWN_ID;
        id_at = 0;
        id = MIN(id, (WORDS - at) * 8);
        at = store_text(words, at, f->request_id.p, id);
        head = MIN(head, (WORDS - at) * 8);
    }
    if (LIKELY(head == HEAD_CUT)) {
#pragma GCC unroll 20
        for (size_t i = 0; i < HEAD_CUT / 8; i++)
            store(&words[at + i], load8(f->head.p + 8 * i));
    } else {
        store_text(words, at, f->head.p, head);
    }
    return head | id << 8 | id_at << 16;
}

/* Into each caller, and nothing here keeps `f` in memory: what it is made of goes from where it is
 * straight into the ring. */
static inline ALWAYS_INLINE void pack(_Atomic uint64_t *words, const struct flight *f,
                                      struct known *known)
{
    const struct address *client = f->client;
    store(&words[AT_BEGUN], f->begun_ns);
    store(&words[AT_PICKED], f->picked_ns);
    store(&words[AT_CONNECTED], f->connected_ns);
    store(&words[AT_FIRST_BYTE], f->first_byte_ns);
    store(&words[AT_ENDED], f->ended_ns);
    store(&words[AT_BYTES_IN], f->bytes_in);
    store(&words[AT_BYTES_OUT], f->bytes_out);
    store(&words[AT_IP], load8(client->ip));
    store(&words[AT_IP + 1], load8(client->ip + 8));
    store(&words[AT_PEER],
          client->scope | (uint64_t)client->port << 32 | (uint64_t)(uint16_t)f->retries << 48);
    uint32_t names;
    uint64_t texts = 0, marks = (uint64_t)f->marks << 48;
    size_t at = store_names(words, f, known, &names);
    if (UNLIKELY(f->tls)) {
        at = store_tls(words, at, f->tls);
        marks |= HAS_TLS;
    }
    if (f->marks & FLIGHT_PROTOCOL)
        texts = store_head(words, at, f, &marks);
    store(&words[AT_LENGTHS], names | texts << 32);
    store(&words[AT_END], f->status | (uint64_t)f->reason << 16 | (uint64_t)client->kind << 32 |
                              (uint64_t)f->state << 40 | marks);
}

void flight_pack(struct flight_row *row, const struct flight *f)
{
    struct row packed = {0};
    pack(packed.words, f, NULL);
    memcpy(row->words, packed.words, sizeof(row->words));
}

/* ---- the ring ---- */

void recorder_put(struct recorder *r, const struct flight *f)
{
    uint64_t count = atomic_load_explicit(&r->count, memory_order_relaxed);
    struct row *row = &r->rows[count & (RECORDER_ROWS - 1)];
    uint64_t number = atomic_load_explicit(&row->number, memory_order_relaxed);
    atomic_store_explicit(&row->number, number + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    pack(row->words, f, r->known);
    atomic_store_explicit(&row->number, number + 2, memory_order_release);
    atomic_store_explicit(&r->count, count + 1, memory_order_release);
}

uint64_t recorder_count(const struct recorder *r)
{
    return atomic_load_explicit(&r->count, memory_order_acquire);
}

/* The row of the exchange number `index`; false: it is being overwritten, or was. */
static bool read_row(const struct recorder *r, uint64_t index, struct flight_row *ret)
{
    const struct row *row = &r->rows[index & (RECORDER_ROWS - 1)];
    uint64_t expected = 2 * (index / RECORDER_ROWS + 1);
    if (atomic_load_explicit(&row->number, memory_order_acquire) != expected)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(ret->words); i++)
        ret->words[i] = atomic_load_explicit(&row->words[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&row->number, memory_order_relaxed) == expected;
}

size_t recorder_read(const struct recorder *r, struct flight_row *rows, size_t max)
{
    uint64_t count = recorder_count(r);
    size_t n = 0;
    max = MIN(max, (size_t)RECORDER_ROWS);
    for (uint64_t back = 1; back <= count && back <= RECORDER_ROWS && n < max; back++)
        n += read_row(r, count - back, &rows[n]);
    return n;
}

/* ---- what it says ---- */

static struct span take(const uint8_t **at, size_t n)
{
    struct span text = span_of(*at, n);
    *at += n;
    return text;
}

static bool field_is(struct span line, struct span name, struct span *ret_value)
{
    if (!span_eq_nocase(span_sub(line, 0, name.n), name))
        return false;
    *ret_value = span_trim(span_from(line, name.n));
    return true;
}

/* "GET /path HTTP/1.1 CRLF Name: value CRLF …", perhaps cut anywhere. */
static void read_head(struct span head, struct flight_view *v)
{
    struct span line = span_cut(&head, '\r');
    v->method = span_cut(&line, ' ');
    v->target = span_cut(&line, ' ');
    while (head.n > 1) {
        head = span_from(head, 1);
        line = span_cut(&head, '\r');
        if (v->host.n == 0 && field_is(line, span_str("host: "), &v->host))
            continue;
        if (v->request_id.n == 0)
            (void)field_is(line, span_str("x-request-id: "), &v->request_id);
    }
}

static uint64_t us_between(uint64_t from_ns, uint64_t to_ns)
{
    return from_ns && to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

static size_t word_up(size_t n)
{
    return (n + 7) / 8 * 8;
}

/* Returns what is behind them. */
static const uint8_t *view_tls(const uint8_t *at, struct flight_tls *tls)
{
    uint64_t lengths = load8(at);
    at += 8;
    for (size_t i = 0; i < ARRAY_LEN(tls_texts); i++) {
        struct span text = span_of(at, lengths >> 8 * i & 0xff);
        memcpy((uint8_t *)tls + tls_texts[i].offset, &text, sizeof(text));
        at += word_up(text.n);
    }
    return at;
}

/* Behind the names, each from a word on: the id, unless it is in the head, and the head. */
static void view_head(const uint8_t *at, uint64_t lengths, bool own_id, struct flight_view *v)
{
    size_t head = lengths >> 32 & 0xff, id = lengths >> 40 & 0xff, id_at = lengths >> 48 & 0xff;
    v->request_id = span_of(at + id_at, id);
    if (own_id)
        at += word_up(id);
    read_head(span_of(at, head), v);
}

static void view_texts(const struct flight_row *row, uint64_t end, struct flight_view *v)
{
    uint64_t lengths = row->words[AT_LENGTHS];
    const uint8_t *names = (const uint8_t *)&row->words[TEXTS], *at = names;
    v->listener = take(&at, lengths & 0xff);
    v->route = take(&at, lengths >> 8 & 0xff);
    v->pool = take(&at, lengths >> 16 & 0xff);
    v->backend = take(&at, lengths >> 24 & 0xff);
    at = names + word_up((size_t)(at - names));
    if (end & HAS_TLS)
        at = view_tls(at, &v->tls);
    if (v->http)
        view_head(at, lengths, end & HAS_OWN_ID, v);
}

void flight_view(const struct flight_row *row, struct flight_view *ret_view)
{
    const uint64_t *w = row->words, peer = w[AT_PEER], end = w[AT_END];
    uint16_t reason = (uint16_t)(end >> 16);
    CHECK(reason < REASON_COUNT);
    *ret_view = (struct flight_view){
        .ended_ns = w[AT_ENDED],
        .bytes_in = w[AT_BYTES_IN],
        .bytes_out = w[AT_BYTES_OUT],
        .queue_us = us_between(w[AT_BEGUN], w[AT_PICKED]),
        .connect_us = us_between(w[AT_PICKED], w[AT_CONNECTED]),
        .response_us = us_between(w[AT_CONNECTED], w[AT_FIRST_BYTE]),
        .total_us = us_between(w[AT_BEGUN], w[AT_ENDED]),
        .client = {.kind = (enum address_kind)(end >> 32 & 0xff),
                   .port = (uint16_t)(peer >> 32),
                   .scope = (uint32_t)peer},
        .retries = (uint32_t)(peer >> 48),
        .status = (uint16_t)end,
        .reason = (enum reason)reason,
        .state = (uint8_t)(end >> 40),
        .marks = end >> 48 & ((1u << MARK_BITS) - 1),
    };
    ret_view->http = ret_view->marks & FLIGHT_PROTOCOL;
    ret_view->grpc = (uint8_t)(ret_view->marks >> FLIGHT_GRPC_SHIFT);
    memcpy(ret_view->client.ip, &w[AT_IP], sizeof(ret_view->client.ip));
    view_texts(row, end, ret_view);
}

/* SPDX-License-Identifier: MIT */
/*
 * A row is numbers, then texts, each from a word on. It is stored word by word, as relaxed atomics:
 * plain stores to the machine, and no race to the language. The number in front orders them (a
 * sequence lock with one writer).
 */
#include "account/recorder.h"

#include "base/check.h"
#include "base/region.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#define WORDS    (RECORDER_ROW_BYTES / 8 - 1)
#define NAME_CUT 63
#define ID_CUT   36
#define HEAD_CUT 160

/* Exactly the first words of a row. */
struct numbers {
    uint64_t begun_ns, picked_ns, connected_ns, first_byte_ns, ended_ns, bytes_in, bytes_out;
    uint8_t ip[16];
    uint32_t scope;
    uint16_t port, retries;
    uint16_t status, reason;
    uint8_t kind, state, http;
    uint8_t id_at; /* from the head's beginning; only without an id of its own behind the names */
    uint8_t listener, route, pool, backend; /* bytes of each text */
    uint8_t head, id, own_id, pad;
};

#define TEXTS      (sizeof(struct numbers) / 8) /* the word they begin at */
#define NAME_WORDS ((4 * NAME_CUT + 7) / 8)

static_assert(sizeof(struct numbers) % 8 == 0, "texts begin on a word");
static_assert(TEXTS + NAME_WORDS < WORDS, "names fit; the id and the head get the rest");
static_assert((WORDS - TEXTS) * 8 <= RECORDER_TEXT_MAX, "nobody finds more text");
static_assert(HEAD_CUT <= UINT8_MAX && HEAD_CUT % 8 == 0, "whole words, counted by a byte");
static_assert((RECORDER_ROWS & (RECORDER_ROWS - 1)) == 0, "rows are found by masking");

struct row {
    _Atomic uint64_t number; /* odd while it is written */
    _Atomic uint64_t words[WORDS];
};

static_assert(sizeof(struct row) == RECORDER_ROW_BYTES, "rows share no line");
static_assert(sizeof(struct flight_row) == WORDS * 8, "one form");

struct recorder {
    ALIGNED(64) _Atomic uint64_t count;
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
static inline uint8_t *put_name(uint8_t *to, const char *name, uint8_t *ret_len)
{
    size_t n = 0;
    for (; name && n < NAME_CUT && name[n]; n++)
        to[n] = (uint8_t)name[n];
    *ret_len = (uint8_t)n;
    return to + n;
}

static inline size_t store_names(_Atomic uint64_t *words, const struct flight *f, struct numbers *n)
{
    uint8_t names[NAME_WORDS * 8 + 8], *to = names;
    to = put_name(to, f->listener, &n->listener);
    to = put_name(to, f->route, &n->route);
    to = put_name(to, f->pool, &n->pool);
    to = put_name(to, f->backend, &n->backend);
    /* Up to a whole word. */
    memset(to, 0, 8);
    return store_words(words, TEXTS, names, (size_t)(to - names + 7) / 8);
}

/* An id in the part of the head that is kept need not be kept twice. */
static inline void store_head(_Atomic uint64_t *words, size_t at, const struct flight *f,
                              struct numbers *n)
{
    size_t head = MIN(f->head.n, MIN((size_t)HEAD_CUT, (WORDS - at) * 8));
    size_t id = MIN(f->request_id.n, (size_t)ID_CUT);
    size_t id_at = (uintptr_t)f->request_id.p - (uintptr_t)f->head.p;
    n->id = (uint8_t)id;
    n->id_at = (uint8_t)id_at;
    n->own_id = id > 0 && (id_at > head || id > head - id_at);
    if (n->own_id) {
        id = MIN(id, (WORDS - at) * 8);
        n->id = (uint8_t)id;
        at = store_text(words, at, f->request_id.p, id);
        head = MIN(head, (WORDS - at) * 8);
    }
    n->head = (uint8_t)head;
    if (head == HEAD_CUT)
        store_words(words, at, f->head.p, HEAD_CUT / 8);
    else
        store_text(words, at, f->head.p, head);
}

static inline void pack(_Atomic uint64_t *words, const struct flight *f)
{
    struct numbers n = {
        .begun_ns = f->begun_ns,
        .picked_ns = f->picked_ns,
        .connected_ns = f->connected_ns,
        .first_byte_ns = f->first_byte_ns,
        .ended_ns = f->ended_ns,
        .bytes_in = f->bytes_in,
        .bytes_out = f->bytes_out,
        .scope = f->client->scope,
        .status = f->status,
        .reason = f->reason,
        .port = f->client->port,
        .retries = (uint16_t)f->retries,
        .kind = (uint8_t)f->client->kind,
        .state = f->state,
        .http = f->http,
    };
    memcpy(n.ip, f->client->ip, sizeof(n.ip));
    size_t at = store_names(words, f, &n);
    if (f->http)
        store_head(words, at, f, &n);
    store_words(words, 0, &n, TEXTS);
}

void flight_pack(struct flight_row *row, const struct flight *f)
{
    struct row packed = {0};
    pack(packed.words, f);
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
    pack(row->words, f);
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

/* Behind the names, each from a word on: the id, unless it is in the head, and the head. */
static void take_head(const struct flight_row *row, const struct numbers *n, size_t names,
                      struct span *ret_id, struct span *ret_head)
{
    const uint8_t *at = (const uint8_t *)row->words + sizeof(*n) + (names + 7) / 8 * 8;
    *ret_id = span_of(at, n->id);
    if (n->own_id)
        at += (n->id + 7) / 8 * 8;
    else if (n->id > 0)
        *ret_id = span_of(at + n->id_at, n->id);
    *ret_head = span_of(at, n->head);
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

void flight_view(const struct flight_row *row, struct flight_view *ret_view)
{
    struct numbers n;
    memcpy(&n, row->words, sizeof(n));
    CHECK(n.reason < REASON_COUNT);
    *ret_view = (struct flight_view){
        .ended_ns = n.ended_ns,
        .bytes_in = n.bytes_in,
        .bytes_out = n.bytes_out,
        .queue_us = us_between(n.begun_ns, n.picked_ns),
        .connect_us = us_between(n.picked_ns, n.connected_ns),
        .response_us = us_between(n.connected_ns, n.first_byte_ns),
        .total_us = us_between(n.begun_ns, n.ended_ns),
        .client = {.kind = (enum address_kind)n.kind, .port = n.port, .scope = n.scope},
        .retries = n.retries,
        .status = n.status,
        .reason = (enum reason)n.reason,
        .state = n.state,
        .http = n.http,
    };
    memcpy(ret_view->client.ip, n.ip, sizeof(n.ip));
    const uint8_t *names = (const uint8_t *)row->words + sizeof(n), *at = names;
    ret_view->listener = take(&at, n.listener);
    ret_view->route = take(&at, n.route);
    ret_view->pool = take(&at, n.pool);
    ret_view->backend = take(&at, n.backend);
    if (n.http) {
        struct span head;
        take_head(row, &n, (size_t)(at - names), &ret_view->request_id, &head);
        read_head(head, ret_view);
    }
}

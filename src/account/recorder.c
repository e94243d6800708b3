/* SPDX-License-Identifier: MIT */
/*
 * A row is numbers, then texts one behind the other. It is made on the stack and then stored word
 * by word, as relaxed atomics: plain stores to the machine, and no race to the language. The number
 * in front orders them (a sequence lock with one writer).
 */
#include "account/recorder.h"

#include "base/check.h"
#include "base/region.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#define WORDS    (RECORDER_ROW_BYTES / 8)
#define NAME_CUT 63
#define ID_CUT   36
#define ID_USUAL 32 /* of our own ones */
#define HEAD_CUT 160

struct numbers {
    uint64_t begun_ns, picked_ns, connected_ns, first_byte_ns, ended_ns, bytes_in, bytes_out;
    uint8_t ip[16];
    uint32_t scope;
    uint16_t status, reason, port, retries;
    uint8_t kind, state, http, texts; /* bytes of text */
    uint8_t listener, route, pool, backend;
    uint8_t request_id, pad[3];
};

static_assert(sizeof(struct numbers) % 8 == 0, "texts begin on a word");
static_assert(sizeof(struct numbers) + RECORDER_TEXT_MAX + 8 <= RECORDER_ROW_BYTES, "a row fits");
static_assert(4 * NAME_CUT < RECORDER_TEXT_MAX, "names fit; the id and the head get the rest");
static_assert((RECORDER_ROWS & (RECORDER_ROWS - 1)) == 0, "rows are found by masking");

struct row {
    _Atomic uint64_t number; /* odd while it is written */
    _Atomic uint64_t words[WORDS - 1];
};

static_assert(sizeof(struct row) == RECORDER_ROW_BYTES, "rows share no line");

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

struct packed {
    union {
        struct {
            struct numbers n;
            uint8_t texts[RECORDER_TEXT_MAX];
        };
        uint64_t words[WORDS - 1];
    };
};

static_assert(sizeof(struct packed) == sizeof(struct flight_row), "one form");

/* Copies until the end or the cut; names are short, so a loop beats a call. */
static uint8_t *put_name(uint8_t *to, const char *name, uint8_t *ret_len)
{
    uint8_t *from = to;
    while (name && *name && to - from < NAME_CUT)
        *to++ = (uint8_t)*name++;
    *ret_len = (uint8_t)(to - from);
    return to;
}

static uint8_t *put_text(uint8_t *to, const uint8_t *end, struct span text, size_t cut)
{
    size_t n = MIN(MIN(text.n, cut), (size_t)(end - to));
    /* Of lengths that are known here: no call. */
    if (n == HEAD_CUT) {
        memcpy(to, text.p, HEAD_CUT);
    } else if (n == ID_USUAL) {
        memcpy(to, text.p, ID_USUAL);
    } else if (n > 0) {
        memcpy(to, text.p, n);
    }
    return to + n;
}

static void pack_texts(struct packed *p, const struct flight *f)
{
    uint8_t *to = p->texts, *end = p->texts + RECORDER_TEXT_MAX - 1;
    to = put_name(to, f->listener, &p->n.listener);
    to = put_name(to, f->route, &p->n.route);
    to = put_name(to, f->pool, &p->n.pool);
    to = put_name(to, f->backend, &p->n.backend);
    uint8_t *id = to;
    to = put_text(to, end, f->request_id, ID_CUT);
    p->n.request_id = (uint8_t)(to - id);
    to = put_text(to, end, f->head, HEAD_CUT);
    p->n.texts = (uint8_t)(to - p->texts);
}

static void pack(struct packed *p, const struct flight *f)
{
    p->n = (struct numbers){
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
    memcpy(p->n.ip, f->client->ip, sizeof(p->n.ip));
    pack_texts(p, f);
}

static size_t used_words(const struct packed *p)
{
    return (sizeof(p->n) + p->n.texts + 7) / 8;
}

void flight_pack(struct flight_row *row, const struct flight *f)
{
    struct packed p;
    pack(&p, f);
    memcpy(row->words, p.words, used_words(&p) * 8);
}

/* ---- the ring ---- */

void recorder_put(struct recorder *r, const struct flight *f)
{
    struct packed p;
    uint64_t count = atomic_load_explicit(&r->count, memory_order_relaxed);
    struct row *row = &r->rows[count & (RECORDER_ROWS - 1)];
    pack(&p, f);
    uint64_t number = atomic_load_explicit(&row->number, memory_order_relaxed);
    atomic_store_explicit(&row->number, number + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
#pragma GCC unroll 4
    for (size_t i = 0, n = used_words(&p); i < n; i++)
        atomic_store_explicit(&row->words[i], p.words[i], memory_order_relaxed);
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

static struct span take(struct span *rest, size_t n)
{
    struct span text = span_sub(*rest, 0, n);
    *rest = span_from(*rest, n);
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

void flight_view(const struct flight_row *row, struct flight_view *ret_view)
{
    struct numbers n;
    memcpy(&n, row->words, sizeof(n));
    struct span rest = span_of((const uint8_t *)row->words + sizeof(n), n.texts);
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
    ret_view->listener = take(&rest, n.listener);
    ret_view->route = take(&rest, n.route);
    ret_view->pool = take(&rest, n.pool);
    ret_view->backend = take(&rest, n.backend);
    ret_view->request_id = take(&rest, n.request_id);
    if (n.http)
        read_head(rest, ret_view);
}

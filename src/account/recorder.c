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
#define HOUR_US  UINT64_C(3600000000)

struct numbers {
    uint64_t ended_ns, bytes_in, bytes_out, total_us;
    uint32_t queue_us, connect_us, response_us, scope;
    uint16_t status, reason, port, retries;
    uint8_t kind, state, http, texts; /* bytes of text */
    uint8_t listener, route, pool, backend, request_id;
    uint8_t pad[7];
    uint8_t ip[16];
};

static_assert(sizeof(struct numbers) % 8 == 0, "texts begin on a word");
static_assert(sizeof(struct numbers) + RECORDER_TEXT_MAX + 8 <= RECORDER_ROW_BYTES, "a row fits");
static_assert(4 * NAME_CUT + ID_CUT > RECORDER_TEXT_MAX, "the head gets what names leave");
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

static uint8_t put(struct packed *p, const void *text, size_t n)
{
    n = MIN(n, (size_t)(RECORDER_TEXT_MAX - 1) - p->n.texts);
    memcpy(p->texts + p->n.texts, text, n);
    p->n.texts = (uint8_t)(p->n.texts + n);
    return (uint8_t)n;
}

static uint8_t put_name(struct packed *p, const char *name)
{
    return name ? put(p, name, strnlen(name, NAME_CUT)) : 0;
}

static void put_head(struct packed *p, struct span head)
{
    if (head.n > 0)
        (void)put(p, head.p, head.n);
}

static void pack(struct packed *p, const struct flight *f)
{
    p->n = (struct numbers){
        .ended_ns = f->ended_ns,
        .bytes_in = f->bytes_in,
        .bytes_out = f->bytes_out,
        .total_us = f->total_us,
        .queue_us = (uint32_t)MIN(f->queue_us, HOUR_US),
        .connect_us = (uint32_t)MIN(f->connect_us, HOUR_US),
        .response_us = (uint32_t)MIN(f->response_us, HOUR_US),
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
    p->n.listener = put_name(p, f->listener);
    p->n.route = put_name(p, f->route);
    p->n.pool = put_name(p, f->pool);
    p->n.backend = put_name(p, f->backend);
    p->n.request_id =
        f->request_id.n ? put(p, f->request_id.p, MIN(f->request_id.n, (size_t)ID_CUT)) : 0;
    put_head(p, f->head);
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
        .queue_us = n.queue_us,
        .connect_us = n.connect_us,
        .response_us = n.response_us,
        .total_us = n.total_us,
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

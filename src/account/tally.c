/* SPDX-License-Identifier: MIT */
/*
 * What must stay true: a row is all zeros when its birth is published, a chunk when its pointer is;
 * nothing is freed before the tally itself.
 */
#include "account/tally.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static_assert(sizeof(struct tally_backend) <= 1088, "the memory that limits.h promises");
static_assert(sizeof(struct tally_pair) <= 2048, "the memory that limits.h promises");
static_assert(BOARD_STATUSES * BOARD_METHODS < 65535, "a status and a method fit 16 bits");

struct tally *tally_new(void)
{
    return calloc(1, sizeof(struct tally));
}

static void free_front(struct tally_front *f)
{
    for (size_t i = 0; f && i < TALLY_POOL_CHUNKS; i++) {
        struct tally_pairs *chunk = atomic_load_explicit(&f->chunks[i], memory_order_relaxed);
        for (size_t k = 0; chunk && k < TALLY_CHUNK; k++)
            free(atomic_load_explicit(&chunk->pairs[k], memory_order_relaxed));
        free(chunk);
    }
    free(f);
}

void tally_free(struct tally **t)
{
    struct tally *gone = *t;
    if (!gone)
        return;
    *t = NULL;
    for (size_t i = 0; i < ARRAY_LEN(gone->fronts); i++)
        free_front(atomic_load_explicit(&gone->fronts[i], memory_order_relaxed));
    for (size_t i = 0; i < TALLY_CHUNKS; i++)
        free(atomic_load_explicit(&gone->backends[i], memory_order_relaxed));
    free(gone);
}

/* ---- making room: at the first use of a number, and when it has a new owner ---- */

static void *zeroed(size_t bytes)
{
    void *p;
    if (posix_memalign(&p, CACHE_LINE_BYTES, bytes) != 0)
        return NULL;
    return memset(p, 0, bytes);
}

static void reset_counts(struct tally_counts *c)
{
    atomic_store_explicit(&c->requests, 0, memory_order_relaxed);
    atomic_store_explicit(&c->failures, 0, memory_order_relaxed);
    atomic_store_explicit(&c->retries, 0, memory_order_relaxed);
    atomic_store_explicit(&c->bytes_in, 0, memory_order_relaxed);
    atomic_store_explicit(&c->bytes_out, 0, memory_order_relaxed);
    latency_reset(&c->latency);
}

static void reset_codes(_Atomic uint16_t *codes, _Atomic uint64_t *counts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        atomic_store_explicit(&codes[i], 0, memory_order_relaxed);
        atomic_store_explicit(&counts[i], 0, memory_order_relaxed);
    }
}

static void reset_numbers(_Atomic uint64_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        atomic_store_explicit(&numbers[i], 0, memory_order_relaxed);
}

static void own_pair(struct tally_pair *p, uint32_t birth)
{
    reset_counts(&p->counts);
    reset_codes(p->codes, p->by_code, PAIR_CODES);
    reset_numbers(p->by_class, ARRAY_LEN(p->by_class));
    p->distinct = 0;
    atomic_store_explicit(&p->birth, birth, memory_order_release);
}

static void own_backend(struct tally_backend *b, uint32_t birth)
{
    reset_counts(&b->counts);
    reset_codes(b->codes, b->by_code, BACKEND_CODES);
    reset_numbers(b->by_class, ARRAY_LEN(b->by_class));
    reset_numbers(b->connect_errors, ARRAY_LEN(b->connect_errors));
    atomic_store_explicit(&b->birth, birth, memory_order_release);
}

/* Its pairs are those of another listener: none of their births may be taken for one of ours. */
static void own_front(struct tally_front *f, uint32_t birth)
{
    for (size_t i = 0; i < TALLY_POOL_CHUNKS; i++) {
        struct tally_pairs *chunk = atomic_load_explicit(&f->chunks[i], memory_order_relaxed);
        for (size_t k = 0; chunk && k < TALLY_CHUNK; k++) {
            struct tally_pair *p = atomic_load_explicit(&chunk->pairs[k], memory_order_relaxed);
            if (p)
                atomic_store_explicit(&p->birth, 0, memory_order_relaxed);
        }
    }
    atomic_store_explicit(&f->connections, 0, memory_order_relaxed);
    atomic_store_explicit(&f->birth, birth, memory_order_release);
}

static COLD NOINLINE struct tally_front *take_front(struct tally *t, struct board_key key)
{
    if (key.birth == 0 || key.number >= BOARD_LISTENERS_MAX)
        return NULL;
    struct tally_front *f = atomic_load_explicit(&t->fronts[key.number], memory_order_relaxed);
    if (!f) {
        f = zeroed(sizeof(*f));
        if (!f)
            return NULL;
        atomic_store_explicit(&t->fronts[key.number], f, memory_order_release);
    }
    own_front(f, key.birth);
    return f;
}

static COLD NOINLINE struct tally_pair *take_pair(struct tally_front *f, uint32_t at,
                                                  uint32_t birth)
{
    if (birth == 0 || at >= BOARD_POOLS_MAX)
        return NULL;
    _Atomic(struct tally_pairs *) *place = &f->chunks[at / TALLY_CHUNK];
    struct tally_pairs *chunk = atomic_load_explicit(place, memory_order_relaxed);
    if (!chunk) {
        chunk = zeroed(sizeof(*chunk));
        if (!chunk)
            return NULL;
        atomic_store_explicit(place, chunk, memory_order_release);
    }
    struct tally_pair *p =
        atomic_load_explicit(&chunk->pairs[at % TALLY_CHUNK], memory_order_relaxed);
    if (!p) {
        p = zeroed(sizeof(*p));
        if (!p)
            return NULL;
        atomic_store_explicit(&chunk->pairs[at % TALLY_CHUNK], p, memory_order_release);
    }
    own_pair(p, birth);
    return p;
}

static COLD NOINLINE struct tally_backend *take_backend(struct tally *t, struct board_key key)
{
    if (key.birth == 0 || key.number >= BOARD_BACKENDS_MAX)
        return NULL;
    _Atomic(struct tally_backend *) *place = &t->backends[key.number / TALLY_CHUNK];
    struct tally_backend *chunk = atomic_load_explicit(place, memory_order_relaxed);
    if (!chunk) {
        chunk = zeroed(TALLY_CHUNK * sizeof(*chunk));
        if (!chunk)
            return NULL;
        atomic_store_explicit(place, chunk, memory_order_release);
    }
    struct tally_backend *b = &chunk[key.number % TALLY_CHUNK];
    own_backend(b, key.birth);
    return b;
}

/* ---- finding rows ---- */

const struct tally_front *tally_find_front(const struct tally *t, struct board_key key)
{
    if (key.number >= BOARD_LISTENERS_MAX)
        return NULL;
    const struct tally_front *f =
        atomic_load_explicit(&t->fronts[key.number], memory_order_acquire);
    bool its = f && key.birth && atomic_load_explicit(&f->birth, memory_order_acquire) == key.birth;
    return its ? f : NULL;
}

const struct tally_pair *tally_find_pair(const struct tally_front *f, struct board_key listener,
                                         const struct board_key *pool)
{
    uint32_t at = pool ? pool->number + 1 : 0, birth = pool ? pool->birth : listener.birth;
    if (at >= BOARD_POOLS_MAX)
        return NULL;
    const struct tally_pairs *chunk =
        atomic_load_explicit(&f->chunks[at / TALLY_CHUNK], memory_order_acquire);
    const struct tally_pair *p =
        chunk ? atomic_load_explicit(&chunk->pairs[at % TALLY_CHUNK], memory_order_acquire) : NULL;
    return p && atomic_load_explicit(&p->birth, memory_order_acquire) == birth ? p : NULL;
}

const struct tally_backend *tally_find_backend(const struct tally *t, struct board_key key)
{
    if (key.number >= BOARD_BACKENDS_MAX)
        return NULL;
    const struct tally_backend *b =
        atomic_load_explicit(&t->backends[key.number / TALLY_CHUNK], memory_order_acquire);
    if (!b || key.birth == 0)
        return NULL;
    b += key.number % TALLY_CHUNK;
    return atomic_load_explicit(&b->birth, memory_order_acquire) == key.birth ? b : NULL;
}

static inline struct tally_front *front_of(struct tally *t, struct board_key key)
{
    struct tally_front *f = NULL;
    if (LIKELY(key.number < BOARD_LISTENERS_MAX))
        f = atomic_load_explicit(&t->fronts[key.number], memory_order_relaxed);
    if (LIKELY(f && atomic_load_explicit(&f->birth, memory_order_relaxed) == key.birth))
        return f;
    return take_front(t, key);
}

static inline struct tally_pair *pair_of(struct tally_front *f, uint32_t at, uint32_t birth)
{
    const struct tally_pairs *chunk = NULL;
    if (LIKELY(at < BOARD_POOLS_MAX))
        chunk = atomic_load_explicit(&f->chunks[at / TALLY_CHUNK], memory_order_relaxed);
    struct tally_pair *p = NULL;
    if (LIKELY(chunk))
        p = atomic_load_explicit(&chunk->pairs[at % TALLY_CHUNK], memory_order_relaxed);
    if (LIKELY(p && atomic_load_explicit(&p->birth, memory_order_relaxed) == birth))
        return p;
    return take_pair(f, at, birth);
}

static inline struct tally_backend *backend_of(struct tally *t, struct board_key key)
{
    struct tally_backend *b = NULL;
    if (LIKELY(key.number < BOARD_BACKENDS_MAX))
        b = atomic_load_explicit(&t->backends[key.number / TALLY_CHUNK], memory_order_relaxed);
    if (LIKELY(b)) {
        b += key.number % TALLY_CHUNK;
        if (LIKELY(atomic_load_explicit(&b->birth, memory_order_relaxed) == key.birth))
            return b;
    }
    return take_backend(t, key);
}

/* ---- counting ---- */

/* The place of a code, or -1: there are too many. Few codes are in use, and the usual one was the
 * first in its place. */
static inline int code_place(_Atomic uint16_t *codes, uint32_t mask, uint16_t code)
{
    uint32_t at = (code * 0x9e3779b1u >> 16) & mask;
    for (uint32_t n = 0; n <= mask; n++, at = (at + 1) & mask) {
        uint16_t found = atomic_load_explicit(&codes[at], memory_order_relaxed);
        if (LIKELY(found == code + 1))
            return (int)at;
        if (found == 0)
            return ~(int)at; /* free */
    }
    return INT32_MIN;
}

static COLD NOINLINE void count_pair_first(struct tally_pair *p, int place,
                                           const struct account_count *c)
{
    uint16_t status = MIN(c->status, (uint16_t)(BOARD_STATUSES - 1));
    if (place == INT32_MIN || p->distinct >= PAIR_CODES_MAX) {
        uint32_t class = MIN(status / 100u, BOARD_CLASSES - 1u);
        histogram_bump(&p->by_class[class * BOARD_METHODS + c->method], 1);
        return;
    }
    p->distinct++;
    atomic_store_explicit(&p->codes[~place], tally_code(status, c->method) + 1,
                          memory_order_relaxed);
    histogram_bump(&p->by_code[~place], 1);
}

static COLD NOINLINE void count_backend_first(struct tally_backend *b, int place, uint16_t status)
{
    if (place == INT32_MIN) {
        histogram_bump(&b->by_class[MIN(status / 100u, BOARD_CLASSES - 1u)], 1);
        return;
    }
    atomic_store_explicit(&b->codes[~place], status + 1, memory_order_relaxed);
    histogram_bump(&b->by_code[~place], 1);
}

void tally_exchange(struct tally *t, const struct account_count *c)
{
    CHECK(c->method < BOARD_METHODS);
    struct tally_front *f = front_of(t, *c->listener);
    struct tally_pair *p = NULL;
    if (LIKELY(f))
        p = pair_of(f, c->pool ? c->pool->number + 1 : 0,
                    c->pool ? c->pool->birth : c->listener->birth);
    if (UNLIKELY(!p)) {
        histogram_bump(&t->untold, 1);
        return;
    }
    histogram_bump(&p->counts.requests, 1);
    histogram_bump(&p->counts.bytes_in, c->bytes_in);
    histogram_bump(&p->counts.bytes_out, c->bytes_out);
    latency_add(&p->counts.latency, c->total_us);
    if (UNLIKELY(c->retries))
        histogram_bump(&p->counts.retries, c->retries);
    if (UNLIKELY(c->reason != REASON_ok) && reason_fault(c->reason) == REASON_FAULT_BACKEND)
        histogram_bump(&p->counts.failures, 1);
    uint16_t status = MIN(c->status, (uint16_t)(BOARD_STATUSES - 1));
    int place = code_place(p->codes, PAIR_CODES - 1, tally_code(status, c->method));
    if (LIKELY(place >= 0))
        histogram_bump(&p->by_code[place], 1);
    else
        count_pair_first(p, place, c);
}

static COLD NOINLINE void count_failure(struct tally_backend *b, enum reason why)
{
    histogram_bump(&b->counts.failures, 1);
    for (size_t i = 0; i < BOARD_CONNECT_REASONS; i++) {
        if (board_connect_reason(i) == why)
            histogram_bump(&b->connect_errors[i], 1);
    }
}

void tally_left(struct tally *t, const struct board_key *backend, const struct account_left *l)
{
    struct tally_backend *b = backend_of(t, *backend);
    if (UNLIKELY(!b)) {
        histogram_bump(&t->untold, 1);
        return;
    }
    histogram_bump(&b->counts.requests, 1);
    histogram_bump(&b->counts.bytes_in, l->bytes_in);
    histogram_bump(&b->counts.bytes_out, l->bytes_out);
    latency_add(&b->counts.latency, l->us);
    if (UNLIKELY(l->failure != REASON_ok))
        count_failure(b, l->failure);
    uint16_t status = MIN(l->status, (uint16_t)(BOARD_STATUSES - 1));
    int place = code_place(b->codes, BACKEND_CODES - 1, status);
    if (LIKELY(place >= 0))
        histogram_bump(&b->by_code[place], 1);
    else
        count_backend_first(b, place, status);
}

void tally_retried(struct tally *t, const struct board_key *backend)
{
    struct tally_backend *b = backend_of(t, *backend);
    if (b)
        histogram_bump(&b->counts.retries, 1);
}

void tally_connection(struct tally *t, const struct board_key *listener)
{
    struct tally_front *f = front_of(t, *listener);
    if (f)
        histogram_bump(&f->connections, 1);
}

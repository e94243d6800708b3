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
static_assert(BOARD_GRPC == RECORD_GRPC_COUNT, "one for each");
static_assert(BOARD_STATUSES <= 1 << TALLY_STATUS_BITS, "a status fits its part of a code");
static_assert(BOARD_METHODS << TALLY_STATUS_BITS < 65535, "a status and a method fit 16 bits");

struct tally *tally_new(void)
{
    return calloc(1, sizeof(struct tally));
}

static void free_pair(struct tally_pair *p)
{
    if (p)
        free(atomic_load_explicit(&p->calls, memory_order_relaxed));
    free(p);
}

static void free_front(struct tally_front *f)
{
    for (size_t i = 0; f && i < TALLY_POOL_CHUNKS; i++) {
        struct tally_pairs *chunk = atomic_load_explicit(&f->chunks[i], memory_order_relaxed);
        for (size_t k = 0; chunk && k < TALLY_CHUNK; k++)
            free_pair(atomic_load_explicit(&chunk->pairs[k], memory_order_relaxed));
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
    for (size_t i = 0; i < ARRAY_LEN(gone->backends); i++)
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

static void keep_counts(struct tally_past *past, const struct tally_pair *p)
{
    uint64_t classes[BOARD_CLASSES] = {0};
    tally_classes(p, classes);
    for (size_t i = 0; i < BOARD_CLASSES; i++)
        histogram_bump(&past->by_class[i], classes[i]);
    const struct tally_counts *c = &p->counts;
    histogram_bump(&past->counts.failures, histogram_load(&c->failures));
    histogram_bump(&past->counts.retries, histogram_load(&c->retries));
    histogram_bump(&past->counts.bytes_in, histogram_load(&c->bytes_in));
    histogram_bump(&past->counts.bytes_out, histogram_load(&c->bytes_out));
    histogram_bump(&past->counts.latency.sum, histogram_load(&c->latency.sum));
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        histogram_bump(&past->counts.latency.buckets[i], histogram_load(&c->latency.buckets[i]));
}

/* Who reads the totals meanwhile may see some counts twice, but none missing. */
static void own_pair(struct tally *t, struct tally_front *f, struct tally_pair *p, uint32_t birth)
{
    if (atomic_load_explicit(&p->birth, memory_order_relaxed) != 0) {
        keep_counts(&t->gone, p);
        keep_counts(&f->gone, p);
    }
    reset_counts(&p->counts);
    reset_codes(p->codes, p->by_code, PAIR_CODES);
    reset_numbers(p->by_class, ARRAY_LEN(p->by_class));
    struct tally_calls *calls = atomic_load_explicit(&p->calls, memory_order_relaxed);
    if (calls)
        reset_numbers(calls->by_status, BOARD_GRPC);
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
static void own_front(struct tally *t, struct tally_front *f, uint32_t birth)
{
    for (size_t i = 0; i < TALLY_POOL_CHUNKS; i++) {
        struct tally_pairs *chunk = atomic_load_explicit(&f->chunks[i], memory_order_relaxed);
        for (size_t k = 0; chunk && k < TALLY_CHUNK; k++) {
            struct tally_pair *p = atomic_load_explicit(&chunk->pairs[k], memory_order_relaxed);
            if (p)
                own_pair(t, f, p, 0);
        }
    }
    atomic_store_explicit(&f->connections, 0, memory_order_relaxed);
    reset_numbers(f->tunnels, BOARD_TUNNELS);
    reset_numbers(f->tunnels_ended, BOARD_TUNNELS);
    reset_numbers(f->handshakes, BOARD_HANDSHAKES);
    reset_numbers(f->handshakes_failed, BOARD_HANDSHAKE_REASONS);
    reset_counts(&f->gone.counts);
    reset_numbers(f->gone.by_class, BOARD_CLASSES);
    atomic_store_explicit(&f->birth, birth, memory_order_release);
}

static COLD NOINLINE struct tally_front *take_front(struct tally *t, const struct board_key *key)
{
    if (key->birth == 0 || key->number >= BOARD_LISTENERS_MAX)
        return NULL;
    struct tally_front *f = atomic_load_explicit(&t->fronts[key->number], memory_order_relaxed);
    if (!f) {
        f = zeroed(sizeof(*f));
        if (!f)
            return NULL;
        atomic_store_explicit(&t->fronts[key->number], f, memory_order_release);
        if (key->number >= tally_front_count(t))
            atomic_store_explicit(&t->front_count, key->number + 1, memory_order_relaxed);
    }
    own_front(t, f, key->birth);
    return f;
}

static COLD NOINLINE struct tally_pair *take_pair(struct tally *t, struct tally_front *f,
                                                  uint32_t at, uint32_t birth)
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
    own_pair(t, f, p, birth);
    return p;
}

static COLD NOINLINE struct tally_backend *take_backend(struct tally *t,
                                                        const struct board_key *key)
{
    if (key->birth == 0 || key->number >= BOARD_BACKENDS_MAX)
        return NULL;
    _Atomic(struct tally_backend *) *place = &t->backends[key->number / TALLY_ROWS];
    struct tally_backend *b = atomic_load_explicit(place, memory_order_relaxed);
    if (!b) {
        b = zeroed(TALLY_ROWS * sizeof(*b));
        if (!b)
            return NULL;
        atomic_store_explicit(place, b, memory_order_release);
    }
    b += key->number % TALLY_ROWS;
    own_backend(b, key->birth);
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
    bool its = p && birth && atomic_load_explicit(&p->birth, memory_order_acquire) == birth;
    return its ? p : NULL;
}

const struct tally_backend *tally_find_backend(const struct tally *t, struct board_key key)
{
    if (key.number >= BOARD_BACKENDS_MAX)
        return NULL;
    const struct tally_backend *b =
        atomic_load_explicit(&t->backends[key.number / TALLY_ROWS], memory_order_acquire);
    if (!b || key.birth == 0)
        return NULL;
    b += key.number % TALLY_ROWS;
    return atomic_load_explicit(&b->birth, memory_order_acquire) == key.birth ? b : NULL;
}

const struct tally_pair *tally_next_pair(const struct tally_front *f, uint32_t *at)
{
    while (*at < BOARD_POOLS_MAX) {
        const struct tally_pairs *chunk =
            atomic_load_explicit(&f->chunks[*at / TALLY_CHUNK], memory_order_acquire);
        if (!chunk) {
            *at += TALLY_CHUNK;
            continue;
        }
        const struct tally_pair *p =
            atomic_load_explicit(&chunk->pairs[*at % TALLY_CHUNK], memory_order_acquire);
        ++*at;
        if (p)
            return p;
    }
    return NULL;
}

void tally_classes(const struct tally_pair *p, uint64_t add_to[BOARD_CLASSES])
{
    for (size_t i = 0; i < PAIR_CODES; i++) {
        uint32_t code = atomic_load_explicit(&p->codes[i], memory_order_relaxed);
        if (code > 0)
            add_to[MIN(tally_status(code - 1) / 100u, BOARD_CLASSES - 1u)] +=
                histogram_load(&p->by_code[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(p->by_class); i++)
        add_to[i / BOARD_METHODS] += histogram_load(&p->by_class[i]);
}

void tally_add(const struct tally_counts *c, struct board_sum *add_to)
{
    add_to->failures += histogram_load(&c->failures);
    add_to->retries += histogram_load(&c->retries);
    add_to->bytes_in += histogram_load(&c->bytes_in);
    add_to->bytes_out += histogram_load(&c->bytes_out);
    latency_read(&c->latency, &add_to->latency);
    add_to->requests = add_to->latency.count;
}

void tally_past_add(const struct tally_past *past, struct board_sum *add_to,
                    uint64_t classes[BOARD_CLASSES])
{
    tally_add(&past->counts, add_to);
    for (size_t i = 0; i < BOARD_CLASSES; i++)
        classes[i] += histogram_load(&past->by_class[i]);
}

void tally_pair_add(const struct tally_pair *p, struct board_sum *add_to,
                    uint64_t classes[BOARD_CLASSES])
{
    tally_add(&p->counts, add_to);
    tally_classes(p, classes);
}

void tally_all(const struct tally *t, struct board_sum *add_to, uint64_t classes[BOARD_CLASSES])
{
    tally_pair_add(&t->nowhere, add_to, classes);
    tally_past_add(&t->gone, add_to, classes);
    for (uint32_t i = 0; i < tally_front_count(t); i++) {
        const struct tally_front *f = tally_front_at(t, i);
        uint32_t at = 0;
        for (const struct tally_pair *p; f && (p = tally_next_pair(f, &at));)
            tally_pair_add(p, add_to, classes);
    }
}

static inline struct tally_front *front_of(struct tally *t, const struct board_key *key)
{
    struct tally_front *f = NULL;
    if (LIKELY(key->number < BOARD_LISTENERS_MAX))
        f = atomic_load_explicit(&t->fronts[key->number], memory_order_relaxed);
    if (LIKELY(f) && LIKELY(atomic_load_explicit(&f->birth, memory_order_relaxed) == key->birth))
        return f;
    return take_front(t, key);
}

static inline struct tally_pair *pair_of(struct tally *t, struct tally_front *f, uint32_t at,
                                         uint32_t birth)
{
    const struct tally_pairs *chunk = NULL;
    if (LIKELY(at < BOARD_POOLS_MAX))
        chunk = atomic_load_explicit(&f->chunks[at / TALLY_CHUNK], memory_order_relaxed);
    struct tally_pair *p = NULL;
    if (LIKELY(chunk))
        p = atomic_load_explicit(&chunk->pairs[at % TALLY_CHUNK], memory_order_relaxed);
    if (LIKELY(p) && LIKELY(atomic_load_explicit(&p->birth, memory_order_relaxed) == birth))
        return p;
    return take_pair(t, f, at, birth);
}

static inline struct tally_backend *backend_of(struct tally *t, const struct board_key *key)
{
    struct tally_backend *b = NULL;
    if (LIKELY(key->number < BOARD_BACKENDS_MAX))
        b = atomic_load_explicit(&t->backends[key->number / TALLY_ROWS], memory_order_relaxed);
    if (LIKELY(b)) {
        b += key->number % TALLY_ROWS;
        if (LIKELY(atomic_load_explicit(&b->birth, memory_order_relaxed) == key->birth))
            return b;
    }
    return take_backend(t, key);
}

/* ---- counting ---- */

#define NO_PLACE INT32_MIN

/* The place of a code; ~place where it could be put; or NO_PLACE. */
static inline int32_t code_place(const _Atomic uint16_t *codes, uint32_t mask, uint32_t code)
{
    uint32_t at = (code ^ code >> 7) & mask;
    for (uint32_t n = 0; n <= mask; n++, at = (at + 1) & mask) {
        uint32_t found = atomic_load_explicit(&codes[at], memory_order_relaxed);
        if (LIKELY(found == code + 1))
            return (int32_t)at;
        if (found == 0)
            return ~(int32_t)at;
    }
    return NO_PLACE;
}

static size_t class_of(uint32_t status)
{
    return MIN(status / 100, BOARD_CLASSES - 1u);
}

/* A code that is seen for the first time, or one too many. */
static COLD NOINLINE void count_pair_code(struct tally_pair *p, int32_t place, uint32_t status,
                                          uint32_t method)
{
    if (status >= BOARD_STATUSES || place == NO_PLACE || p->distinct == PAIR_CODES_MAX) {
        histogram_bump(&p->by_class[class_of(status) * BOARD_METHODS + method], 1);
        return;
    }
    p->distinct++;
    atomic_store_explicit(&p->codes[~place], (uint16_t)(tally_code(status, method) + 1),
                          memory_order_relaxed);
    histogram_bump(&p->by_code[~place], 1);
}

static COLD NOINLINE void count_backend_code(struct tally_backend *b, int32_t place,
                                             uint32_t status)
{
    if (status >= BOARD_STATUSES || place == NO_PLACE) {
        histogram_bump(&b->by_class[class_of(status)], 1);
        return;
    }
    atomic_store_explicit(&b->codes[~place], (uint16_t)(status + 1), memory_order_relaxed);
    histogram_bump(&b->by_code[~place], 1);
}

static inline void count_common(struct tally_counts *c, uint64_t bytes_in, uint64_t bytes_out,
                                uint64_t ns)
{
    histogram_bump(&c->bytes_in, bytes_in);
    histogram_bump(&c->bytes_out, bytes_out);
    latency_add(&c->latency, ns);
}

static COLD NOINLINE struct tally_pair *no_pair(struct tally *t, bool of_a_listener)
{
    if (of_a_listener)
        histogram_bump(&t->untold, 1);
    return &t->nowhere;
}

/* NULL where there is no room for it. */
static inline struct tally_pair *find_room(struct tally *t, const struct board_key *listener,
                                           const struct board_key *pool)
{
    struct tally_front *f = LIKELY(listener) ? front_of(t, listener) : NULL;
    if (UNLIKELY(!f))
        return NULL;
    return pool ? pair_of(t, f, pool->number + 1, pool->birth) : pair_of(t, f, 0, listener->birth);
}

static inline struct tally_pair *pair_for(struct tally *t, const struct account_count *c)
{
    struct tally_pair *p = find_room(t, c->listener, c->pool);
    return LIKELY(p) ? p : no_pair(t, c->listener);
}

static COLD NOINLINE void count_bad_end(struct tally_counts *c, enum reason why)
{
    if (reason_fault(why) == REASON_FAULT_BACKEND)
        histogram_bump(&c->failures, 1);
}

void tally_exchange(struct tally *t, const struct account_count *c)
{
    struct tally_pair *p = pair_for(t, c);
    count_common(&p->counts, c->bytes_in, c->bytes_out, c->total_ns);
    if (UNLIKELY(c->retries))
        histogram_bump(&p->counts.retries, c->retries);
    if (UNLIKELY(c->reason != REASON_ok))
        count_bad_end(&p->counts, c->reason);
    int32_t place = code_place(p->codes, PAIR_CODES - 1, tally_code(c->status, c->method));
    if (LIKELY(place >= 0))
        histogram_bump(&p->by_code[place], 1);
    else
        count_pair_code(p, place, c->status, c->method);
}

/* Its exchange is counted besides, and where there is no room for that, it is told there. */
COLD NOINLINE void tally_call(struct tally *t, const struct board_key *listener,
                              const struct board_key *pool, uint8_t grpc)
{
    struct tally_pair *p = find_room(t, listener, pool);
    if (!p)
        return;
    struct tally_calls *calls = atomic_load_explicit(&p->calls, memory_order_relaxed);
    if (UNLIKELY(!calls)) {
        calls = calloc(1, sizeof(*calls));
        if (!calls)
            return;
        atomic_store_explicit(&p->calls, calls, memory_order_release);
    }
    CHECK(grpc >= RECORD_GRPC_NONE && grpc - RECORD_GRPC_NONE < BOARD_GRPC);
    histogram_bump(&calls->by_status[grpc - RECORD_GRPC_NONE], 1);
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
    struct tally_backend *b = backend_of(t, backend);
    if (UNLIKELY(!b)) {
        histogram_bump(&t->untold, 1);
        return;
    }
    count_common(&b->counts, l->bytes_in, l->bytes_out, l->ns);
    if (UNLIKELY(l->failure != REASON_ok))
        count_failure(b, l->failure);
    int32_t place = code_place(b->codes, BACKEND_CODES - 1, l->status);
    if (LIKELY(place >= 0))
        histogram_bump(&b->by_code[place], 1);
    else
        count_backend_code(b, place, l->status);
}

void tally_retried(struct tally *t, const struct board_key *backend)
{
    struct tally_backend *b = backend_of(t, backend);
    if (b)
        histogram_bump(&b->counts.retries, 1);
}

void tally_connection(struct tally *t, const struct board_key *listener)
{
    struct tally_front *f = front_of(t, listener);
    if (f)
        histogram_bump(&f->connections, 1);
}

void tally_tunnel(struct tally *t, const struct board_key *listener, enum board_tunnel kind,
                  bool begun)
{
    struct tally_front *f = front_of(t, listener);
    if (f)
        histogram_bump(begun ? &f->tunnels[kind] : &f->tunnels_ended[kind], 1);
}

void tally_handshake(struct tally *t, const struct board_key *listener, bool tls13, bool resumed)
{
    struct tally_front *f = front_of(t, listener);
    if (f)
        histogram_bump(&f->handshakes[board_handshake(tls13, resumed)], 1);
}

void tally_handshake_failed(struct tally *t, const struct board_key *listener, enum reason why)
{
    struct tally_front *f = front_of(t, listener);
    size_t i = 0;
    while (i < BOARD_HANDSHAKE_REASONS - 1 && board_handshake_reason(i) != why)
        i++;
    if (f)
        histogram_bump(&f->handshakes_failed[i], 1);
}

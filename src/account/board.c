/* SPDX-License-Identifier: MIT */
/* Reads the tallies of all accounts; writes nothing of theirs. */
#include "account/board.h"

#include "account/tally.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

struct account_board {
    uint32_t count, room;
    const struct account *accounts[];
};

struct board_key board_key(uint32_t number)
{
    static _Atomic uint32_t births;
    uint32_t birth;
    do
        birth = atomic_fetch_add_explicit(&births, 1, memory_order_relaxed) + 1;
    while (birth == 0);
    return (struct board_key){number, birth};
}

enum reason board_connect_reason(size_t i)
{
    static const enum reason reasons[BOARD_CONNECT_REASONS] = {
        REASON_connect_refused,     REASON_connect_timeout,  REASON_connect_unreachable,
        REASON_connect_failed,      REASON_unresolved,       REASON_backend_tls_failed,
        REASON_backend_certificate, REASON_backend_no_http2, REASON_backend_no_http1,
        REASON_stream_refused,
    };
    CHECK(i < BOARD_CONNECT_REASONS);
    return reasons[i];
}

enum reason board_handshake_reason(size_t i)
{
    static const enum reason reasons[BOARD_HANDSHAKE_REASONS] = {
        REASON_not_tls,
        REASON_tls_client_certificate,
        REASON_tls_alert,
        REASON_tls_bad_record,
        REASON_tls_truncated,
        REASON_handshake_timeout,
        REASON_tls_handshake_failed,
    };
    CHECK(i < BOARD_HANDSHAKE_REASONS);
    return reasons[i];
}

struct account_board *board_new(uint32_t count)
{
    struct account_board *b = calloc(1, sizeof(*b) + count * sizeof(b->accounts[0]));
    if (b)
        b->room = count;
    return b;
}

const struct account_board *board_empty(void)
{
    static const struct account_board empty;
    return &empty;
}

void board_add(struct account_board *b, const struct account *a)
{
    CHECK(b->count < b->room);
    b->accounts[b->count++] = a;
}

void board_free(struct account_board **b)
{
    free(*b);
    *b = NULL;
}

uint32_t board_accounts(const struct account_board *b)
{
    return b->count;
}

const struct account *board_account(const struct account_board *b, uint32_t index)
{
    CHECK(index < b->count);
    return b->accounts[index];
}

static const struct tally *tally_of(const struct account_board *b, uint32_t index)
{
    return account_tally(b->accounts[index]);
}

uint64_t board_reason(const struct account_board *b, enum reason reason)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < b->count; i++)
        sum += account_reason(b->accounts[i], reason);
    return sum;
}

uint64_t board_records_dropped(const struct account_board *b)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < b->count; i++)
        sum += account_records_dropped(b->accounts[i]);
    return sum;
}

uint64_t board_untold(const struct account_board *b)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < b->count; i++)
        sum += histogram_load(&tally_of(b, i)->untold);
    return sum;
}

/* ---- by listener and pool ---- */

uint64_t board_connections(const struct account_board *b, struct board_key listener)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_front *f = tally_find_front(tally_of(b, i), listener);
        if (f)
            sum += histogram_load(&f->connections);
    }
    return sum;
}

void board_tunnels(const struct account_board *b, struct board_key listener,
                   struct board_tunnels *add_to)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_front *f = tally_find_front(tally_of(b, i), listener);
        for (size_t k = 0; f && k < BOARD_TUNNELS; k++) {
            uint64_t ended = histogram_load(&f->tunnels_ended[k]);
            uint64_t begun = histogram_load(&f->tunnels[k]);
            add_to->ended[k] += ended;
            add_to->begun[k] += MAX(begun, ended); /* they are counted while we read */
        }
    }
}

void board_tls(const struct account_board *b, struct board_key listener,
               struct board_handshakes *add_to)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_front *f = tally_find_front(tally_of(b, i), listener);
        for (size_t k = 0; f && k < BOARD_HANDSHAKES; k++)
            add_to->done[k] += histogram_load(&f->handshakes[k]);
        for (size_t k = 0; f && k < BOARD_HANDSHAKE_REASONS; k++)
            add_to->failed[k] += histogram_load(&f->handshakes_failed[k]);
    }
}

/* The first entry from `at` on that is there in this worker. */
static uint32_t next_entry(const struct tally_front *f, uint32_t at)
{
    for (; at < BOARD_POOLS_MAX; at++) {
        const struct tally_pairs *chunk =
            atomic_load_explicit(&f->chunks[at / TALLY_CHUNK], memory_order_acquire);
        if (!chunk)
            at |= TALLY_CHUNK - 1; /* on to the next chunk */
        else if (atomic_load_explicit(&chunk->pairs[at % TALLY_CHUNK], memory_order_acquire))
            return at;
    }
    return BOARD_POOLS_MAX;
}

bool board_next_pool(const struct account_board *b, struct board_key listener, uint32_t *at,
                     uint32_t *ret_pool_number)
{
    uint32_t next = BOARD_POOLS_MAX;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_front *f = tally_find_front(tally_of(b, i), listener);
        if (f)
            next = MIN(next, next_entry(f, *at));
    }
    if (next >= BOARD_POOLS_MAX)
        return false;
    *ret_pool_number = next == 0 ? BOARD_NO_POOL : next - 1;
    *at = next + 1;
    return true;
}

static const struct tally_pair *pair_in(const struct account_board *b, uint32_t index,
                                        struct board_key listener, const struct board_key *pool)
{
    const struct tally_front *f = tally_find_front(tally_of(b, index), listener);
    return f ? tally_find_pair(f, listener, pool) : NULL;
}

bool board_pair(const struct account_board *b, struct board_key listener,
                const struct board_key *pool, struct board_sum *add_to)
{
    bool any = false;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_pair *p = pair_in(b, i, listener, pool);
        if (p)
            tally_add(&p->counts, add_to);
        any |= p != NULL;
    }
    return any;
}

void board_codes_clear(struct board_codes *c)
{
    c->count = 0;
    memset(c->by_class, 0, sizeof(c->by_class));
}

static uint32_t class_of(uint32_t status)
{
    return MIN(status / 100, BOARD_CLASSES - 1u);
}

static void add_code(struct board_codes *to, uint16_t status, uint8_t method, uint64_t count)
{
    uint32_t i = 0;
    while (i < to->count && (to->codes[i].status != status || to->codes[i].method != method))
        i++;
    if (i == BOARD_CODES_MAX) {
        to->by_class[class_of(status)][method] += count;
        return;
    }
    if (i == to->count)
        to->codes[to->count++] = (struct board_code){status, method, 0};
    to->codes[i].count += count;
}

void board_pair_codes(const struct account_board *b, struct board_key listener,
                      const struct board_key *pool, struct board_codes *add_to)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_pair *p = pair_in(b, i, listener, pool);
        for (size_t k = 0; p && k < PAIR_CODES; k++) {
            uint32_t code = atomic_load_explicit(&p->codes[k], memory_order_relaxed);
            if (code > 0)
                add_code(add_to, tally_status(code - 1), tally_method(code - 1),
                         histogram_load(&p->by_code[k]));
        }
        for (size_t k = 0; p && k < ARRAY_LEN(p->by_class); k++)
            add_to->by_class[k / BOARD_METHODS][k % BOARD_METHODS] +=
                histogram_load(&p->by_class[k]);
    }
}

void board_pair_grpc(const struct account_board *b, struct board_key listener,
                     const struct board_key *pool, uint64_t add_to[BOARD_GRPC])
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_pair *p = pair_in(b, i, listener, pool);
        const struct tally_calls *calls =
            p ? atomic_load_explicit(&p->calls, memory_order_acquire) : NULL;
        for (size_t k = 0; calls && k < BOARD_GRPC; k++)
            add_to[k] += histogram_load(&calls->by_status[k]);
    }
}

void board_listener(const struct account_board *b, struct board_key listener,
                    struct board_sum *add_to, uint64_t classes[BOARD_CLASSES])
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_front *f = tally_find_front(tally_of(b, i), listener);
        if (!f)
            continue;
        tally_past_add(&f->gone, add_to, classes);
        uint32_t at = 0;
        for (const struct tally_pair *p; (p = tally_next_pair(f, &at));)
            tally_pair_add(p, add_to, classes);
    }
}

void board_pool(const struct account_board *b, struct board_key pool, struct board_sum *add_to,
                uint64_t classes[BOARD_CLASSES])
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally *t = tally_of(b, i);
        for (uint32_t k = 0; k < tally_front_count(t); k++) {
            const struct tally_front *f = tally_front_at(t, k);
            const struct tally_pair *p =
                f ? tally_find_pair(f, (struct board_key){0}, &pool) : NULL;
            if (p)
                tally_pair_add(p, add_to, classes);
        }
    }
}

void board_process(const struct account_board *b, struct board_sum *add_to,
                   uint64_t classes[BOARD_CLASSES])
{
    for (uint32_t i = 0; i < b->count; i++)
        tally_all(tally_of(b, i), add_to, classes);
}

/* ---- by backend ---- */

uint64_t board_backend_requests(const struct account_board *b, struct board_key backend)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_backend *row = tally_find_backend(tally_of(b, i), backend);
        if (row)
            sum += latency_count(&row->counts.latency);
    }
    return sum;
}

bool board_backend(const struct account_board *b, struct board_key backend,
                   struct board_sum *add_to)
{
    bool any = false;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_backend *row = tally_find_backend(tally_of(b, i), backend);
        if (row)
            tally_add(&row->counts, add_to);
        any |= row != NULL;
    }
    return any;
}

void board_backend_codes(const struct account_board *b, struct board_key backend,
                         struct board_codes *add_to)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_backend *row = tally_find_backend(tally_of(b, i), backend);
        for (size_t k = 0; row && k < BACKEND_CODES; k++) {
            uint16_t code = atomic_load_explicit(&row->codes[k], memory_order_relaxed);
            if (code > 0)
                add_code(add_to, code - 1, BOARD_METHOD_NONE, histogram_load(&row->by_code[k]));
        }
        for (size_t k = 0; row && k < BOARD_CLASSES; k++)
            add_to->by_class[k][BOARD_METHOD_NONE] += histogram_load(&row->by_class[k]);
    }
}

void board_backend_connect_errors(const struct account_board *b, struct board_key backend,
                                  uint64_t add_to[BOARD_CONNECT_REASONS])
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_backend *row = tally_find_backend(tally_of(b, i), backend);
        for (size_t k = 0; row && k < BOARD_CONNECT_REASONS; k++)
            add_to[k] += histogram_load(&row->connect_errors[k]);
    }
}

void board_backend_classes(const struct account_board *b, struct board_key backend,
                           uint64_t add_to[BOARD_CLASSES])
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct tally_backend *row = tally_find_backend(tally_of(b, i), backend);
        for (size_t k = 0; row && k < BACKEND_CODES; k++) {
            uint16_t code = atomic_load_explicit(&row->codes[k], memory_order_relaxed);
            if (code > 0)
                add_to[class_of(code - 1u)] += histogram_load(&row->by_code[k]);
        }
        for (size_t k = 0; row && k < BOARD_CLASSES; k++)
            add_to[k] += histogram_load(&row->by_class[k]);
    }
}

/* SPDX-License-Identifier: MIT */
/* One writer, the worker: counters are bumped with a load and a store, read relaxed by others. */
#include "account/account.h"

#include "account/access_log_priv.h"
#include "account/record_pack.h"
#include "account/tally.h"
#include "base/check.h"
#include "base/logwriter.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNT_MAGIC 0xacc0a701u

struct account {
    /* set at creation */
    uint32_t magic;
    struct logring *ring; /* the worker's alone; NULL without an access log */
    struct tally *tally;
    /* shared: written by the worker, read relaxed by any thread */
    _Atomic uint64_t by_reason[REASON_COUNT];
    _Atomic uint64_t records_dropped;
};

struct account *account_new(struct access_log *log)
{
    void *memory;
    if (posix_memalign(&memory, CACHE_LINE_BYTES, sizeof(struct account)) != 0)
        return NULL;
    struct account *a = memset(memory, 0, sizeof(*a));
    a->magic = ACCOUNT_MAGIC;
    a->tally = tally_new();
    if (log)
        a->ring = access_log_ring(log);
    if (!a->tally || (log && !a->ring))
        account_free(&a);
    return a;
}

int account_log_to(struct account *a, struct access_log *log)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    logring_close(&a->ring);
    a->ring = log ? access_log_ring(log) : NULL;
    return log && !a->ring ? -(int)REASON_overload : 0;
}

void account_free(struct account **a)
{
    struct account *gone = *a;
    if (!gone)
        return;
    CHECK_OBJ(gone, ACCOUNT_MAGIC);
    *a = NULL;
    logring_close(&gone->ring);
    tally_free(&gone->tally);
    gone->magic = 0;
    free(gone);
}

static void bump(_Atomic uint64_t *counter, uint64_t by)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + by, memory_order_relaxed);
}

static void count(struct account *a, const struct account_count *c)
{
    CHECK(c->reason < REASON_COUNT);
    bump(&a->by_reason[c->reason], 1);
    tally_exchange(a->tally, c);
}

void account_connection(struct account *a, const struct board_key *listener)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    tally_connection(a->tally, listener);
}

void account_tunnel(struct account *a, const struct board_key *listener, enum board_tunnel kind,
                    bool begun)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    tally_tunnel(a->tally, listener, kind, begun);
}

void account_call(struct account *a, const struct board_key *listener, const struct board_key *pool,
                  uint8_t grpc)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    tally_call(a->tally, listener, pool, grpc);
}

void account_handshake(struct account *a, const struct board_key *listener, bool tls13,
                       bool resumed)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    tally_handshake(a->tally, listener, tls13, resumed);
}

void account_handshake_failed(struct account *a, const struct board_key *listener, enum reason why)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    tally_handshake_failed(a->tally, listener, why);
}

void account_left(struct account *a, const struct board_key *backend, const struct account_left *l)
{
    tally_left(a->tally, backend, l);
}

void account_retried(struct account *a, const struct board_key *backend)
{
    tally_retried(a->tally, backend);
}

const struct tally *account_tally(const struct account *a)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    return a->tally;
}

bool account_has_log(const struct account *a)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    return a->ring != NULL;
}

void account_count(struct account *a, const struct account_count *c)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    CHECK(!a->ring);
    count(a, c);
}

void account_exchange(struct account *a, const struct record *r)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    count(a, &(struct account_count){
                 .bytes_in = r->bytes_in,
                 .bytes_out = r->bytes_out,
                 .total_ns = r->total_us * 1000,
                 .retries = r->retries,
                 .status = r->status,
                 .method = r->method_number,
                 .reason = r->reason,
                 .listener = r->listener_key,
                 .pool = r->pool_key,
             });
    if (!a->ring)
        return;
    void *packed = logring_reserve(a->ring, record_packed_bytes(r));
    if (!packed) {
        bump(&a->records_dropped, 1);
        return;
    }
    record_pack(r, packed);
    logring_commit(a->ring);
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

uint64_t account_reason(const struct account *a, enum reason reason)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    CHECK(reason < REASON_COUNT);
    return read_counter(&a->by_reason[reason]);
}

uint64_t account_records_dropped(const struct account *a)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    return read_counter(&a->records_dropped); /* the ring may be replaced meanwhile */
}

void account_totals(const struct account *a, struct account_totals *add_to)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    for (size_t i = 0; i < REASON_COUNT; i++) {
        uint64_t n = read_counter(&a->by_reason[i]);
        add_to->by_reason[i] += n;
        add_to->exchanges += n;
    }
    struct board_sum sum = {0};
    tally_all(a->tally, &sum, add_to->by_class);
    add_to->bytes_in += sum.bytes_in;
    add_to->bytes_out += sum.bytes_out;
    add_to->retries += sum.retries;
    add_to->records_dropped += account_records_dropped(a);
}

void account_latency(const struct account *a, struct latency_sum *add_to)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    struct board_sum sum = {.latency = *add_to};
    uint64_t classes[BOARD_CLASSES] = {0};
    tally_all(a->tally, &sum, classes);
    *add_to = sum.latency;
}

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
#define CLASSES       6

struct account {
    /* set at creation */
    uint32_t magic;
    struct logring *ring; /* NULL without an access log */
    struct tally *tally;
    /* shared: written by the worker, read relaxed by any thread */
    _Atomic uint64_t by_reason[REASON_COUNT];
    _Atomic uint64_t by_class[CLASSES];
    _Atomic uint64_t bytes_in, bytes_out, retries;
    struct histogram latency_us;
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
    bump(&a->by_class[MIN(c->status / 100, CLASSES - 1)], 1); /* 6xx and up are like 5xx */
    bump(&a->bytes_in, c->bytes_in);
    bump(&a->bytes_out, c->bytes_out);
    if (c->retries)
        bump(&a->retries, c->retries);
    histogram_add(&a->latency_us, c->total_us);
    if (c->listener)
        tally_exchange(a->tally, c);
}

void account_connection(struct account *a, const struct board_key *listener)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    tally_connection(a->tally, listener);
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
                 .total_us = r->total_us,
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
    if (!packed)
        return; /* counted by the ring */
    record_pack(r, packed);
    logring_commit(a->ring);
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void account_totals(const struct account *a, struct account_totals *add_to)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    for (size_t i = 0; i < REASON_COUNT; i++) {
        uint64_t n = read_counter(&a->by_reason[i]);
        add_to->by_reason[i] += n;
        add_to->exchanges += n;
    }
    for (size_t i = 0; i < CLASSES; i++)
        add_to->by_class[i] += read_counter(&a->by_class[i]);
    add_to->bytes_in += read_counter(&a->bytes_in);
    add_to->bytes_out += read_counter(&a->bytes_out);
    add_to->retries += read_counter(&a->retries);
    if (a->ring)
        add_to->records_dropped += logring_dropped(a->ring);
}

void account_latency(const struct account *a, struct histogram *merge_into)
{
    CHECK_OBJ(a, ACCOUNT_MAGIC);
    histogram_merge(merge_into, &a->latency_us);
}

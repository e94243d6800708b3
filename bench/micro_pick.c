/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds per pick with its pick_done, for each policy at 3, 100 and 10,000 backends, one
 * thread: the price every exchange pays. 32 exchanges are kept open, so that loads differ.
 * Usage: micro_pick [million picks per row, default 4]
 */
#include "base/clock.h"
#include "pick/pick.h"

#include <stdio.h>
#include <stdlib.h>

enum { OPEN = 32, BACKENDS = 10000 };

static struct backend_conf backends[BACKENDS];
static char names[BACKENDS][16];

/* The snapshot here is hand-made and counts nothing. */
const struct snapshot *snapshot_ref(const struct snapshot *s)
{
    return s;
}

void snapshot_unref(const struct snapshot **s)
{
    *s = NULL;
}

static void backends_init(bool weighted)
{
    for (uint32_t i = 0; i < BACKENDS; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "B%u", i + 1);
        backends[i] = (struct backend_conf){
            .name = names[i],
            .address = {.kind = ADDRESS_V4, .port = 80},
            .weight = weighted ? 1 + i % 4 : 1,
        };
    }
}

static double measure(struct pool *pool, uint64_t picks)
{
    struct backend *open[OPEN] = {NULL};
    struct rng rng = rng_seed(1);
    uint64_t key = 0, begin = clock_mono_ns();
    for (uint64_t i = 0; i < picks; i++) {
        struct backend **place = &open[i % OPEN];
        struct pick_request request;
        request.key = key += 0x9e3779b97f4a7c15u;
        request.tried_count = 0;
        if (*place)
            pick_done(*place);
        if (pick_backend(pool, &request, &rng, place) != PICK_OK)
            abort();
    }
    uint64_t end = clock_mono_ns();
    for (size_t i = 0; i < OPEN; i++)
        pick_done(open[i]);
    return (double)(end - begin) / (double)picks;
}

static void row(enum balance balance, const char *name, bool weighted, uint64_t picks)
{
    printf("%-18s %-8s", name, weighted ? "1:2:3:4" : "equal");
    static const uint32_t counts[] = {3, 100, BACKENDS};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        backends_init(weighted);
        struct pool_conf conf = {
            .name = "bench", .balance = balance, .backends = backends, .backend_count = counts[i]};
        struct snapshot snapshot = {.pools = &conf, .pool_count = 1};
        struct pool *pool = pool_new(&snapshot, 0, NULL);
        if (!pool)
            abort();
        (void)measure(pool, picks / 10); /* warms up */
        printf(" %9.1f", measure(pool, picks));
        pool_free(&pool);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    uint64_t picks = (argc > 1 ? strtoull(argv[1], NULL, 10) : 4) * 1000000;
    static const struct {
        enum balance balance;
        const char *name;
    } rows[] = {
        {BALANCE_ROUND_ROBIN, "round_robin"}, {BALANCE_LEAST_CONNECTIONS, "least_connections"},
        {BALANCE_RANDOM, "random"},           {BALANCE_P2C, "p2c"},
        {BALANCE_SOURCE_HASH, "source_hash"},
    };
    printf("ns per pick and done          3       100    10,000 backends\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        row(rows[i].balance, rows[i].name, false, picks);
        row(rows[i].balance, rows[i].name, true, picks);
    }
    return 0;
}

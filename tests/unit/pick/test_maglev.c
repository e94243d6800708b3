/* SPDX-License-Identifier: MIT */
#include "pick/maglev.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MEMBERS = 1000 };

static char names[MEMBERS][16];

static void members_init(struct maglev_member members[MEMBERS])
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        int n = snprintf(names[i], sizeof(names[i]), "backend-%u", i);
        members[i] = (struct maglev_member){span_of(names[i], (size_t)n), 1, i};
    }
}

static uint32_t *build(uint32_t size, const struct maglev_member *members, uint32_t n)
{
    uint32_t *table = calloc(size, sizeof(*table));
    assert_non_null(table);
    assert_int_equal(maglev_build(table, size, members, n), 0);
    return table;
}

static void shuffle(struct maglev_member *members, uint32_t n, struct rng *rng)
{
    for (uint32_t i = n - 1; i > 0; i--) {
        uint32_t j = (uint32_t)rng_below(rng, i + 1);
        struct maglev_member moved = members[i];
        members[i] = members[j];
        members[j] = moved;
    }
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(maglev_size(1), 65537);
    assert_int_equal(maglev_size(655), 65537);
    assert_int_equal(maglev_size(656), 262147);
    assert_int_equal(maglev_size(10000), 1048583);
    assert_int_equal(maglev_size(100000), 4194319);
}

static void test_equal_shares(void **state)
{
    (void)state;
    struct maglev_member members[MEMBERS];
    members_init(members);
    uint32_t counts[MEMBERS] = {0};
    uint32_t *table = build(65537, members, MEMBERS);
    for (uint32_t i = 0; i < 65537; i++)
        counts[table[i]]++;
    for (uint32_t i = 0; i < MEMBERS; i++)
        assert_in_range(counts[i], 65537 / MEMBERS, 65537 / MEMBERS + 1);
    free(table);
}

static void test_weighted_shares(void **state)
{
    (void)state;
    struct maglev_member members[MEMBERS];
    members_init(members);
    members[0].weight = 5;
    members[1].weight = 256;
    members[2].weight = 100;
    uint32_t counts[3] = {0};
    uint32_t *table = build(65537, members, 3);
    for (uint32_t i = 0; i < 65537; i++)
        counts[table[i]]++;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t ideal = members[i].weight * 65537 / 361;
        assert_in_range(counts[i], ideal - 2, ideal + 2);
    }
    free(table);
}

static void test_order_does_not_matter(void **state)
{
    (void)state;
    struct maglev_member members[MEMBERS];
    members_init(members);
    uint32_t *table = build(65537, members, MEMBERS);
    struct rng rng = rng_seed(3);
    shuffle(members, MEMBERS, &rng);
    uint32_t *again = build(65537, members, MEMBERS);
    assert_memory_equal(table, again, 65537 * sizeof(*table));
    free(table);
    free(again);
}

/* Per cent of the places that change when `removed` of 1,000 go; the mean of `repeats`. */
static double changed_percent(uint32_t size, uint32_t removed, uint32_t repeats)
{
    struct maglev_member members[MEMBERS];
    members_init(members);
    uint32_t *before = build(size, members, MEMBERS);
    struct rng rng = rng_seed(4);
    uint64_t changed = 0;
    for (uint32_t r = 0; r < repeats; r++) {
        shuffle(members, MEMBERS, &rng);
        uint32_t *after = build(size, members, MEMBERS - removed);
        for (uint32_t i = 0; i < size; i++)
            changed += before[i] != after[i];
        free(after);
    }
    free(before);
    return 100.0 * (double)changed / size / repeats;
}

/* The figures of an independent implementation, within 15 %: the removed members' own places plus
 * what the method itself moves. */
static void test_disruption(void **state)
{
    (void)state;
    static const struct {
        uint32_t size, removed, repeats;
        double percent;
    } rows[] = {
        {65537, 1, 20, .67}, {65537, 5, 10, 2.3},   {65537, 10, 10, 3.3},  {65537, 20, 8, 4.6},
        {65537, 50, 4, 8.2}, {65537, 100, 4, 13.5}, {655373, 10, 3, 1.57}, {655373, 100, 2, 11.1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double got = changed_percent(rows[i].size, rows[i].removed, rows[i].repeats);
        if (got < rows[i].percent * .85 || got > rows[i].percent * 1.15)
            fail_msg("%u places, %u removed: %.2f %% changed, expected %.2f", rows[i].size,
                     rows[i].removed, got, rows[i].percent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),           cmocka_unit_test(test_equal_shares),
        cmocka_unit_test(test_weighted_shares), cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_disruption),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

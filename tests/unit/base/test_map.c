/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/rng.h"

static struct span key_of(const uint64_t *stored)
{
    return span_of(stored, sizeof(*stored));
}

static void puts_gets_replaces_deletes(void **state)
{
    (void)state;
    struct map m;
    map_init(&m, 1);
    int one = 1, two = 2;
    assert_null(map_get(&m, span_str("a")));
    assert_null(map_del(&m, span_str("a")));
    assert_int_equal(map_put(&m, span_str("a"), &one), 0);
    assert_int_equal(map_put(&m, span_of(NULL, 0), &two), 0); /* the empty key is a key */
    assert_ptr_equal(map_get(&m, span_str("a")), &one);
    assert_ptr_equal(map_get(&m, span_str("")), &two);
    assert_null(map_get(&m, span_str("b")));
    assert_int_equal(map_put(&m, span_str("a"), &two), 0);
    assert_ptr_equal(map_get(&m, span_str("a")), &two);
    assert_int_equal(map_count(&m), 2);
    assert_ptr_equal(map_del(&m, span_str("a")), &two);
    assert_int_equal(map_count(&m), 1);
    map_clear(&m);
    assert_int_equal(map_count(&m), 0);
    assert_null(map_get(&m, span_str("")));
    map_fini(&m);
    assert_null(map_get(&m, span_str("")));
}

static void reserve_has_a_maximum(void **state)
{
    (void)state;
    struct map m;
    map_init(&m, 1);
    assert_int_equal(map_reserve(&m, (size_t)MAP_ENTRIES_MAX + 1), -E2BIG);
    assert_int_equal(map_reserve(&m, 1000), 0);
    uint32_t capacity = m.capacity;
    uint64_t keys[1000];
    for (uint64_t i = 0; i < 1000; i++) {
        keys[i] = i;
        assert_int_equal(map_put(&m, key_of(&keys[i]), &keys[i]), 0);
    }
    assert_int_equal(m.capacity, capacity);
    map_fini(&m);
}

struct record {
    uint64_t key;
    bool present;
};

static void assert_same(const struct map *m, struct record *model, size_t n, size_t count)
{
    assert_int_equal(map_count(m), count);
    for (size_t i = 0; i < n; i++)
        assert_ptr_equal(map_get(m, key_of(&model[i].key)), model[i].present ? &model[i] : NULL);
    size_t seen = 0;
    struct map_iter it = {0};
    while (map_next(m, &it)) {
        const struct record *r = it.value;
        assert_true(r->present);
        assert_ptr_equal(it.key.p, (const uint8_t *)&r->key);
        seen++;
    }
    assert_int_equal(seen, count);
}

/* Random puts and deletes against a table of flags, for several seeds and fill levels. */
static void random_use_agrees_with_model(void **state)
{
    (void)state;
    enum { N = 890 }; /* a table of 1024 is full at 896 */
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct rng rng = rng_seed(seed);
        struct record model[N];
        for (size_t i = 0; i < N; i++)
            model[i] = (struct record){.key = seed % 2 ? i : rng_u64(&rng)};
        struct map m;
        map_init(&m, seed);
        size_t count = 0;
        for (int step = 0; step < 24000; step++) {
            struct record *r = &model[rng_below(&rng, N)];
            if (rng_chance(&rng, step / 8000 % 2 ? 0.3 : 0.97)) {
                assert_int_equal(map_put(&m, key_of(&r->key), r), 0);
                count += !r->present;
                r->present = true;
            } else {
                assert_ptr_equal(map_del(&m, key_of(&r->key)), r->present ? r : NULL);
                count -= r->present;
                r->present = false;
            }
            if (step % 500 == 0)
                assert_same(&m, model, N, count);
        }
        assert_same(&m, model, N, count);
        map_fini(&m);
    }
}

static void keys_of_every_length(void **state)
{
    (void)state;
    static uint8_t text[600];
    memset(text, 'x', sizeof(text));
    struct map m;
    map_init(&m, 99);
    for (size_t n = 0; n < sizeof(text); n++)
        assert_int_equal(map_put(&m, span_of(text, n), &text[n]), 0);
    for (size_t n = 0; n < sizeof(text); n++)
        assert_ptr_equal(map_get(&m, span_of(text, n)), &text[n]);
    map_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_gets_replaces_deletes),
        cmocka_unit_test(reserve_has_a_maximum),
        cmocka_unit_test(random_use_agrees_with_model),
        cmocka_unit_test(keys_of_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

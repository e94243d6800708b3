/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/arena.h"
#include "base/rng.h"

static void nothing_is_held_before_use(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024, 4096);
    assert_int_equal(arena_held_bytes(&a), 0);
    arena_fini(&a);
}

static void maximum_is_kept(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024, 4096);
    size_t got = 0;
    while (arena_alloc(&a, 100, 1) != NULL)
        got += 100;
    assert_true(arena_held_bytes(&a) <= 4096);
    assert_true(got >= 4096 / 10 * 9 / 100 * 100 - 300);
    assert_null(arena_alloc(&a, SIZE_MAX, 1));
    assert_null(arena_alloc(&a, SIZE_MAX - 8, 64));
    assert_null(arena_array(&a, SIZE_MAX / 2, 3, 8));
    arena_fini(&a);
    assert_int_equal(arena_held_bytes(&a), 0);
}

static void copies(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64, 256);
    assert_span(arena_dup(&a, span_str("hello")), "hello");
    assert_string_equal(arena_strdup(&a, span_str("world")), "world");
    assert_string_equal(arena_printf(&a, "%s-%d", "x", 42), "x-42");
    assert_string_equal(arena_strdup(&a, span_of(NULL, 0)), "");
    char big[300] = {0};
    assert_null(arena_dup(&a, span_of(big, sizeof(big))).p);
    assert_null(arena_strdup(&a, span_of(big, sizeof(big))));
    uint32_t *zeros = arena_new_array(&a, uint32_t, 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(zeros[i], 0);
    arena_fini(&a);
}

static void a_large_piece_leaves_the_rest_usable(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024, 8192);
    uint8_t *first = arena_alloc(&a, 1, 1);
    assert_non_null(arena_alloc(&a, 2048, 1)); /* takes a block of its own */
    assert_ptr_equal(arena_alloc(&a, 1, 1), first + 1);
    arena_fini(&a);
}

/* Pieces are aligned, do not overlap, and keep what was written to them. */
static void pieces_keep_their_bytes(void **state)
{
    (void)state;
    enum { PIECES = 300 };
    struct rng rng = rng_seed(2);
    for (int round = 0; round < 30; round++) {
        struct arena a;
        arena_init(&a, 700, 1 << 20);
        struct span pieces[PIECES];
        for (size_t i = 0; i < PIECES; i++) {
            size_t align = (size_t)1 << rng_below(&rng, 8);
            size_t n = rng_below(&rng, rng_chance(&rng, 0.05) ? 3000 : 60);
            uint8_t *p = arena_alloc(&a, n, align);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % align, 0);
            memset(p, (int)(i & 0xff), n);
            pieces[i] = span_of(p, n);
        }
        for (size_t i = 0; i < PIECES; i++)
            for (size_t j = 0; j < pieces[i].n; j++)
                assert_int_equal(pieces[i].p[j], i & 0xff);
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_held_before_use),
        cmocka_unit_test(maximum_is_kept),
        cmocka_unit_test(a_large_piece_leaves_the_rest_usable),
        cmocka_unit_test(copies),
        cmocka_unit_test(pieces_keep_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/rng.h"
#include "base/slab.h"

static void last_put_is_first_got(void **state)
{
    (void)state;
    struct slab s;
    slab_init(&s, 100, 8, 0);
    assert_int_equal(s.object_bytes, 104);
    void *a = slab_get(&s);
    void *b = slab_get(&s);
    assert_int_equal((uint8_t *)b - (uint8_t *)a, 104); /* packed: nothing between objects */
    slab_put(&s, a);
    slab_put(&s, b);
    assert_ptr_equal(slab_get(&s), b);
    assert_ptr_equal(slab_get(&s), a);
    slab_put(&s, a);
    slab_put(&s, b);
    slab_fini(&s);
}

static void maximum_is_kept(void **state)
{
    (void)state;
    struct slab s;
    slab_init(&s, 64, 64, 3);
    void *objects[3];
    for (int i = 0; i < 3; i++)
        assert_non_null(objects[i] = slab_get(&s));
    assert_null(slab_get(&s));
    assert_int_equal(s.used_count, 3);
    slab_put(&s, objects[1]);
    assert_non_null(objects[1] = slab_get_zeroed(&s));
    for (int i = 0; i < 3; i++)
        slab_put(&s, objects[i]);
    assert_int_equal(s.used_peak, 3);
    slab_fini(&s);
}

static void every_size_fits_its_chunk(void **state)
{
    (void)state;
    struct rng rng = rng_seed(3);
    for (int round = 0; round < 300; round++) {
        size_t align = (size_t)8 << rng_below(&rng, 10);
        size_t size = 8 + rng_below(&rng, SLAB_OBJECT_BYTES_MAX >> rng_below(&rng, 16));
        if (size > SLAB_OBJECT_BYTES_MAX)
            size = SLAB_OBJECT_BYTES_MAX;
        struct slab s;
        slab_init(&s, size, align, 0);
        size_t n = s.chunk_objects + 1;
        void **objects = test_malloc(n * sizeof(*objects));
        for (size_t i = 0; i < n; i++) {
            objects[i] = slab_get(&s);
            assert_non_null(objects[i]);
            assert_int_equal((uintptr_t)objects[i] % align, 0);
            memset(objects[i], 0xa5, i % 64 == 0 || i + 2 >= n ? size : 8);
        }
        assert_int_equal(s.capacity, 2 * s.chunk_objects);
        for (size_t i = 0; i < n; i++)
            slab_put(&s, objects[i]);
        slab_fini(&s);
        test_free(objects);
    }
}

struct bad_put {
    struct slab *slab;
    void *object;
};

static void put(void *arg)
{
    struct bad_put *bad = arg;
    slab_put(bad->slab, bad->object);
}

static void wrong_puts_are_caught(void **state)
{
    (void)state;
    struct slab s, other;
    slab_init(&s, 48, 16, 0);
    slab_init(&other, 48, 16, 0);
    uint8_t *a = slab_get(&s);
    uint8_t *b = slab_get(&s);
    uint8_t *foreign = slab_get(&other);
    slab_put(&s, a);
    assert_aborts(put, &(struct bad_put){&s, a});       /* twice */
    assert_aborts(put, &(struct bad_put){&s, b + 16});  /* inside an object */
    assert_aborts(put, &(struct bad_put){&s, b + 48});  /* never given out */
    assert_aborts(put, &(struct bad_put){&s, foreign}); /* of another slab */
    assert_aborts(put, &(struct bad_put){&s, NULL});
    uint8_t *again = slab_get(&s);
    assert_ptr_equal(again, a);
    memset(again, 0xff, 48);
    slab_put(&s, again);
    assert_aborts(put, &(struct bad_put){&s, a}); /* twice, in its second life */
    slab_put(&s, b);
    slab_put(&other, foreign);
    slab_fini(&s);
    slab_fini(&other);
}

#if !ADDRESS_SANITIZED /* which is faster to tell */
static void write_and_get(void *arg)
{
    struct bad_put *bad = arg;
    memset(bad->object, 0, 48);
    (void)!slab_get(bad->slab);
}

static void writes_to_a_free_object_are_caught(void **state)
{
    (void)state;
    struct slab s;
    slab_init(&s, 48, 16, 0);
    void *a = slab_get(&s);
    slab_put(&s, a);
    assert_aborts(write_and_get, &(struct bad_put){&s, a});
    slab_fini(&s);
}
#endif

/* Offsets within objects of every size: only their beginnings may be put. */
static void no_inner_pointer_passes(void **state)
{
    (void)state;
    for (size_t size = 16; size < 2048; size += size < 256 ? 8 : 200) {
        struct slab s;
        slab_init(&s, size, 8, 0);
        size_t n = s.chunk_objects;
        uint8_t **objects = test_malloc(n * sizeof(*objects));
        for (size_t i = 0; i < n; i++)
            assert_non_null(objects[i] = slab_get(&s));
        for (size_t i = 0; i < n; i++)
            assert_true((uint64_t)(objects[i] - objects[0]) * s.reciprocal < s.reciprocal);
        for (size_t inner = 1; inner < n * s.object_bytes; inner++)
            if (inner % s.object_bytes != 0)
                assert_true(inner * s.reciprocal >= s.reciprocal);
        for (size_t i = 0; i < n; i++)
            slab_put(&s, objects[i]);
        slab_fini(&s);
        test_free(objects);
    }
}

/* Random gets and puts against a plain array: live objects are distinct and keep their
 * bytes. */
static void random_use_keeps_objects_apart(void **state)
{
    (void)state;
    enum { LIVE_MAX = 2500, SIZE = 120 };
    struct rng rng = rng_seed(4);
    struct slab s;
    slab_init(&s, SIZE, 8, LIVE_MAX);
    uint64_t *live[LIVE_MAX];
    size_t n = 0;
    for (int step = 0; step < 200000; step++) {
        /* Swings between growing and shrinking. */
        bool grow = rng_chance(&rng, step / 20000 % 2 ? 0.3 : 0.7);
        if (grow) {
            uint64_t *object = slab_get(&s);
            assert_int_equal(object == NULL, n == LIVE_MAX);
            if (!object)
                continue;
            for (size_t i = 0; i < SIZE / 8; i++)
                object[i] = (uint64_t)(uintptr_t)object + i;
            live[n++] = object;
        } else if (n > 0) {
            size_t at = rng_below(&rng, n);
            uint64_t *object = live[at];
            for (size_t i = 0; i < SIZE / 8; i++)
                assert_true(object[i] == (uint64_t)(uintptr_t)object + i);
            slab_put(&s, object);
            live[at] = live[--n];
        }
        assert_true(s.capacity >= n);
        assert_int_equal(s.used_count, n);
    }
    while (n > 0)
        slab_put(&s, live[--n]);
    slab_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_put_is_first_got),
        cmocka_unit_test(maximum_is_kept),
        cmocka_unit_test(every_size_fits_its_chunk),
        cmocka_unit_test(wrong_puts_are_caught),
#if !ADDRESS_SANITIZED
        cmocka_unit_test(writes_to_a_free_object_are_caught),
#endif
        cmocka_unit_test(no_inner_pointer_passes),
        cmocka_unit_test(random_use_keeps_objects_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

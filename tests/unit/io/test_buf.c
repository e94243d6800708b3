/* SPDX-License-Identifier: MIT */
#include "io/buf.h"

#include "rig.h"

#include "io/loop_priv.h"

static const uint32_t sizes[BUF_CLASSES] = {2048, 16384, 65536, 262144};

static void test_classes(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    for (unsigned c = 0; c < BUF_CLASSES; c++) {
        struct buf *exact = buf_get(rig.loop, sizes[c]);
        struct buf *least = buf_get(rig.loop, c == 0 ? 0 : sizes[c - 1] + 1);
        assert_int_equal(exact->size, sizes[c]);
        assert_int_equal(least->size, sizes[c]);
        assert_int_equal((uintptr_t)exact->data % CACHE_LINE_BYTES, 0);
        memset(exact->data, 1, sizes[c]);
        memset(least->data, 2, sizes[c]);
        assert_int_equal(exact->data[sizes[c] - 1], 1);
        buf_put(&exact);
        assert_null(exact);
        buf_put(&exact); /* NULL is fine */
        buf_put(&least);
    }
    rig_close(&rig);
}

static void test_last_put_is_next_got(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    struct buf *a = buf_get(rig.loop, 100);
    struct buf *b = buf_get(rig.loop, 100);
    struct buf *warm = a;
    buf_put(&b);
    buf_put(&a);
    a = buf_get(rig.loop, 100);
    assert_ptr_equal(a, warm);
    buf_put(&a);
    rig_close(&rig);
}

static void test_maximum(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    struct buf *held[300];
    unsigned n = 0;
    while (n < ARRAY_LEN(held) && (held[n] = buf_get(rig.loop, 262144)))
        n++;
    assert_int_equal(n, rig.loop->bufs.pool[BUF_LARGE].used_max);
    struct buf *other = buf_get(rig.loop, 100); /* other classes are not touched by it */
    assert_non_null(other);
    buf_put(&other);
    buf_put(&held[--n]);
    held[n] = buf_get(rig.loop, 262144);
    assert_non_null(held[n++]);
    while (n > 0)
        buf_put(&held[--n]);
    rig_close(&rig);
}

static bool surplus_gone(struct rig *rig)
{
    return rig->loop->bufs.pool[BUF_LARGE].free_count <= 8;
}

static void test_burst_is_given_back(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    struct buf *held[50];
    for (unsigned i = 0; i < 50; i++)
        held[i] = buf_get(rig.loop, 262144);
    for (unsigned i = 0; i < 50; i++)
        buf_put(&held[i]);
    assert_int_equal(rig.loop->bufs.pool[BUF_LARGE].free_count, 50);
    rig_run(&rig, surplus_gone);
    assert_int_equal(rig.loop->bufs.pool[BUF_LARGE].free_count, 8);
    rig_close(&rig);
}

static void test_keep(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    struct buf *large = buf_get(rig.loop, 262144);
    memset(large->data, 7, large->size);
    struct slice big = slice_keep(rig.loop, (struct slice){large->data + 10, 100000, large});
    assert_ptr_equal(big.buf, large);
    assert_ptr_equal(big.p, large->data + 10);
    assert_int_equal(large->refs, 2);

    struct slice small = slice_keep(rig.loop, (struct slice){large->data + 10, 300, large});
    assert_ptr_not_equal(small.buf, large); /* so that it does not pin 256 KiB */
    assert_int_equal(small.buf->size, 2048);
    assert_int_equal(small.n, 300);
    assert_memory_equal(small.p, large->data + 10, 300);
    assert_int_equal(large->refs, 2);

    static const uint8_t loose[] = "no buffer";
    struct slice copied = slice_keep(rig.loop, (struct slice){loose, sizeof loose, NULL});
    assert_non_null(copied.buf);
    assert_ptr_not_equal(copied.p, loose);
    assert_memory_equal(copied.p, loose, sizeof loose);

    slice_put(&big);
    assert_null(big.buf);
    assert_int_equal(big.n, 0);
    slice_put(&small);
    slice_put(&copied);
    slice_put(&copied);
    assert_int_equal(large->refs, 1);
    buf_put(&large);
    rig_close(&rig);
}

static void test_keep_without_room(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    struct buf *large = buf_get(rig.loop, 262144);
    for (unsigned c = 0; c < BUF_CLASSES; c++)
        rig.loop->bufs.pool[c].used_max = 0;
    struct slice s = slice_keep(rig.loop, (struct slice){large->data, 100, large});
    assert_ptr_equal(s.buf, large); /* better pinned than lost */
    slice_put(&s);
    s = slice_keep(rig.loop, (struct slice){(const uint8_t *)"x", 1, NULL});
    assert_null(s.buf);
    assert_int_equal(s.n, 0);
    buf_put(&large);
    rig_close(&rig);
}

static void test_receive_buffer(void **state)
{
    struct rig rig;
    rig_open(&rig, state, NULL);
    struct buf *first = loop_receive_buf(rig.loop);
    assert_ptr_equal(loop_receive_buf(rig.loop), first); /* nobody kept it */
    assert_int_equal(first->klass, BUF_LARGE);
    struct buf *held[64];
    unsigned n = 0;
    for (; n < 31; n++) {
        held[n] = buf_ref(loop_receive_buf(rig.loop));
        assert_int_equal(held[n]->klass, BUF_LARGE);
    }
    assert_int_equal(loop_receive_buf(rig.loop)->klass, BUF_LARGE);
    held[n++] = buf_ref(loop_receive_buf(rig.loop));
    assert_int_equal(loop_receive_buf(rig.loop)->klass, BUF_MEDIUM);
    buf_put(&held[0]);
    assert_int_equal(loop_receive_buf(rig.loop)->klass, BUF_LARGE);
    for (unsigned i = 1; i < n; i++)
        buf_put(&held[i]);
    rig_close(&rig);
}

int main(void)
{
    static const struct rig_test tests[] = {
        {"classes", test_classes},
        {"the warmest first", test_last_put_is_next_got},
        {"maximum", test_maximum},
        {"a burst is given back", test_burst_is_given_back},
        {"keep", test_keep},
        {"keep without room", test_keep_without_room},
        {"receive buffer", test_receive_buffer},
    };
    return rig_main("buf", tests, ARRAY_LEN(tests));
}

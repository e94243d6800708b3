/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/list.h"
#include "base/rng.h"

struct item {
    int id;
    struct list link;
};

static void assert_order(const struct list *head, const int *ids, size_t n)
{
    assert_int_equal(list_len(head), n);
    const struct list *link = head->next;
    for (size_t i = 0; i < n; i++, link = link->next) {
        assert_ptr_equal(link->next->prev, link);
        assert_int_equal(list_entry(link, struct item, link)->id, ids[i]);
    }
    assert_ptr_equal(link, head);
}

static void adds_moves_and_pops(void **state)
{
    (void)state;
    struct list head = LIST_INIT(head);
    struct item items[4];
    for (int i = 0; i < 4; i++) {
        items[i].id = i;
        list_init(&items[i].link);
    }
    assert_true(list_empty(&head));
    assert_null(list_first(&head));
    assert_null(list_pop(&head));
    list_add_tail(&head, &items[1].link);
    list_add_head(&head, &items[0].link);
    list_add_tail(&head, &items[3].link);
    list_add_before(&items[3].link, &items[2].link);
    assert_order(&head, (int[]){0, 1, 2, 3}, 4);
    list_move_head(&head, &items[2].link);
    list_move_tail(&head, &items[0].link);
    assert_order(&head, (int[]){2, 1, 3, 0}, 4);
    assert_ptr_equal(list_last(&head), &items[0].link);
    assert_ptr_equal(list_pop(&head), &items[2].link);
    assert_false(list_linked(&items[2].link));
    list_del(&items[2].link); /* off already: nothing happens */
    assert_order(&head, (int[]){1, 3, 0}, 3);

    struct list other = LIST_INIT(other);
    list_splice_tail(&other, &head);
    assert_true(list_empty(&head));
    list_splice_tail(&other, &head);
    list_add_tail(&head, &items[2].link);
    list_splice_tail(&head, &other);
    assert_order(&head, (int[]){2, 1, 3, 0}, 4);
}

static void walks_and_deletes(void **state)
{
    (void)state;
    struct list head = LIST_INIT(head);
    struct item items[10];
    for (int i = 0; i < 10; i++) {
        items[i].id = i;
        list_init(&items[i].link);
        list_add_tail(&head, &items[i].link);
    }
    struct item *it;
    list_each_safe(it, &head, link)
        if (it->id % 2 == 0)
            list_del(&it->link);
    int sum = 0;
    list_each(it, &head, link)
        sum = sum * 10 + it->id;
    assert_int_equal(sum, 13579);
}

static void add_linked(void *arg)
{
    struct item *item = arg;
    struct list head = LIST_INIT(head);
    list_add_tail(&head, &item->link);
}

static void linking_twice_is_caught(void **state)
{
    (void)state;
    struct list head = LIST_INIT(head);
    struct item item = {.id = 1};
    list_init(&item.link);
    list_add_tail(&head, &item.link);
    assert_aborts(add_linked, &item);
}

/* Random operations on two lists against arrays. */
static void random_use_agrees_with_arrays(void **state)
{
    (void)state;
    enum { N = 12 };
    struct rng rng = rng_seed(5);
    struct list heads[2] = {LIST_INIT(heads[0]), LIST_INIT(heads[1])};
    int order[2][N];
    size_t len[2] = {0, 0};
    struct item items[N];
    for (int i = 0; i < N; i++) {
        items[i].id = i;
        list_init(&items[i].link);
    }
    for (int step = 0; step < 20000; step++) {
        size_t id = rng_below(&rng, N);
        size_t to = rng_below(&rng, 2);
        for (size_t l = 0; l < 2; l++) {
            size_t kept = 0;
            for (size_t i = 0; i < len[l]; i++)
                if (order[l][i] != (int)id)
                    order[l][kept++] = order[l][i];
            len[l] = kept;
        }
        list_del(&items[id].link);
        if (rng_chance(&rng, 0.5)) {
            list_add_tail(&heads[to], &items[id].link);
            order[to][len[to]++] = (int)id;
        } else if (rng_chance(&rng, 0.5)) {
            list_add_head(&heads[to], &items[id].link);
            memmove(order[to] + 1, order[to], len[to]++ * sizeof(int));
            order[to][0] = (int)id;
        }
        assert_order(&heads[0], order[0], len[0]);
        assert_order(&heads[1], order[1], len[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_moves_and_pops),
        cmocka_unit_test(walks_and_deletes),
        cmocka_unit_test(linking_twice_is_caught),
        cmocka_unit_test(random_use_agrees_with_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

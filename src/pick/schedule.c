/* SPDX-License-Identifier: MIT */
/*
 * Members of equal weight w form a class of m. Its turn number q (counted from 1, every (m + 1)-th
 * left out, which is the pause between two rounds of the class) falls at the virtual time
 * q / (w * (m + 1)) of a round from 0 to 1, in the order of its members. The classes, at most
 * BACKEND_WEIGHT_MAX, are merged by time through a heap; of equal times the heavier class goes
 * first.
 */
#include "pick/schedule.h"

#include "base/check.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdlib.h>

struct class
{
    uint32_t weight;
    uint32_t first, count; /* its members in `sorted` */
    uint32_t round, place; /* of the next turn */
};

static_assert((uint64_t)BACKENDS_MAX * BACKEND_WEIGHT_MAX < (1ull << 31), "products fit 64 bits");

static uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* weights / gcd, or scaled to fit SCHEDULE_MAX; returns their sum. */
static uint32_t reduce(const uint32_t *weights, uint32_t n, uint32_t *reduced)
{
    uint32_t divisor = 0;
    for (uint32_t i = 0; i < n; i++)
        divisor = gcd(weights[i], divisor);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += weights[i] / divisor;
    uint64_t scale = sum > SCHEDULE_MAX ? sum : SCHEDULE_MAX;
    uint32_t length = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t scaled = ((uint64_t)(weights[i] / divisor) * SCHEDULE_MAX + scale / 2) / scale;
        reduced[i] = scaled > 0 ? (uint32_t)scaled : 1;
        length += reduced[i];
    }
    return length;
}

/* Whether the next turn of a comes before that of b. */
static bool before(const struct class *a, const struct class *b)
{
    uint64_t turn_a = (uint64_t)a->round * (a->count + 1) + a->place + 1;
    uint64_t turn_b = (uint64_t)b->round * (b->count + 1) + b->place + 1;
    uint64_t left = turn_a * b->weight * (b->count + 1);
    uint64_t right = turn_b * a->weight * (a->count + 1);
    return left != right ? left < right : a->weight > b->weight;
}

static void sift_down(struct class *heap, uint32_t n, uint32_t at)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= n)
            return;
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &heap[at]))
            return;
        struct class moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

/* Counting sort of the members by weight; returns the number of classes. */
static uint32_t classify(const uint32_t *weights, uint32_t n, uint32_t *sorted,
                         struct class classes[BACKEND_WEIGHT_MAX])
{
    uint32_t ends[BACKEND_WEIGHT_MAX + 1] = {0};
    for (uint32_t i = 0; i < n; i++)
        ends[weights[i]]++;
    uint32_t class_count = 0, at = 0;
    for (uint32_t w = 1; w <= BACKEND_WEIGHT_MAX; w++) {
        uint32_t count = ends[w];
        if (count > 0)
            classes[class_count++] = (struct class){.weight = w, .first = at, .count = count};
        ends[w] = at; /* where the next member of that weight goes */
        at += count;
    }
    for (uint32_t i = 0; i < n; i++)
        sorted[ends[weights[i]]++] = i;
    return class_count;
}

static void merge(struct class *heap, uint32_t class_count, const uint32_t *sorted,
                  uint32_t *places, uint32_t length)
{
    for (uint32_t i = class_count; i-- > 0;)
        sift_down(heap, class_count, i);
    for (uint32_t i = 0; i < length; i++) {
        struct class *next = &heap[0];
        places[i] = sorted[next->first + next->place];
        if (++next->place == next->count) {
            next->place = 0;
            next->round++;
        }
        if (next->round == next->weight)
            heap[0] = heap[--class_count];
        sift_down(heap, class_count, 0);
    }
    CHECK(class_count == 0);
}

int schedule_new(const uint32_t *weights, uint32_t n, uint32_t **ret_places, uint32_t *ret_length)
{
    CHECK(n > 0);
    CHECK(n <= BACKENDS_MAX);
    uint32_t *reduced = calloc(n, sizeof(*reduced));
    uint32_t *sorted = calloc(n, sizeof(*sorted));
    uint32_t length = reduced ? reduce(weights, n, reduced) : 0;
    uint32_t *places = reduced ? calloc(length, sizeof(*places)) : NULL;
    if (sorted && places) {
        struct class classes[BACKEND_WEIGHT_MAX];
        merge(classes, classify(reduced, n, sorted, classes), sorted, places, length);
        *ret_places = places;
        *ret_length = length;
    } else {
        free(places);
        places = NULL;
    }
    free(sorted);
    free(reduced);
    return places ? 0 : -1;
}

/* SPDX-License-Identifier: MIT */
/* Whether an edited text says what was wanted. It goes by the two configurations and the changes
 * alone and knows nothing of how the text was made. */
#include "base/map.h"
#include "config/diagnose.h"
#include "config/edit_scan.h"

#include <stdio.h>
#include <stdlib.h>

struct checked {
    const struct pool_conf *now, *was;
    const struct config_change *changes;
    size_t change_count;
    struct map decided; /* by backend: the change that decides, an addition before a removal */
    size_t at;          /* in `now` */
    size_t kept_adds;   /* additions of what was there already */
};

static bool is_added(const struct backend_conf *b, const struct config_change *c)
{
    char text[ADDRESS_TEXT_MAX];
    return strcmp(b->name, c->backend) == 0 && b->weight == c->weight && b->backup == c->backup &&
           span_eq(c->address, span_of(text, address_format(&b->address, text)));
}

static bool is_kept(const struct backend_conf *now, const struct backend_conf *was, uint32_t weight)
{
    return strcmp(now->name, was->name) == 0 && now->weight == weight &&
           now->backup == was->backup && address_equal(&now->address, &was->address);
}

static bool is_removed(const struct checked *k, const char *backend)
{
    for (size_t i = 0; i < k->change_count; i++)
        if (k->changes[i].kind == CONFIG_REMOVE && strcmp(k->changes[i].pool, k->was->name) == 0 &&
            strcmp(k->changes[i].backend, backend) == 0)
            return true;
    return false;
}

/* One backend of before, where it should be now. */
static bool follow(struct checked *k, const struct backend_conf *was)
{
    const struct config_change *c = map_get(&k->decided, span_cstr(was->name));
    uint32_t weight = c && c->kind == CONFIG_WEIGHT ? c->weight : was->weight;
    if (c && c->kind == CONFIG_REMOVE)
        return true;
    if (c && c->kind == CONFIG_ADD && is_removed(k, was->name))
        return true;
    if (c && c->kind == CONFIG_ADD)
        k->kept_adds++;
    return k->at < k->now->backend_count && is_kept(&k->now->backends[k->at++], was, weight) &&
           (!c || c->kind != CONFIG_ADD || is_added(was, c));
}

static size_t count_adds(const struct checked *k)
{
    struct map_iter it = {0};
    size_t n = 0;
    while (map_next(&k->decided, &it)) {
        const struct config_change *c = it.value;
        n += c->kind == CONFIG_ADD;
    }
    return n;
}

static bool follow_all(struct checked *k)
{
    for (size_t i = 0; i < k->was->backend_count; i++)
        if (!follow(k, &k->was->backends[i]))
            return false;
    if (k->now->backend_count - k->at != count_adds(k) - k->kept_adds)
        return false;
    for (; k->at < k->now->backend_count; k->at++) {
        const struct backend_conf *b = &k->now->backends[k->at];
        const struct config_change *c = map_get(&k->decided, span_cstr(b->name));
        if (!c || c->kind != CONFIG_ADD || !is_added(b, c))
            return false;
    }
    return true;
}

static void decide(struct checked *k, struct config_change *c)
{
    const struct config_change *before = map_get(&k->decided, span_cstr(c->backend));
    if (strcmp(c->pool, k->was->name) != 0 || (before && before->kind == CONFIG_ADD))
        return;
    if (map_put(&k->decided, span_cstr(c->backend), c) < 0)
        (void)config_must(NULL);
}

static bool pool_says(const struct pool_conf *now, const struct pool_conf *was,
                      struct config_change *copies, size_t n)
{
    struct checked k = {.now = now, .was = was, .changes = copies, .change_count = n};
    map_init(&k.decided, 0);
    for (size_t i = 0; i < n; i++)
        decide(&k, &copies[i]);
    bool good = strcmp(now->name, was->name) == 0 && follow_all(&k);
    map_fini(&k.decided);
    return good;
}

bool edit_says(const struct snapshot *now, const struct snapshot *was,
               const struct config_change *changes, size_t n)
{
    if (now->pool_count != was->pool_count || now->listener_count != was->listener_count)
        return false;
    struct config_change *copies = config_must(calloc(n + 1, sizeof(*copies)));
    if (n)
        memcpy(copies, changes, n * sizeof(*copies));
    bool good = true;
    for (size_t i = 0; i < now->pool_count && good; i++)
        good = pool_says(&now->pools[i], &was->pools[i], copies, n);
    free(copies);
    return good;
}

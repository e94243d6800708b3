/* SPDX-License-Identifier: MIT */
/*
 * Any configuration that loads can be edited or is refused with a sentence; what comes out loads,
 * and taking the same changes back or making them again never goes wrong. (config_edit itself
 * refuses a text that does not say what was wanted: that may happen, a crash may not.)
 */
#include "base/check.h"
#include "config/edit.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHANGES_MAX 16

static const char *env(const char *name)
{
    return name[0] == 'A' ? "127.0.0.1:80" : name[0] == 'E' ? "" : NULL;
}

/* Changes by the bits of `plan`: some backends weighted, some removed, one new one for each pool.
 */
static size_t make_changes(const struct snapshot *s, uint32_t plan, struct config_change *changes)
{
    size_t n = 0;
    for (size_t p = 0; p < s->pool_count && n < CHANGES_MAX; p++) {
        const struct pool_conf *pool = &s->pools[p];
        if (plan >> 30 & 1)
            changes[n++] = (struct config_change){
                CONFIG_ADD, pool->name, "new", span_str("192.0.2.9:9"), plan >> 28 & 3, false};
        for (size_t i = 0; i < pool->backend_count && n < CHANGES_MAX;
             i++, plan = plan >> 2 | plan << 30)
            if ((plan & 3) > 1)
                changes[n++] = (struct config_change){plan & 1 ? CONFIG_REMOVE : CONFIG_WEIGHT,
                                                      pool->name,
                                                      pool->backends[i].name,
                                                      {0},
                                                      plan >> 8 & 255,
                                                      false};
    }
    return n;
}

static void edit(const struct snapshot *s, struct span text, uint32_t plan)
{
    struct config_change changes[CHANGES_MAX];
    char why[512] = "";
    size_t len;
    size_t n = make_changes(s, plan, changes);
    char *out = config_edit("fuzz", text, env, changes, n, &len, why, sizeof(why));
    CHECK((out != NULL) == (why[0] == 0));
    if (!out)
        return;
    if (n == 0)
        CHECK(span_eq(span_of(out, len), text));
    struct diagnostics d;
    const struct snapshot *now = NULL;
    CHECK(config_load("again", span_of(out, len), env, &d, &now) == 0);
    diagnostics_fini(&d);
    snapshot_unref(&now);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diagnostics d;
    const struct snapshot *s = NULL;
    struct span text = span_of(data, size);
    uint32_t plan = 0x9e3779b9u * (uint32_t)(size + 1);
    for (size_t i = 0; i < size; i++)
        plan = (plan ^ data[i]) * 16777619u;
    if (config_load("fuzz", text, env, &d, &s) == 0) {
        edit(s, text, 0);
        for (uint32_t i = 0; i < 4; i++)
            edit(s, text, plan * (2 * i + 1));
    }
    snapshot_unref(&s);
    diagnostics_fini(&d);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "app/save.h"

#include "app/config_path.h"
#include "app/steer_say.h"
#include "base/map.h"
#include "config/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_MAX 2048

struct changes {
    struct config_change *list;
    size_t count, room;
    char (*texts)[ADDRESS_TEXT_MAX]; /* addresses of additions, by change */
    bool failed;                     /* out of memory */
};

/* ---- what is other ---- */

/* Room for one more. */
static bool grow(struct changes *c)
{
    if (c->count < c->room)
        return true;
    size_t room = c->room ? 2 * c->room : 64;
    struct config_change *list = realloc(c->list, room * sizeof(*c->list));
    if (!list)
        return false;
    c->list = list;
    char(*texts)[ADDRESS_TEXT_MAX] = realloc(c->texts, room * sizeof(*c->texts));
    if (!texts)
        return false;
    c->texts = texts;
    c->room = room;
    return true;
}

static void note(struct changes *c, enum config_change_kind kind, const char *pool,
                 const struct backend_conf *conf, uint32_t weight)
{
    if (!grow(c)) {
        c->failed = true;
        return;
    }
    address_format(&conf->address, c->texts[c->count]);
    c->list[c->count++] = (struct config_change){.kind = kind,
                                                 .pool = pool,
                                                 .backend = conf->name,
                                                 .weight = weight,
                                                 .backup = conf->backup};
}

static bool is_member(const struct backend *b)
{
    return b && backend_exists(b) && !(backend_admin(b) & BACKEND_REMOVED);
}

/* The same but for its weight. */
static bool is_same(const struct backend_conf *a, const struct backend_conf *b)
{
    return a->backup == b->backup && address_equal(&a->address, &b->address);
}

static void compare_file(struct changes *c, const struct pool_conf *file, struct pool *pool)
{
    for (size_t i = 0; i < file->backend_count; i++) {
        const struct backend_conf *was = &file->backends[i];
        const struct backend *b = pool_find(pool, span_cstr(was->name));
        if (!is_member(b) || !is_same(b->conf, was))
            note(c, CONFIG_REMOVE, file->name, was, 0);
        else if (backend_weight(b) != was->weight)
            note(c, CONFIG_WEIGHT, file->name, was, backend_weight(b));
    }
}

static void compare_pool(struct changes *c, const struct pool_conf *file, const struct pool *pool)
{
    struct map names;
    map_init(&names, 0);
    for (size_t i = 0; i < file->backend_count; i++)
        c->failed |= map_put(&names, span_cstr(file->backends[i].name), &file->backends[i]) < 0;
    for (uint32_t i = 0; i < pool_backend_count(pool); i++) {
        const struct backend *b = &pool->backends[i];
        if (!is_member(b))
            continue;
        const struct backend_conf *was = map_get(&names, span_cstr(b->conf->name));
        if (!was || !is_same(b->conf, was))
            note(c, CONFIG_ADD, file->name, b->conf, backend_weight(b));
    }
    map_fini(&names);
}

static void compare(struct changes *c, const struct snapshot *file, struct pool *const *pools,
                    size_t pool_count)
{
    for (size_t i = 0; i < file->pool_count; i++)
        for (size_t k = 0; k < pool_count; k++)
            if (strcmp(pool_conf(pools[k])->name, file->pools[i].name) == 0) {
                compare_file(c, &file->pools[i], pools[k]);
                compare_pool(c, &file->pools[i], pools[k]);
            }
    for (size_t i = 0; i < c->count; i++)
        c->list[i].address = span_cstr(c->texts[i]);
}

/* ---- the file ---- */

static void write_text(struct save_file *f, struct span text, const struct changes *c,
                       struct steer_result *ret)
{
    char why[WHY_MAX] = "";
    size_t len;
    char *out =
        config_edit(f->path, text, config_process_env, c->list, c->count, &len, why, sizeof(why));
    if (!out) {
        steer_say(ret, STEER_CONFLICT, NULL, "%s is not changed: %s", f->path, why);
        return;
    }
    if (f->write(f->user, span_of(out, len), why, sizeof(why)) < 0) {
        steer_say(ret, STEER_FAILED, NULL, "%s cannot be written: %s", f->path, why);
    } else {
        f->written_hash = config_text_hash(span_of(out, len));
        steer_say(ret, STEER_OK, NULL, "%zu change%s written to %s", c->count,
                  c->count == 1 ? "" : "s", f->path);
    }
    free(out);
}

static void save_text(struct save_file *f, const struct snapshot *s, struct pool *const *pools,
                      size_t pool_count, struct span text, struct steer_result *ret)
{
    uint64_t hash = config_text_hash(text);
    if (hash != s->text_hash && (f->written_hash == 0 || hash != f->written_hash)) {
        steer_say(
            ret, STEER_CONFLICT, NULL,
            "%s was changed since it was loaded and is left as it is; reload first, then save",
            f->path);
        return;
    }
    struct diagnostics d;
    const struct snapshot *file = NULL;
    struct changes c = {0};
    if (config_load(f->path, text, config_process_env, &d, &file) < 0)
        steer_say(ret, STEER_INVALID, NULL, "%s is not valid now and is left as it is", f->path);
    diagnostics_fini(&d);
    if (!file)
        return;
    compare(&c, file, pools, pool_count);
    if (c.failed)
        steer_say(ret, STEER_FAILED, NULL, "out of memory");
    else if (c.count == 0)
        steer_say(ret, STEER_OK, NULL, "%s says so already", f->path);
    else
        write_text(f, text, &c, ret);
    snapshot_unref(&file);
    free(c.list);
    free(c.texts);
}

void save_membership(struct save_file *f, const struct snapshot *s, struct pool *const *pools,
                     size_t pool_count, struct steer_result *ret)
{
    char why[WHY_MAX] = "";
    char *text;
    size_t len;
    if (!f->path) {
        steer_say(ret, STEER_CONFLICT, NULL,
                  "there is no configuration file to save to: the balancer was started with words; "
                  "start it with --save FILE");
        return;
    }
    if (f->read(f->user, &text, &len, why, sizeof(why)) < 0) {
        steer_say(ret, STEER_FAILED, NULL, "%s", why);
        return;
    }
    save_text(f, s, pools, pool_count, span_of(text, len), ret);
    free(text);
}

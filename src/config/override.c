/* SPDX-License-Identifier: MIT */
/* What the command line says on top of a file, through the same types and bounds as the file. */
#include "base/check.h"
#include "config/value.h"

#include <stdio.h>

struct override {
    enum scope scope;
    const char *option;
    const char *words; /* how the command line calls it */
    const char *text;
};

/* Into the owner of that option's scope. */
static bool apply_to(struct load *l, const struct override *v, void *owner)
{
    const struct option *o = option_find(v->scope, span_cstr(v->option));
    CHECK(o != NULL);
    const struct place nowhere = {0};
    uint8_t *target = (uint8_t *)owner + o->offset;
    return value_type(o->type)->read(l, o, &nowhere, span_cstr(v->text), target);
}

static bool apply(struct load *l, const struct override *v)
{
    struct snapshot *s = &l->config->snapshot;
    if (v->text == NULL)
        return true;
    if (v->scope != SCOPE_POOL)
        return apply_to(l, v, s);
    bool good = true;
    for (size_t i = 0; good && i < s->pool_count; i++)
        good = apply_to(l, v, &s->pools[i]);
    return good;
}

static void turn_inward(struct snapshot *s)
{
    s->log.file = NULL;
    s->log.format = LOG_FORMAT_TEXT;
    s->access_log.file = NULL;
    s->access_log.format = ACCESS_NONE;
    s->admin.enabled = false;
    for (size_t i = 0; i < s->listener_count; i++) {
        s->listeners[i].tls.enabled = false;
        s->listeners[i].tls.certificate_count = 0;
        s->listeners[i].proxy_count = 0;
    }
    for (size_t i = 0; i < s->pool_count; i++) {
        s->pools[i].tls.enabled = false;
        s->pools[i].proxy_protocol = PROXY_NONE;
    }
}

static void complain(const struct override *v, const struct diagnostics *found, char *ret_why,
                     size_t why_size)
{
    CHECK(found->count > 0);
    const struct diagnostic *d = &found->items[0];
    const char *more = d->hint ? d->hint : d->note;
    (void)snprintf(ret_why, why_size, "%s: %s%s%s", v->words, d->message, more ? "; " : "",
                   more ? more : "");
}

bool config_override(const struct snapshot **s, const struct config_overrides *o, char *ret_why,
                     size_t why_size)
{
    const struct override all[] = {
        {SCOPE_ROOT, "workers", "--workers", o->workers},
        {SCOPE_ROOT, "engine", "--engine", o->engine},
        {SCOPE_LOG, "level", "--log-level", o->log_level},
        {SCOPE_LOG, "file", "--log-file", o->log_file},
        {SCOPE_POOL, "balance", "--balance", o->balance},
    };
    struct diagnostics found;
    struct load l = {.config = config_of(*s), .d = &found};
    diagnostics_init(&found, "command line", span_of(NULL, 0));
    bool good = true;
    for (size_t i = 0; good && i < ARRAY_LEN(all); i++) {
        good = apply(&l, &all[i]);
        if (!good)
            complain(&all[i], &found, ret_why, why_size);
    }
    diagnostics_fini(&found);
    if (o->inward)
        turn_inward(&l.config->snapshot);
    return good;
}

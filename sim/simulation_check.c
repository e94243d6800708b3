/* SPDX-License-Identifier: MIT */
/* The names in a scenario against those in its configurations, before anything runs. */
#include "app/config_path.h"
#include "app/exit_code.h"
#include "base/str.h"
#include "config/load.h"
#include "sim/simulable.h"
#include "sim/simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    struct scenario *scenario;
    struct diagnostics *d;
    const struct snapshot **configs; /* the first, then those of reloads */
    size_t config_count;
};

static void complain(char *why, size_t why_size, const struct diagnostics *found)
{
    FILE *out = fmemopen(why, why_size, "w");
    if (!out)
        return;
    diagnostics_print(found, out, false);
    (void)fclose(out);
}

static int take_config(struct check *c, const struct scenario_config *config, char *why,
                       size_t why_size)
{
    struct diagnostics found;
    const struct snapshot *s = NULL;
    if (config_load(config->source, config->text, config_process_env, &found, &s) != 0)
        complain(why, why_size, &found);
    diagnostics_fini(&found);
    if (!s)
        return EXIT_CONFIG;
    c->configs[c->config_count++] = s;
    return simulable(s, why, why_size) ? EXIT_OK : EXIT_CONFIG;
}

static int take_configs(struct check *c, char *why, size_t why_size)
{
    const struct scenario *s = c->scenario;
    int code = take_config(c, &s->config, why, why_size);
    for (size_t i = 0; i < s->event_count && code == EXIT_OK; i++) {
        if (s->events[i].act == 1 + ACT_RELOAD)
            code = take_config(c, &s->events[i].config, why, why_size);
    }
    return code;
}

static bool pool_has(const struct pool_conf *pool, const char *name)
{
    for (size_t i = 0; i < pool->backend_count; i++) {
        if (strcmp(pool->backends[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool knows_backend(const struct check *c, const char *pool, const char *name)
{
    for (size_t i = 0; i < c->config_count; i++) {
        const struct snapshot *s = c->configs[i];
        for (size_t k = 0; k < s->pool_count; k++) {
            if ((!pool || strcmp(pool, s->pools[k].name) == 0) && pool_has(&s->pools[k], name))
                return true;
        }
    }
    for (size_t i = 0; i < c->scenario->event_count; i++) {
        const struct scenario_event *e = &c->scenario->events[i];
        if (e->act == 1 + ACT_ADD && strcmp(e->backend, name) == 0)
            return true;
    }
    return false;
}

#define NAMES_MAX 256

static void complain_backend(const struct check *c, struct place at, const char *name)
{
    const char *names[NAMES_MAX];
    size_t n = 0;
    char hint[512];
    const struct snapshot *s = c->configs[0];
    for (size_t k = 0; k < s->pool_count; k++) {
        for (size_t i = 0; i < s->pools[k].backend_count && n < NAMES_MAX; i++)
            names[n++] = s->pools[k].backends[i].name;
    }
    const char *meant = suggest_closest(span_cstr(name), names, n);
    (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", meant ? meant : "");
    diagnose(c->d, &(struct finding){.at = at, .hint = meant ? hint : NULL},
             "no pool has a backend named '%s'", name);
}

static void check_listeners(const struct check *c)
{
    const struct snapshot *s = c->configs[0];
    const char *names[NAMES_MAX];
    size_t n = 0;
    char hint[512];
    for (; n < s->listener_count && n < NAMES_MAX; n++)
        names[n] = s->listeners[n].name;
    for (size_t i = 0; i < c->scenario->client_count; i++) {
        const struct scenario_clients *clients = &c->scenario->clients[i];
        bool found = !clients->listener;
        for (size_t k = 0; k < s->listener_count && !found; k++)
            found = strcmp(s->listeners[k].name, clients->listener) == 0;
        if (found)
            continue;
        const char *meant = suggest_closest(span_cstr(clients->listener), names, n);
        (void)snprintf(hint, sizeof(hint), "did you mean '%s'?", meant ? meant : "");
        diagnose(c->d, &(struct finding){.at = clients->listener_at, .hint = meant ? hint : NULL},
                 "there is no listener named '%s'", clients->listener);
    }
}

static const char *keep_text(void *keeper, struct span text)
{
    struct scenario *s = keeper;
    return config_must(arena_strdup(&s->arena, text));
}

static const struct pool_conf *find_pool(const struct check *c, const char *name)
{
    for (size_t i = 0; i < c->config_count; i++) {
        const struct snapshot *s = c->configs[i];
        for (size_t k = 0; k < s->pool_count; k++) {
            if (strcmp(s->pools[k].name, name) == 0)
                return &s->pools[k];
        }
    }
    return NULL;
}

/* A model speaks one protocol. */
static void check_protocol(const struct check *c, const struct pool_conf *pool,
                           const struct address *a, struct place at)
{
    for (size_t i = 0; i < c->config_count; i++) {
        for (size_t k = 0; k < c->configs[i]->pool_count; k++) {
            const struct pool_conf *other = &c->configs[i]->pools[k];
            bool same = (other->protocol == PROTOCOL_TCP) == (pool->protocol == PROTOCOL_TCP);
            for (size_t n = 0; !same && n < other->backend_count; n++) {
                if (!address_equal(&other->backends[n].address, a))
                    continue;
                diagnose_error(
                    c->d, at,
                    "pools %s and %s, of which one speaks TCP and one HTTP, have a "
                    "backend at the same address; in the simulator it speaks one of them",
                    pool->name, other->name);
                return;
            }
        }
    }
}

static void check_protocols(const struct check *c)
{
    for (size_t i = 0; i < c->config_count; i++) {
        for (size_t k = 0; k < c->configs[i]->pool_count; k++) {
            const struct pool_conf *pool = &c->configs[i]->pools[k];
            for (size_t n = 0; pool->protocol == PROTOCOL_TCP && n < pool->backend_count; n++)
                check_protocol(c, pool, &pool->backends[n].address, c->scenario->config.at);
        }
    }
}

static void check_added(const struct check *c, const struct scenario_event *e)
{
    struct address a;
    const char *why;
    const struct pool_conf *pool = NULL;
    if (e->pool && !(pool = find_pool(c, e->pool)))
        diagnose_error(c->d, e->at, "there is no pool named '%s'", e->pool);
    else if (!e->pool && c->configs[0]->pool_count > 1)
        diagnose_error(c->d, e->at, "'pool' is missing: there are several");
    else if (!e->pool && c->configs[0]->pool_count > 0)
        pool = &c->configs[0]->pools[0];
    if (address_parse(span_cstr(e->address), keep_text, c->scenario, &a, &why) < 0)
        diagnose_error(c->d, e->at, "'%s' is not an address: %s", e->address, why);
    else if (pool)
        check_protocol(c, pool, &a, e->at);
}

static void check_event(const struct check *c, const struct scenario_event *e)
{
    if (e->balancer > c->scenario->balancers)
        diagnose_error(c->d, e->at, "there is no balancer %llu: 'balancers' is %llu",
                       (unsigned long long)e->balancer, (unsigned long long)c->scenario->balancers);
    if (e->act == 1 + ACT_ADD)
        check_added(c, e);
    else if (e->act != 1 + ACT_RELOAD && !knows_backend(c, e->pool, e->backend))
        complain_backend(c, e->backend_at, e->backend);
}

static void check_names(const struct check *c)
{
    const struct scenario *s = c->scenario;
    check_listeners(c);
    check_protocols(c);
    for (size_t i = 0; i < s->backend_count; i++) {
        const struct scenario_backend *b = &s->backends[i];
        if (b->name && !knows_backend(c, b->pool, b->name))
            complain_backend(c, b->name_at, b->name);
    }
    for (size_t i = 0; i < s->event_count; i++)
        check_event(c, &s->events[i]);
}

int simulation_check(struct scenario *s, struct diagnostics *d,
                     void (*note)(void *user, const char *sentence), void *user, char *ret_why,
                     size_t why_size)
{
    struct check c = {.scenario = s, .d = d};
    ret_why[0] = '\0';
    c.configs = config_must(calloc(s->event_count + 1, sizeof(c.configs[0])));
    int code = take_configs(&c, ret_why, why_size);
    if (code == EXIT_OK) {
        simulable_notes(c.configs[0], note, user);
        check_names(&c);
        diagnostics_sort(d);
        code = d->errors ? EXIT_CONFIG : EXIT_OK;
    }
    for (size_t i = 0; i < c.config_count; i++)
        snapshot_unref(&c.configs[i]);
    free(c.configs);
    return code;
}

/* SPDX-License-Identifier: MIT */
/* The last step: which backends could serve it, and which one the policy picks. */
#include "admin/explain.h"
#include "base/check.h"
#include "health/health.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a pool to try it on ---- */

/* Without a running balancer nothing is known to be down; names are taken to resolve. */
static struct pool *fresh_pool(const struct snapshot *s, uint32_t index)
{
    struct pool *pool = pool_new(s, index, NULL);
    bool changed = false;
    for (uint32_t i = 0; pool && i < pool_backend_count(pool); i++)
        changed |= backend_state_change(&pool->backends[i], 0, BACKEND_UNRESOLVED);
    if (changed) {
        struct view *old = pool_rebuild(pool);
        view_free(&old);
    }
    return pool;
}

static struct pool *live_pool(const struct explain_world *world, uint32_t index)
{
    return world->view && index < world->view->pool_count ? world->view->pools[index] : NULL;
}

/* ---- candidates ---- */

static void say_health(char *out, size_t size, const char *word, const struct explain_world *world,
                       const struct backend *b)
{
    struct health_status status = {.last = REASON_ok};
    if (world->view && world->view->health && b->health)
        health_status(world->view->health, b, &status);
    snprintf(out, size, status.last == REASON_ok ? "%s" : "%s: %s", word, reason_name(status.last));
}

static void say_bar(struct explain_candidate *c, enum pick_bar bar,
                    const struct explain_world *world, const struct pool *pool,
                    const struct backend *b)
{
    char *out = c->because;
    size_t size = sizeof(c->because);
    const char *text = "";
    switch (bar) {
    case PICK_BAR_NONE: break;
    case PICK_BAR_REMOVED: text = "removing: it is no longer in the pool"; break;
    case PICK_BAR_DISABLED: text = "disabled by the operator"; break;
    case PICK_BAR_DRAIN: text = "draining: it takes nothing new"; break;
    case PICK_BAR_UNRESOLVED: text = "unresolved: its name has no address yet"; break;
    case PICK_BAR_DOWN: say_health(out, size, "down", world, b); return;
    case PICK_BAR_EJECTED: text = "ejected: passive_failures"; break;
    case PICK_BAR_WEIGHT: text = "its weight is 0"; break;
    case PICK_BAR_BACKUP: text = "a backup, while another backend is up"; break;
    case PICK_BAR_VIEW: text = "it has just changed"; break;
    case PICK_BAR_FULL:
        snprintf(out, size, "full: %u of %u connections", c->in_flight,
                 atomic_load_explicit(&pool->max_connections, memory_order_relaxed));
        return;
    }
    snprintf(out, size, "%s", text);
}

static void fill_candidate(struct explain_candidate *c, const struct explain_world *world,
                           const struct pool *pool, const struct backend *b)
{
    enum pick_bar bar = pick_barred(pool, b);
    c->name = b->conf->name;
    address_format(&b->conf->address, c->address);
    c->weight = backend_weight(b);
    c->in_flight = atomic_load_explicit(&b->in_flight, memory_order_relaxed);
    c->backup = b->conf->backup;
    c->eligible = bar == PICK_BAR_NONE;
    c->scored = pick_score(pool, b, &c->score);
    say_bar(c, bar, world, pool, b);
}

/* `pool` is the one that serves, where there is one: it knows about health, and its texts stay. */
static bool list_candidates(struct explanation *e, const struct explain_world *world,
                            const struct pool *pool)
{
    uint32_t slots = pool_backend_count(pool);
    e->candidates = calloc(MIN(slots, (uint32_t)EXPLAIN_SHOWN_MAX) + 1, sizeof(*e->candidates));
    if (!e->candidates)
        return false;
    for (uint32_t i = 0; i < slots; i++) {
        const struct backend *b = &pool->backends[i];
        if (!backend_exists(b))
            continue;
        if (e->candidate_count < EXPLAIN_SHOWN_MAX)
            fill_candidate(&e->candidates[e->candidate_count++], world, pool, b);
        e->candidates_total++;
    }
    return true;
}

/* ---- the policy ---- */

static void say_how(struct explanation *e, const struct pick_start *s)
{
    char ip[ADDRESS_TEXT_MAX];
    struct writer w = writer_of(e->how, sizeof(e->how) - 1);
    const char *first = s->drawn[0] ? s->drawn[0]->conf->name : "nobody";
    switch (s->balance) {
    case BALANCE_ROUND_ROBIN:
        if (s->at)
            w_printf(&w, "turn %" PRIu64 ", place %u of %u of the round, is %s", s->turn,
                     s->place + 1, s->length, s->at->conf->name);
        break;
    case BALANCE_SOURCE_HASH:
        address_format_ip(&e->client, ip);
        if (s->at)
            w_printf(&w, "%s has the key %016" PRIx64 ", place %u of %u of the table: %s", ip,
                     s->key, s->place, s->length, s->at->conf->name);
        break;
    case BALANCE_RANDOM: w_printf(&w, "drawn by weight: %s", first); break;
    case BALANCE_P2C:
        if (s->drawn[1])
            w_printf(&w, "drawn by weight: %s and %s; the lower score wins", first,
                     s->drawn[1]->conf->name);
        else
            w_printf(&w, "only %s can be drawn", first);
        break;
    case BALANCE_LEAST_CONNECTIONS: w_printf(&w, "the lowest score wins; equals take turns"); break;
    }
    w.failed = false;
    (void)w_cstr(&w);
}

static void say_pick(struct explanation *e, const struct pool *pool, enum pick_answer answer,
                     const struct backend *b)
{
    uint32_t waiting = atomic_load_explicit(&pool->waiting, memory_order_relaxed);
    if (answer == PICK_NONE) {
        explain_end(e, REASON_no_backend);
    } else if (answer == PICK_OK && waiting == 0) {
        snprintf(e->pick, sizeof(e->pick), "%s", b->conf->name);
        e->outcome = "forward";
    } else if (waiting >= pool_conf(pool)->queue_max) {
        explain_end(e, REASON_queue_full);
    } else {
        e->outcome = "queue";
    }
}

/* Names of `twin` go with it; those of `e` are of the pool that stays or of the configuration. */
static void try_pick(struct explanation *e, const struct explain_world *world, struct pool *twin)
{
    struct pick_request request = {.key = pick_source_key(&e->client)};
    struct rng rng = rng_seed(world->seed);
    struct pick_start start;
    struct backend *b = NULL;
    pick_start(twin, &request, rng, &start);
    enum pick_answer answer = pick_backend(twin, &request, &rng, &b);
    if (answer != PICK_NONE)
        say_how(e, &start);
    say_pick(e, twin, answer, b);
    if (answer == PICK_OK)
        pick_done(b);
}

bool explain_pick(const struct explain_world *world, uint32_t index, struct explanation *e)
{
    struct pool *live = live_pool(world, index);
    struct pool *twin = live ? pool_twin(live) : fresh_pool(world->snapshot, index);
    if (!twin)
        return false;
    bool ok = list_candidates(e, world, live ? live : twin);
    if (ok && !live)
        /* the twin's copies of names end with it; the configuration's last */
        for (size_t i = 0; i < e->candidate_count; i++)
            e->candidates[i].name = e->pool->backends[i].name;
    if (ok)
        try_pick(e, world, twin);
    pool_free(&twin);
    return ok;
}

/* SPDX-License-Identifier: MIT */
#include "app/generation.h"

#include "app/certificates.h"
#include "app/crew.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

struct generation_end {
    struct message message;
    struct generation *generation;
};

static void fill_confs(struct generation *g)
{
    for (size_t i = 0; i < g->snapshot->listener_count; i++) {
        const struct listener_conf *conf = &g->snapshot->listeners[i];
        g->confs[i] = (struct front_conf){
            .snapshot = g->snapshot,
            .conf = conf,
            .pools = g->pools,
            .limits =
                {
                    .line_bytes = conf->line_bytes_max,
                    .head_bytes = conf->head_bytes_max,
                    .fields = (uint16_t)conf->fields_max,
                },
            .uses = g->uses,
        };
        front_conf_derive(&g->confs[i]);
    }
}

static void one_less(struct generation *g)
{
    CHECK(g->left > 0);
    if (--g->left == 0)
        g->gone(g->user, g);
}

static void on_unused(struct loop *loop, struct message *m)
{
    (void)loop;
    one_less(container_of(m, struct generation_end, message)->generation);
}

/* On a worker: its last exchange has ended. */
static void unused(struct front_use *u)
{
    struct generation_end *end = u->user;
    loop_post(end->generation->loop, &end->message);
}

static bool make_uses(struct generation *g, uint32_t workers)
{
    size_t bytes = workers * sizeof(g->uses[0]);
    g->uses = aligned_alloc(CACHE_LINE_BYTES, bytes);
    g->ends = calloc(workers, sizeof(g->ends[0]));
    if (!g->uses || !g->ends)
        return false;
    memset(g->uses, 0, bytes);
    for (uint32_t i = 0; i < workers; i++) {
        g->ends[i] = (struct generation_end){.message.fn = on_unused, .generation = g};
        g->uses[i].unused = unused;
        g->uses[i].user = &g->ends[i];
    }
    return true;
}

struct generation *generation_new(const struct snapshot *s, uint64_t number, struct crew *crew,
                                  generation_gone_fn *gone, void *user)
{
    struct generation *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->number = number;
    g->snapshot = snapshot_ref(s);
    g->workers = crew_count(crew);
    g->loop = crew_loop(crew);
    g->gone = gone;
    g->user = user;
    g->graces = crew_graces(crew);
    list_init(&g->link);
    g->pools = calloc(s->pool_count + 1, sizeof(g->pools[0]));
    g->confs = calloc(s->listener_count + 1, sizeof(g->confs[0]));
    if (!g->pools || !g->confs || !make_uses(g, g->workers)) {
        generation_free(&g);
        return NULL;
    }
    fill_confs(g);
    return g;
}

void generation_take_secrets(struct generation *g, struct secrets *secrets)
{
    g->secrets = secrets;
    for (size_t i = 0; i < g->snapshot->listener_count; i++)
        g->confs[i].tls = secrets_servers(secrets, i);
}

static void on_worker(struct grace *retiring, struct worker *w)
{
    struct generation *g = container_of(retiring, struct generation, retiring);
    front_conf_retire(&g->uses[worker_forwarder(w)->index]);
}

static void on_told(struct grace *retiring)
{
    one_less(container_of(retiring, struct generation, retiring));
}

void generation_retire(struct generation *g)
{
    g->left = g->workers + 1; /* each worker's last use, and the round itself */
    g->retiring = (struct grace){.visit = on_worker, .done = on_told};
    grace_begin(g->graces, &g->retiring);
}

void generation_free(struct generation **generation)
{
    struct generation *g = *generation;
    if (!g)
        return;
    CHECK(!list_linked(&g->link));
    secrets_free(&g->secrets);
    free(g->pools);
    free(g->confs);
    free(g->uses);
    free(g->ends);
    snapshot_unref(&g->snapshot);
    free(g);
    *generation = NULL;
}

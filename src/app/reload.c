/* SPDX-License-Identifier: MIT */
/*
 * One attempt is a struct attempt on the stack of a turn of the loop: it owns what was made for the
 * next generation until the swap, and gives it back when something fails before.
 */
#include "app/reload.h"

#include "account/account.h"
#include "app/config_path.h"
#include "app/pools.h"
#include "app/reload_plan.h"
#include "app/steer.h"
#include "base/check.h"
#include "base/log.h"
#include "config/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines of the event log that say what one reload changed. */
#define CHANGES_LOGGED 50

/* How soon one that has to wait for another looks again. */
#define RETRY_MS 5

/* … or what is wrong with a file. */
#define ERRORS_LOGGED 10

struct request {
    struct list link;
    bool plan_only;
    steer_done_fn *done;
    void *user;
};

struct reload {
    struct engine *engine;
    struct list requests;
    struct message message;
    bool posted; /* the message is under way, or the timer runs */
    struct timer retry;
    struct reload_last last;
};

struct attempt {
    struct engine *e;
    struct steer_result *result;
    const struct snapshot *next;
    struct reload_plan plan;
    bool planned;
    struct secrets *secrets; /* until the generation has them */
    struct generation *generation;
    bool has_pools, log_moved;
    struct fronts_change *fronts;
    struct log_swap *log_swap;
};

/* The access log of the workers becomes another one. */
struct log_swap {
    struct grace grace;
    struct access_log *before, *after; /* each may be NULL */
};

static void say(struct attempt *a, enum steer_code code, const char *message)
{
    a->result->code = code;
    (void)snprintf(a->result->message, sizeof(a->result->message), "%s", message);
}

static void say_memory(struct attempt *a)
{
    say(a, STEER_FAILED, "out of memory; nothing was changed");
}

/* ---- read and check ---- */

/* As `poise check` prints them, and the first few in the log. */
static void say_diagnostics(struct attempt *a, const struct diagnostics *found)
{
    FILE *out = fmemopen(a->result->message, sizeof(a->result->message) - 1, "w");
    a->result->code = STEER_INVALID;
    if (out) {
        diagnostics_print(found, out, false);
        (void)fclose(out);
    }
    size_t logged = 0;
    for (size_t i = 0; i < found->count && logged < ERRORS_LOGGED; i++) {
        const struct diagnostic *d = &found->items[i];
        if (d->level != DIAGNOSTIC_ERROR)
            continue;
        log_error("reload", "%s:%u:%u: %s", found->source, d->line, d->column, d->message);
        logged++;
    }
}

static bool load(struct attempt *a, const char *text, size_t len)
{
    const char *path = door_config_path(a->e->door);
    struct diagnostics found;
    int r = config_load(path ? path : "command line", span_of(text, len), config_process_env,
                        &found, &a->next);
    if (r < 0)
        say_diagnostics(a, &found);
    diagnostics_fini(&found);
    return r == 0;
}

static bool read_next(struct attempt *a)
{
    char why[DOOR_WHY_MAX] = "";
    char *text;
    size_t len;
    if (door_config(a->e->door, &text, &len, why, sizeof(why)) < 0) {
        say(a, STEER_FAILED, why);
        return false;
    }
    bool good = load(a, text, len);
    free(text);
    if (good && !config_override(&a->next, door_overrides(a->e->door), why, sizeof(why))) {
        say(a, STEER_INVALID, why);
        return false;
    }
    return good;
}

/* ---- compare ---- */

static uint32_t pool_in_flight(const struct pool *pool)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < pool_backend_count(pool); i++)
        sum += atomic_load_explicit(&pool->backends[i].in_flight, memory_order_relaxed);
    return sum;
}

struct member_notes {
    struct pool *pool;
    reload_member_fn *fn;
    void *to;
};

/* Settings of the pool are compared by the plan itself. */
static void on_member(void *user, const char *change, const char *name, const char *detail)
{
    const struct member_notes *n = user;
    bool added = strcmp(change, "added") == 0, goes = strcmp(change, "removed") == 0;
    if (added || goes || pool_find(n->pool, span_cstr(name)))
        n->fn(n->to, detail, goes);
}

static bool members(void *user, size_t now, size_t next, reload_member_fn *fn, void *to)
{
    const struct attempt *a = user;
    struct member_notes notes = {a->e->generation->pools[now], fn, to};
    return membership_reconfigure(a->e->membership, notes.pool, a->next, (uint32_t)next, true,
                                  on_member, &notes) == 0;
}

static bool compare(struct attempt *a)
{
    const struct generation *now = a->e->generation;
    size_t fronts;
    struct front *const *front = fronts_list(a->e->fronts, &fronts);
    uint32_t *clients = calloc(fronts + 1, sizeof(*clients));
    uint32_t *in_flight = calloc(now->snapshot->pool_count + 1, sizeof(*in_flight));
    bool ok = clients && in_flight;
    for (size_t i = 0; ok && i < fronts; i++)
        clients[i] = atomic_load_explicit(&front[i]->connections, memory_order_relaxed);
    for (size_t i = 0; ok && i < now->snapshot->pool_count; i++)
        in_flight[i] = pool_in_flight(now->pools[i]);
    struct reload_facts facts = {clients, in_flight, members, a};
    a->planned = ok && reload_plan_make(now->snapshot, a->next, &facts, &a->plan) == 0;
    free(clients);
    free(in_flight);
    if (!a->planned)
        say_memory(a);
    return a->planned;
}

/* ---- make what is new ---- */

static bool other_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") != 0;
}

static bool make_access_log(struct attempt *a)
{
    const struct snapshot *now = engine_snapshot(a->e), *next = a->next;
    char why[DOOR_WHY_MAX] = "";
    if (now->access_log.format == next->access_log.format &&
        !other_text(now->access_log.file, next->access_log.file))
        return true;
    a->log_swap = calloc(1, sizeof(*a->log_swap));
    if (!a->log_swap) {
        say_memory(a);
        return false;
    }
    if (engine_open_access_log(next, &a->log_swap->after, why, sizeof(why)))
        return true;
    say(a, STEER_FAILED, why);
    return false;
}

/* Last of what can fail for reasons outside, as it takes effect at once. */
static bool move_log(struct attempt *a)
{
    const struct snapshot *now = engine_snapshot(a->e), *next = a->next;
    char why[DOOR_WHY_MAX] = "";
    if (now->log.format == next->log.format && !other_text(now->log.file, next->log.file))
        return true;
    a->log_moved = engine_start_log(a->e, next, why, sizeof(why));
    if (a->log_moved)
        return true;
    say(a, STEER_FAILED, why);
    return false;
}

/* What is wrong with a file is logged at once: of a bad configuration nobody else does. */
static bool make_secrets(struct attempt *a)
{
    struct certificates_refusal why;
    if (certificates_prepare(a->e->certificates, a->next, &a->secrets, &why) == 0)
        return true;
    say(a, why.invalid ? STEER_INVALID : STEER_FAILED, why.text);
    if (why.invalid)
        log_error("reload", "%s", why.text);
    return false;
}

static bool make(struct attempt *a)
{
    struct engine *e = a->e;
    char why[DOOR_WHY_MAX] = "";
    a->generation =
        generation_new(a->next, e->generation->number + 1, e->crew, engine_generation_gone, e);
    a->has_pools = a->generation && pools_prepare(e, a->generation) == 0;
    if (!a->has_pools) {
        say_memory(a);
        return false;
    }
    generation_take_secrets(a->generation, a->secrets);
    a->secrets = NULL;
    if (!make_access_log(a))
        return false;
    if (fronts_prepare(e->fronts, a->next, &a->fronts, why, sizeof(why)) < 0) {
        say(a, STEER_FAILED, why);
        return false;
    }
    return move_log(a);
}

static void log_swap_free(struct log_swap **swap)
{
    struct log_swap *l = *swap;
    if (!l)
        return;
    access_log_close(&l->after);
    free(l);
    *swap = NULL;
}

static void unmake(struct attempt *a)
{
    const struct snapshot *now = engine_snapshot(a->e);
    char why[DOOR_WHY_MAX];
    if (a->log_moved && !engine_start_log(a->e, now, why, sizeof(why)))
        log_error("reload", "%s", why);
    fronts_abandon(a->e->fronts, &a->fronts);
    log_swap_free(&a->log_swap);
    if (a->has_pools)
        pools_abandon(a->e, a->generation);
    secrets_free(&a->secrets);
    generation_free(&a->generation);
}

/* ---- swap ---- */

static void log_on_worker(struct grace *g, struct worker *w)
{
    const struct log_swap *l = container_of(g, struct log_swap, grace);
    int r = forwarder_log_to(worker_forwarder(w), l->after);
    if (r < 0)
        log_error("worker", "cannot write the access log reason=%s",
                  reason_name((enum reason) - r));
}

static void on_logs_swapped(struct grace *g)
{
    struct log_swap *l = container_of(g, struct log_swap, grace);
    l->after = NULL; /* the engine's */
    access_log_close(&l->before);
    log_swap_free(&l);
}

static void swap_access_log(struct attempt *a)
{
    struct log_swap *l = a->log_swap;
    a->log_swap = NULL;
    if (!l)
        return;
    l->before = a->e->access_log;
    a->e->access_log = l->after;
    l->grace = (struct grace){.visit = log_on_worker, .done = on_logs_swapped};
    grace_begin(crew_graces(a->e->crew), &l->grace);
}

static void on_left(void *user)
{
    generation_retire(user);
}

/* Nothing here can fail. */
static void swap(struct attempt *a)
{
    struct engine *e = a->e;
    struct generation *before = e->generation, *now = a->generation;
    a->generation = NULL;
    a->has_pools = a->log_moved = false;
    e->generation = now;
    list_add_tail(&e->former, &before->link);
    certificates_commit(e->certificates, now);
    fronts_commit(e->fronts, &a->fronts, now, on_left, before);
    pools_leave(e, before, now);
    swap_access_log(a);
    log_set_level(now->snapshot->log.level);
    door_config_accept(e->door);
    steer_reloaded(e->steer, &now->snapshot->admin);
    for (size_t i = 0; i < a->plan.count; i++)
        steer_changed(e->steer, &a->plan.changes[i]);
}

/* ---- one attempt ---- */

/* The log is plain ASCII. */
static void plain_arrows(const char *text, char *to, size_t size)
{
    static const char arrow[] = "→";
    size_t n = 0;
    for (const char *p = text; *p && n + 3 < size;) {
        if (strncmp(p, arrow, sizeof(arrow) - 1) == 0) {
            to[n++] = '-';
            to[n++] = '>';
            p += sizeof(arrow) - 1;
        } else {
            to[n++] = *p++;
        }
    }
    to[n] = '\0';
}

static void log_changes(const struct attempt *a)
{
    char name[2 * NAME_MAX_LEN + 8], detail[LOG_LINE_MAX / 2], plain[LOG_LINE_MAX / 2];
    for (size_t i = 0; i < MIN(a->plan.count, (size_t)CHANGES_LOGGED); i++) {
        const struct steer_change *c = &a->plan.changes[i];
        plain_arrows(c->detail, plain, sizeof(plain));
        log_info("reload", "%s %s name=%s%s%s", c->what, c->change,
                 log_value(name, sizeof(name), span_cstr(c->name)), *plain ? " detail=" : "",
                 *plain ? log_value(detail, sizeof(detail), span_cstr(plain)) : "");
    }
}

static bool attempt(struct attempt *a)
{
    struct engine *e = a->e;
    bool made = make(a);
    if (made)
        certificates_enable(a->generation);
    if (made && pools_commit(e, a->generation) == 0) {
        swap(a);
        return true;
    }
    if (made)
        certificates_revert(e->generation);
    if (a->result->code == STEER_OK)
        say_memory(a);
    return false;
}

static void report(const struct attempt *a, bool plan_only)
{
    size_t n = a->plan.count;
    (void)snprintf(a->result->message, sizeof(a->result->message), "%s: %zu change%s",
                   plan_only ? "the configuration is good" : "reloaded", n, n == 1 ? "" : "s");
}

static void finish(struct reload *r, struct attempt *a, bool ok)
{
    struct engine *e = r->engine;
    r->last = (struct reload_last){ok, loop_wall_ms(e->loop)};
    door_reloaded(e->door, ok);
    if (!ok) {
        if (a->result->code != STEER_INVALID)
            log_error("reload", "%s", a->result->message);
        log_error("reload", "failed; the configuration before stays generation=%llu",
                  (unsigned long long)e->generation->number);
        return;
    }
    log_changes(a);
    log_info("reload", "done generation=%llu changes=%zu",
             (unsigned long long)e->generation->number, a->plan.count);
}

static void run(struct reload *r, const struct request *q)
{
    /* Kept apart from the stack: its message alone has 16 KiB. */
    struct steer_result *result = calloc(1, sizeof(*result));
    struct attempt a = {.e = r->engine, .result = result};
    if (!result) {
        static const struct steer_result no_memory = {.code = STEER_FAILED,
                                                      .message = "out of memory"};
        q->done(q->user, &no_memory, NULL, 0);
        return;
    }
    bool ok = false;
    if (r->engine->draining)
        say(&a, STEER_CONFLICT, "the balancer is draining; nothing was changed");
    else
        ok = read_next(&a) && compare(&a) && make_secrets(&a) && (q->plan_only || attempt(&a));
    if (ok)
        report(&a, q->plan_only);
    if (!q->plan_only)
        finish(r, &a, ok);
    unmake(&a);
    q->done(q->user, result, ok ? a.plan.changes : NULL, ok ? a.plan.count : 0);
    if (a.planned)
        reload_plan_fini(&a.plan);
    snapshot_unref(&a.next);
    free(result);
}

/* ---- requests ---- */

static void post(struct reload *r)
{
    if (r->posted || list_empty(&r->requests))
        return;
    r->posted = true;
    loop_post(r->engine->loop, &r->message);
}

/* Addresses that the one before took away must be closed before they can be had again. */
static void run_next(struct reload *r)
{
    if (!r->engine->draining && fronts_closing(r->engine->fronts)) {
        loop_timer_set(r->engine->loop, &r->retry, RETRY_MS);
        return;
    }
    r->posted = false;
    struct request *q = container_of(list_pop(&r->requests), struct request, link);
    run(r, q);
    free(q);
    post(r);
}

static void on_message(struct loop *loop, struct message *m)
{
    (void)loop;
    run_next(container_of(m, struct reload, message));
}

static void on_retry(struct timer *t)
{
    run_next(container_of(t, struct reload, retry));
}

struct reload *reload_new(struct engine *e)
{
    struct reload *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->engine = e;
    r->message.fn = on_message;
    timer_init(&r->retry, on_retry);
    r->last = (struct reload_last){true, loop_wall_ms(e->loop)};
    list_init(&r->requests);
    return r;
}

bool reload_begin(struct reload *r, bool plan_only, steer_done_fn *done, void *user)
{
    struct request *q = calloc(1, sizeof(*q));
    if (!q)
        return false;
    *q = (struct request){.plan_only = plan_only, .done = done, .user = user};
    list_init(&q->link);
    list_add_tail(&r->requests, &q->link);
    post(r);
    return true;
}

struct reload_last reload_last(const struct reload *r)
{
    return r->last;
}

void reload_free(struct reload **reload)
{
    struct reload *r = *reload;
    if (!r)
        return;
    while (!list_empty(&r->requests))
        free(container_of(list_pop(&r->requests), struct request, link));
    loop_timer_stop(r->engine->loop, &r->retry);
    free(r);
    *reload = NULL;
}

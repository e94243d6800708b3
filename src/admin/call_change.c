/* SPDX-License-Identifier: MIT */
/* The calls that change something. Whoever carries a change out says so in the event log and to the
 * readers of events, for not all come from here. */
#include "admin/call.h"
#include "admin/look.h"
#include "base/address.h"
#include "base/check.h"
#include "base/log.h"
#include "base/str.h"

#include <stdio.h>

/* For operations alone: too large for the stack of a deep call, and used one at a time. */
static struct steer_result result;

static struct steer_result *fresh_result(void)
{
    result.code = STEER_OK;
    result.field = NULL;
    result.message[0] = 0;
    return &result;
}

/* Writes the change into the file where that was asked for. False: the call is answered. */
static bool save(struct call *c, bool wanted)
{
    if (!wanted)
        return true;
    CHECK(c->site->ops->save != NULL); /* can_save */
    struct steer_result *r = fresh_result();
    c->site->ops->save(c->site->ops_user, r);
    if (r->code == STEER_OK)
        return true;
    call_fail_result(c, r);
    return false;
}

/* Before anything is changed: what cannot be saved is not half done. */
static bool can_save(struct call *c, bool wanted)
{
    if (!wanted || c->site->ops->save)
        return true;
    call_unavailable(c, "saving to the configuration file");
    return false;
}

/* ---- backends ---- */

static bool read_backend(struct call *c, const json_t *body, struct steer_backend *b, bool *save_it)
{
    uint64_t weight = 1;
    *b = (struct steer_backend){0};
    if (!call_text(c, body, "name", &b->name) || !call_text(c, body, "address", &b->address) ||
        !call_u64(c, body, "weight", BACKEND_WEIGHT_MAX, &weight) ||
        !call_bool(c, body, "backup", &b->backup) || !call_bool(c, body, "save", save_it))
        return false;
    b->weight = (uint32_t)weight;
    if (b->address.n > 0)
        return true;
    call_fail(c, 400, "bad_request", "address", "'address' is missing, such as \"10.0.0.5:8080\"");
    return false;
}

/* The backend that has just been added; one without a name is named by its address in its usual
 * form. */
static struct backend *find_added(struct pool *pool, const struct steer_backend *wanted)
{
    char room[ADDRESS_TEXT_MAX], text[ADDRESS_TEXT_MAX];
    struct address a;
    const char *why;
    if (wanted->name.n > 0)
        return look_find_backend(pool, wanted->name);
    if (address_parse(wanted->address, address_keep, room, &a, &why) < 0)
        return NULL;
    return look_find_backend(pool, span_of(text, address_format(&a, text)));
}

static void add(struct call *c, struct pool *pool, const struct steer_backend *wanted, bool save_it)
{
    struct steer_result *r = fresh_result();
    c->site->ops->add(c->site->ops_user, pool, wanted, r);
    if (r->code != STEER_OK) {
        call_fail_result(c, r);
        return;
    }
    const struct backend *b = find_added(pool, wanted);
    if (!b) {
        call_fail(c, 500, "failed", NULL, "the backend was added and is not there");
        return;
    }
    if (save(c, save_it))
        call_show_backend(c, 201, b, save_it);
}

void call_backend_add(struct call *c)
{
    static const char *const keys[] = {"name", "address", "weight", "backup", "save"};
    struct steer_view view = call_view(c);
    struct pool *pool = call_find_pool(c, &view);
    if (!pool)
        return;
    if (!c->site->ops->add) {
        call_unavailable(c, "adding a backend");
        return;
    }
    json_t *body = call_body(c, keys, ARRAY_LEN(keys));
    if (!body)
        return;
    struct steer_backend wanted;
    bool save_it = false;
    if (read_backend(c, body, &wanted, &save_it) && can_save(c, save_it))
        add(c, pool, &wanted, save_it);
    json_decref(body);
}

static const char *const state_words[] =
    {[ADMIN_READY] = "ready", [ADMIN_DRAIN] = "drain", [ADMIN_DISABLED] = "disabled"};

static bool read_state(struct call *c, struct span word, enum admin_state *ret_state)
{
    for (size_t i = 0; i < ARRAY_LEN(state_words); i++) {
        if (span_eq(word, span_cstr(state_words[i]))) {
            *ret_state = (enum admin_state)i;
            return true;
        }
    }
    const char *near = suggest_closest(word, state_words, ARRAY_LEN(state_words));
    call_fail(c, 400, "bad_request", "state", "'state' must be ready, drain or disabled%s%s%s",
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return false;
}

/* What a PATCH asks for. */
struct patch {
    bool has_weight, has_state, save;
    uint32_t weight;
    enum admin_state state;
};

static bool read_patch(struct call *c, const json_t *body, struct patch *p)
{
    uint64_t weight = UINT64_MAX;
    struct span state = {0};
    *p = (struct patch){0};
    if (!call_u64(c, body, "weight", BACKEND_WEIGHT_MAX, &weight) ||
        !call_text(c, body, "state", &state) || !call_bool(c, body, "save", &p->save))
        return false;
    p->has_weight = weight != UINT64_MAX;
    p->weight = (uint32_t)weight;
    p->has_state = json_object_get(body, "state") != NULL;
    if (p->has_state && !read_state(c, state, &p->state))
        return false;
    if (p->has_weight || p->has_state || p->save)
        return true;
    call_fail(c, 400, "bad_request", NULL, "nothing to change: give 'weight', 'state' or both");
    return false;
}

/* Whether this balancer can do all of it, before any of it is done. */
static bool can_patch(struct call *c, const struct patch *p)
{
    const struct steer_ops *ops = c->site->ops;
    if ((!p->has_weight || ops->set_weight) && (!p->has_state || ops->set_state))
        return can_save(c, p->save);
    call_unavailable(c, "changing a backend");
    return false;
}

static void patch(struct call *c, struct backend *b, const struct patch *p)
{
    const struct steer_ops *ops = c->site->ops;
    struct steer_result *r = fresh_result();
    if (p->has_weight)
        ops->set_weight(c->site->ops_user, b, p->weight, r);
    if (r->code == STEER_OK && p->has_state)
        ops->set_state(c->site->ops_user, b, p->state, r);
    if (r->code != STEER_OK)
        call_fail_result(c, r);
    else if (save(c, p->save))
        call_show_backend(c, 200, b, p->save);
}

void call_backend_change(struct call *c)
{
    static const char *const keys[] = {"weight", "state", "save"};
    struct steer_view view = call_view(c);
    struct backend *b = call_find_backend(c, &view);
    if (!b)
        return;
    json_t *body = call_body(c, keys, ARRAY_LEN(keys));
    if (!body)
        return;
    struct patch wanted;
    if (read_patch(c, body, &wanted) && can_patch(c, &wanted))
        patch(c, b, &wanted);
    json_decref(body);
}

void call_backend_remove(struct call *c)
{
    static const char *const keys[] = {"save"};
    struct steer_view view = call_view(c);
    struct backend *b = call_find_backend(c, &view);
    if (!b)
        return;
    if (!c->site->ops->remove) {
        call_unavailable(c, "removing a backend");
        return;
    }
    json_t *body = call_body(c, keys, ARRAY_LEN(keys));
    if (!body)
        return;
    bool save_it = false;
    bool good = call_bool(c, body, "save", &save_it) && can_save(c, save_it);
    json_decref(body);
    if (!good)
        return;
    struct steer_result *r = fresh_result();
    c->site->ops->remove(c->site->ops_user, b, r);
    if (r->code != STEER_OK) {
        call_fail_result(c, r);
        return;
    }
    if (save(c, save_it))
        call_show_backend(c, 200, b, save_it);
}

/* ---- the process ---- */

static const char *door(const struct call *c)
{
    return c->over_socket ? "socket" : "token";
}

static void put_change(struct json *j, const struct steer_change *change)
{
    j_object(j, NULL);
    j_str(j, "what", change->what);
    j_str(j, "name", change->name);
    j_str(j, "change", change->change);
    if (change->detail)
        j_str(j, "detail", change->detail);
    if (change->touches)
        j_str(j, "touches", change->touches);
    j_end(j);
}

/* A steer_done_fn of reload and upgrade; the readers of events are told by whoever reloads. */
static void on_done(void *user, const struct steer_result *done, const struct steer_change *changes,
                    size_t change_count)
{
    struct call *c = user;
    CHECK_OBJ(c, CALL_MAGIC);
    if (done->code != STEER_OK || !c->site) {
        call_fail_result(c, done);
        call_answer_later(c);
        return;
    }
    struct steer_view view = call_view(c);
    struct json j = call_json(c, 200);
    j_object(&j, NULL);
    j_bool(&j, "ok", true);
    j_u64(&j, "generation", view.generation);
    j_array(&j, "changes");
    for (size_t i = 0; i < change_count; i++)
        put_change(&j, &changes[i]);
    j_end(&j);
    j_str(&j, "message", done->message);
    j_end(&j);
    call_answer_later(c);
}

void call_reload(struct call *c)
{
    static const char *const keys[] = {"plan"};
    bool plan = false;
    json_t *body = call_body(c, keys, ARRAY_LEN(keys));
    if (!body)
        return;
    bool good = call_bool(c, body, "plan", &plan);
    json_decref(body);
    if (!good)
        return;
    if (!c->site->ops->reload) {
        call_unavailable(c, "a reload");
        return;
    }
    log_info("admin", "reload asked for by=%s plan=%s", door(c), plan ? "yes" : "no");
    c->state = CALL_LATER;
    c->site->ops->reload(c->site->ops_user, plan, on_done, c);
}

void call_upgrade(struct call *c)
{
    json_t *body = call_body(c, NULL, 0);
    if (!body)
        return;
    json_decref(body);
    if (!c->site->ops->upgrade) {
        call_unavailable(c, "an upgrade");
        return;
    }
    log_info("admin", "upgrade asked for by=%s", door(c));
    c->state = CALL_LATER;
    c->site->ops->upgrade(c->site->ops_user, on_done, c);
}

void call_stop(struct call *c)
{
    static const char *const keys[] = {"now"};
    bool now = false;
    json_t *body = call_body(c, keys, ARRAY_LEN(keys));
    if (!body)
        return;
    bool good = call_bool(c, body, "now", &now);
    json_decref(body);
    if (!good)
        return;
    if (!c->site->ops->stop) {
        call_unavailable(c, "a stop");
        return;
    }
    struct steer_result *r = fresh_result();
    log_info("admin", "stop asked for by=%s now=%s", door(c), now ? "yes" : "no");
    c->site->ops->stop(c->site->ops_user, now, r);
    if (r->code != STEER_OK) {
        call_fail_result(c, r);
        return;
    }
    struct json j = call_json(c, 200);
    j_object(&j, NULL);
    j_bool(&j, "ok", true);
    j_str(&j, "message", r->message[0] ? r->message : "stopping");
    j_end(&j);
}

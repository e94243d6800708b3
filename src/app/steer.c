/* SPDX-License-Identifier: MIT */
#include "app/steer.h"

#include "admin/server.h"
#include "admin/steer.h"
#include "app/door.h"
#include "app/engine_priv.h"
#include "app/membership.h"
#include "app/reload.h"
#include "app/save.h"
#include "app/sessions.h"
#include "app/steer_say.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct steer {
    struct engine *engine;
    struct listener *address, *socket;
    struct admin_server *server;
    struct save_file file;
};

/* ---- operations ---- */

static const struct address *bound_address(const void *fronts, size_t index)
{
    return fronts_address(fronts, index);
}

static bool certificate(const void *certificates, size_t listener, size_t index,
                        struct steer_certificate *ret_certificate)
{
    return certificates_get(certificates, listener, index, ret_certificate);
}

static void on_view(void *user, struct steer_view *ret_view)
{
    const struct steer *s = user;
    const struct engine *e = s->engine;
    const struct reload_last last = reload_last(e->reload);
    int32_t supervisor = door_supervisor_pid(e->door);
    size_t front_count;
    struct front *const *fronts = fronts_list(e->fronts, &front_count);
    *ret_view = (struct steer_view){
        .snapshot = engine_snapshot(e),
        .generation = e->generation->number,
        .pools = e->generation->pools,
        .pool_count = engine_snapshot(e)->pool_count,
        .fronts = fronts,
        .front_count = front_count,
        .bound = bound_address,
        .bound_by = e->fronts,
        .certificate = certificate,
        .certificates = e->certificates,
        .health = e->health,
        .board = e->board,
        .config_path = engine_snapshot(e)->source,
        .engine_name = loop_engine_name(e->loop),
        .worker_count = e->worker_count,
        .started_wall_ms = e->started_wall_ms,
        .supervisor_pid = supervisor ? supervisor : getpid(),
        .draining = e->draining,
        .reload_ok = last.ok,
        .reload_wall_ms = last.wall_ms,
    };
}

static void on_stop(void *user, bool now, struct steer_result *ret)
{
    const struct steer *s = user;
    engine_stop(s->engine, now);
    steer_say(ret, STEER_OK, NULL, "%s",
              now ? "stopping at once" : "stopping when what runs has ended");
}

static void on_add(void *user, struct pool *pool, const struct steer_backend *b,
                   struct steer_result *ret)
{
    const struct steer *s = user;
    membership_add(engine_membership(s->engine), pool, b, ret);
}

static void on_remove(void *user, struct backend *b, struct steer_result *ret)
{
    const struct steer *s = user;
    membership_remove(engine_membership(s->engine), b, ret);
}

static void on_weight(void *user, struct backend *b, uint32_t weight, struct steer_result *ret)
{
    const struct steer *s = user;
    membership_set_weight(engine_membership(s->engine), b, weight, ret);
}

static void on_state(void *user, struct backend *b, enum admin_state state,
                     struct steer_result *ret)
{
    const struct steer *s = user;
    membership_set_state(engine_membership(s->engine), b, state, ret);
}

static void on_reload(void *user, bool plan_only, steer_done_fn *done, void *done_user)
{
    const struct steer *s = user;
    struct steer_result result;
    if (reload_begin(s->engine->reload, plan_only, done, done_user))
        return;
    steer_say(&result, STEER_FAILED, NULL, "out of memory");
    done(done_user, &result, NULL, 0);
}

static void on_upgrade(void *user, steer_done_fn *done, void *done_user)
{
    const struct steer *s = user;
    engine_upgrade(s->engine, done, done_user);
}

/* ---- saving ---- */

static int read_file(void *user, char **ret_text, size_t *ret_len, char *ret_why, size_t why_size)
{
    return door_config(user, ret_text, ret_len, ret_why, why_size);
}

static int write_file(void *user, struct span text, char *ret_why, size_t why_size)
{
    return door_save(user, text, ret_why, why_size);
}

/* An engine that has to be started again shall have the members that were saved. */
static void accept_saved(struct door *door)
{
    char why[DOOR_WHY_MAX], *text;
    size_t len;
    if (door_config(door, &text, &len, why, sizeof(why)) < 0) {
        log_warn("admin", "saved, but the file cannot be read again: %s", why);
        return;
    }
    door_config_accept(door);
    free(text);
}

static void on_save(void *user, struct steer_result *ret)
{
    struct steer *s = user;
    const struct engine *e = s->engine;
    save_membership(&s->file, engine_snapshot(e), e->generation->pools,
                    engine_snapshot(e)->pool_count, ret);
    if (ret->code == STEER_OK)
        accept_saved(e->door);
}

/* Those that are not here are answered as unavailable. */
static const struct steer_ops ops = {
    .view = on_view,
    .add = on_add,
    .remove = on_remove,
    .set_weight = on_weight,
    .set_state = on_state,
    .save = on_save,
    .reload = on_reload,
    .stop = on_stop,
    .upgrade = on_upgrade,
};

/* ---- lifetime ---- */

static enum engine_failure open_listener(const struct engine *e, const struct address *a,
                                         struct listener **ret_listener, char *why, size_t why_size)
{
    struct listener_options o = {.address = *a, .shards = 1};
    char sentence[LISTENER_WHY_MAX];
    if (door_bind(e->door, DOOR_ADMIN, &o, ret_listener, sentence) == 0)
        return ENGINE_OK;
    snprintf(why, why_size, "admin: %s", sentence);
    return ENGINE_CANNOT_BIND;
}

static enum engine_failure open_listeners(struct steer *s, const struct admin_conf *conf, char *why,
                                          size_t why_size)
{
    enum engine_failure failure = ENGINE_OK;
    if (conf->address.kind != ADDRESS_NONE)
        failure = open_listener(s->engine, &conf->address, &s->address, why, why_size);
    if (failure != ENGINE_OK || !conf->socket)
        return failure;
    struct address a = {.kind = ADDRESS_UNIX, .text = conf->socket};
    return open_listener(s->engine, &a, &s->socket, why, why_size);
}

static void announce(const struct steer *s, const struct admin_conf *conf)
{
    char address[ADDRESS_TEXT_MAX] = "none";
    char path[ADDRESS_TEXT_MAX];
    if (s->address)
        address_format(listener_address(s->address), address);
    log_info("admin", "listening address=%s socket=%s token=%s", address,
             log_value(path, sizeof(path), span_cstr(conf->socket ? conf->socket : "none")),
             conf->token ? "yes" : "no");
}

enum engine_failure steer_open(struct engine *e, const struct admin_conf *conf,
                               struct steer **ret_steer, char *ret_why, size_t why_size)
{
    if (!conf->enabled)
        return ENGINE_OK;
    struct steer *s = calloc(1, sizeof(*s));
    if (!s) {
        snprintf(ret_why, why_size, "admin: out of memory");
        return ENGINE_FAILED;
    }
    s->engine = e;
    s->file = (struct save_file){
        .path = door_config_path(e->door),
        .read = read_file,
        .write = write_file,
        .user = e->door,
    };
    enum engine_failure failure = open_listeners(s, conf, ret_why, why_size);
    struct admin_options o = {
        .loop = e->loop,
        .ops = &ops,
        .ops_user = s,
        .address = s->address,
        .socket = s->socket,
        .token = conf->token,
        .sessions = sessions_list,
        .sessions_user = engine_sessions(e),
    };
    int r = failure == ENGINE_OK ? admin_server_new(&o, &s->server) : 0;
    if (r < 0) {
        snprintf(ret_why, why_size, "admin: %s", reason_sentence((enum reason) - r));
        failure = ENGINE_FAILED;
    }
    if (failure != ENGINE_OK) {
        steer_close(&s);
        return failure;
    }
    announce(s, conf);
    *ret_steer = s;
    return ENGINE_OK;
}

void steer_close(struct steer **steer)
{
    struct steer *s = *steer;
    if (!s)
        return;
    *steer = NULL;
    admin_server_free(&s->server);
    door_unbind(s->engine->door, &s->address);
    door_unbind(s->engine->door, &s->socket);
    free(s);
}

const struct address *steer_address(const struct steer *s)
{
    return s && s->address ? listener_address(s->address) : NULL;
}

void steer_rotation_changed(struct steer *s)
{
    if (s)
        admin_server_rotation_changed(s->server);
}

void steer_changed(struct steer *s, const struct steer_change *change)
{
    if (s)
        admin_server_changed(s->server, change);
}

void steer_reloaded(struct steer *s, const struct admin_conf *conf)
{
    if (s && !admin_server_set_token(s->server, conf->token))
        log_error("admin", "out of memory: the token stays as it was");
}

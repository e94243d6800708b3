/* SPDX-License-Identifier: MIT */
#include "app/steer.h"

#include "admin/server.h"
#include "admin/steer.h"
#include "app/membership.h"
#include "app/sessions.h"
#include "app/steer_say.h"
#include "base/log.h"
#include "io/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SOCKET_MODE    0600
#define DIRECTORY_MODE 0755

struct steer {
    struct engine *engine;
    struct listener *address, *socket;
    struct admin_server *server;
};

/* ---- operations ---- */

static void on_view(void *user, struct steer_view *ret_view)
{
    const struct steer *s = user;
    engine_view(s->engine, ret_view);
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

/* Those that are not here are answered as unavailable. */
static const struct steer_ops ops = {
    .view = on_view,
    .add = on_add,
    .remove = on_remove,
    .set_weight = on_weight,
    .set_state = on_state,
    .stop = on_stop,
};

/* ---- lifetime ---- */

static enum engine_failure open_listener(const struct address *a, struct listener **ret_listener,
                                         char *why, size_t why_size)
{
    struct listener_options o = {.address = *a, .shards = 1, .mode = SOCKET_MODE};
    char sentence[LISTENER_WHY_MAX];
    if (listener_open(&o, ret_listener, sentence) == 0)
        return ENGINE_OK;
    snprintf(why, why_size, "admin: %s", sentence);
    return ENGINE_CANNOT_BIND;
}

/* The directory the socket is in, where its parent is there: /run/poise goes with each boot. */
static void make_directory(const char *socket_path)
{
    char directory[ADDRESS_TEXT_MAX];
    const char *slash = strrchr(socket_path, '/');
    if (!slash || slash == socket_path ||
        !span_to_cstr(span_of(socket_path, (size_t)(slash - socket_path)), directory,
                      sizeof(directory)))
        return;
    /* Should this not do, listening says why. */
    if (mkdir(directory, DIRECTORY_MODE) == 0)
        log_info("admin", "directory made path=%s", directory);
}

static enum engine_failure open_listeners(struct steer *s, const struct admin_conf *conf, char *why,
                                          size_t why_size)
{
    enum engine_failure failure = ENGINE_OK;
    if (conf->address.kind != ADDRESS_NONE)
        failure = open_listener(&conf->address, &s->address, why, why_size);
    if (failure != ENGINE_OK || !conf->socket)
        return failure;
    make_directory(conf->socket);
    struct address a = {.kind = ADDRESS_UNIX, .text = conf->socket};
    return open_listener(&a, &s->socket, why, why_size);
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

enum engine_failure steer_open(struct engine *e, struct loop *loop, const struct admin_conf *conf,
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
    enum engine_failure failure = open_listeners(s, conf, ret_why, why_size);
    struct admin_options o = {
        .loop = loop,
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
    listener_close(&s->address);
    listener_close(&s->socket);
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

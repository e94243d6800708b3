/* SPDX-License-Identifier: MIT */
#include "app/door_priv.h"

#include <string.h>
#include <sys/stat.h>

void door_make_directory(const struct address *socket)
{
    char directory[ADDRESS_TEXT_MAX];
    const char *slash = socket->kind == ADDRESS_UNIX ? strrchr(socket->text, '/') : NULL;
    if (slash && slash != socket->text &&
        span_to_cstr(span_of(socket->text, (size_t)(slash - socket->text)), directory,
                     sizeof(directory)))
        (void)mkdir(directory, 0755);
}

void door_free(struct door **door)
{
    struct door *d = *door;
    *door = NULL;
    if (d)
        d->ops->free(d);
}

const char *door_config_path(const struct door *d)
{
    return d->path;
}

const struct config_overrides *door_overrides(const struct door *d)
{
    return &d->overrides;
}

uint32_t door_workers(const struct door *d)
{
    return d->workers;
}

int32_t door_supervisor_pid(const struct door *d)
{
    return d->supervisor_pid;
}

int door_config(struct door *d, char **ret_text, size_t *ret_len, char *ret_why, size_t why_size)
{
    return d->ops->config(d, ret_text, ret_len, ret_why, why_size);
}

void door_config_accept(struct door *d)
{
    if (d->ops->accept)
        d->ops->accept(d);
}

int door_bind(struct door *d, const char *owner, const struct listener_options *options,
              struct listener **ret_listener, char ret_why[LISTENER_WHY_MAX])
{
    return d->ops->bind(d, owner, options, ret_listener, ret_why);
}

void door_unbind(struct door *d, struct listener **listener)
{
    if (*listener)
        d->ops->unbind(d, listener);
}

int door_file(struct door *d, const char *path)
{
    return d->ops->file(d, path);
}

int door_challenge(struct door *d, const char *folder, const char *token)
{
    return d->ops->challenge(d, folder, token);
}

int door_challenges(struct door *d, const char *folder, char **ret_names, size_t *ret_len)
{
    return d->ops->challenges(d, folder, ret_names, ret_len);
}

int door_tls_file(struct door *d, const char *path, struct tls_file *ret_file,
                  char ret_why[TLS_FILE_WHY_MAX])
{
    return d->ops->tls_file(d, path, ret_file, ret_why);
}

bool door_tls_look(struct door *d, const char *path, uint64_t *ret_stamp)
{
    return d->ops->tls_look(d, path, ret_stamp);
}

int door_save(struct door *d, struct span text, char *ret_why, size_t why_size)
{
    return d->ops->save(d, text, ret_why, why_size);
}

int door_watch(struct door *d, struct loop *loop, door_event_fn *fn, void *user)
{
    return d->ops->watch ? d->ops->watch(d, loop, fn, user) : 0;
}

void door_unwatch(struct door *d)
{
    if (d->ops->unwatch)
        d->ops->unwatch(d);
}

static void tell(struct door *d, enum door_tell what, bool ok)
{
    if (d->ops->tell)
        d->ops->tell(d, what, ok);
}

void door_ready(struct door *d)
{
    tell(d, DOOR_TELL_READY, true);
}

void door_alive(struct door *d)
{
    tell(d, DOOR_TELL_ALIVE, true);
}

void door_stopping(struct door *d)
{
    tell(d, DOOR_TELL_STOPPING, true);
}

void door_reloaded(struct door *d, bool ok)
{
    tell(d, DOOR_TELL_RELOADED, ok);
}

int door_upgrade(struct door *d, char *ret_why, size_t why_size)
{
    return d->ops->upgrade(d, ret_why, why_size);
}

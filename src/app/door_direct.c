/* SPDX-License-Identifier: MIT */
/* The door of a balancer that is one process: nothing lies behind it. */
#include "account/reason.h"
#include "app/challenge_file.h"
#include "app/door_priv.h"
#include "app/replace_file.h"
#include "base/logwriter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct direct {
    struct door door;
    const char *text;
};

static void direct_free(struct door *d)
{
    free(d);
}

static int direct_config(struct door *d, char **ret_text, size_t *ret_len, char *ret_why,
                         size_t why_size)
{
    if (d->path)
        return config_read_file(d->path, ret_text, ret_len, ret_why, why_size);
    const char *text = container_of(d, struct direct, door)->text;
    *ret_text = strdup(text);
    *ret_len = strlen(text);
    return *ret_text ? 0 : -(int)REASON_overload;
}

static int direct_bind(struct door *d, const char *owner, const struct listener_options *options,
                       struct listener **ret_listener, char ret_why[LISTENER_WHY_MAX])
{
    (void)d;
    struct listener_options o = *options;
    if (strcmp(owner, DOOR_ADMIN) == 0) {
        door_make_directory(&o.address);
        o.mode = DOOR_ADMIN_MODE;
    }
    return listener_open(&o, ret_listener, ret_why);
}

static void direct_unbind(struct door *d, struct listener **listener)
{
    (void)d;
    listener_close(listener);
}

static int direct_file(struct door *d, const char *path)
{
    (void)d;
    return logwriter_open_file(path);
}

static int direct_challenge(struct door *d, const char *folder, const char *token)
{
    (void)d;
    return challenge_file_open(folder, token);
}

static int direct_challenges(struct door *d, const char *folder, char **ret_names, size_t *ret_len)
{
    (void)d;
    return challenge_file_list(folder, ret_names, ret_len);
}

static int direct_tls_file(struct door *d, const char *path, struct tls_file *ret_file,
                           char ret_why[TLS_FILE_WHY_MAX])
{
    (void)d;
    return tls_file_read(path, ret_file, ret_why);
}

/* What runs is not known here: each file is to be asked for. */
static bool direct_tls_look(struct door *d, const char *path, uint64_t *ret_stamp)
{
    (void)d;
    if (path)
        *ret_stamp = tls_file_stamp(path);
    return path != NULL;
}

static int direct_save(struct door *d, struct span text, char *ret_why, size_t why_size)
{
    if (d->path)
        return replace_file(d->path, text, ret_why, why_size);
    (void)snprintf(ret_why, why_size,
                   "there is no configuration file: it came from the command line");
    return -(int)REASON_system_error;
}

static int direct_upgrade(struct door *d, char *ret_why, size_t why_size)
{
    (void)d;
    (void)snprintf(ret_why, why_size, "an upgrade needs the supervisor, and there is none");
    return -(int)REASON_system_error;
}

static const struct door_ops direct_ops = {
    .free = direct_free,
    .config = direct_config,
    .bind = direct_bind,
    .unbind = direct_unbind,
    .file = direct_file,
    .challenge = direct_challenge,
    .challenges = direct_challenges,
    .tls_file = direct_tls_file,
    .tls_look = direct_tls_look,
    .save = direct_save,
    .upgrade = direct_upgrade,
};

int door_direct_new(const struct door_origin *origin, struct door **ret_door)
{
    struct direct *d = calloc(1, sizeof(*d));
    if (!d)
        return -(int)REASON_overload;
    d->door.ops = &direct_ops;
    d->door.path = origin->path;
    d->door.overrides = origin->overrides;
    d->text = origin->text;
    *ret_door = &d->door;
    return 0;
}

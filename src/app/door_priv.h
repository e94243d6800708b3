/* SPDX-License-Identifier: MIT */
#pragma once

/* Behind app/door.h: one table of calls for each kind of door. */

#include "app/door.h"

enum door_tell { DOOR_TELL_READY, DOOR_TELL_ALIVE, DOOR_TELL_STOPPING, DOOR_TELL_RELOADED };

struct door_ops {
    void (*free)(struct door *d);
    int (*config)(struct door *d, char **ret_text, size_t *ret_len, char *ret_why, size_t why_size);
    int (*bind)(struct door *d, const char *owner, const struct listener_options *options,
                struct listener **ret_listener, char ret_why[LISTENER_WHY_MAX]);
    void (*unbind)(struct door *d, struct listener **listener);
    int (*file)(struct door *d, const char *path);
    int (*challenge)(struct door *d, const char *folder, const char *token);
    int (*challenges)(struct door *d, const char *folder, char **ret_names, size_t *ret_len);
    int (*tls_file)(struct door *d, const char *path, struct tls_file *ret_file,
                    char ret_why[TLS_FILE_WHY_MAX]);
    bool (*tls_look)(struct door *d, const char *path, uint64_t *ret_stamp);
    int (*save)(struct door *d, struct span text, char *ret_why, size_t why_size);
    int (*upgrade)(struct door *d, char *ret_why, size_t why_size);
    /* NULL where nobody is to be told */
    void (*accept)(struct door *d);
    int (*watch)(struct door *d, struct loop *loop, door_event_fn *fn, void *user);
    void (*unwatch)(struct door *d);
    void (*tell)(struct door *d, enum door_tell what, bool ok);
};

/* Makes the folder of the admin server's socket where its parent is there: /run/poise goes with
 * each boot. Should that not do, listening says why. */
void door_make_directory(const struct address *socket);

/* The mode of that socket. */
#define DOOR_ADMIN_MODE 0600

/* The first member of both kinds. */
struct door {
    const struct door_ops *ops;
    const char *path; /* of the configuration, or NULL */
    struct config_overrides overrides;
    uint32_t workers;
    int32_t supervisor_pid;
};

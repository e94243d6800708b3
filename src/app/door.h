/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The door: how an engine reaches what it may not touch itself once it has given up its rights. The
 * text of the configuration, listening sockets, log files, certificates and keys, files of ACME
 * challenges, the saving of the file, and the word that a new program shall take over.
 *
 *   engine ─▶ struct door ─┬─ door_direct.c   does it itself: one process
 *                          └─ door_engine.c   asks the supervisor over a socket pair
 *
 * The supervisor believes nothing that an engine says: it binds only addresses and opens only
 * files that the configuration names which it reads itself, and saves only to that file, where only
 * pools and routes may differ.
 *
 * Lifetime: door_direct_new or door_engine_new .. door_free, after everything made through it.
 * Thread rule: any thread may call; each call waits for its answer, at most DOOR_ANSWER_MS (then it
 * fails), so call from no worker. door_watch and its events: the loop's thread.
 */

#include "app/tls_file.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "config/load.h"
#include "io/listener.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct door;
struct loop;

#define DOOR_ANSWER_MS 2000
#define DOOR_WHY_MAX   4096

/* Where the configuration comes from. */
struct door_origin {
    const char *path; /* the file; or NULL, and `text` is what the command line's words amount to */
    char *text;
    struct config_overrides overrides; /* what the command line says on top of the file */
};

/* Does everything itself. Copies nothing: the origin and its texts must outlive the door. */
NODISCARD int door_direct_new(const struct door_origin *origin, struct door **ret_door);

/* Leaves NULL; accepts NULL. */
void door_free(struct door **door);

/* The file that the configuration comes from, or NULL: the command line's words. */
const char *door_config_path(const struct door *d);

/* What goes into every snapshot (config_override) after it was loaded. */
const struct config_overrides *door_overrides(const struct door *d);

/* How many workers there must be, because the listening sockets have so many shards; 0 = as many as
 * the configuration says. */
uint32_t door_workers(const struct door *d);

/* The supervisor's process, or 0 where there is none. */
int32_t door_supervisor_pid(const struct door *d);

/*
 * The text of the configuration. An engine that starts gets the text it shall run; asked again, the
 * file is read anew, and only after that its new addresses and log files can be had. ret_text is
 * malloc'd, NUL-terminated. 0, or a negative reason with a sentence in ret_why.
 */
NODISCARD int door_config(struct door *d, char **ret_text, size_t *ret_len, char *ret_why,
                          size_t why_size);

/* The text read last is now the one that runs: an engine that has to be started again gets it. */
void door_config_accept(struct door *d);

/*
 * The listening sockets of an address, opened now or held already. `owner` is the name of the
 * listener, which tells two addresses of port 0 apart; DOOR_ADMIN stands for the admin server,
 * which has one shard, and whose socket has a file that its owner alone may use, in a folder that
 * is made if only that is missing. As listener_open; give it back with door_unbind.
 */
#define DOOR_ADMIN ""
NODISCARD int door_bind(struct door *d, const char *owner, const struct listener_options *options,
                        struct listener **ret_listener, char ret_why[LISTENER_WHY_MAX]);

/* Nobody listens there any more, in no process; a successor that has taken over keeps its own.
 * Leaves NULL; accepts NULL. All acceptors must be stopped. */
void door_unbind(struct door *d, struct listener **listener);

/* A log file that the configuration names (log.file, access_log.file), opened anew for appending. A
 * descriptor, or -errno. Standard streams ("-", "stderr") are not asked for here. */
NODISCARD int door_file(struct door *d, const char *path);

/* The file of an ACME challenge, to read: `folder` is one that the configuration names
 * (acme_challenge), `token` a file in it. A descriptor, or -errno. */
NODISCARD int door_challenge(struct door *d, const char *folder, const char *token);

/* The tokens that such a folder holds (challenge_file_list). 0 or -errno. */
NODISCARD int door_challenges(struct door *d, const char *folder, char **ret_names,
                              size_t *ret_len);

/* Reads a certificate, a key or the like that the configuration names. 0, or a negative reason with
 * the cause in ret_why ("No such file or directory"). Wipe it with tls_file_wipe. */
NODISCARD int door_tls_file(struct door *d, const char *path, struct tls_file *ret_file,
                            char ret_why[TLS_FILE_WHY_MAX]);

/* The stamp of such a file (tls_file_stamp); with NULL one of all that the running configuration
 * names, which is cheap. False: nobody can tell. */
NODISCARD bool door_tls_look(struct door *d, const char *path, uint64_t *ret_stamp);

/* Replaces the configuration file by `text` in one step, keeping its owner and mode. 0, or a
 * negative reason with a sentence in ret_why. */
NODISCARD int door_save(struct door *d, struct span text, char *ret_why, size_t why_size);

/* ---- the life of the process; nothing happens where there is no supervisor ---- */

enum door_event {
    DOOR_GONE,     /* the supervisor is no more: drain */
    DOOR_RETIRE,   /* a new engine has taken over: drain */
    DOOR_UPGRADED, /* the upgrade asked for has succeeded; `why` says what runs now */
    DOOR_UPGRADE_FAILED,
};

typedef void door_event_fn(void *user, enum door_event event, const char *why);

/* Tells of events from now on until door_free. 0 or a negative reason. */
NODISCARD int door_watch(struct door *d, struct loop *loop, door_event_fn *fn, void *user);

/* Stops telling; before the loop is freed. */
void door_unwatch(struct door *d);

void door_ready(struct door *d);    /* we serve */
void door_alive(struct door *d);    /* we still do; once a second */
void door_stopping(struct door *d); /* we drain and then end, and that is what was wanted */

/* A reload has ended, well or not. */
void door_reloaded(struct door *d, bool ok);

/* Asks for the program now on disk to take over; DOOR_UPGRADED or DOOR_UPGRADE_FAILED comes later.
 * 0, or a negative reason with a sentence in ret_why: there is no supervisor, or one is under way.
 */
NODISCARD int door_upgrade(struct door *d, char *ret_why, size_t why_size);

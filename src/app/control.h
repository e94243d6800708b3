/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The command line's way to a running balancer: one request of the admin API (docs/api.md) over its
 * unix socket or its address, and the answer.
 *
 * Which balancer is meant: --socket PATH or --admin ADDR; else $POISE_ADMIN; else what the `admin:`
 * block of the configuration says (-c FILE, ./poise.yaml, /etc/poise/poise.yaml), its socket
 * before its address; else /run/poise/admin.sock, and 127.0.0.1:9900 where that is not there. The
 * token is --token, else $POISE_TOKEN, else that of the configuration.
 *
 * Thread rule: the main thread; a call runs a loop of its own until the answer is there.
 */

#include "app/cli.h"
#include "base/bytes.h"
#include "base/compiler.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct control;

/* Finds out where to, and connects to nobody yet. An enum exit_code; what is wrong is said on
 * standard error. The options of a verb that has CONTROL in verb.def are read. */
NODISCARD int control_open(const struct cli_args *args, struct control **ret_control);
/* Leaves NULL; accepts NULL. */
void control_close(struct control **c);

/* "unix:/run/poise/admin.sock" or "127.0.0.1:9900". */
const char *control_place(const struct control *c);

struct control_answer {
    int status; /* HTTP; 0 = there was no answer, and `why` says so */
    char *body; /* malloc'd, NUL-terminated */
    size_t len;
    char why[512];
};

/* Asks and waits for the whole answer. `body` is JSON or NULL. control_answer_fini is due. */
void control_ask(struct control *c, const char *method, const char *path, const char *body,
                 struct control_answer *ret_answer);
void control_answer_fini(struct control_answer *a);

/* Asks for JSON: EXIT_OK and a value to be given back with json_decref; else an enum exit_code, and
 * what the balancer (or the way there) had against it was said on standard error. */
NODISCARD int control_json(struct control *c, const char *method, const char *path,
                           const char *body, json_t **ret_value);

/* Says why an answer is no good, and which exit_code that is. */
int control_complain(const struct control *c, const struct control_answer *a);

/* Asks for something that does not end, and hands on each piece of it until `piece` returns false
 * or the other end closes. As control_ask, but the body is empty after a status of 200. */
typedef bool control_piece_fn(void *user, struct span piece);
void control_follow(struct control *c, const char *path, control_piece_fn *piece, void *user,
                    struct control_answer *ret_answer);

/* "%2F" and so on: one segment of a path. Returns `out`, cut if it does not fit. */
const char *control_segment(char *out, size_t out_size, const char *text);

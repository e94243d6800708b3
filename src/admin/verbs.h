/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The calls of the admin API (verbs.def) as constant data, for the server, for the command line and
 * for documents. Any thread.
 */

#include "base/bytes.h"
#include "base/compiler.h"
#include "codec/message.h"

enum admin_verb {
#define ADMIN_VERB(id, method, path, who, summary) ADMIN_VERB_##id,
#include "admin/verbs.def"
#undef ADMIN_VERB
    ADMIN_VERB_COUNT
};

enum admin_who {
    ADMIN_ANYONE,   /* looking needs no token */
    ADMIN_CHANGERS, /* the token, or the unix socket */
};

/* {words} of a path. */
#define ADMIN_PARAMS_MAX 2

struct admin_verb_row {
    enum method method;
    const char *method_name, *path;
    enum admin_who who;
    const char *summary;
};

const struct admin_verb_row *admin_verb_row(enum admin_verb verb);

struct admin_match {
    enum admin_verb verb;
    struct span params[ADMIN_PARAMS_MAX]; /* as they stand in the path, escapes included */
};

enum admin_found {
    ADMIN_FOUND,
    ADMIN_NO_PATH,
    ADMIN_NO_METHOD, /* the path is there for other methods */
};

/* The verb of a canonical path. HEAD is GET. */
enum admin_found admin_verb_find(enum method method, struct span path,
                                 struct admin_match *ret_match);

/* Writes the methods a path is there for: "GET, HEAD, POST". */
void admin_verb_methods(struct span path, struct writer *w);

/* The path nearest to one that is not there, or NULL. */
const char *admin_verb_suggest(struct span path);

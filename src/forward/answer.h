/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Answers made here: from a reason, always with X-Poise-Reason and a body of known length, by
 * default one plain sentence. What an answer says is the same in every protocol (struct reply); the
 * client's side writes it in its own.
 */

#include "account/reason.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* A response made here. Its texts live until it has been handed over (but see `lasting`). */
struct reply {
    enum reason why;
    uint16_t status;
    struct span type;     /* Content-Type */
    struct span body;     /* at most REPLY_BODY_MAX; not sent in answer to HEAD, but counted */
    bool lasting;         /* the body's bytes are there for ever */
    bool last;            /* nothing more is served on this connection */
    struct span location; /* empty: no such field */
    struct span hsts;     /* Strict-Transport-Security (forward/response.h); empty: no such field */
};

/* The reason's status, and its sentence as a line of text. It must have a status. */
struct reply reply_of(enum reason why);

struct reply_field {
    struct span name, value;
};

#define REPLY_FIELDS_MAX 6

/* Its fields in order, but for Content-Length (body.n) and what belongs to the connection. The
 * values are fit for the wire. */
size_t reply_fields(const struct reply *r, struct reply_field ret_fields[REPLY_FIELDS_MAX]);

/* Room that is always enough for one without location and with its sentence as the body. */
#define ANSWER_BYTES_MAX 1024

/* Room for any. */
size_t reply_bytes(const struct reply *r);

/* As HTTP/1, with what is to be said in Connection ("close", or NULL: nothing); without the body's
 * bytes for a HEAD request. */
void reply_write(struct writer *w, const struct reply *r, const char *connection, bool head_only);

/* The same of reply_of(why), with "close" or nothing. */
void answer_write(struct writer *w, enum reason why, bool close, bool head_only);

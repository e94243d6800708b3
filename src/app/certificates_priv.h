/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between certificates.c (what a configuration has, from one generation to the next) and
 * certificates_watch.c (what time and changing files bring).
 */

#include "app/certificates.h"

#include "app/credentials.h"
#include "app/expiry.h"

/* A listener of one generation. */
struct site {
    struct identity *identity; /* NULL: no TLS */
    _Atomic(struct tls_server *) *servers;
    struct expiry_told *told; /* by certificate */
    uint64_t failed_stamp;    /* of files that were no good */
};

struct secrets {
    const struct snapshot *snapshot; /* one reference */
    struct site *sites;              /* by listener */
    struct trust **trusts;           /* by pool; NULL: no TLS */
    uint64_t *trust_failed;          /* by pool */
};

struct renewal;

struct certificates {
    struct crew *crew;
    struct loop *loop;
    struct door *door;
    struct credentials_kit kit; /* libraries NULL: none were needed so far */
    struct secrets *present;
    struct pool *const *pools; /* of the present ones */
    struct timer look, rotate;
    struct renewal *renewal; /* under way, or NULL; then nothing is looked at */
    uint64_t look_ms;
    uint64_t seen, done; /* stamps of all files: at the last look, and when they were dealt with */
};

/* Notes of a load: warnings go to the log, the first of the others is kept. */
struct telling {
    const struct snapshot *snapshot;
    const char *kind, *name; /* "listener", "web" */
    struct certificates_refusal *refusal;
};

/* A credentials_note_fn of a struct telling. */
void certificates_note(void *user, enum credentials_level level, const struct origin *where,
                       const char *text);

int64_t certificates_now_s(const struct certificates *c);

/* What is near its end, each once a day. */
void certificates_tell_expiry(const struct certificates *c, const struct listener_conf *l,
                              struct site *site);

/* Workers get what the site has from now on. */
void site_publish(struct site *site);

/* … and those of a pool. */
void certificates_give(struct pool *pool, const struct trust *t);

/* ---- certificates_watch.c ---- */

void certificates_watch_init(struct certificates *c);

/* There is another generation, or none with TLS. */
void certificates_watch(struct certificates *c);

/* No loop runs any more. */
void certificates_watch_fini(struct certificates *c);

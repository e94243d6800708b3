/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * From the files that a configuration names to contexts of TLS, one for each worker.
 *
 *   files ─(door)─▶ bytes, wiped at the end ─▶ checked ─▶ struct identity: of a listener
 *                                                  └────▶ struct trust:    of a pool
 *
 * Both are immutable, counted by reference, and bear the stamp of the files they came from, so that
 * who has one can tell when it is out of date (app/certificates.h does).
 *
 * Thread rule: loading on any thread, one at a time for each listener and pool; counting references
 * on the control thread.
 */

#include "admin/steer.h"
#include "app/door.h"
#include "base/compiler.h"
#include "codec/tls.h"
#include "config/snapshot.h"
#include "pick/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What contexts are made with. */
struct credentials_kit {
    struct door *door;
    struct tls_library *control;    /* the control thread's */
    struct tls_library **libraries; /* by worker; with `workers` 0 things are only checked */
    uint32_t workers;
    struct tls_tickets *tickets;
    int64_t now_s; /* since 1970 */
};

/* ---- what is found on the way ---- */

enum credentials_level {
    CREDENTIALS_WARNING,
    CREDENTIALS_UNREADABLE, /* a file cannot be had */
    CREDENTIALS_INVALID,    /* … or is not what it should be */
};

/* `text` is a plain sentence with the file in it, without a full stop. */
typedef void credentials_note_fn(void *user, enum credentials_level level,
                                 const struct origin *where, const char *text);

struct credentials_notes {
    credentials_note_fn *fn;
    void *user;
};

/* ---- listeners ---- */

struct identity_certificate {
    struct tls_certificate_facts *facts;
    bool stapled;
    bool repeated; /* its file stands before it too */
};

struct identity {
    uint32_t refs;
    uint64_t stamp;         /* of its files */
    int64_t staple_until_s; /* when a stapled response ends; INT64_MAX: none does */
    size_t certificate_count;
    struct identity_certificate *certificates; /* as in the configuration */
    uint32_t workers;
    struct tls_server *servers[]; /* by worker */
};

/* NULL after at least one note that is more than a warning. */
struct identity *identity_load(const struct credentials_kit *kit, const struct listener_conf *l,
                               const struct credentials_notes *notes);
struct identity *identity_ref(struct identity *i);
void identity_unref(struct identity **i); /* leaves NULL; accepts NULL */

/* The stamp that one loaded now would have. False: nobody can tell. */
NODISCARD bool identity_stamp(struct door *door, const struct listener_conf *l,
                              uint64_t *ret_stamp);

/* Whether they ask for the same; the files may have changed. */
bool identity_conf_equal(const struct listener_conf *a, const struct listener_conf *b);

/* ---- pools ---- */

struct trust {
    uint32_t refs;
    uint64_t stamp;
    struct pool_tls *tls;
};

struct trust *trust_load(const struct credentials_kit *kit, const struct pool_conf *p,
                         const struct credentials_notes *notes);
struct trust *trust_ref(struct trust *t);
void trust_unref(struct trust **t);
NODISCARD bool trust_stamp(struct door *door, const struct pool_conf *p, uint64_t *ret_stamp);
bool trust_conf_equal(const struct pool_conf *a, const struct pool_conf *b);

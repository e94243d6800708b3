/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the admin server asks of the running balancer. app/ implements it; admin/ knows only this,
 * so that the server, the command line's verbs and tests are independent of how a change is made.
 *
 *   REST, socket ─▶ admin/ (verb table, JSON) ─▶ struct steer_ops ─▶ app/engine, app/reload
 *
 * Looking needs no operation: pools, backends, health and statistics are read through their own
 * headers from struct steer_view, which is stable until the next call of an operation or the next
 * turn of the loop.
 *
 * Thread rule: everything here on the control thread, inside its loop. An answer that takes time
 * (reload, upgrade) comes later through its `done`, from the loop's turn, exactly once.
 */

#include "base/address.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "config/snapshot.h"
#include "pick/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct account_board; /* account/board.h: the counters of all workers */
struct health;
struct tls_certificate_facts; /* codec/tls.h */

/* How an operation went: REST status, a name for programs, a sentence for people. */
enum steer_code {
    STEER_OK,
    STEER_BAD,       /* the request makes no sense: 400 */
    STEER_INVALID,   /* the configuration file is not good: 400 config_invalid */
    STEER_NOT_FOUND, /* 404 */
    STEER_CONFLICT,  /* exists already, or cannot be done now: 409 */
    STEER_FAILED,    /* the machine has no more of something, a file cannot be written: 500 */
};

#define STEER_MESSAGE_MAX 16384

struct steer_result {
    enum steer_code code;
    const char *field;               /* which part of the request was wrong, or NULL */
    char message[STEER_MESSAGE_MAX]; /* a plain sentence; of a bad file what `poise check` prints */
};

/* One thing that a reload changes (or would). */
struct steer_change {
    const char *what; /* "listener", "route", "pool", "backend", "log", "process" */
    const char *name;
    const char *change;  /* "added", "removed", "changed", "needs restart" */
    const char *detail;  /* "backend B4 added; weight of B1 1 → 2" */
    const char *touches; /* a plan: "12 connections drain", or NULL */
};

typedef void steer_done_fn(void *user, const struct steer_result *result,
                           const struct steer_change *changes, size_t change_count);

/* One of the certificates a listener shows; until the next turn of the loop. */
struct steer_certificate {
    const char *file; /* as in the configuration */
    const struct tls_certificate_facts *facts;
    bool stapled;  /* with an OCSP response */
    bool repeated; /* the file is that of one before */
};

/* What there is now. Arrays belong to the engine. */
struct steer_view {
    const struct snapshot *snapshot; /* the current one */
    uint64_t generation;             /* 1 at the start, one more with each reload */
    struct pool *const *pools;       /* by index of the snapshot */
    size_t pool_count;
    struct front *const *fronts; /* listeners at run time, by index of the snapshot */
    size_t front_count;
    /* The address bound for the index-th address of the snapshot, all listeners in a row; NULL
     * where nobody knows. */
    const struct address *(*bound)(const void *bound_by, size_t index);
    const void *bound_by;
    /* The index-th certificate of a listener; false past the last. NULL where nobody knows. */
    bool (*certificate)(const void *certificates, size_t listener, size_t index,
                        struct steer_certificate *ret_certificate);
    const void *certificates;
    const struct health *health;
    const struct account_board *board;
    const char *config_path; /* the file, or "command line" */
    const char *engine_name;
    uint32_t worker_count;
    uint64_t started_wall_ms;
    int32_t supervisor_pid; /* our own where there is no supervisor */
    bool draining;
    bool reload_ok;
    uint64_t reload_wall_ms; /* of the last reload or the start */
};

enum admin_state { ADMIN_READY, ADMIN_DRAIN, ADMIN_DISABLED };

struct steer_backend {
    struct span name;    /* empty: the address */
    struct span address; /* as in the configuration */
    uint32_t weight;
    bool backup;
};

struct steer_ops {
    void (*view)(void *user, struct steer_view *ret_view);

    /* Live membership: at once, in every worker's next pick. */
    void (*add)(void *user, struct pool *pool, const struct steer_backend *b,
                struct steer_result *ret);
    void (*remove)(void *user, struct backend *b, struct steer_result *ret);
    void (*set_weight)(void *user, struct backend *b, uint32_t weight, struct steer_result *ret);
    void (*set_state)(void *user, struct backend *b, enum admin_state state,
                      struct steer_result *ret);
    /* Writes pools as they now are into the configuration file, comments and order kept. */
    void (*save)(void *user, struct steer_result *ret);

    void (*reload)(void *user, bool plan_only, steer_done_fn *done, void *done_user);
    void (*stop)(void *user, bool now, struct steer_result *ret);
    void (*upgrade)(void *user, steer_done_fn *done, void *done_user);
};

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The whole decision for one request that nobody sends: which listener, why each route matched or
 * not, which backends could be picked, which one is, and what becomes of the request.
 *
 *   question ─▶ a head as bytes ─▶ codec ─▶ route_mismatch ─▶ pool_twin ─▶ pick_backend
 *
 * It is made by the objects that serve requests; nothing is decided here a second time. Where a
 * balancer runs, its pools are looked at through a twin, so neither a cursor nor a count moves.
 * Without one the pools are made from the configuration, all backends up and idle.
 *
 * Lifetime: the explanation points into the question, the snapshot and its own memory;
 * explain_free. Thread rule: the control thread, or the only one.
 */

#include "account/reason.h"
#include "admin/json.h"
#include "admin/steer.h"
#include "base/address.h"
#include "base/compiler.h"
#include "codec/arrival.h"
#include "codec/h1.h"
#include "config/snapshot.h"
#include "pick/inspect.h"

/* Backends shown; more are counted only. */
#define EXPLAIN_SHOWN_MAX  1000
#define EXPLAIN_FIELDS_MAX HTTP_FIELDS_MAX
#define EXPLAIN_TLS_MAX    16
#define EXPLAIN_WHY_MAX    320

struct explain_question {
    struct span request; /* "GET http://host[:port]/path?query", "/path"; empty of a TCP listener;
                            of one with TLS everything comes over TLS, for its host unless said */
    struct span fields[EXPLAIN_FIELDS_MAX]; /* "Name: value" */
    size_t field_count;
    struct span tls[EXPLAIN_TLS_MAX]; /* "key=value", as in matches: sni, client_subject, … */
    size_t tls_count;
    struct span from;     /* the client's IP; empty: 127.0.0.1 */
    struct span listener; /* its name; empty: by the port, or the only one */
};

/* What it is asked about. */
struct explain_world {
    const struct snapshot *snapshot;
    const struct steer_view *view; /* of a running balancer, or NULL */
    uint64_t seed;                 /* of what is drawn */
};

struct explain_route {
    const struct route_conf *conf;
    bool matched;
    char because[EXPLAIN_WHY_MAX]; /* why not; "" when it matched */
};

struct explain_candidate {
    const char *name;
    char address[ADDRESS_TEXT_MAX];
    uint32_t weight, in_flight;
    bool backup, eligible, scored;
    double score;
    char because[EXPLAIN_WHY_MAX]; /* why not */
};

struct explanation {
    /* what was asked */
    const struct listener_conf *listener;
    struct address client;
    const struct arrival *came;     /* or NULL: plain and direct */
    struct span method, host, path; /* as the routes see them */
    /* what was decided */
    struct explain_route *routes; /* those looked at and those behind them */
    size_t route_count;
    const struct route_conf *route; /* or NULL */
    const struct pool_conf *pool;   /* or NULL */
    struct explain_candidate *candidates;
    size_t candidate_count, candidates_total;
    char how[EXPLAIN_WHY_MAX]; /* what the policy went by */
    char pick[NAME_MAX_LEN + ADDRESS_TEXT_MAX];
    const char *outcome; /* "forward", "queue", or the name of `reason` */
    enum reason reason;  /* REASON_ok, or why we answer ourselves */
    bool live;
    /* private */
    struct head head;
    struct arrival arrival;
    struct span names[EXPLAIN_TLS_MAX]; /* of the client's certificate */
    uint8_t bytes[HTTP_HEAD_MAX + 16], scratch[URI_PATH_MAX];
};

/* Why a question has no answer: a sentence without a full stop, and the part it is about. */
struct explain_fault {
    char message[512];
    const char *field; /* "request", "headers", "tls", "from", "listener"; NULL: out of memory */
};

/* NULL with *ret_fault. To be given to explain_free. */
struct explanation *explain(const struct explain_world *world, const struct explain_question *q,
                            struct explain_fault *ret_fault);
/* Leaves NULL; accepts NULL. */
void explain_free(struct explanation **e);

/* As docs/api.md has it: one object. */
void explain_json(struct json *j, const char *key, const struct explain_world *world,
                  const struct explanation *e);

/* ---- the parts ---- */

/* The listener that is meant, and the request's head in e->bytes. False with *ret_fault. */
NODISCARD bool explain_ask(const struct snapshot *s, const struct explain_question *q,
                           struct explanation *e, size_t *ret_head_bytes,
                           struct explain_fault *ret_fault);

/* Picks, with the candidates. False: out of memory. */
NODISCARD bool explain_pick(const struct explain_world *world, uint32_t pool,
                            struct explanation *e);

/* The name of the outcome of a reason. */
void explain_end(struct explanation *e, enum reason reason);

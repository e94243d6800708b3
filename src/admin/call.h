/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call of the admin API: from a request's head and body to its answer, without any I/O.
 *
 *   call_begin(head) ─▶ may it be carried out? ─▶ (body) ─▶ call_run ─▶ answered, or later
 *
 * What of the head is needed is copied, so the head may go after call_begin. A call that was
 * refused already (call->status set) is not run, and takes no body.
 *
 * A call that answers later (reload, upgrade, sessions) is finished by its operation; its owner may
 * meanwhile have gone: call_drop lets the operation free it.
 *
 * Thread rule: the control thread.
 */

#include "admin/json.h"
#include "admin/log_tail.h"
#include "admin/page.h"
#include "admin/rates.h"
#include "admin/sessions.h"
#include "admin/steer.h"
#include "admin/text.h"
#include "admin/verbs.h"
#include "base/limits.h"

/* What the calls look at and steer. Set at creation of the server. */
struct site {
    const struct steer_ops *ops;
    void *ops_user;
    struct rates *rates;
    sessions_fn *sessions; /* or NULL */
    void *sessions_user;
    struct log_tail *log_tail; /* or NULL */
    const char *token;         /* or NULL */
    uint64_t now_ms, wall_ms;  /* of this turn; the server's to set before each call */
    uint64_t changes_refused;  /* for want of a token, since it was last said */
};

/* The longest path that is looked at; nothing of ours is near. */
#define CALL_PATH_MAX   1024
#define CALL_QUERY_MAX  256
#define CALL_FIELDS_MAX 768

enum call_state {
    CALL_ADMITTED, /* call_run is next */
    CALL_ANSWERED, /* status and out are the answer */
    CALL_LATER,    /* its operation will answer */
    CALL_STREAM,   /* events: the answer has no end */
};

struct call {
#define CALL_MAGIC 0xca11ca11u
    uint32_t magic;
    enum call_state state;
    struct site *site;
    bool over_socket;
    bool head_only, keep_alive;
    /* the request */
    enum admin_verb verb;
    struct span params[ADMIN_PARAMS_MAX]; /* decoded; in `path` */
    struct span query;
    struct span if_none_match;
    struct span body; /* the owner's; until the call is answered */
    uint8_t path[CALL_PATH_MAX];
    uint8_t texts[CALL_QUERY_MAX + 64]; /* query, if_none_match */
    /* the answer */
    uint16_t status;
    const char *type;             /* Content-Type */
    char fields[CALL_FIELDS_MAX]; /* further field lines, each with its CR LF */
    struct text out;
    size_t work; /* what it took beyond writing `out`, as so many bytes more */
    /* Called when a later answer is there; NULL once the owner has dropped the call. */
    void (*answered)(void *owner, struct call *c);
    void *owner;
};

/* A call for a request; NULL without memory. */
struct call *call_new(struct site *site, bool over_socket);
/* Its owner has no more use for it: freed now, or by the operation under way. Leaves NULL; accepts
 * NULL. */
void call_drop(struct call **c);

/* Finds the verb and decides who may: CALL_ADMITTED or CALL_ANSWERED. */
void call_begin(struct call *c, const struct head *h);

/* Carries out what was admitted, with the body in c->body. */
void call_run(struct call *c);

/* The whole head of the answer, in `out`, which has room for CALL_HEAD_MAX bytes. */
#define CALL_HEAD_MAX (CALL_FIELDS_MAX + 768)
size_t call_head(const struct call *c, bool keep_alive, uint8_t out[CALL_HEAD_MAX]);

/* ---- for those who carry calls out ---- */

/* The view of this moment. */
struct steer_view call_view(const struct call *c);

/* Begins a JSON answer. */
struct json call_json(struct call *c, uint16_t status);

/* Answers with an error; the message is a plain sentence without a full stop. field may be NULL. */
PRINTF(5, 6)
void call_fail(struct call *c, uint16_t status, const char *reason, const char *field,
               const char *format, ...);

/* The error that an operation's result stands for. */
void call_fail_result(struct call *c, const struct steer_result *result);

/* What does not exist in this build or at this moment: 503. */
void call_unavailable(struct call *c, const char *what);

/* Answers a call that was left for later; frees it if its owner is gone. */
void call_answer_later(struct call *c);

/* The body as an object with some of `keys`; NULL: the call is answered. */
json_t *call_body(struct call *c, const char *const *keys, size_t key_count);

/* Members of a body; false: of another type, and the call is answered. Absent leaves *ret. */
NODISCARD bool call_bool(struct call *c, const json_t *body, const char *key, bool *ret);
NODISCARD bool call_u64(struct call *c, const json_t *body, const char *key, uint64_t max,
                        uint64_t *ret);
NODISCARD bool call_text(struct call *c, const json_t *body, const char *key, struct span *ret);

/* The pool, or the backend, that the path names; NULL: the call is answered. */
struct pool *call_find_pool(struct call *c, const struct steer_view *view);
struct backend *call_find_backend(struct call *c, const struct steer_view *view);

/* Answers with one backend. */
void call_show_backend(struct call *c, uint16_t status, const struct backend *b, bool saved);

/* ---- the calls, one for each verb ---- */

typedef void call_fn(struct call *c);
#define ADMIN_VERB(id, method, path, who, summary) call_fn call_##id;
#include "admin/verbs.def"
#undef ADMIN_VERB

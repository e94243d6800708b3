/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A question for the file of an ACME challenge. Workers open no files, so it travels:
 *
 *   worker: challenge_ask ─▶ f->challenge ─▶ (elsewhere, any thread) ─▶ challenge_answer
 *   worker: answered(user, …) ◀───────────────── message ───────────────────────┘
 *
 * Lifetime: from challenge_ask until it was answered, whether somebody still waits or not; what is
 * on its way when the worker has ended goes with its forwarder. Thread rule: its worker's thread,
 * but for challenge_answer; from f->challenge to challenge_answer its texts are the answerer's.
 */

#include "account/reason.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "base/list.h"
#include "io/loop.h"
#include "route/rules.h"

struct forwarder;

/* How long one waits for it. */
#define CHALLENGE_ANSWER_MS 5000

/* 0 with the file's text, or a negative reason. */
typedef void challenge_answered_fn(void *user, int result, struct span text);

struct challenge {
    struct list link;       /* of its forwarder */
    struct list queued;     /* the answerer's */
    struct message message; /* there, and back */
    struct forwarder *f;
    challenge_answered_fn *answered; /* NULL: nobody waits any more */
    void *user;
    int result;
    uint8_t *text; /* NULL: none */
    size_t text_len;
    char token[ACME_TOKEN_MAX + 1];
    char folder[];
};

/* 0; or -REASON_overload when too many are asked for already. */
NODISCARD int challenge_ask(struct forwarder *f, const char *folder, struct span token,
                            challenge_answered_fn *answered, void *user,
                            struct challenge **ret_challenge);

/* `answered` will not be called. Leaves NULL; accepts NULL. */
void challenge_forget(struct challenge **c);

/* 0 with its text, at most REPLY_BODY_MAX bytes, which is copied; or a negative reason. Any thread;
 * c is not touched after that. */
void challenge_answer(struct challenge *c, int result, struct span text);

/* Those of a worker that has ended. */
void challenge_drop_all(struct forwarder *f);

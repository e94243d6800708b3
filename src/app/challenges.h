/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Answers workers' questions for files of ACME challenges (forward/challenge.h): the control thread
 * asks the door and reads what it gets, at most CHALLENGES_PER_S times, so that a flood of such
 * requests does not hold up what else that thread does. Nor does it keep a certificate authority
 * from its answer: what no folder holds is told apart without a look at each. A file is found by
 * every question that was asked when it was there.
 *
 * Lifetime: longer than the workers'. Thread rule: the control thread, but for challenges_ask.
 */

#include "base/compiler.h"
#include "forward/challenge.h"

struct challenges;
struct door;

/* NULL when memory is out. */
NODISCARD struct challenges *challenges_new(struct loop *loop, struct door *door);

/* Leaves NULL; accepts NULL. No worker may be left, nor the loop run any more. */
void challenges_free(struct challenges **c);

/* A forwarder_challenge_fn; `user` is the struct challenges. Any worker. */
void challenges_ask(void *user, struct challenge *c);

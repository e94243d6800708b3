/* SPDX-License-Identifier: MIT */
#pragma once

/* Inside the exchange: what exchange.c and exchange_own.c share. */

#include "base/check.h"
#include "forward/answer.h"
#include "forward/exchange.h"

/* Every move between states, checked. */
static inline void exchange_set_state(struct exchange *x, enum exchange_state to)
{
#define TO(s) (1u << EXCHANGE_##s)
    static const unsigned allowed[EXCHANGE_STATES] = {
        [EXCHANGE_ROUTING] = TO(ASKING) | TO(QUEUED) | TO(CONNECTING) | TO(FINISHING),
        [EXCHANGE_ASKING] = TO(FINISHING),
        [EXCHANGE_QUEUED] = TO(CONNECTING) | TO(FINISHING),
        [EXCHANGE_CONNECTING] = TO(QUEUED) | TO(CONNECTING) | TO(SENDING) | TO(FINISHING),
        [EXCHANGE_SENDING] = TO(QUEUED) | TO(CONNECTING) | TO(RESPONDING) | TO(FINISHING),
        [EXCHANGE_RESPONDING] = TO(FINISHING),
    };
#undef TO
    CHECK(allowed[x->state] >> to & 1);
    x->state = to;
}

/* Answers here. Nothing of a response may have been sent. The exchange may be over on return. */
void exchange_reply(struct exchange *x, struct reply *r);
void exchange_answer(struct exchange *x, enum reason why);

/* Whether the listener answers this request itself (route/rules.h); then it does, now or later. */
NODISCARD bool exchange_own_answer(struct exchange *x, const struct head *h);

/* No more waiting for the file of a challenge. */
void exchange_stop_asking(struct exchange *x);

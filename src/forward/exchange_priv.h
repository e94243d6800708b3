/* SPDX-License-Identifier: MIT */
#pragma once

/* Inside the exchange: what its files share. */

#include "account/board.h"
#include "base/check.h"
#include "forward/answer.h"
#include "forward/exchange.h"

/* A text kept in the request buffer. */
static inline struct span exchange_text(const struct exchange *x, struct text_at at)
{
    return at.len ? span_of(x->request.p + at.off, at.len) : span_of(NULL, 0);
}

/* What a tunnel was upgraded to. */
static inline enum board_tunnel exchange_tunnel_kind(const struct exchange *x)
{
    bool websocket = span_eq_nocase(exchange_text(x, x->upgrade_at), span_str("websocket"));
    return websocket ? BOARD_WEBSOCKET : BOARD_OTHER_TUNNEL;
}

/* Of a call of gRPC, how it ends: RECORD_GRPC_* (account/record.h). */
NOINLINE void exchange_note_status(struct exchange *x, uint8_t grpc);

/* The TLS of the stream to the backend, if it is that. */
NOINLINE void exchange_note_tls(struct exchange *x, struct stream *over);

/* It has become a tunnel. */
NOINLINE void exchange_note_tunnel(struct exchange *x);

/* It is over: counted, and written where it is asked for. Once for every exchange. */
void exchange_account(const struct exchange *x, enum reason why);

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

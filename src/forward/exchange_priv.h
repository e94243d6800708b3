/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to the exchange: what its files share. */

#include "account/board.h"
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

/* It is over: counted, and written where it is asked for. Once for every exchange. */
void exchange_account(const struct exchange *x, enum reason why);

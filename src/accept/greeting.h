/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A greeting: a client between accept and its protocol, where something comes before that.
 *
 *   greeting_open ─▶ PROXY header ─▶ ClientHello (looked at) ──────────▶ client_tcp_take
 *                          │    └──▶ TLS handshake ──┬─ ALPN "h2" ─────▶ client_h2_take
 *                          └─────────────────────────┴─────────────────▶ client_h1_take, _tcp_take
 *
 * What was learned on the way becomes the client's arrival (codec/arrival.h). Bytes behind a header
 * go to what comes next. All stages together have the listener's timeouts.handshake.
 *
 * A PROXY header is asked of the peers in proxy_protocol_from, all of whose connections begin with
 * one; it is not looked for with others, so that nobody else can say who he is. Plain HTTP where
 * TLS is expected is answered in plain HTTP; every other failure ends the connection and is one
 * record of the access log.
 *
 * A greeting is a client of the forwarder (forward/client.h) while it lasts: it counts for the
 * listener's limit, and drains and reloads see it. Thread rule: its worker's thread.
 */

#include "account/reason.h"
#include "config/snapshot.h"
#include "io/loop.h"

#include <stdbool.h>

struct forwarder;
struct front;

/* Whether something comes before the protocol here, for some peers at least. */
static inline bool greeting_due(const struct listener_conf *conf)
{
    return conf->tls.enabled || conf->proxy_count > 0 ||
           (conf->protocol == PROTOCOL_TCP && conf->route_count > 0);
}

/* Takes over an accepted stream of such a listener; closes it when there is no room. */
void greeting_open(struct forwarder *f, struct front *front, struct stream *s);

/* Closes it for that reason, without a word: in which protocol is not known yet. */
void greeting_refuse(struct forwarder *f, struct front *front, struct stream *s, enum reason why);

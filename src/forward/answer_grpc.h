/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Answers made here to calls of gRPC (exchange->grpc): a response of trailers only, as its clients
 * expect. Its status is 200, and its head says what went wrong: grpc-status, grpc-message and, as
 * ever, X-Poise-Reason. Of a response that has begun, the trailers say it.
 */

#include "account/reason.h"
#include "base/bytes.h"
#include "codec/grpc.h"

/* Never "ok". UNAVAILABLE, which clients may take as leave to try again, is said where the call
 * has not reached a method, and where the connection to it broke. */
enum grpc_status answer_grpc_status(enum reason why);

#define ANSWER_GRPC_FIELDS   5
#define ANSWER_GRPC_TEXT     512
#define ANSWER_GRPC_TRAILERS (ANSWER_GRPC_TEXT + 128)

struct answer_field {
    struct span name, value;
};

/* Fields in the order in which they go out, :status first. They point into the object itself and
 * to constant text. */
struct answer_grpc {
    struct answer_field fields[ANSWER_GRPC_FIELDS];
    uint8_t text[ANSWER_GRPC_TEXT];
};

/* The whole response: a head that ends the stream. */
void answer_grpc(enum reason why, struct answer_grpc *ret);

/* The end of a response that had begun: trailers as raw lines ("name: value CRLF")*, as
 * side_ops.end takes them. ANSWER_GRPC_TRAILERS is always enough room. */
void answer_grpc_trailers(struct writer *w, enum reason why);

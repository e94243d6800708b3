/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The parts of gRPC over HTTP/2 that a proxy reads: whether a request is a call, and how much time
 * its client gives it. Pure. Thread rule: none.
 */

#include "base/bytes.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether a Content-Type is gRPC's: "application/grpc", alone or with "+proto" and the like or with
 * parameters. gRPC-Web is another protocol. */
bool grpc_is_content_type(struct span value);

/* A longer time stands for this one, of 146 years. */
#define GRPC_TIMEOUT_NS_MAX (UINT64_MAX / 4)

/* "grpc-timeout": 1 to 8 digits and a unit of H M S m u n. False: it is none of that, and *ret_ns
 * is untouched. */
NODISCARD bool grpc_timeout_parse(struct span value, uint64_t *ret_ns);

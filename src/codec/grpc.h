/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The parts of gRPC over HTTP/2 that a proxy reads: whether a request is a call, how much time its
 * client gives it, and the status it ends with. Pure. Thread rule: none.
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

/* What a call ends with. */
enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
    GRPC_STATUSES
};

/* "NOT_FOUND"; of a number from GRPC_STATUSES on "UNKNOWN". */
const char *grpc_status_name(unsigned status);

/* The value of a "grpc-status" field. What is no status counts as UNKNOWN, as clients take it. */
enum grpc_status grpc_status_of(struct span value);

/* The same of the lines of a trailer section, each with its CR LF. False: they have none. */
bool grpc_status_in_trailers(struct span trailers, enum grpc_status *ret_status);

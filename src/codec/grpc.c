/* SPDX-License-Identifier: MIT */
#include "codec/grpc.h"

#include "base/compiler.h"

#define TIMEOUT_DIGITS_MAX 8

bool grpc_is_content_type(struct span value)
{
    struct span name = span_str("application/grpc");
    if (value.n < name.n || !span_eq_nocase(span_of(value.p, name.n), name))
        return false;
    if (value.n == name.n)
        return true;
    uint8_t next = value.p[name.n];
    return next == '+' || next == ';' || next == ' ' || next == '\t';
}

static uint64_t unit_ns(uint8_t unit)
{
    switch (unit) {
    case 'H': return UINT64_C(3600000000000);
    case 'M': return UINT64_C(60000000000);
    case 'S': return UINT64_C(1000000000);
    case 'm': return UINT64_C(1000000);
    case 'u': return UINT64_C(1000);
    case 'n': return 1;
    default: return 0;
    }
}

bool grpc_timeout_parse(struct span value, uint64_t *ret_ns)
{
    if (value.n < 2 || value.n > TIMEOUT_DIGITS_MAX + 1)
        return false;
    uint64_t number = 0, unit = unit_ns(value.p[value.n - 1]);
    for (size_t i = 0; i + 1 < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return false;
        number = number * 10 + (value.p[i] - '0');
    }
    if (unit == 0)
        return false;
    *ret_ns = number > GRPC_TIMEOUT_NS_MAX / unit ? GRPC_TIMEOUT_NS_MAX : number * unit;
    return true;
}

const char *grpc_status_name(unsigned status)
{
    static const char *const names[GRPC_STATUSES] = {
        [GRPC_OK] = "OK",
        [GRPC_CANCELLED] = "CANCELLED",
        [GRPC_UNKNOWN] = "UNKNOWN",
        [GRPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
        [GRPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
        [GRPC_NOT_FOUND] = "NOT_FOUND",
        [GRPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
        [GRPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
        [GRPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
        [GRPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
        [GRPC_ABORTED] = "ABORTED",
        [GRPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
        [GRPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
        [GRPC_INTERNAL] = "INTERNAL",
        [GRPC_UNAVAILABLE] = "UNAVAILABLE",
        [GRPC_DATA_LOSS] = "DATA_LOSS",
        [GRPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
    };
    return names[status < GRPC_STATUSES ? status : GRPC_UNKNOWN];
}

enum grpc_status grpc_status_of(struct span value)
{
    uint64_t n;
    bool known = value.n <= 2 && span_to_u64(value, &n) && n < GRPC_STATUSES;
    return known ? (enum grpc_status)n : GRPC_UNKNOWN;
}

bool grpc_status_in_trailers(struct span trailers, enum grpc_status *ret_status)
{
    while (trailers.n > 0) {
        struct span line = span_cut(&trailers, '\n');
        struct span value = span_cut(&line, '\r');
        struct span name = span_cut(&value, ':');
        if (!span_eq_nocase(name, span_str("grpc-status")))
            continue;
        *ret_status = grpc_status_of(span_trim(value));
        return true;
    }
    return false;
}

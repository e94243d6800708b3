/* SPDX-License-Identifier: MIT */
#include "codec/grpc.h"

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

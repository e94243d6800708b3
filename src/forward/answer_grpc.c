/* SPDX-License-Identifier: MIT */
#include "forward/answer_grpc.h"

#include "base/check.h"

#include <assert.h>
#include <string.h>

enum grpc_status answer_grpc_status(enum reason why)
{
    switch (why) {
    case REASON_client_cancelled:
    case REASON_client_closed:
    case REASON_client_reset: return GRPC_CANCELLED;
    case REASON_deadline_exceeded:
    case REASON_request_timeout:
    case REASON_response_timeout:
    case REASON_backend_too_slow:
    case REASON_client_too_slow:
    case REASON_idle_timeout: return GRPC_DEADLINE_EXCEEDED;
    case REASON_body_too_large:
    case REASON_head_too_large:
    case REASON_too_many_fields:
    case REASON_response_head_too_large: return GRPC_RESOURCE_EXHAUSTED;
    case REASON_redirected: return GRPC_FAILED_PRECONDITION;
    case REASON_no_route:
    case REASON_connect_refused_method: return GRPC_UNIMPLEMENTED;
    case REASON_tls_client_certificate: return GRPC_UNAUTHENTICATED;
    case REASON_misdirected: return GRPC_UNAVAILABLE; /* another connection will do */
    case REASON_bad_status_line:
    case REASON_bad_response_version:
    case REASON_bad_response_field:
    case REASON_bad_response_line_end:
    case REASON_bad_response_length:
    case REASON_bad_response_coding:
    case REASON_bad_response_chunk:
    case REASON_unexpected_upgrade:
    case REASON_too_many_interim:
    case REASON_system_error: return GRPC_INTERNAL;
    default: break;
    }
    switch (reason_fault(why)) {
    case REASON_FAULT_CLIENT: return GRPC_INTERNAL;
    case REASON_FAULT_NONE: return GRPC_UNKNOWN;
    default: return GRPC_UNAVAILABLE;
    }
}

static void write_grpc_status(struct writer *w, enum reason why)
{
    w_u64_dec(w, (uint64_t)answer_grpc_status(why));
}

/* A message in gRPC has '%' and all but printable ASCII percent-encoded. */
static void write_grpc_message(struct writer *w, enum reason why)
{
    for (const char *c = reason_sentence(why); *c; c++) {
        if (*c >= ' ' && *c <= '~' && *c != '%') {
            w_u8(w, (uint8_t)*c);
        } else {
            w_u8(w, '%');
            w_u8(w, (uint8_t) "0123456789ABCDEF"[(uint8_t)*c >> 4]);
            w_u8(w, (uint8_t) "0123456789ABCDEF"[*c & 15]);
        }
    }
}

void answer_grpc(enum reason why, struct answer_grpc *ret)
{
    struct writer w = writer_of(ret->text, sizeof(ret->text));
    write_grpc_status(&w, why);
    size_t status_bytes = w_len(&w);
    write_grpc_message(&w, why);
    CHECK(w_ok(&w));
    const struct answer_field fields[] = {
        {span_str(":status"), span_str("200")},
        {span_str("content-type"), span_str("application/grpc")},
        {span_str("grpc-status"), span_of(ret->text, status_bytes)},
        {span_str("grpc-message"), span_of(ret->text + status_bytes, w_len(&w) - status_bytes)},
        {span_str("x-poise-reason"), span_cstr(reason_name(why))},
    };
    static_assert(sizeof(fields) == sizeof(ret->fields), "all of them");
    memcpy(ret->fields, fields, sizeof(fields));
}

void answer_grpc_trailers(struct writer *w, enum reason why)
{
    w_span(w, span_str("grpc-status: "));
    write_grpc_status(w, why);
    w_span(w, span_str("\r\ngrpc-message: "));
    write_grpc_message(w, why);
    w_span(w, span_str("\r\nx-poise-reason: "));
    w_str(w, reason_name(why));
    w_span(w, span_str("\r\n"));
}

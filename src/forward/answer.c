/* SPDX-License-Identifier: MIT */
#include "forward/answer.h"

#include "base/check.h"
#include "base/limits.h"
#include "codec/h1_write.h"

/* The sentences as bodies. */
static const struct span sentences[] = {
#define REASON(name, fault, status, retry, sentence) [REASON_##name] = SPAN_INIT(sentence "\n"),
#include "account/reason.def"
#undef REASON
};

struct reply reply_of(enum reason why)
{
    return (struct reply){
        .why = why,
        .status = (uint16_t)reason_status(why),
        .type = span_str("text/plain; charset=utf-8"),
        .body = sentences[why],
        .lasting = true,
    };
}

size_t reply_fields(const struct reply *r, struct reply_field ret_fields[REPLY_FIELDS_MAX])
{
    size_t n = 0;
    ret_fields[n++] = (struct reply_field){span_str("Content-Type"), r->type};
    ret_fields[n++] =
        (struct reply_field){span_str("X-Poise-Reason"), span_cstr(reason_name(r->why))};
    if (r->status == 503 || r->status == 429)
        ret_fields[n++] = (struct reply_field){span_str("Retry-After"), span_str("1")};
    if (r->location.n > 0)
        ret_fields[n++] = (struct reply_field){span_str("Location"), r->location};
    if (r->hsts.n > 0)
        ret_fields[n++] = (struct reply_field){span_str("Strict-Transport-Security"), r->hsts};
    return n;
}

size_t reply_bytes(const struct reply *r)
{
    return ANSWER_BYTES_MAX + r->location.n + r->body.n;
}

void reply_write(struct writer *w, const struct reply *r, const char *connection, bool head_only)
{
    struct reply_field fields[REPLY_FIELDS_MAX];
    size_t n = reply_fields(r, fields);
    CHECK(r->body.n <= REPLY_BODY_MAX);
    w_span(w, span_str("HTTP/1.1 "));
    w_u64_dec(w, r->status);
    w_u8(w, ' ');
    w_str(w, h1_status_phrase(r->status));
    w_span(w, span_str("\r\n"));
    for (size_t i = 0; i < n; i++)
        h1_write_field(w, fields[i].name, fields[i].value);
    h1_write_content_length(w, r->body.n);
    if (connection)
        h1_write_field(w, span_str("Connection"), span_cstr(connection));
    h1_write_head_end(w);
    if (!head_only)
        w_span(w, r->body);
}

void answer_write(struct writer *w, enum reason why, bool close, bool head_only)
{
    struct reply r = reply_of(why);
    reply_write(w, &r, close ? "close" : NULL, head_only);
}

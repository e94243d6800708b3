/* SPDX-License-Identifier: MIT */
/*
 * The HTTP/1 reader: its states and events. See h1_priv.h for who does what.
 */
#include "codec/h1.h"

#include "base/check.h"
#include "codec/h1_priv.h"
#include "codec/scan.h"

static_assert(REASON_COUNT <= 256, "a reader keeps its failure in 8 bits");

const struct h1_limits h1_limits_default = {
    .line_bytes = HTTP_LINE_MAX,
    .head_bytes = HTTP_HEAD_MAX,
    .fields = HTTP_FIELDS_MAX,
};

static void reader_clear(struct h1_reader *r)
{
    r->state = H1_STATE_HEAD;
    r->phase = H1_PHASE_FIRST;
    r->scanned = 0;
    r->line_at = 0;
    r->left = 0;
    r->ext_seen = 0;
    r->options = 0;
    r->close_listed = false;
}

void h1_reader_init(struct h1_reader *r, enum h1_role role, const struct h1_limits *limits)
{
    CHECK(limits->fields <= HTTP_FIELDS_MAX);
    CHECK(limits->head_bytes <= UINT16_MAX);
    CHECK(limits->line_bytes <= UINT16_MAX);
    *r = (struct h1_reader){.role = role == H1_RESPONSES, .limits = limits};
    reader_clear(r);
}

static bool reader_is_fresh(const struct h1_reader *r)
{
    return r->state == H1_STATE_HEAD && r->phase == H1_PHASE_FIRST && r->scanned == 0;
}

void h1_reader_reset(struct h1_reader *r)
{
    CHECK(r->state == H1_STATE_DONE || reader_is_fresh(r));
    reader_clear(r);
}

void h1_reader_expect(struct h1_reader *r, enum method request_method, bool asked_upgrade)
{
    CHECK(r->role == H1_RESPONSES);
    r->to_head = request_method == METHOD_HEAD;
    r->to_connect = request_method == METHOD_CONNECT;
    r->asked_upgrade = asked_upgrade;
}

void h1_reader_tunnel(struct h1_reader *r)
{
    CHECK(r->state == H1_STATE_END_DUE || r->state == H1_STATE_DONE || r->state == H1_STATE_TUNNEL);
    r->state = H1_STATE_TUNNEL;
}

/* ---- errors ---- */

enum reason h1_response_reason(enum reason request_reason)
{
    switch (request_reason) {
    case REASON_bad_request_line: return REASON_bad_status_line;
    case REASON_bad_version: return REASON_bad_response_version;
    case REASON_bad_line_end: return REASON_bad_response_line_end;
    case REASON_bad_field_name:
    case REASON_bad_field_value:
    case REASON_folded_field:
    case REASON_bad_upgrade:
    case REASON_bad_trailer: return REASON_bad_response_field;
    case REASON_bad_content_length:
    case REASON_conflicting_length: return REASON_bad_response_length;
    case REASON_bad_transfer_encoding:
    case REASON_ambiguous_coding: return REASON_bad_response_coding;
    case REASON_bad_chunk: return REASON_bad_response_chunk;
    case REASON_head_too_large:
    case REASON_too_many_fields: return REASON_response_head_too_large;
    default: return request_reason;
    }
}

static int reader_fail(struct h1_reader *r, int rc)
{
    enum reason reason = (enum reason) - rc;
    CHECK(rc < 0 && reason < REASON_COUNT);
    if (r->role == H1_RESPONSES)
        reason = h1_response_reason(reason);
    r->state = H1_STATE_FAILED;
    r->failure = (uint8_t)reason;
    return -(int)reason;
}

/* ---- heads ---- */

/*
 * Everything up to the fields themselves, but not what the holder has set. In blocks, because one
 * memset of this size becomes a string instruction that takes longer than the rest of a short head.
 */
static void head_clear(struct head *h)
{
    enum { BLOCK = 64, FROM = offsetof(struct head, base), TO = offsetof(struct head, fields) };
    uint8_t *at = (uint8_t *)h + FROM;
    for (size_t left = TO - FROM; left >= BLOCK; left -= BLOCK, at += BLOCK)
        memset(at, 0, BLOCK);
    memset(at, 0, (TO - FROM) % BLOCK);
}

static int head_lines(struct h1_reader *r, struct span in, struct head *h)
{
    bool requests = r->role == H1_REQUESTS, untouched = r->phase == H1_PHASE_FIRST;
    if (untouched)
        head_clear(h);
    h->base = in.p;
    if (untouched && r->scanned == 0) {
        if (requests)
            h1_usual_request_line(r, in, h);
        else
            h1_usual_status_line(r, in, h);
    }
    int rc = LINE_DONE;
    if (UNLIKELY(r->phase < H1_PHASE_NAME))
        rc = requests ? h1_request_line(r, in, h) : h1_status_line(r, in, h);
    if (rc == LINE_DONE)
        rc = h1_fields(r, in, h);
    if (rc != LINE_BLANK)
        return rc;
    h->head_len = r->line_at + 2;
    rc = h1_head_settle(r, h);
    return rc < 0 ? rc : LINE_BLANK;
}

/* Where the reader goes after a head. */
static void reader_begin_body(struct h1_reader *r, const struct head *h)
{
    r->left = 0;
    r->ext_seen = 0;
    r->chunk_ext = 0;
    r->chunk_digits = 0;
    r->chunk_phase = 0;
    switch (h->framing) {
    case BODY_NONE: r->state = H1_STATE_END_DUE; break;
    case BODY_LENGTH:
        r->left = h->body_length;
        r->state = r->left > 0 ? H1_STATE_BODY_LENGTH : H1_STATE_END_DUE;
        break;
    case BODY_CHUNKED: r->state = H1_STATE_CHUNK_SIZE; break;
    case BODY_CLOSE: r->state = H1_STATE_BODY_CLOSE; break;
    case BODY_TUNNEL: r->state = H1_STATE_TUNNEL; break;
    }
}

static NOINLINE int next_head(struct h1_reader *r, struct span in, struct head *h,
                              struct h1_result *res)
{
    if (in.n == 0)
        return H1_NEED_MORE;
    int rc = head_lines(r, span_sub(in, 0, r->limits->head_bytes), h);
    if (rc < 0)
        return reader_fail(r, rc);
    if (rc == LINE_MORE)
        return in.n < r->limits->head_bytes ? H1_NEED_MORE : reader_fail(r, -REASON_head_too_large);
    res->used = h->head_len;
    reader_begin_body(r, h);
    return H1_HEAD;
}

/* ---- bodies ---- */

/* At most `left` bytes of `in`, from res->used on, as the next piece. */
static int next_piece(struct span in, uint64_t left, struct h1_result *res)
{
    res->body = span_sub(in, res->used, left);
    res->used += res->body.n;
    return res->body.n > 0 ? H1_BODY : H1_NEED_MORE;
}

/* A piece of what is counted by r->left; `then` is the state after its last byte. */
static int next_counted(struct h1_reader *r, struct span in, enum h1_state then,
                        struct h1_result *res)
{
    int event = next_piece(in, r->left, res);
    r->left -= res->body.n;
    if (r->left == 0)
        r->state = (uint8_t)then;
    return event;
}

static NOINLINE int next_chunked(struct h1_reader *r, struct span in, struct h1_result *res)
{
    for (;;) {
        int rc;
        struct span rest = span_from(in, res->used);
        switch (r->state) {
        case H1_STATE_CHUNK_SIZE: rc = h1_chunk_size(r, rest, res); break;
        case H1_STATE_CHUNK_DATA_END: rc = h1_chunk_data_end(r, rest, res); break;
        case H1_STATE_TRAILER: rc = h1_trailer(r, rest, res); break;
        case H1_STATE_DONE: return H1_END;
        default: return next_counted(r, in, H1_STATE_CHUNK_DATA_END, res);
        }
        if (rc < 0)
            return reader_fail(r, rc);
        if (rc == LINE_MORE)
            return H1_NEED_MORE;
    }
}

int h1_reader_next(struct h1_reader *r, struct span in, struct head *head,
                   struct h1_result *ret_result)
{
    *ret_result = (struct h1_result){0};
    switch ((enum h1_state)r->state) {
    case H1_STATE_HEAD: return next_head(r, in, head, ret_result);
    case H1_STATE_BODY_LENGTH: return next_counted(r, in, H1_STATE_END_DUE, ret_result);
    case H1_STATE_CHUNK_SIZE:
    case H1_STATE_CHUNK_DATA:
    case H1_STATE_CHUNK_DATA_END:
    case H1_STATE_TRAILER: return next_chunked(r, in, ret_result);
    case H1_STATE_BODY_CLOSE:
    case H1_STATE_TUNNEL: return next_piece(in, UINT64_MAX, ret_result);
    case H1_STATE_END_DUE: r->state = H1_STATE_DONE; return H1_END;
    case H1_STATE_FAILED: return -(int)r->failure;
    case H1_STATE_DONE: break;
    }
    CHECK_FAIL("the message has ended: h1_reader_reset begins the next");
}

void h1_reader_skip(struct h1_reader *r, uint64_t n)
{
    CHECK(r->state == H1_STATE_BODY_LENGTH && n <= r->left);
    r->left -= n;
    if (r->left == 0)
        r->state = H1_STATE_END_DUE;
}

int h1_reader_eof(struct h1_reader *r)
{
    bool nothing_yet = r->phase <= H1_PHASE_METHOD && r->scanned == r->line_at;
    switch ((enum h1_state)r->state) {
    case H1_STATE_BODY_CLOSE:
    case H1_STATE_TUNNEL:
    case H1_STATE_END_DUE: r->state = H1_STATE_DONE; return H1_END;
    case H1_STATE_DONE: return H1_NEED_MORE;
    case H1_STATE_FAILED: return -(int)r->failure;
    case H1_STATE_HEAD:
        if (nothing_yet)
            return H1_NEED_MORE;
        break;
    default: break;
    }
    return reader_fail(r, r->role == H1_REQUESTS ? -REASON_client_closed : -REASON_backend_closed);
}

/* ---- for who makes fields ---- */

bool h1_field_value_ok(struct span value)
{
    return value.n <= UINT16_MAX && scan_text(value, 0) == value.n && span_trim(value).n == value.n;
}

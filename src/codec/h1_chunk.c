/* SPDX-License-Identifier: MIT */
/*
 * The chunked coding (RFC 9112 7.1): chunk-size lines are taken byte by byte as they come, a
 * trailer section is read like the fields of a head and taken as a whole.
 */
#include "base/check.h"
#include "codec/h1_priv.h"
#include "codec/scan.h"

enum chunk_phase {
    CHUNK_DIGITS,
    CHUNK_SPACE, /* white space that must lead to an extension */
    CHUNK_EXT,
    CHUNK_LF, /* CR was seen */
};

/*
 * Extension bytes that were not outweighed by body so far. Signed uploads add some 80 bytes to
 * every chunk of many KiB; extensions that outgrow the body are only a way to keep us busy.
 */
#define CHUNK_EXT_DEBT_MAX (16 * HTTP_CHUNK_EXT_MAX)

static_assert(CHUNK_EXT_DEBT_MAX < UINT16_MAX && CHUNK_SIZE_DIGITS_MAX < UINT8_MAX,
              "what a reader counts is refused before it overflows");
static_assert(HTTP_TRAILER_BYTES_MAX <= UINT16_MAX && HTTP_TRAILER_FIELDS_MAX <= UINT8_MAX,
              "positions in a trailer section are 16 bits");

#define BIT(id) (1ULL << FIELD_##id)

/* Fields that frame, route, authenticate or describe the message (RFC 9110 6.5.1): whoever merges
 * trailers into the head must not get them this way. */
static const uint64_t trailer_refused =
    BIT(HOST) | BIT(CONNECTION) | BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(UPGRADE) |
    BIT(EXPECT) | BIT(TE) | BIT(TRAILER) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) |
    BIT(PROXY_AUTHENTICATE) | BIT(PROXY_AUTHORIZATION) | BIT(HTTP2_SETTINGS) |
    BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_PROTO) | BIT(X_FORWARDED_HOST) | BIT(FORWARDED) |
    BIT(X_REQUEST_ID) | BIT(CONTENT_TYPE) | BIT(CONTENT_ENCODING) | BIT(CONTENT_RANGE) |
    BIT(COOKIE) | BIT(SET_COOKIE) | BIT(AUTHORIZATION) | BIT(CACHE_CONTROL) | BIT(RANGE) |
    BIT(RETRY_AFTER) | BIT(VARY) | BIT(ORIGIN) | BIT(X_CLIENT_VERIFY) | BIT(X_CLIENT_SUBJECT) |
    BIT(X_CLIENT_SAN) | BIT(X_CLIENT_FINGERPRINT) | BIT(CLIENT_CERT) | BIT(CLIENT_CERT_CHAIN);

static int chunk_ext_byte(struct h1_reader *r)
{
    r->chunk_ext++;
    r->ext_seen++;
    if (r->chunk_ext > HTTP_CHUNK_EXT_MAX || r->ext_seen > CHUNK_EXT_DEBT_MAX)
        return -REASON_bad_chunk;
    return LINE_MORE;
}

static int chunk_digit(struct h1_reader *r, int digit)
{
    if (++r->chunk_digits > CHUNK_SIZE_DIGITS_MAX)
        return -REASON_bad_chunk;
    r->left = r->left << 4 | (unsigned)digit;
    return LINE_MORE;
}

/* One byte of a chunk-size line: LINE_DONE after its LF. */
static int chunk_byte(struct h1_reader *r, uint8_t c)
{
    if (r->chunk_phase == CHUNK_LF)
        return c == '\n' ? LINE_DONE : -REASON_bad_chunk;
    if (r->chunk_phase == CHUNK_DIGITS && ascii_hex_value(c) >= 0)
        return chunk_digit(r, ascii_hex_value(c));
    if (r->chunk_digits == 0)
        return -REASON_bad_chunk;
    if (c == '\r' && r->chunk_phase != CHUNK_SPACE) {
        r->chunk_phase = CHUNK_LF;
        return LINE_MORE;
    }
    if (r->chunk_phase == CHUNK_EXT && !ascii_is_printable(c) && c != '\t')
        return -REASON_bad_chunk;
    if (r->chunk_phase != CHUNK_EXT) {
        if (c != ';' && c != ' ' && c != '\t')
            return -REASON_bad_chunk;
        r->chunk_phase = c == ';' ? CHUNK_EXT : CHUNK_SPACE;
    }
    return chunk_ext_byte(r);
}

/* The size is known: to its data, or to the trailers after the last chunk. */
static void chunk_begin_data(struct h1_reader *r)
{
    r->ext_seen -= (uint16_t)MIN((uint64_t)r->ext_seen, r->left);
    r->chunk_ext = 0;
    r->chunk_digits = 0;
    r->chunk_phase = CHUNK_DIGITS;
    if (r->left > 0) {
        r->state = H1_STATE_CHUNK_DATA;
        return;
    }
    r->state = H1_STATE_TRAILER;
    r->phase = H1_PHASE_NAME;
    r->scanned = 0;
    r->line_at = 0;
    r->lines = 0;
}

int h1_chunk_size(struct h1_reader *r, struct span in, struct h1_result *res)
{
    for (size_t i = 0; i < in.n; i++) {
        int rc = chunk_byte(r, in.p[i]);
        if (rc < 0)
            return rc;
        res->used++;
        if (rc == LINE_DONE) {
            chunk_begin_data(r);
            return LINE_DONE;
        }
    }
    return LINE_MORE;
}

int h1_chunk_data_end(struct h1_reader *r, struct span in, struct h1_result *res)
{
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] != (r->chunk_phase == CHUNK_LF ? '\n' : '\r'))
            return -REASON_bad_chunk;
        res->used++;
        if (r->chunk_phase == CHUNK_LF) {
            r->chunk_phase = CHUNK_DIGITS;
            r->state = H1_STATE_CHUNK_SIZE;
            return LINE_DONE;
        }
        r->chunk_phase = CHUNK_LF;
    }
    return LINE_MORE;
}

bool h1_trailer_name_ok(struct span name)
{
    return !h1_field_is_lookalike(name) && !(trailer_refused >> field_id_of(name) & 1);
}

/* Grammar errors of a trailer field are all bad_trailer; limits keep their names. */
static int trailer_error(int rc)
{
    return rc == -REASON_head_too_large ? rc : -REASON_bad_trailer;
}

int h1_trailer(struct h1_reader *r, struct span in, struct h1_result *res)
{
    struct span seen = span_sub(in, 0, HTTP_TRAILER_BYTES_MAX);
    for (;;) {
        struct field f;
        int rc = h1_field_line(r, seen, r->lines < HTTP_TRAILER_FIELDS_MAX, &f);
        if (rc == LINE_MORE)
            return in.n < HTTP_TRAILER_BYTES_MAX ? LINE_MORE : -REASON_head_too_large;
        if (rc < 0)
            return rc == -REASON_too_many_fields ? -REASON_head_too_large : trailer_error(rc);
        if (rc == LINE_BLANK)
            break;
        if (!h1_trailer_name_ok(span_sub(seen, f.name_off, f.name_len)))
            return -REASON_bad_trailer;
        r->lines++;
    }
    res->trailers = span_sub(in, 0, r->line_at);
    res->used += r->line_at + 2;
    r->state = H1_STATE_DONE;
    return LINE_DONE;
}

/* SPDX-License-Identifier: MIT */
/*
 * Field lines, and what they say about the message: framing, persistence, what is hop-by-hop
 * (RFC 9110 5 and 7.6.1, RFC 9112 5 and 6). Fields with a meaning for us are acted on as they are
 * read; what depends on several of them is settled at the end of the head.
 */
#include "base/check.h"
#include "codec/h1_priv.h"
#include "codec/scan.h"
#include "codec/target.h"

#define BIT(id) (1ULL << FIELD_##id)

static_assert(FIELD_IDS <= 64, "known fields are bits of a word");

/* Longer than any known name. */
#define FIELD_LOOKALIKE_MAX 64

/* Never taken away by being named in Connection: what is left would mean something else. */
static const uint64_t kept_fields =
    BIT(HOST) | BIT(CONTENT_LENGTH) | BIT(CONTENT_TYPE) | BIT(CONTENT_ENCODING) |
    BIT(CONTENT_RANGE) | BIT(AUTHORIZATION) | BIT(COOKIE) | BIT(SET_COOKIE) | BIT(CACHE_CONTROL) |
    BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_PROTO) | BIT(X_FORWARDED_HOST) | BIT(FORWARDED) |
    BIT(X_REQUEST_ID) | BIT(X_CLIENT_VERIFY) | BIT(X_CLIENT_SUBJECT) | BIT(X_CLIENT_SAN) |
    BIT(X_CLIENT_FINGERPRINT) | BIT(CLIENT_CERT) | BIT(CLIENT_CERT_CHAIN);

/* ---- one line ----------------------------------------------------------------------------------
 */

int h1_field_line(struct h1_reader *r, struct span in, bool room, struct field *f)
{
    size_t i = r->scanned, start = r->line_at;
    if (r->phase == H1_PHASE_NAME) {
        if (i == start) {
            if (i == in.n)
                return LINE_MORE;
            if (in.p[i] == '\r') {
                int rc = h1_line_end(in, i, REASON_bad_line_end);
                return rc == LINE_DONE ? LINE_BLANK : rc;
            }
            if (in.p[i] == ' ' || in.p[i] == '\t')
                return -REASON_folded_field;
            if (!room)
                return -REASON_too_many_fields;
        }
        i = scan_token(in, i);
        size_t n = i - start;
        if (n > HTTP_NAME_MAX || n > r->limits->line_bytes)
            return -REASON_head_too_large;
        r->scanned = (uint16_t)i;
        if (i == in.n)
            return LINE_MORE;
        if (in.p[i] != ':' || n == 0)
            return in.p[i] == '\n' ? -REASON_bad_line_end : -REASON_bad_field_name;
        r->name_len = (uint8_t)n;
        r->phase = H1_PHASE_VALUE;
        i++;
    }
    i = scan_text(in, i);
    if (i - start > r->limits->line_bytes)
        return -REASON_head_too_large;
    r->scanned = (uint16_t)i;
    if (i == in.n)
        return LINE_MORE;
    int rc = h1_line_end(in, i, REASON_bad_field_value);
    if (rc != LINE_DONE)
        return rc;

    struct span value =
        span_trim(span_sub(in, start + r->name_len + 1, i - start - r->name_len - 1));
    f->name_off = (uint32_t)start;
    f->value_off = (uint32_t)(value.p - in.p);
    f->value_len = (uint16_t)value.n;
    f->name_len = r->name_len;
    f->line_len = (uint32_t)(i + 2 - start);
    r->line_at = r->scanned = (uint16_t)(i + 2);
    r->phase = H1_PHASE_NAME;
    return LINE_DONE;
}

/* ---- meanings ---- */

/* The next element of a comma-separated list without white space around it; false at the end. */
static bool list_next(struct span *rest, struct span *ret_element)
{
    while (rest->n > 0) {
        *ret_element = span_trim(span_cut(rest, ','));
        if (ret_element->n > 0)
            return true;
    }
    return false;
}

static void mark_hop(struct head *h, unsigned index)
{
    if (head_is_hop(h, index))
        return;
    h->hop_bits[index / 64] |= 1ULL << (index % 64);
    h->hop_count++;
}

static int host_field(struct head *h, struct span value)
{
    struct span host;
    if (head_has(h, FIELD_HOST) || target_authority(value, true, &host) < 0)
        return -REASON_bad_host;
    if (h->absolute_form)
        return span_eq_nocase(value, head_span(h, h->authority)) ? 0 : -REASON_bad_host;
    h->authority = (struct range){(uint32_t)(value.p - h->base), (uint32_t)value.n};
    h->host = (struct range){(uint32_t)(host.p - h->base), (uint32_t)host.n};
    return 0;
}

static int connection_field(struct h1_reader *r, struct head *h, struct span value)
{
    struct span option;
    enum field_id alone = field_id_of(value); /* "keep-alive": mostly there is nothing else */
    if (alone != FIELD_OTHER && r->options < HTTP_CONNECTION_TOKENS_MAX) {
        r->options++;
        h->listed |= 1ULL << alone;
        return 0;
    }
    while (list_next(&value, &option)) {
        if (scan_token(option, 0) != option.n)
            return -REASON_bad_field_value;
        if (++r->options > HTTP_CONNECTION_TOKENS_MAX)
            return -REASON_too_many_fields;
        if (span_eq_nocase(option, span_str("close")))
            r->close_listed = true;
        else
            h->listed |= 1ULL << field_id_of(option);
    }
    return 0;
}

static int content_length_field(struct head *h, struct span value)
{
    if (head_has(h, FIELD_CONTENT_LENGTH) || value.n > 19)
        return -REASON_bad_content_length;
    if (!span_to_u64(value, &h->body_length))
        return -REASON_bad_content_length;
    if (h->body_length > INT64_MAX) /* others count in signed numbers */
        return -REASON_bad_content_length;
    return head_has(h, FIELD_TRANSFER_ENCODING) ? -REASON_conflicting_length : 0;
}

/*
 * Exactly "chunked". A message whose codings leave its end in doubt is the sender's mistake (400,
 * RFC 9112 6.3), a coding that is merely unknown is ours (501, RFC 9112 6.1).
 */
static int transfer_encoding_field(struct head *h, struct span value)
{
    if (h->version_minor == 0 || head_has(h, FIELD_TRANSFER_ENCODING))
        return -REASON_ambiguous_coding;
    if (head_has(h, FIELD_CONTENT_LENGTH))
        return -REASON_conflicting_length;
    if (span_eq_nocase(value, span_str("chunked")))
        return 0;
    struct span coding;
    unsigned after_chunked = 0, chunked = 0;
    while (list_next(&value, &coding)) {
        after_chunked += chunked > 0;
        chunked += span_eq_nocase(coding, span_str("chunked"));
    }
    return after_chunked > 0 ? -REASON_ambiguous_coding : -REASON_bad_transfer_encoding;
}

static void te_field(struct head *h, struct span value)
{
    struct span coding;
    while (list_next(&value, &coding))
        if (span_eq_nocase(coding, span_str("trailers")))
            h->has_trailer_te = true;
}

bool h1_field_is_lookalike(struct span name)
{
    uint8_t dashed[FIELD_LOOKALIKE_MAX];
    if (LIKELY(span_find(name, '_') == SPAN_NOT_FOUND) || name.n > sizeof(dashed))
        return false;
    for (size_t i = 0; i < name.n; i++)
        dashed[i] = name.p[i] == '_' ? '-' : name.p[i];
    return field_id_of(span_of(dashed, name.n)) != FIELD_OTHER;
}

int h1_field_meaning(struct h1_reader *r, struct head *h, unsigned index)
{
    const struct field *f = &h->fields[index];
    if (!(H1_FIELDS_WITH_MEANING >> f->id & 1))
        return 0;
    struct span value = field_value(h, f);
    bool request = r->role == H1_REQUESTS;
    if (H1_HOP_FIELDS >> f->id & 1)
        mark_hop(h, index);
    switch (f->id) {
    case FIELD_HOST: return request ? host_field(h, value) : 0;
    case FIELD_CONNECTION: return connection_field(r, h, value);
    case FIELD_CONTENT_LENGTH: return content_length_field(h, value);
    case FIELD_TRANSFER_ENCODING: return transfer_encoding_field(h, value);
    case FIELD_TE: te_field(h, value); return 0;
    case FIELD_EXPECT:
        if (request && h->version_minor > 0 && !span_eq_nocase(value, span_str("100-continue")))
            return -REASON_bad_expectation;
        return 0;
    case FIELD_OTHER:
        if (request && h1_field_is_lookalike(field_name(h, f)))
            mark_hop(h, index);
        return 0;
    default: return 0;
    }
}

/* One line that the usual reader has left. */
static NOINLINE int unusual_field(struct h1_reader *r, struct span in, struct head *h)
{
    unsigned index = h->field_count;
    struct field *f = &h->fields[index];
    int rc = h1_field_line(r, in, index < r->limits->fields, f);
    if (rc != LINE_DONE)
        return rc;
    f->id = (uint8_t)field_id_of(field_name(h, f));
    rc = h1_field_meaning(r, h, index);
    if (rc < 0)
        return rc;
    h->known |= 1ULL << f->id;
    h->field_count++;
    return LINE_DONE;
}

int h1_fields(struct h1_reader *r, struct span in, struct head *h)
{
    for (;;) {
        if (r->phase == H1_PHASE_NAME && r->scanned == r->line_at) {
            int usual = h1_usual_fields(r, in, h);
            if (LIKELY(usual != LINE_MORE))
                return usual;
        }
        int rc = unusual_field(r, in, h);
        if (rc != LINE_DONE)
            return rc;
    }
}

/* ---- the whole head ---- */

/* Marks fields with names that have no id and that Connection lists. */
static void mark_listed_others(struct head *h)
{
    unsigned at = 0;
    for (const struct field *f; (f = head_find(h, FIELD_CONNECTION, &at)) != NULL;) {
        struct span list = field_value(h, f), option;
        while (list_next(&list, &option)) {
            unsigned other = 0;
            if (field_id_of(option) != FIELD_OTHER)
                continue;
            for (const struct field *o; (o = head_find_name(h, option, &other)) != NULL;)
                mark_hop(h, (unsigned)(o - h->fields));
        }
    }
}

static void mark_listed(struct head *h)
{
    uint64_t taken = h->listed & h->known & ~(H1_HOP_FIELDS | kept_fields | 1ULL << FIELD_OTHER);
    for (unsigned i = 0; taken != 0 && i < h->field_count; i++)
        if (taken >> h->fields[i].id & 1)
            mark_hop(h, i);
    if (h->listed >> FIELD_OTHER & 1)
        mark_listed_others(h);
}

/* Upgrade asks for a protocol we can pass through. Two h2c speakers around a proxy that does not
 * look are a tunnel past its rules, so h2c is never offered on. */
static int upgrade_asked(const struct head *h, bool *ret_asked)
{
    bool asked = false, h2c = false;
    unsigned at = 0;
    for (const struct field *f; (f = head_find(h, FIELD_UPGRADE, &at)) != NULL;) {
        struct span list = field_value(h, f), protocol;
        while (list_next(&list, &protocol)) {
            struct span version = protocol;
            struct span name = span_cut(&version, '/');
            bool has_version = name.n < protocol.n;
            if (name.n == 0 || scan_token(name, 0) != name.n ||
                scan_token(version, 0) != version.n || (has_version && version.n == 0))
                return -REASON_bad_upgrade;
            asked = true;
            h2c |= span_eq_nocase(protocol, span_str("h2c"));
        }
    }
    *ret_asked = asked && !h2c;
    return 0;
}

static int settle_upgrade(struct head *h)
{
    if (h->version_minor == 0 || !(h->listed & h->known & BIT(UPGRADE)))
        return 0;
    return upgrade_asked(h, &h->upgrade);
}

static int settle_request(struct head *h)
{
    if (h->version_minor > 0 && !head_has(h, FIELD_HOST))
        return -REASON_missing_host;
    if (head_has(h, FIELD_TRANSFER_ENCODING))
        h->framing = BODY_CHUNKED;
    else if (head_has(h, FIELD_CONTENT_LENGTH))
        h->framing = BODY_LENGTH;
    bool has_body = h->framing == BODY_CHUNKED || h->body_length > 0;
    h->expect_continue = has_body && h->version_minor > 0 && head_has(h, FIELD_EXPECT);
    int rc = settle_upgrade(h);
    if (has_body)
        h->upgrade = false;
    return rc;
}

/* The body of a response (RFC 9112 6.3), for codes and requests that do not rule it out. */
static void response_body(struct head *h)
{
    if (head_has(h, FIELD_TRANSFER_ENCODING))
        h->framing = BODY_CHUNKED;
    else if (head_has(h, FIELD_CONTENT_LENGTH))
        h->framing = BODY_LENGTH;
    else
        h->framing = BODY_CLOSE;
}

static int settle_switch(const struct h1_reader *r, struct head *h)
{
    if (!r->asked_upgrade || h->version_minor == 0)
        return -REASON_unexpected_upgrade;
    h->framing = BODY_TUNNEL;
    return settle_upgrade(h);
}

static int settle_response(const struct h1_reader *r, struct head *h)
{
    bool coded = head_has(h, FIELD_TRANSFER_ENCODING),
         bodyless = h->status < 200 || h->status == 204;
    /* Some read such a body and some do not. */
    if (bodyless && coded)
        return -REASON_bad_transfer_encoding;
    if ((bodyless || h->status == 205) && h->body_length > 0)
        return -REASON_bad_content_length;
    if (h->status == 101)
        return settle_switch(r, h);
    if (r->to_connect && h->status >= 200 && h->status < 300)
        h->framing = BODY_TUNNEL;
    else if (!bodyless && !r->to_head && h->status != 304)
        response_body(h);
    return 0;
}

int h1_head_settle(struct h1_reader *r, struct head *h)
{
    h->framing = BODY_NONE;
    mark_listed(h);
    int rc = r->role == H1_REQUESTS ? settle_request(h) : settle_response(r, h);
    if (rc < 0)
        return rc;
    bool endless = h->framing == BODY_CLOSE || h->framing == BODY_TUNNEL;
    bool wanted = h->version_minor > 0 || (h->listed & BIT(KEEP_ALIVE)) != 0;
    h->keep_alive = wanted && !r->close_listed && !endless;
    return 0;
}

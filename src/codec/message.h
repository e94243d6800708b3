/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A message head, neutral of the protocol version it came in or goes out by.
 *
 * Everything is an offset into one contiguous range of bytes, `base`, which the holder keeps alive;
 * moving the bytes means changing `base` and nothing else. Field names keep the case they came in;
 * known ones carry an id, so nobody compares strings twice. Lengths are checked where a field is
 * made: a name is 1..255 bytes, a value at most 65535.
 *
 * Plain data, no ownership, no thread rule.
 */

#include "base/bytes.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* Methods we treat by name; anything else that is a token is METHOD_OTHER. */
enum method {
    METHOD_OTHER,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_PATCH,
    METHOD_CONNECT,
};

/* Safe to repeat (RFC 9110 9.2.2). METHOD_OTHER is not. */
bool method_is_idempotent(enum method m);

/* Known field names: FIELD(id, "name in lower case"). */
enum field_id {
    FIELD_OTHER,
#define FIELD(id, name) FIELD_##id,
#include "codec/field.def"
#undef FIELD
    FIELD_IDS
};

/* The id of a name in any case, or FIELD_OTHER. Constant time for practical purposes. */
enum field_id field_id_of(struct span name);

struct field {
    union {
        uint32_t name_off; /* from base */
        uint32_t line_off; /* a line begins with its name */
    };
    uint32_t value_off;
    uint32_t line_len;  /* the whole line, CR LF included: what a removal cuts out */
    uint16_t value_len; /* without surrounding white space */
    uint8_t name_len;
    uint8_t id; /* enum field_id */
};

/* How the body is delimited (RFC 9112 6.3), decided once, by the parser of the head. */
enum body_framing {
    BODY_NONE,    /* no body at all */
    BODY_LENGTH,  /* body_length bytes */
    BODY_CHUNKED, /* the chunked coding, perhaps with trailers */
    BODY_CLOSE,   /* a response up to the end of the connection */
    BODY_TUNNEL,  /* 101 or a successful CONNECT: bytes until either side ends */
};

/* The method of that exact text (methods are case-sensitive), or METHOD_OTHER. */
enum method method_of(struct span text);

/* Where a range of bytes lies, from base. */
struct range {
    uint32_t off, len;
};

struct head {
    /*
     * Set by the holder before the first byte of a message is parsed (head_init); never touched by
     * the parser. Room for a path that has to be rewritten to its canonical form: URI_PATH_MAX
     * bytes serve every request. NULL: a path that is not canonical as it came is refused as
     * bad_path.
     */
    uint8_t *scratch_buf;
    size_t scratch_cap;

    /* From here on filled by the parser. */
    const uint8_t *base;
    uint32_t head_len; /* the head with its blank line; also where the body starts */

    /* requests */
    enum method method;
    struct range method_text;
    struct range target; /* as received */
    struct range path;   /* canonical (codec/target.h), with the leading '/'; or "*" */
    struct range query;  /* without '?'; */
    bool has_query;
    bool path_in_scratch; /* path lies in scratch_buf, not in base: it had to be rewritten */
    bool absolute_form;
    struct range host;      /* of the authority, without port, as received ([] of IPv6 included) */
    struct range authority; /* host[:port]: of the target in absolute form, else of Host */

    /* responses */
    uint16_t status;
    struct range reason_phrase;

    /* both */
    uint8_t version_minor; /* HTTP/1.x; 0 or 1 */
    bool keep_alive;       /* what version and Connection together say */
    bool upgrade; /* HTTP/1.1, Connection: upgrade, an Upgrade field other than h2c, no body;
                     of a response: the same with status 101 */
    bool expect_continue; /* HTTP/1.1 and a body to wait for */
    bool has_trailer_te;  /* TE: trailers */
    enum body_framing framing;
    uint64_t body_length; /* of BODY_LENGTH */

    uint64_t known;  /* bit per field_id present at least once */
    uint64_t listed; /* bit per known field_id named by Connection; bit FIELD_OTHER: other names */
    uint16_t field_count;
    /*
     * Fields a proxy must not pass on, marked in hop_bits: Connection and all it names, Keep-Alive,
     * Proxy-Connection, TE, Transfer-Encoding (framing is made anew), Upgrade, HTTP2-Settings; of a
     * request also names that are known ones but for '_' in place of '-' (X_Forwarded_For): the
     * CGI convention makes one of the two, so they would be a way around every check of the other.
     * Connection cannot take away what framing and identity rest on (Host, Content-Length, cookies,
     * credentials, content type and coding): such an option is ignored.
     */
    uint16_t hop_count;
    uint64_t hop_bits[(HTTP_FIELDS_MAX + 63) / 64]; /* bit per field index */
    struct field fields[HTTP_FIELDS_MAX];
};

/* A head that no message has touched yet; scratch may be NULL (see scratch_buf). */
static inline void head_init(struct head *h, uint8_t *scratch, size_t scratch_cap)
{
    h->scratch_buf = scratch;
    h->scratch_cap = scratch_cap;
    h->field_count = 0;
}

static inline struct span head_span(const struct head *h, struct range r)
{
    return (struct span){h->base + r.off, r.len};
}

static inline struct span head_path(const struct head *h)
{
    return (struct span){(h->path_in_scratch ? h->scratch_buf : h->base) + h->path.off,
                         h->path.len};
}

static inline struct span field_name(const struct head *h, const struct field *f)
{
    return (struct span){h->base + f->name_off, f->name_len};
}

static inline struct span field_value(const struct head *h, const struct field *f)
{
    return (struct span){h->base + f->value_off, f->value_len};
}

static inline bool head_has(const struct head *h, enum field_id id)
{
    return (h->known >> id & 1) != 0;
}

static inline bool head_is_hop(const struct head *h, unsigned index)
{
    return (h->hop_bits[index / 64] >> (index % 64) & 1) != 0;
}

/* The first field of that id at or after *index (moved past it), or NULL. Start with *index = 0. */
const struct field *head_find(const struct head *h, enum field_id id, unsigned *index);

/* The same by name in any case, for fields without an id. */
const struct field *head_find_name(const struct head *h, struct span name, unsigned *index);

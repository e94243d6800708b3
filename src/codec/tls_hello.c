/* SPDX-License-Identifier: MIT */
/*
 * The name in a ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3), read from a handshake
 * that OpenSSL has taken apart, or from bytes that are only passed on.
 */
#include "codec/tls_priv.h"

#define RECORD_HEADER_BYTES 5
#define RECORD_HANDSHAKE    22
#define CLIENT_HELLO        1
#define EXTENSION_NAME      0
#define NAME_TYPE_HOST      0

static bool is_name_byte(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == ':';
}

bool tls_hello_name(struct span extension, struct span *ret_name)
{
    struct reader r = reader_of(extension);
    uint16_t list_bytes = r_u16be(&r);
    uint8_t type = r_u8(&r);
    struct span name = r_bytes(&r, r_u16be(&r));
    /* A list of one: there is only one type. */
    if (!r_ok(&r) || list_bytes != extension.n - 2 || type != NAME_TYPE_HOST || r_left(&r) != 0)
        return false;
    if (name.n == 0 || name.n > TLS_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (!is_name_byte(name.p[i]))
            return false;
    }
    *ret_name = name;
    return true;
}

/* ---- peeking ---- */

/* Skips what comes before the extensions; what follows is all theirs. */
static struct span extensions_of(struct span hello)
{
    struct reader r = reader_of(hello);
    r_skip(&r, 2 + 32); /* version, random */
    r_skip(&r, r_u8(&r));
    r_skip(&r, r_u16be(&r));
    r_skip(&r, r_u8(&r));
    struct span all = r_bytes(&r, r_u16be(&r));
    return r_ok(&r) ? all : (struct span){NULL, 0};
}

static int name_of(struct span hello, struct span *ret_name)
{
    struct reader r = reader_of(extensions_of(hello));
    *ret_name = (struct span){NULL, 0};
    while (r_left(&r) > 0) {
        uint16_t type = r_u16be(&r);
        struct span body = r_bytes(&r, r_u16be(&r));
        if (!r_ok(&r))
            return -(int)REASON_not_tls;
        if (type == EXTENSION_NAME)
            return tls_hello_name(body, ret_name) ? 1 : -(int)REASON_not_tls;
    }
    return 1;
}

/* The handshake bytes of as many records as are there, one after another; *ret_n of them. */
static int gather(struct span bytes, uint8_t *room, size_t room_bytes, size_t *ret_n)
{
    struct writer w = writer_of(room, room_bytes);
    while (bytes.n > 0) {
        struct reader r = reader_of(bytes);
        if (bytes.p[0] != RECORD_HANDSHAKE || (bytes.n > 1 && bytes.p[1] != 3)) {
            if (w_len(&w) == 0)
                return -(int)REASON_not_tls;
            break;
        }
        r_skip(&r, 3);
        size_t n = r_u16be(&r);
        if (!r_ok(&r))
            break;
        if (n == 0 || n > TLS_RECORD_PLAIN_MAX)
            return -(int)REASON_not_tls;
        struct span part = span_sub(bytes, RECORD_HEADER_BYTES, n);
        w_span(&w, span_sub(part, 0, w_left(&w)));
        bytes = span_from(bytes, RECORD_HEADER_BYTES + n);
    }
    *ret_n = w_len(&w);
    return 0;
}

int tls_peek_name(struct span bytes, uint8_t room[TLS_NAME_MAX], struct span *ret_name)
{
    static _Thread_local uint8_t whole[TLS_RECORD_PLAIN_MAX];
    size_t n = 0;
    int rc = gather(bytes, whole, sizeof whole, &n);
    if (rc < 0)
        return rc;
    struct reader r = reader_of(span_of(whole, n));
    uint8_t kind = r_u8(&r);
    size_t hello_bytes = r_u24be(&r);
    if (n > 0 && (kind != CLIENT_HELLO || hello_bytes > sizeof whole - 4))
        return -(int)REASON_not_tls;
    struct span hello = r_bytes(&r, hello_bytes);
    if (!r_ok(&r))
        return TLS_NEED_MORE;
    struct span name;
    rc = name_of(hello, &name);
    if (rc == 1) {
        memcpy(room, name.p ? name.p : room, name.n);
        ascii_lower_in_place(room, name.n);
        *ret_name = span_of(room, name.n);
    }
    return rc;
}

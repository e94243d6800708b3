/* SPDX-License-Identifier: MIT */
/*
 * A message in records: where it lies in one, as it nearly always does, it is read in place; else
 * its pieces are put together first, on the stack.
 */
#include "codec/client_hello.h"

#include <string.h>

#define RECORD_HANDSHAKE    22
#define RECORD_HEADER_BYTES 5
#define RECORD_BYTES_MAX    16384
#define MESSAGE_HELLO       1
#define MESSAGE_HEADER      4
#define RANDOM_BYTES        32
#define SESSION_BYTES_MAX   32
#define EXTENSION_SNI       0
#define EXTENSION_ALPN      16
#define NAME_KIND_HOST      0

/* ---- records ---- */

/* The next record's bytes, as far as they are there; false without a header. What has been seen of
 * one must be that of a handshake record. */
static int next_record(struct reader *r, struct span *ret_piece)
{
    struct span head = r_rest(r);
    if (head.n > 0 && head.p[0] != RECORD_HANDSHAKE)
        return -(int)REASON_not_tls;
    if (head.n > 1 && head.p[1] != 3)
        return -(int)REASON_not_tls;
    if (head.n < RECORD_HEADER_BYTES)
        return CLIENT_HELLO_NEED_MORE;
    r_skip(r, 3);
    uint16_t length = r_u16be(r);
    if (length == 0 || length > RECORD_BYTES_MAX)
        return -(int)REASON_client_hello_bad;
    *ret_piece = r_bytes(r, MIN((size_t)length, r_left(r)));
    return CLIENT_HELLO_FOUND;
}

/* Bytes of the message, its header included, once four of it are known; else 0. */
static size_t message_length(struct span message)
{
    struct reader r = reader_of(message);
    r_skip(&r, 1);
    size_t length = r_u24be(&r);
    return r_ok(&r) ? MESSAGE_HEADER + length : 0;
}

/*
 * The message from its records: a span of `in`, or of `room` when there are several. 0 when it is
 * whole, else what there is to say.
 */
static int gather(struct span in, uint8_t room[CLIENT_HELLO_MAX], struct span *ret_message)
{
    struct reader r = reader_of(in);
    struct span message = {0};
    for (unsigned records = 0; records < CLIENT_HELLO_RECORDS_MAX; records++) {
        struct span piece;
        int got = next_record(&r, &piece);
        if (got != CLIENT_HELLO_FOUND)
            return got;
        if (records == 0) {
            message = piece;
        } else {
            memmove(room, message.p, message.n);
            memcpy(room + message.n, piece.p, piece.n);
            message = span_of(room, message.n + piece.n);
        }
        if (message.n > 0 && message.p[0] != MESSAGE_HELLO)
            return -(int)REASON_not_tls;
        size_t length = message_length(message);
        if (length > CLIENT_HELLO_MAX)
            return -(int)REASON_client_hello_bad;
        if (length > 0 && message.n >= length) {
            *ret_message = span_sub(message, MESSAGE_HEADER, length - MESSAGE_HEADER);
            return CLIENT_HELLO_FOUND;
        }
    }
    return -(int)REASON_client_hello_bad;
}

/* ---- the message ---- */

/* A name as it may stand in a configuration: letters, digits, and what else names have. A byte that
 * is none of these, a NUL above all, would be read differently by others. */
static bool keep_name(struct span name, struct client_hello *h)
{
    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n == 0 || name.n > CLIENT_HELLO_NAME_MAX || name.p[0] == '.')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        if (!ascii_is_alnum(c) && c != '.' && c != '-' && c != '_')
            return false;
        h->name[i] = ascii_lower(c);
    }
    h->name_len = (uint8_t)name.n;
    return true;
}

/* RFC 6066 section 3: a list of names, of which at most one is a host's. */
static bool read_names(struct span data, struct client_hello *h)
{
    struct reader r = reader_of(data);
    struct reader list = reader_of(r_bytes(&r, r_u16be(&r)));
    if (!r_ok(&r) || r_left(&r) > 0 || r_left(&list) == 0)
        return false;
    while (r_left(&list) > 0) {
        uint8_t kind = r_u8(&list);
        struct span name = r_bytes(&list, r_u16be(&list));
        if (!r_ok(&list) || kind != NAME_KIND_HOST || h->name_len > 0 || !keep_name(name, h))
            return false;
    }
    return r_ok(&list);
}

/* RFC 7301 section 3.1. */
static bool check_protocols(struct span data)
{
    struct reader r = reader_of(data);
    struct span names = r_bytes(&r, r_u16be(&r));
    struct reader list = reader_of(names);
    if (!r_ok(&r) || r_left(&r) > 0 || names.n == 0)
        return false;
    while (r_left(&list) > 0) {
        struct span name = r_bytes(&list, r_u8(&list));
        if (!r_ok(&list) || name.n == 0)
            return false;
    }
    return r_ok(&list);
}

static bool read_extensions(struct span extensions, struct client_hello *h)
{
    struct reader r = reader_of(extensions);
    bool sni = false, alpn = false;
    while (r_left(&r) > 0) {
        uint16_t type = r_u16be(&r);
        struct span data = r_bytes(&r, r_u16be(&r));
        bool ok = r_ok(&r);
        if (type == EXTENSION_SNI) {
            ok = ok && !sni && read_names(data, h);
            sni = true;
        } else if (type == EXTENSION_ALPN) {
            ok = ok && !alpn && check_protocols(data);
            alpn = true;
        }
        if (!ok)
            return false;
    }
    return r_ok(&r);
}

static bool read_message(struct span message, struct client_hello *h)
{
    struct reader r = reader_of(message);
    uint8_t major = r_u8(&r);
    r_skip(&r, 1 + RANDOM_BYTES);
    uint8_t session = r_u8(&r);
    r_skip(&r, session);
    uint16_t ciphers = r_u16be(&r);
    r_skip(&r, ciphers);
    uint8_t compressions = r_u8(&r);
    r_skip(&r, compressions);
    if (!r_ok(&r) || major != 3 || session > SESSION_BYTES_MAX || ciphers == 0 ||
        ciphers % 2 != 0 || compressions == 0)
        return false;
    if (r_left(&r) == 0)
        return true; /* TLS 1.2 knows hellos without extensions */
    struct span extensions = r_bytes(&r, r_u16be(&r));
    return r_ok(&r) && r_left(&r) == 0 && read_extensions(extensions, h);
}

int client_hello_read(struct span in, struct client_hello *ret_hello)
{
    uint8_t room[CLIENT_HELLO_MAX];
    struct span message;
    int got = gather(span_sub(in, 0, CLIENT_HELLO_MAX), room, &message);
    if (got == CLIENT_HELLO_NEED_MORE && in.n >= CLIENT_HELLO_MAX)
        return -(int)REASON_client_hello_bad;
    if (got != CLIENT_HELLO_FOUND)
        return got;
    ret_hello->name_len = 0;
    return read_message(message, ret_hello) ? CLIENT_HELLO_FOUND : -(int)REASON_client_hello_bad;
}

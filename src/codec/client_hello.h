/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a TLS client says before anything is encrypted: the name of the server it wants (SNI), found
 * in its ClientHello without taking part in the handshake. For listeners that pass TLS on to
 * whoever has the certificate.
 *
 * Sans-IO: the reader is given all bytes so far, again and again until it is content. It reads the
 * whole message, which may be spread over records, and refuses what a TLS server would refuse, so
 * that both see the same name. Threads: plain values.
 */

#include "account/reason.h"
#include "base/bytes.h"
#include "base/compiler.h"

#include <stdint.h>

/* Bytes of the records that hold a ClientHello, with their headers; it is in two or three KiB. */
#define CLIENT_HELLO_MAX         16384
#define CLIENT_HELLO_RECORDS_MAX 64

/* The longest name (RFC 1035 in text form). */
#define CLIENT_HELLO_NAME_MAX 255

struct client_hello {
    uint8_t name_len;                    /* 0: it names no server */
    uint8_t name[CLIENT_HELLO_NAME_MAX]; /* lower-case, without a dot at its end */
};

enum { CLIENT_HELLO_NEED_MORE = 0, CLIENT_HELLO_FOUND = 1 };

/* Reads the ClientHello at the beginning of `in`: CLIENT_HELLO_FOUND, CLIENT_HELLO_NEED_MORE, or a
 * negative reason: not_tls when it is something else, client_hello_bad when it is malformed or too
 * long. `ret_hello` is set when it is found. */
NODISCARD int client_hello_read(struct span in, struct client_hello *ret_hello);

static inline struct span client_hello_name(const struct client_hello *h)
{
    return span_of(h->name, h->name_len);
}

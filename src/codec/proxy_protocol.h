/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The PROXY protocol, versions 1 (a line of text) and 2 (binary): what a proxy in front of us says
 * of the client it speaks for, ahead of the client's first byte, and what we say to a backend.
 *
 *   version 1   PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n
 *   version 2   12 bytes of signature, version and command, family, length; addresses, then TLVs
 *
 * Sans-IO: the reader is given all bytes so far, again and again until it is content; it takes
 * exactly the header and never a byte behind it. Who is asked for a header must send one: nothing
 * is guessed. Threads: plain values.
 */

#include "account/reason.h"
#include "base/address.h"
#include "base/bytes.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

/* The longest version 2 header that is read: addresses, and TLVs with a certificate in them. */
#define PROXY_HEADER_MAX 4096

/* The longest that is written, whatever is in it. */
#define PROXY_WRITE_MAX 2048

/* Bits of proxy_tls.client. */
enum {
    PROXY_TLS = 0x01,             /* the client came over TLS */
    PROXY_TLS_CERTIFICATE = 0x02, /* it showed a certificate on this connection */
    PROXY_TLS_IN_SESSION = 0x04,  /* … or on one of the same session */
};

/* TLS between the client and the sender of the header. */
struct proxy_tls {
    uint8_t client;      /* 0: nothing is known */
    bool verified;       /* there was a certificate, and it was found good */
    struct span version; /* "TLSv1.3" */
    struct span cipher;
    struct span common_name; /* of the client's certificate */
};

/* Spans of a header that was read point into the bytes given to proxy_read. */
struct proxy_header {
    uint8_t version; /* 1 or 2 */
    /* The sender speaks for itself (LOCAL), or knows no addresses (UNKNOWN): those of the
     * connection count, and `source` and `destination` are ADDRESS_NONE. */
    bool local;
    struct address source;      /* an ADDRESS_UNIX has no text */
    struct address destination; /* what the client connected to */
    struct span alpn;           /* each empty: not said */
    struct span authority;      /* the name the client asked for in TLS */
    struct span unique_id;
    struct proxy_tls tls;
};

enum { PROXY_NEED_MORE = 0 };

/*
 * Reads a header at the beginning of `in`. Its length (> 0), or PROXY_NEED_MORE, or a negative
 * reason: proxy_header_missing when the bytes are no beginning of a header, else proxy_header_bad.
 * `ret_header` is complete only with a length.
 */
NODISCARD int proxy_read(struct span in, struct proxy_header *ret_header);

/*
 * Writes a header of h->version. Version 1 has the addresses alone, and says UNKNOWN where they are
 * not both IP; an IPv4 address beside an IPv6 one is written as IPv6. Texts longer than a header is
 * to carry are left out.
 */
void proxy_write(struct writer *w, const struct proxy_header *h);

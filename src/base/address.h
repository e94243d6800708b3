/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Addresses as people write them: ":8080", "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock",
 * "name.example:80". Pure text and bytes; sockets are the business of io/.
 *
 * An address owns nothing: `path` (unix socket) and `name` (not yet resolved) point into memory of
 * whoever made it, usually a configuration snapshot.
 */

#include "base/bytes.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

enum address_kind {
    ADDRESS_NONE,
    ADDRESS_V4,
    ADDRESS_V6,
    ADDRESS_UNIX, /* path */
    ADDRESS_NAME, /* name and port; must be resolved before use */
};

struct address {
    const char *text; /* path of ADDRESS_UNIX, host of ADDRESS_NAME, else NULL; NUL-terminated */
    uint8_t ip[16];   /* network order; the first 4 bytes for v4 */
    uint32_t scope;   /* IPv6 scope id, else 0 */
    uint16_t port;    /* host order; 0 for unix */
    enum address_kind kind : 8;
};

/* Longest text address_format can write, with its NUL. */
#define ADDRESS_TEXT_MAX 300

/*
 * Parses `text`. `keep` copies a path or a name into lasting memory and returns it NUL-terminated
 * (NULL when it has no room). An empty host (":80") means every address, IPv4 and IPv6: kind
 * ADDRESS_V6 with ip all zero. A bare IPv6 address without brackets is refused, as is a missing
 * port. Returns 0, or a negative number and in *ret_why a plain sentence saying what is wrong.
 */
typedef const char *address_keep_fn(void *keeper, struct span text);
NODISCARD int address_parse(struct span text, address_keep_fn *keep, void *keeper,
                            struct address *ret_address, const char **ret_why);

/* An address_keep_fn: `keeper` is the room itself, char[ADDRESS_TEXT_MAX]. */
const char *address_keep(void *keeper, struct span text);

/* Writes the text form ("127.0.0.1:80", "[::1]:80", "unix:/path", "name:80"); returns its length.
 */
size_t address_format(const struct address *a, char out[ADDRESS_TEXT_MAX]);

/* The IP alone, without brackets or port ("127.0.0.1"; IPv4-mapped IPv6 is shown as IPv4; a unix
 * peer is "unix"). Returns its length. */
size_t address_format_ip(const struct address *a, char out[ADDRESS_TEXT_MAX]);

/* The same into a writer: for the data path, no call of the C library. */
void w_address_ip(struct writer *w, const struct address *a);

bool address_equal(const struct address *a, const struct address *b);

/* Whether it means every address of the machine: 0.0.0.0, ::, an empty host. */
bool address_is_any(const struct address *a);

/* An address block such as 10.0.0.0/8 or ::1 (a single host). */
struct address_block {
    enum address_kind kind; /* ADDRESS_V4 or ADDRESS_V6 */
    uint8_t prefix_bits;
    uint8_t ip[16];
};

/* Parses "10.0.0.0/8" or a single address; bits below the prefix must be zero. */
NODISCARD int address_block_parse(struct span text, struct address_block *ret_block,
                                  const char **ret_why);

/* Whether the IP of `a` lies in the block; an IPv4-mapped IPv6 address counts as IPv4. */
bool address_block_has(const struct address_block *block, const struct address *a);

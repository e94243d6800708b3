/* SPDX-License-Identifier: MIT */
/* SHA-1 (FIPS 180-4) is here for the handshake alone, which asks for it; it protects nothing. */
#include "codec/websocket.h"

#include "base/check.h"
#include "base/limits.h"

#define SHA1_BLOCK 64
#define SHA1_BYTES 20

static uint32_t rotate(uint32_t v, unsigned by)
{
    return v << by | v >> (32 - by);
}

/* The round function and constant of FIPS 180-4 4.1.1 and 4.2.1. */
static uint32_t sha1_mix(unsigned t, uint32_t b, uint32_t c, uint32_t d)
{
    switch (t / 20) {
    case 0: return ((b & c) | (~b & d)) + 0x5a827999;
    case 1: return (b ^ c ^ d) + 0x6ed9eba1;
    case 2: return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    default: return (b ^ c ^ d) + 0xca62c1d6;
    }
}

static void sha1_block(uint32_t state[5], struct span block)
{
    uint32_t w[80] = {0}, a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    struct reader in = reader_of(block);
    for (unsigned t = 0; t < 80; t++) {
        w[t] = t < 16 ? r_u32be(&in) : rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
        uint32_t next = rotate(a, 5) + sha1_mix(t, b, c, d) + e + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* Of a text that fits, with its padding, into `room` bytes, a multiple of a block. */
static void sha1(uint8_t *text, size_t n, size_t room, uint8_t ret_digest[SHA1_BYTES])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    struct writer pad = writer_of(text + n, room - n);
    w_u8(&pad, 0x80);
    while ((n + w_len(&pad)) % SHA1_BLOCK != SHA1_BLOCK - 8)
        w_u8(&pad, 0);
    w_u64be(&pad, (uint64_t)n * 8);
    CHECK(w_ok(&pad));
    for (size_t at = 0; at < n + w_len(&pad); at += SHA1_BLOCK)
        sha1_block(state, span_of(text + at, SHA1_BLOCK));
    struct writer out = writer_of(ret_digest, SHA1_BYTES);
    for (unsigned i = 0; i < 5; i++)
        w_u32be(&out, state[i]);
}

static void base64(struct span in, struct writer *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < in.n; i += 3) {
        size_t n = MIN((size_t)3, in.n - i);
        uint32_t v = (uint32_t)in.p[i] << 16;
        v |= n > 1 ? (uint32_t)in.p[i + 1] << 8 : 0;
        v |= n > 2 ? in.p[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            w_u8(out, k <= n ? (uint8_t)digits[v >> (18 - 6 * k) & 63] : '=');
    }
    CHECK(w_ok(out));
}

void websocket_key_make(struct rng *rng, uint8_t ret_key[WEBSOCKET_KEY_BYTES])
{
    uint64_t random[2] = {rng_u64(rng), rng_u64(rng)};
    struct writer out = writer_of(ret_key, WEBSOCKET_KEY_BYTES);
    base64(span_of(random, sizeof(random)), &out);
}

void websocket_accept(struct span key, uint8_t ret_accept[WEBSOCKET_ACCEPT_BYTES])
{
    /* A key of the right kind has 24 bytes; others are hashed as far as there is room for them. */
    uint8_t text[4 * SHA1_BLOCK], digest[SHA1_BYTES];
    struct writer w = writer_of(text, sizeof(text));
    w_span(&w, span_sub(key, 0, 2 * SHA1_BLOCK));
    w_str(&w, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1(text, w_len(&w), sizeof(text), digest);
    struct writer out = writer_of(ret_accept, WEBSOCKET_ACCEPT_BYTES);
    base64(span_of(digest, sizeof(digest)), &out);
}

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where a session's ciphertext gathers on its way to the stream below: slices of buffers of the
 * loop. There is one per worker, filled and emptied within one call. Its buffer is used again and
 * again, unless the loop or a stream that waits holds on to a part.
 */

#include "codec/tls.h"
#include "io/loop.h"

#define TLS_OUT_SLICES_MAX SEND_SLICES_MAX

struct tls_out {
    struct tls_sink sink;
    struct loop *loop;
    struct buf *buf;   /* being filled, or filled last */
    uint8_t *unsliced; /* of what is in no slice yet, the beginning */
    uint32_t count;
    struct slice slices[TLS_OUT_SLICES_MAX]; /* each with a reference */
};

void tls_out_init(struct tls_out *out, struct loop *loop);
void tls_out_fini(struct tls_out *out);

/* Before a session writes: about how much it will be. */
struct tls_sink *tls_out_begin(struct tls_out *out, size_t bytes);

/* After it: makes slices of all that was written. */
void tls_out_end(struct tls_out *out);

/* Gives the slices back. */
void tls_out_clear(struct tls_out *out);

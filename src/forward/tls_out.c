/* SPDX-License-Identifier: MIT */
#include "forward/tls_out.h"

#include "base/check.h"

#define BUF_BYTES_USUAL (64 * 1024)
#define BUF_BYTES_MOST  (256 * 1024)

static void use_buf(struct tls_out *out, struct buf *b)
{
    out->buf = b;
    out->unsliced = out->sink.at = b ? b->data : NULL;
    out->sink.end = b ? b->data + b->size : NULL;
}

static void slice_off(struct tls_out *out)
{
    size_t n = (size_t)(out->sink.at - out->unsliced);
    if (n == 0)
        return;
    CHECK(out->count < TLS_OUT_SLICES_MAX);
    out->slices[out->count++] = (struct slice){out->unsliced, (uint32_t)n, buf_ref(out->buf)};
    out->unsliced = out->sink.at;
}

static bool grow(struct tls_sink *sink, size_t wanted)
{
    struct tls_out *out = container_of(sink, struct tls_out, sink);
    slice_off(out);
    buf_put(&out->buf);
    struct buf *b = NULL;
    if (out->count < TLS_OUT_SLICES_MAX)
        b = buf_get(out->loop, wanted > BUF_BYTES_USUAL ? BUF_BYTES_MOST : BUF_BYTES_USUAL);
    use_buf(out, b);
    return b != NULL;
}

void tls_out_init(struct tls_out *out, struct loop *loop)
{
    *out = (struct tls_out){.sink.grow = grow, .loop = loop};
}

void tls_out_fini(struct tls_out *out)
{
    tls_out_clear(out);
    buf_put(&out->buf);
}

struct tls_sink *tls_out_begin(struct tls_out *out, size_t bytes)
{
    CHECK(out->count == 0);
    struct buf *b = out->buf;
    if (LIKELY(b && b->refs == 1 && (bytes <= b->size || b->size >= BUF_BYTES_MOST))) {
        use_buf(out, b);
        return &out->sink;
    }
    buf_put(&out->buf);
    use_buf(out, NULL);
    if (bytes > BUF_BYTES_USUAL)
        (void)grow(&out->sink, bytes);
    return &out->sink;
}

void tls_out_end(struct tls_out *out)
{
    slice_off(out);
}

void tls_out_clear(struct tls_out *out)
{
    for (uint32_t i = 0; i < out->count; i++)
        slice_put(&out->slices[i]);
    out->count = 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * PROXY headers: a header is found at one length only, whatever follows and however it comes in
 * pieces; what was read can be written and read again.
 */
#include "base/check.h"
#include "codec/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Shorter headers are also tried at each of their lengths. */
#define EACH_LENGTH_MAX 64

static bool same_address(const struct address *a, const struct address *b)
{
    struct address left = *a, right = *b;
    left.text = right.text = NULL;
    return address_equal(&left, &right);
}

static struct span short_text(struct span s)
{
    return s.n <= 255 ? s : span_of(NULL, 0);
}

static void check_written(const struct proxy_header *h)
{
    uint8_t out[PROXY_WRITE_MAX];
    struct proxy_header again;
    struct writer w = writer_of(out, sizeof(out));
    proxy_write(&w, h);
    CHECK(w_ok(&w));
    CHECK(proxy_read(w_span_of_result(&w), &again) == (int)w_len(&w));
    CHECK(again.version == h->version && again.local == h->local);
    if (h->version == 2 && !h->local) {
        CHECK(span_eq(again.alpn, short_text(h->alpn)));
        CHECK(span_eq(again.authority, short_text(h->authority)));
        CHECK(span_eq(again.unique_id, h->unique_id));
        CHECK(again.tls.client == h->tls.client);
        CHECK(!h->tls.client || again.tls.verified == h->tls.verified);
    }
    struct proxy_header third;
    struct span first = w_span_of_result(&w);
    uint8_t twice[PROXY_WRITE_MAX];
    struct writer w2 = writer_of(twice, sizeof(twice));
    proxy_write(&w2, &again);
    CHECK(w_ok(&w2) && span_eq(first, w_span_of_result(&w2)));
    CHECK(proxy_read(w_span_of_result(&w2), &third) > 0);
    CHECK(same_address(&again.source, &third.source));
    CHECK(same_address(&again.destination, &third.destination));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = {data, n};
    struct proxy_header h;
    int whole = proxy_read(in, &h);
    if (whole < 0) {
        CHECK(whole == -(int)REASON_proxy_header_bad || whole == -(int)REASON_proxy_header_missing);
        return 0;
    }
    CHECK((size_t)whole <= n && whole <= PROXY_HEADER_MAX);
    if (whole == PROXY_NEED_MORE) {
        CHECK(n < PROXY_HEADER_MAX);
        return 0;
    }
    check_written(&h);
    size_t step = whole <= EACH_LENGTH_MAX ? 1 : (size_t)whole / 8;
    for (size_t part = 0; part < (size_t)whole; part += step) {
        struct proxy_header none;
        CHECK(proxy_read(span_sub(in, 0, part), &none) == PROXY_NEED_MORE);
    }
    struct proxy_header exact;
    CHECK(proxy_read(span_sub(in, 0, (size_t)whole), &exact) == whole);
    CHECK(same_address(&exact.source, &h.source) && span_eq(exact.alpn, h.alpn));
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* HTTP/1 responses: the same events, bytes and reason however the input is split. */
#include "../tests/unit/codec/h1_play.h"

static char whole[1 << 20], other[1 << 20];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void same(struct play how, struct span in, size_t first, size_t step)
{
    how.first = first;
    how.step = step;
    play(&how, in, other, sizeof(other));
    CHECK(strcmp(whole, other) == 0);
}

/* The first byte says how to play, the second where to split; the rest arrives. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct h1_limits tight = {.line_bytes = 48, .head_bytes = 128, .fields = 4};
    if (n < 2)
        return 0;
    struct play how = {
        .role = H1_RESPONSES,
        .limits = data[0] & 1 ? &tight : NULL,
        .asked = data[0] & 2   ? METHOD_HEAD
                 : data[0] & 4 ? METHOD_CONNECT
                               : METHOD_GET,
        .asked_upgrade = (data[0] & 8) != 0,
        .full = true,
    };
    struct span in = span_of(data + 2, n - 2);
    play(&how, in, whole, sizeof(whole));
    same(how, in, data[1], 0);
    same(how, in, in.n / 2, 0);
    same(how, in, data[1], 7);
    if (in.n < 4096)
        same(how, in, 1, 1);
    return 0;
}

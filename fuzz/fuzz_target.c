/* SPDX-License-Identifier: MIT */
/*
 * Request targets: a canonical path is stable, never longer, has no dot segments and no escape that
 * could be decoded; the two ways to ask agree.
 */
#include "base/check.h"
#include "codec/target.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool has(struct span s, struct span needle)
{
    return span_find_span(s, needle) != SPAN_NOT_FOUND;
}

static void check_canonical(struct span path)
{
    CHECK(path.n > 0 && path.p[0] == '/');
    CHECK(!has(path, span_str("/./")) && !has(path, span_str("/../")));
    CHECK(!span_ends(path, span_str("/.")) && !span_ends(path, span_str("/..")));
    CHECK(!has(path, span_str("%2F")) && !has(path, span_str("%2f")));
    CHECK(!has(path, span_str("%5C")) && !has(path, span_str("%00")));
    for (size_t i = 0; i < path.n; i++)
        CHECK(path.p[i] > 0x20 && path.p[i] < 0x7f && path.p[i] != '\\' && path.p[i] != '#');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = {data, n};
    struct span host = {NULL, 0};
    if (target_authority(in, n & 1, &host) == 0)
        CHECK(host.n <= n && (n == 0 || host.p == data));
    (void)target_query_ok(in);

    uint8_t *out = malloc(2 * n + 1), *again = out ? out + n : NULL;
    CHECK(out != NULL);
    size_t len = 0, len_again = 0;
    bool canonical = target_path_is_canonical(in);
    int rc = target_path_canonical(in, out, n, &len);
    if (rc == 0) {
        CHECK(len <= n);
        CHECK(canonical == span_eq(in, span_of(out, len)));
        check_canonical(span_of(out, len));
        CHECK(target_path_is_canonical(span_of(out, len)));
        CHECK(target_path_canonical(span_of(out, len), again, n, &len_again) == 0);
        CHECK(span_eq(span_of(out, len), span_of(again, len_again)));
    } else {
        CHECK(!canonical && len == 0);
    }
    free(out);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * ClientHellos: a name is one that a configuration could have; what follows the message changes
 * nothing, and without its last byte it is not there.
 */
#include "base/check.h"
#include "codec/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_found(const struct client_hello *h)
{
    struct span name = client_hello_name(h);
    for (size_t i = 0; i < name.n; i++)
        CHECK(ascii_is_alnum(name.p[i]) || name.p[i] == '.' || name.p[i] == '-' ||
              name.p[i] == '_');
    for (size_t i = 0; i < name.n; i++)
        CHECK(name.p[i] == ascii_lower(name.p[i]));
    CHECK(name.n == 0 || name.p[0] != 46);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = {data, n};
    struct client_hello whole, part;
    int got = client_hello_read(in, &whole);
    if (got == CLIENT_HELLO_FOUND)
        check_found(&whole);
    else if (got == CLIENT_HELLO_NEED_MORE)
        CHECK(n < CLIENT_HELLO_MAX);
    else
        CHECK(got == -(int)REASON_not_tls || got == -(int)REASON_client_hello_bad);

    /* Half of it says the same, or asks for more. */
    int half = client_hello_read(span_sub(in, 0, n / 2), &part);
    CHECK(half == got || half == CLIENT_HELLO_NEED_MORE);
    if (half == CLIENT_HELLO_FOUND)
        CHECK(span_eq(client_hello_name(&part), client_hello_name(&whole)));
    return 0;
}

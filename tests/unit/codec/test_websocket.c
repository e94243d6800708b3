/* SPDX-License-Identifier: MIT */
#include "codec/websocket.h"

#include "../base/unit.h"

static void accepts_as(const char *key, const char *expected)
{
    uint8_t accept[WEBSOCKET_ACCEPT_BYTES];
    websocket_accept(span_cstr(key), accept);
    assert_true(span_eq(span_of(accept, sizeof(accept)), span_cstr(expected)));
}

/* The first is RFC 6455 4.2.2's example, the others were made with another program; with a key of
 * 20 bytes and more the padding needs a block of its own. */
static void test_accept(void **state)
{
    (void)state;
    accepts_as("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    accepts_as("", "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=");
    accepts_as("0123456789012345678", "jbdRz+qXOeJkF8OeqyGzvnS2RFI=");
    accepts_as("01234567890123456789", "bfojMczDg3dsICcPBQt2lgLayVA=");
    accepts_as("012345678901234567890123456", "BTNkeq6AVknUvF2yyd4Nxi6EQ9Q=");
    accepts_as("0123456789012345678901234567", "L/LxVrWLCNmdeLz0onIT/zC6v8g=");
}

/* Longer than any key: hashed as far as it goes, never past the buffer. */
static void test_long_key(void **state)
{
    (void)state;
    uint8_t key[1000], accept[WEBSOCKET_ACCEPT_BYTES];
    memset(key, 'a', sizeof(key));
    websocket_accept(span_of(key, sizeof(key)), accept);
    assert_int_equal(accept[WEBSOCKET_ACCEPT_BYTES - 1], '=');
}

static void test_key(void **state)
{
    (void)state;
    struct rng rng = rng_seed(7);
    uint8_t one[WEBSOCKET_KEY_BYTES], two[WEBSOCKET_KEY_BYTES];
    websocket_key_make(&rng, one);
    websocket_key_make(&rng, two);
    assert_memory_not_equal(one, two, sizeof(one));
    assert_memory_equal(one + WEBSOCKET_KEY_BYTES - 2, "==", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_long_key),
        cmocka_unit_test(test_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Admin requests: head and body to verb and answer, with a balancer that only notes what it is
 * asked. Nothing is changed without the right to, and every answer is whole.
 */
#include "../tests/unit/admin/fake_site.h"

#if ADDRESS_SANITIZED
#include <sanitizer/lsan_interface.h>
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool says(struct span text, const char *what)
{
    return span_find_span(text, span_cstr(what)) != SPAN_NOT_FOUND;
}

/* An answer is a head and, but for what is no JSON, a document that parses. */
static void check_answer(const char *answer)
{
    struct span all = span_cstr(answer);
    size_t at = span_find_span(all, span_str("\r\n\r\n"));
    CHECK(span_starts(all, span_str("HTTP/1.1 ")));
    CHECK(at != SPAN_NOT_FOUND);
    struct span body = span_from(all, at + 4);
    if (!says(span_sub(all, 0, at), "Content-Type: application/json"))
        return;
    json_t *root = json_loadb((const char *)body.p, body.n, 0, NULL);
    CHECK(root != NULL);
    json_decref(root);
}

/* One for all inputs: a new one for each would take most of the time. */
static struct fake *the_fake(void)
{
    static struct fake fake;
    if (fake.snapshot)
        return &fake;
    fake_init(&fake);
#if ADDRESS_SANITIZED
    /* Backends lie in memory that the leak checker does not look through. */
    for (size_t i = 0; i < ARRAY_LEN(fake.pools); i++)
        __lsan_register_root_region(fake.pools[i]->backends, 8 * sizeof(struct backend));
#endif
    return &fake;
}

/* The first byte says how the site is, the rest is the request. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fake *fake = the_fake();
    if (n < 1)
        return 0;
    bool over_socket = data[0] & 1;
    fake->site.token = data[0] & 2 ? NULL : "secret-token";
    fake->draining = (data[0] & 4) != 0;
    fake->next_code = (enum steer_code)((data[0] >> 3) % (STEER_FAILED + 1));
    fake->done_len = 0;
    fake->done[0] = 0;
    struct span text = span_of(data + 1, n - 1);
    char *answer = fake_request(fake, over_socket, text);
    bool changed = fake->done_len > 0 && !span_starts(span_cstr(fake->done), span_str("sessions"));
    if (changed && !over_socket) {
        CHECK(fake->site.token != NULL);
        CHECK(says(text, "secret-token"));
    }
    if (answer)
        check_answer(answer);
    free(answer);
    fake_finish(fake);
    fake->next_code = STEER_OK;
    return 0;
}

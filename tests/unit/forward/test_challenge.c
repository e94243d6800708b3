/* SPDX-License-Identifier: MIT */
/* Questions for files of ACME challenges: each is answered once, forgotten or not, and goes. */
#include "forward/challenge.h"

#include "forward/forwarder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct challenge *asked[CHALLENGES_MAX + 1];
static size_t asked_count;

static void on_challenge(void *user, struct challenge *c)
{
    assert_ptr_equal(user, asked);
    asked[asked_count++] = c;
}

struct heard {
    int count, result;
    char text[32];
};

static void on_answered(void *user, int result, struct span text)
{
    struct heard *h = user;
    h->count++;
    h->result = result;
    assert_true(span_to_cstr(text, h->text, sizeof(h->text)));
}

static void forwarder_begin(struct forwarder *f)
{
    struct loop_options o = {0};
    *f = (struct forwarder){.challenge = on_challenge, .challenge_user = asked};
    list_init(&f->challenges);
    assert_int_equal(loop_new(&o, &f->loop), 0);
    asked_count = 0;
}

static void forwarder_end(struct forwarder *f)
{
    challenge_drop_all(f);
    assert_int_equal(f->challenge_count, 0);
    loop_free(&f->loop);
}

static void on_stop(struct loop *loop, struct message *m)
{
    (void)m;
    loop_stop(loop);
}

/* Delivers what is on its way. */
static void turn(struct forwarder *f)
{
    struct message stop = {.fn = on_stop};
    loop_post(f->loop, &stop);
    loop_run(f->loop);
}

static struct challenge *ask(struct forwarder *f, struct heard *h)
{
    struct challenge *c;
    assert_int_equal(challenge_ask(f, "/acme", span_str("token"), on_answered, h, &c), 0);
    return c;
}

static void test_answer(void **state)
{
    struct forwarder f;
    struct heard good = {0}, bad = {0};
    (void)state;
    forwarder_begin(&f);
    (void)ask(&f, &good);
    (void)ask(&f, &bad);
    assert_int_equal(asked_count, 2);
    assert_string_equal(asked[0]->folder, "/acme");
    assert_string_equal(asked[0]->token, "token");
    challenge_answer(asked[1], -(int)REASON_acme_unknown, (struct span){0});
    challenge_answer(asked[0], 0, span_str("hello"));
    assert_int_equal(good.count, 0); /* not from inside */
    turn(&f);
    assert_int_equal(good.count, 1);
    assert_int_equal(good.result, 0);
    assert_string_equal(good.text, "hello");
    assert_int_equal(bad.count, 1);
    assert_int_equal(bad.result, -(int)REASON_acme_unknown);
    assert_int_equal(f.challenge_count, 0);
    forwarder_end(&f);
}

static void test_forget(void **state)
{
    struct forwarder f;
    struct heard h = {0};
    (void)state;
    forwarder_begin(&f);
    struct challenge *before = ask(&f, &h), *on_its_way = ask(&f, &h), *never = ask(&f, &h);
    challenge_forget(&before);
    challenge_forget(&before);
    assert_null(before);
    challenge_answer(asked[0], 0, span_str("x"));
    challenge_answer(asked[1], 0, span_str("x"));
    challenge_forget(&on_its_way);
    turn(&f);
    assert_int_equal(h.count, 0);
    assert_int_equal(f.challenge_count, 1);
    assert_non_null(never);
    forwarder_end(&f);
}

static void test_too_many(void **state)
{
    struct forwarder f;
    struct heard h = {0};
    struct challenge *c;
    (void)state;
    forwarder_begin(&f);
    for (int i = 0; i < CHALLENGES_MAX; i++)
        (void)ask(&f, &h);
    int r = challenge_ask(&f, "/acme", span_str("t"), on_answered, &h, &c);
    assert_int_equal(r, -(int)REASON_overload);
    challenge_answer(asked[0], 0, span_str("x"));
    turn(&f);
    (void)ask(&f, &h);
    f.challenge = NULL; /* nobody to ask */
    r = challenge_ask(&f, "/acme", span_str("t"), on_answered, &h, &c);
    assert_int_equal(r, -(int)REASON_overload);
    forwarder_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

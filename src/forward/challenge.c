/* SPDX-License-Identifier: MIT */
#include "forward/challenge.h"

#include "base/check.h"
#include "forward/forwarder.h"

#include <stdlib.h>

static void challenge_free(struct challenge *c)
{
    list_del(&c->link);
    c->f->challenge_count--;
    free(c);
}

int challenge_ask(struct forwarder *f, const char *folder, struct span token,
                  challenge_answered_fn *answered, void *user, struct challenge **ret_challenge)
{
    if (!f->challenge || f->challenge_count >= CHALLENGES_MAX)
        return -(int)REASON_overload;
    struct challenge *c = calloc(1, sizeof(*c));
    if (!c)
        return -(int)REASON_overload;
    CHECK(span_to_cstr(span_cstr(folder), c->folder, sizeof(c->folder)));
    CHECK(span_to_cstr(token, c->token, sizeof(c->token)));
    c->f = f;
    c->answered = answered;
    c->user = user;
    list_init(&c->link);
    list_add_tail(&f->challenges, &c->link);
    f->challenge_count++;
    *ret_challenge = c;
    f->challenge(f->challenge_user, c);
    return 0;
}

void challenge_forget(struct challenge **c)
{
    if (*c)
        (*c)->answered = NULL;
    *c = NULL;
}

static void deliver(struct loop *loop, struct message *m)
{
    (void)loop;
    struct challenge *c = container_of(m, struct challenge, message);
    if (c->answered)
        c->answered(c->user, c->result, span_of(c->text, c->text_len));
    challenge_free(c);
}

void challenge_answer(struct challenge *c, int result)
{
    CHECK(result <= 0 && c->text_len <= sizeof(c->text));
    c->result = result;
    c->message.fn = deliver;
    loop_post(c->f->loop, &c->message);
}

void challenge_drop_all(struct forwarder *f)
{
    while (!list_empty(&f->challenges))
        challenge_free(container_of(list_first(&f->challenges), struct challenge, link));
}

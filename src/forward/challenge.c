/* SPDX-License-Identifier: MIT */
#include "forward/challenge.h"

#include "base/check.h"
#include "forward/forwarder.h"

#include <stdlib.h>
#include <string.h>

static void challenge_free(struct challenge *c)
{
    list_del(&c->link);
    c->f->challenge_count--;
    free(c->text);
    free(c);
}

int challenge_ask(struct forwarder *f, const char *folder, struct span token,
                  challenge_answered_fn *answered, void *user, struct challenge **ret_challenge)
{
    if (!f->challenge || f->challenge_count >= CHALLENGES_MAX)
        return -(int)REASON_overload;
    size_t folder_bytes = strlen(folder) + 1;
    struct challenge *c = calloc(1, sizeof(*c) + folder_bytes);
    if (!c)
        return -(int)REASON_overload;
    memcpy(c->folder, folder, folder_bytes);
    CHECK(span_to_cstr(token, c->token, sizeof(c->token)));
    c->f = f;
    c->answered = answered;
    c->user = user;
    list_init(&c->link);
    list_init(&c->queued);
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

void challenge_answer(struct challenge *c, int result, struct span text)
{
    CHECK(result <= 0 && text.n <= REPLY_BODY_MAX);
    c->result = result;
    if (text.n > 0 && (c->text = malloc(text.n)) == NULL)
        c->result = -(int)REASON_overload;
    if (c->text) {
        memcpy(c->text, text.p, text.n);
        c->text_len = text.n;
    }
    c->message.fn = deliver;
    loop_post(c->f->loop, &c->message);
}

void challenge_drop_all(struct forwarder *f)
{
    while (!list_empty(&f->challenges))
        challenge_free(container_of(list_first(&f->challenges), struct challenge, link));
}

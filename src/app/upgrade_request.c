/* SPDX-License-Identifier: MIT */
#include "app/upgrade_request.h"

#include <stdio.h>

static void answer(struct upgrade_request *u)
{
    steer_done_fn *done = u->done;
    u->done = NULL;
    if (done)
        done(u->user, &u->result, NULL, 0);
}

static void on_answer_due(struct timer *t)
{
    answer(container_of(t, struct upgrade_request, answer));
}

static void say(struct upgrade_request *u, enum steer_code code, const char *text)
{
    u->result.code = code;
    u->result.field = NULL;
    (void)snprintf(u->result.message, sizeof(u->result.message), "%s", text);
}

void upgrade_request_init(struct upgrade_request *u, struct door *door, struct loop *loop)
{
    *u = (struct upgrade_request){.door = door, .loop = loop};
    timer_init(&u->answer, on_answer_due);
}

void upgrade_request_begin(struct upgrade_request *u, steer_done_fn *done, void *user)
{
    static const struct steer_result busy = {.code = STEER_CONFLICT,
                                             .message = "an upgrade is under way"};
    char why[DOOR_WHY_MAX];
    if (u->done) {
        done(user, &busy, NULL, 0);
        return;
    }
    u->done = done;
    u->user = user;
    if (door_upgrade(u->door, why, sizeof(why)) == 0)
        return;
    say(u, STEER_CONFLICT, why);
    loop_timer_set(u->loop, &u->answer, 0);
}

void upgrade_request_event(struct upgrade_request *u, enum door_event event, const char *why)
{
    if (!u->done)
        return;
    say(u, event == DOOR_UPGRADED ? STEER_OK : STEER_FAILED, why);
    answer(u);
}

void upgrade_request_fini(struct upgrade_request *u)
{
    loop_timer_stop(u->loop, &u->answer);
    say(u, STEER_FAILED, "the balancer ends");
    answer(u);
}

/* SPDX-License-Identifier: MIT */
/* Requests that the listener answers itself, without a pool: route/rules.h decides, here it is
 * done.
 */
#include "codec/arrival.h"
#include "codec/tls.h"
#include "forward/challenge.h"
#include "forward/exchange_priv.h"
#include "forward/forwarder.h"
#include "forward/front.h"
#include "forward/request.h"
#include "forward/request_certificate.h"
#include "route/rules.h"

static void challenge_timeout(struct timer *t)
{
    struct exchange *x = container_of(t, struct exchange, timer);
    CHECK(x->magic == EXCHANGE_MAGIC);
    exchange_answer(x, REASON_overload);
}

void exchange_stop_asking(struct exchange *x)
{
    loop_timer_stop(x->f->loop, &x->timer);
    challenge_forget(&x->challenge);
}

static void challenged(void *user, int result, struct span text)
{
    struct exchange *x = user;
    CHECK(x->magic == EXCHANGE_MAGIC && x->state == EXCHANGE_ASKING);
    x->challenge = NULL;
    struct reply r = reply_of(result < 0 ? (enum reason) - result : REASON_acme_challenge);
    if (result == 0) {
        r.type = span_str("application/octet-stream");
        r.body = text;
        r.lasting = false;
    }
    exchange_reply(x, &r);
}

static void ask_for_challenge(struct exchange *x, const struct head *h)
{
    int r = challenge_ask(x->f, x->front->conf->acme_challenge, rules_token(head_path(h)),
                          challenged, x, &x->challenge);
    if (r < 0) {
        exchange_answer(x, (enum reason) - r);
        return;
    }
    exchange_set_state(x, EXCHANGE_ASKING);
    if (x->deadline_ns) { /* which has the same timer, and is not shorter by much */
        x->deadline_ns = 0;
        loop_timer_stop(x->f->loop, &x->timer);
    }
    timer_init(&x->timer, challenge_timeout);
    loop_timer_set(x->f->loop, &x->timer, CHALLENGE_ANSWER_MS);
}

static void redirect(struct exchange *x, const struct head *h)
{
    uint8_t room[RULES_LOCATION_MAX];
    struct writer w = writer_of(room, sizeof(room));
    rules_location(x->front->conf, h, &w);
    CHECK(w_ok(&w));
    struct reply r = reply_of(REASON_redirected);
    r.location = w_span_of_result(&w);
    exchange_reply(x, &r);
}

/* A reload may ask of clients what this one was not asked when it came, or trust others. */
static bool is_outdated(const struct exchange *x)
{
    const struct tls_server *now = front_conf_tls(x->front, x->f->index);
    return request_certified(x->front->conf) &&
           !(now && x->arrival && x->arrival->rules == tls_server_rules(now));
}

static void send_away(struct exchange *x)
{
    struct reply r = reply_of(REASON_misdirected);
    r.last = true;
    exchange_reply(x, &r);
}

bool exchange_own_answer(struct exchange *x, const struct head *h)
{
    enum reason why = rules_answer(x->front->conf, h, x->arrival);
    if (why == REASON_ok && !is_outdated(x))
        return false;
    request_note(x, h);
    switch (why) {
    case REASON_ok: send_away(x); break;
    case REASON_acme_challenge: ask_for_challenge(x, h); break;
    case REASON_redirected: redirect(x, h); break;
    default: exchange_answer(x, why); break;
    }
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "forward/front.h"

#include "base/check.h"
#include "route/rules.h"

#include <stdio.h>

void front_conf_derive(struct front_conf *c)
{
    c->rules = rules_any(c->conf);
    c->hsts[0] = '\0';
    if (c->conf->tls.hsts_ms > 0)
        (void)snprintf(c->hsts, sizeof(c->hsts), "max-age=%llu",
                       (unsigned long long)c->conf->tls.hsts_ms / 1000);
}

void front_conf_unused(struct front_use *u)
{
    void (*unused)(struct front_use *) = u->unused;
    u->unused = NULL;
    if (unused)
        unused(u); /* the memory may be gone now */
}

void front_conf_retire(struct front_use *u)
{
    CHECK(!u->retired);
    u->retired = true;
    if (u->exchanges == 0)
        front_conf_unused(u);
}

void front_client_gone(struct front_stay *s)
{
    if (!s->counted)
        return; /* it left before the others were counted */
    CHECK(s->clients > 0);
    if (--s->clients == 0)
        s->gone(s);
}

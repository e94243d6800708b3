/* SPDX-License-Identifier: MIT */
#include "health/verdict.h"

#include "base/check.h"

void verdict_init(struct verdict *v, uint32_t rise, uint32_t fall)
{
    CHECK(rise >= 1);
    CHECK(fall >= 1);
    *v = (struct verdict){.rise = rise, .fall = fall, .state = VERDICT_UP, .last = REASON_ok};
}

void verdict_suspect(struct verdict *v)
{
    if (v->state == VERDICT_UP)
        v->streak = v->fall - 1;
}

bool verdict_feed(struct verdict *v, enum reason result)
{
    bool was_up = v->state == VERDICT_UP;
    uint32_t needed = !v->proven ? 1 : was_up ? v->fall : v->rise;
    v->proven = true;
    v->last = result;
    if ((result == REASON_ok) == was_up) {
        v->streak = 0;
        return false;
    }
    if (++v->streak < needed)
        return false;
    v->streak = 0;
    v->state = was_up ? VERDICT_DOWN : VERDICT_UP;
    return true;
}

/* SPDX-License-Identifier: MIT */
/* No numbers are gathered yet: every row is one of zeros. */
#include "admin/rates.h"

#include <stdlib.h>

struct rates {
    uint64_t ticks;
};

struct rates *rates_new(void)
{
    return calloc(1, sizeof(struct rates));
}

void rates_free(struct rates **r)
{
    free(*r);
    *r = NULL;
}

void rates_tick(struct rates *r, const struct steer_view *view, uint64_t now_ms)
{
    (void)view;
    (void)now_ms;
    r->ticks++;
}

void rates_process(const struct rates *r, const struct steer_view *view, struct rates_row *ret_row)
{
    (void)r;
    (void)view;
    *ret_row = (struct rates_row){0};
}

void rates_listener(const struct rates *r, const struct steer_view *view, const struct front *front,
                    struct rates_row *ret_row)
{
    (void)front;
    rates_process(r, view, ret_row);
}

void rates_pool(const struct rates *r, const struct steer_view *view, const struct pool *pool,
                struct rates_row *ret_row)
{
    (void)pool;
    rates_process(r, view, ret_row);
}

void rates_backend(const struct rates *r, const struct steer_view *view, const struct backend *b,
                   struct rates_row *ret_row)
{
    (void)b;
    rates_process(r, view, ret_row);
}

uint64_t rates_connections(const struct rates *r, const struct steer_view *view,
                           const struct front *front)
{
    (void)r;
    (void)view;
    (void)front;
    return 0;
}

uint64_t rates_reason(const struct rates *r, const struct steer_view *view, enum reason reason)
{
    (void)r;
    (void)view;
    (void)reason;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "admin/feed.h"

#include "base/check.h"

#include <string.h>

void feed_init(struct feed *f, struct loop *loop, enum h1_role role, struct head *head,
               feed_event_fn *on_event, void *user)
{
    *f = (struct feed){.loop = loop, .head = head, .on_event = on_event, .user = user};
    h1_reader_init(&f->reader, role, &h1_limits_default);
}

void feed_fini(struct feed *f)
{
    slice_put(&f->kept);
}

static int keep_rest(struct feed *f, struct slice in, size_t at)
{
    CHECK(f->kept.n == 0);
    if (at == in.n)
        return 0;
    f->kept = slice_keep(f->loop, (struct slice){in.p + at, in.n - (uint32_t)at, in.buf});
    return f->kept.n ? 0 : -(int)REASON_overload;
}

static int feed_whole(struct feed *f, struct slice in)
{
    size_t at = 0;
    for (;;) {
        struct h1_result result;
        int event = h1_reader_next(&f->reader, span_of(in.p + at, in.n - at), f->head, &result);
        if (event < 0)
            return event;
        at += result.used;
        if (event == H1_NEED_MORE)
            return keep_rest(f, in, at);
        int verdict = f->on_event(f->user, (enum h1_event)event, &result);
        if (verdict == FEED_ENDED)
            return 0;
        if (verdict == FEED_PAUSE)
            return keep_rest(f, in, at);
    }
}

/* The head under construction may have been written over by another feed meanwhile. */
static void read_head_anew(struct feed *f)
{
    struct h1_reader *r = &f->reader;
    if (r->state != H1_STATE_HEAD)
        return;
    struct h1_reader before = *r;
    h1_reader_init(r, (enum h1_role)before.role, before.limits);
    r->to_head = before.to_head;
    r->to_connect = before.to_connect;
    r->asked_upgrade = before.asked_upgrade;
}

/*
 * One event from the kept bytes and the first of the new ones, of which *ret_taken are then done
 * with. Without an event all of them are kept.
 */
static int feed_joined(struct feed *f, struct slice in, size_t *ret_taken, int *ret_verdict)
{
    struct slice kept = f->kept;
    uint32_t more = (uint32_t)MIN((size_t)in.n, (size_t)HTTP_HEAD_MAX + 1);
    struct buf *joined = buf_get(f->loop, kept.n + more);
    if (!joined)
        return -(int)REASON_overload;
    memcpy(joined->data, kept.p, kept.n);
    memcpy(joined->data + kept.n, in.p, more);
    f->kept = (struct slice){0};
    struct slice all = {joined->data, kept.n + more, joined};
    struct h1_result result;
    int event = h1_reader_next(&f->reader, slice_span(all), f->head, &result);
    if (event == H1_NEED_MORE) {
        CHECK(more == in.n); /* more than that is beyond every limit of the reader */
        *ret_taken = more;
        event = keep_rest(f, all, result.used);
    } else if (event > 0) {
        CHECK(result.used >= kept.n);
        *ret_taken = result.used - kept.n;
        *ret_verdict = f->on_event(f->user, (enum h1_event)event, &result);
    }
    buf_put(&joined);
    slice_put(&kept);
    return MIN(event, 0);
}

int feed_data(struct feed *f, struct slice in)
{
    if (f->kept.n == 0)
        return feed_whole(f, in);
    read_head_anew(f);
    size_t taken = 0;
    int verdict = FEED_GO_ON;
    int err = feed_joined(f, in, &taken, &verdict);
    if (err || verdict == FEED_ENDED)
        return err;
    if (verdict == FEED_PAUSE)
        return keep_rest(f, in, taken);
    if (f->kept.n)
        return 0;
    return feed_whole(f, (struct slice){in.p + taken, in.n - (uint32_t)taken, in.buf});
}

int feed_resume(struct feed *f)
{
    struct slice in = f->kept;
    f->kept = (struct slice){0};
    int err = feed_whole(f, in);
    slice_put(&in);
    return err;
}

/* SPDX-License-Identifier: MIT */
#include "forward/bulk.h"

#include "codec/message.h"
#include "forward/exchange.h"
#include "forward/forwarder.h"

/* A rest below this is copied; docs/performance.md, "Bulk", has the measurement. */
#define BULK_LEAST (24u * 1024)

static bool *flag_of(struct exchange *x, const struct side *from)
{
    return from == x->client ? &x->bulk_in : &x->bulk_out;
}

static struct side *other(const struct exchange *x, const struct side *from)
{
    return from == x->client ? x->backend : x->client;
}

static struct stream *source_of(struct side *from, uint64_t *ret_bytes)
{
    return from->ops->bulk_from ? from->ops->bulk_from(from, ret_bytes) : NULL;
}

static struct stream *sink_of(struct side *to)
{
    return to->ops->bulk_to ? to->ops->bulk_to(to) : NULL;
}

bool bulk_is_large(const struct head *h)
{
    return h->framing == BODY_LENGTH && h->body_length >= BULK_LEAST + BULK_FIRST_BYTES;
}

bool bulk_wanted(struct exchange *x, struct side *from, struct side *to)
{
    uint64_t bytes;
    struct stream *src = source_of(from, &bytes);
    if (!src || bytes < BULK_LEAST || x->bulk_declined)
        return false;
    /* What is in a pipe is lost with the backend. So the first piece goes through us: then it is
     * known that the request cannot be repeated. */
    if (from == x->client && !x->body_begun)
        return false;
    struct stream *dst = sink_of(to);
    if (dst && stream_has_input(src))
        stream_bulk_follows(dst);
    return dst != NULL;
}

void bulk_begin(struct exchange *x, struct side *from, struct side *to)
{
    uint64_t bytes;
    struct stream *src = source_of(from, &bytes);
    if (!stream_bulk(src, to->ops->bulk_to(to), bytes))
        return;
    *flag_of(x, from) = true;
    to->ops->bulk(to, true);
}

void bulk_over(struct exchange *x, struct side *from)
{
    bool *under_way = flag_of(x, from);
    if (!*under_way)
        return;
    *under_way = false;
    struct side *to = other(x, from);
    to->ops->bulk(to, false);
}

bool bulk_moved(struct exchange *x, struct side *from, uint64_t n, bool over)
{
    struct side *to = other(x, from);
    to->ops->bulk(to, true);
    if (over) {
        uint64_t left;
        bulk_over(x, from);
        x->bulk_declined = x->http && source_of(from, &left);
    }
    return exchange_count(x, from, n);
}

void bulk_backend_gone(struct exchange *x)
{
    if (x->bulk_out)
        x->client->ops->bulk(x->client, false);
    uint64_t bytes;
    struct stream *src = x->bulk_in ? source_of(x->client, &bytes) : NULL;
    if (src)
        stream_read(src, true); /* the rest is for nobody, but must not hold up the client */
    x->bulk_in = x->bulk_out = false;
}

bool bulk_held(struct exchange *x, const struct side *from)
{
    struct side *to = other(x, from);
    if (!to || !*flag_of(x, from))
        return false;
    struct stream *dst = sink_of(to);
    return dst && stream_unsent(dst) > 0;
}

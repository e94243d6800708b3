/* SPDX-License-Identifier: MIT */
/*
 * Backends over HTTP/2: every request gets the same answer, as soon as the window of the connection
 * has room for it. Requests have no body, and an answer fits into the window of its stream.
 */
#include <stdio.h>
#include <string.h>

#include "load_h2.h"

static struct h2_blocks answers;

void h2_server_prepare(void)
{
    char length[24];
    snprintf(length, sizeof length, "%zu", run.body);
    /* The length stays out of the table, so connections outlive a run with another one. */
    const struct h2_field fields[] = {
        {":status", "200"},
        {"content-type", "text/plain"},
        {"content-length", length},
    };
    h2_blocks_make(fields, sizeof fields / sizeof *fields, &answers);
}

void h2_server_begin(struct connection *c)
{
    c->h2 = h2_new();
    h2_greet(c->h2);
    (void)h2_flush(c); /* a failure comes back as an event */
}

static void answer(struct h2 *h2, uint32_t stream)
{
    const struct h2_block *block = h2_block(h2, &answers);
    h2_frame(h2, H2_HEADERS, H2_END_HEADERS | (run.body ? 0u : H2_END_STREAM), stream, block->bytes,
             block->length);
    for (size_t at = 0; at < run.body;) {
        size_t n = run.body - at < H2_FRAME_MAX ? run.body - at : H2_FRAME_MAX;
        unsigned end = at + n == run.body ? H2_END_STREAM : 0;
        h2_frame(h2, H2_DATA, end, stream, body + at, n);
        at += n;
    }
    h2->window -= (int64_t)run.body;
}

static bool answer_due(struct connection *c)
{
    struct h2 *h2 = c->h2;
    while (h2->count && (int64_t)run.body <= h2->window) {
        answer(h2, h2->streams[h2->first].id);
        h2->first = (h2->first + 1) % STREAMS_MAX;
        h2->count--;
    }
    return h2_flush(c);
}

static bool request_complete(struct connection *c, uint32_t stream)
{
    struct h2 *h2 = c->h2;
    if (h2->count == STREAMS_MAX || (int64_t)run.body > h2->stream_window) {
        run_error("a backend cannot answer over HTTP/2");
        return false;
    }
    h2->streams[(h2->first + h2->count++) % STREAMS_MAX].id = stream;
    backend_requests[c->backend]++;
    return true;
}

static bool data(struct connection *c, const char *bytes, size_t n, bool end)
{
    (void)bytes;
    if (n) {
        run_error("a backend got a body over HTTP/2");
        return false;
    }
    return !end || request_complete(c, c->h2->data.stream);
}

static bool frame(struct connection *c, const struct h2_head *head, const uint8_t *payload)
{
    (void)payload;
    if (head->type != H2_HEADERS)
        return true; /* a stream is reset or the connection ends: what is due is sent */
    if (!(head->flags & H2_END_HEADERS))
        return false;
    return !(head->flags & H2_END_STREAM) || request_complete(c, head->stream);
}

bool h2_server_take(struct connection *c, const char *bytes, size_t n)
{
    static const struct h2_taker taker = {.data = data, .frame = frame};
    enum { PREFACE = 24 };
    if (!c->h2->greeted) {
        if (n < PREFACE)
            return connection_keep(c, bytes, n);
        if (memcmp(bytes, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PREFACE) != 0)
            return false;
        c->h2->greeted = true;
        bytes += PREFACE;
        n -= PREFACE;
    }
    return h2_take(c, &taker, bytes, n) && answer_due(c);
}

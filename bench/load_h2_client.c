/* SPDX-License-Identifier: MIT */
/* Clients over HTTP/2: a closed loop on every stream, and one send for all requests of a turn. */
#include <string.h>

#include "load_h2.h"

static struct h2_blocks requests;

void h2_client_prepare(void)
{
    const struct h2_field fields[] = {
        {":method", "GET"},
        {":scheme", run.tls ? "https" : "http"},
        {":authority", "www.example.org"},
        {":path", "/index.html"},
        {"user-agent", "Mozilla/5.0 (X11; Linux x86_64)"},
        {"accept", "*/*"},
    };
    h2_blocks_make(fields, sizeof fields / sizeof *fields, &requests);
}

static void ask(struct h2 *h2, struct h2_stream *stream)
{
    const struct h2_block *block = h2_block(h2, &requests);
    *stream = (struct h2_stream){.id = h2->stream_next};
    h2->stream_next += 2;
    h2_frame(h2, H2_HEADERS, H2_END_STREAM | H2_END_HEADERS, stream->id, block->bytes,
             block->length);
    run.started++;
}

void h2_client_begin(struct connection *c)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct h2 *h2 = c->h2 = h2_new();
    memcpy(h2_room(h2, sizeof preface - 1), preface, sizeof preface - 1);
    h2_greet(h2);
    while (h2->count < run.streams && more_wanted())
        ask(h2, &h2->streams[h2->count++]);
    (void)h2_flush(c); /* a failure comes back as an event */
}

static struct h2_stream *stream_find(struct h2 *h2, uint32_t id)
{
    for (unsigned i = 0; i < h2->count; i++)
        if (h2->streams[i].id == id)
            return &h2->streams[i];
    return NULL;
}

static bool stream_end(struct h2 *h2, struct h2_stream *stream)
{
    if (stream->seen != run.body)
        return false;
    run.requests++;
    if (more_wanted())
        ask(h2, stream);
    else
        stream->id = 0;
    return true;
}

static bool data(struct connection *c, const char *bytes, size_t n, bool end)
{
    struct h2_stream *stream = stream_find(c->h2, c->h2->data.stream);
    if (!stream || stream->seen + n > run.body || !body_good(stream->seen, bytes, n))
        return false;
    stream->seen += n;
    return !end || stream_end(c->h2, stream);
}

/* Whether a header block begins with ":status 200", after updates of the table's size. */
static bool status_good(const uint8_t *block, size_t n)
{
    enum { STATUS_200 = 0x88 };
    size_t at = 0;
    while (at < n && (block[at] & 0xe0) == 0x20)
        if ((block[at++] & 0x1f) == 0x1f)
            while (at < n && block[at++] & 0x80)
                ;
    return at < n && block[at] == STATUS_200;
}

static bool frame(struct connection *c, const struct h2_head *head, const uint8_t *payload)
{
    if (head->type == H2_RST_STREAM || head->type == H2_GOAWAY)
        return false;
    if (head->type != H2_HEADERS)
        return true;
    struct h2_stream *stream = stream_find(c->h2, head->stream);
    unsigned plain = head->flags & (H2_END_HEADERS | H2_PADDED | H2_PRIORITY);
    if (!stream || plain != H2_END_HEADERS || !status_good(payload, head->length))
        return false;
    return !(head->flags & H2_END_STREAM) || stream_end(c->h2, stream);
}

bool h2_client_take(struct connection *c, const char *bytes, size_t n)
{
    static const struct h2_taker taker = {.data = data, .frame = frame};
    return h2_take(c, &taker, bytes, n) && h2_flush(c);
}

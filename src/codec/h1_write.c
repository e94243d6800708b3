/* SPDX-License-Identifier: MIT */
#include "codec/h1_write.h"

#include "base/check.h"

void h1_write_request_line(struct writer *w, const struct head *h)
{
    w_span(w, head_span(h, h->method_text));
    w_u8(w, ' ');
    w_span(w, head_path(h));
    if (h->has_query) {
        w_u8(w, '?');
        w_span(w, head_span(h, h->query));
    }
    w_str(w, " HTTP/1.1\r\n");
}

void h1_write_status_line(struct writer *w, const struct head *h)
{
    CHECK(h->status >= 100 && h->status <= 999);
    w_str(w, "HTTP/1.1 ");
    w_u64_dec(w, h->status);
    w_u8(w, ' ');
    w_span(w, head_span(h, h->reason_phrase));
    w_str(w, "\r\n");
}

void h1_write_fields(struct writer *w, const struct head *h, uint64_t drop)
{
    struct range run = {0, 0};
    for (unsigned i = 0; i < h->field_count; i++) {
        const struct field *f = &h->fields[i];
        if (head_is_hop(h, i) || (drop >> f->id & 1) != 0)
            continue;
        if (run.off + run.len != f->line_off) {
            w_span(w, head_span(h, run));
            run = (struct range){f->line_off, 0};
        }
        run.len += f->line_len;
    }
    if (run.len > 0)
        w_span(w, head_span(h, run));
}

void h1_write_field(struct writer *w, struct span name, struct span value)
{
    uint8_t *to = w_reserve(w, name.n + value.n + 4);
    if (to == NULL)
        return;
    struct writer line = writer_of(to, name.n + value.n + 4);
    w_span(&line, name);
    w_str(&line, ": ");
    w_span(&line, value);
    w_str(&line, "\r\n");
}

void h1_write_content_length(struct writer *w, uint64_t n)
{
    w_str(w, "Content-Length: ");
    w_u64_dec(w, n);
    w_str(w, "\r\n");
}

void h1_write_head_end(struct writer *w)
{
    w_str(w, "\r\n");
}

static_assert(H1_CHUNK_BEGIN_MAX >= 2 + 16 + 2, "CR LF, 64 bits in hex, CR LF");

size_t h1_chunk_begin(uint8_t out[H1_CHUNK_BEGIN_MAX], uint64_t bytes, bool first)
{
    CHECK(bytes > 0); /* an empty chunk would end the body */
    struct writer w = writer_of(out, H1_CHUNK_BEGIN_MAX);
    if (!first)
        w_str(&w, "\r\n");
    w_hex(&w, bytes, 1);
    w_str(&w, "\r\n");
    CHECK(w_ok(&w));
    return w_len(&w);
}

void h1_write_chunk_last(struct writer *w, bool first, struct span trailers)
{
    w_str(w, first ? "0\r\n" : "\r\n0\r\n");
    w_span(w, trailers);
    w_str(w, "\r\n");
}

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {511, "Network Authentication Required"},
};

const char *h1_status_phrase(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "";
}

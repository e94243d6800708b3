/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds per parsed HTTP/1 head (its end and the reset of the reader included), and per head
 * written again. The best of 20 rounds, because the machine may be busy with other things.
 * Usage: micro_h1 [thousand heads per row, default 4000] [only this row, from 1]
 * Under callgrind, --toggle-collect=parse or =rewrite counts the instructions of one row.
 */
#include "base/clock.h"
#include "codec/h1.h"
#include "codec/h1_write.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 20 };

struct row {
    const char *name;
    enum h1_role role;
    struct span text;
};

static const struct row rows[] = {
    {"request, smallest", H1_REQUESTS, SPAN_INIT("GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")},
    {"request, curl", H1_REQUESTS,
     SPAN_INIT("GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\n"
               "Accept: */*\r\n\r\n")},
    {"request, 300 bytes", H1_REQUESTS,
     SPAN_INIT(
         "GET /static/app/main.3f2a9c.js?v=12 HTTP/1.1\r\nHost: www.example.com\r\n"
         "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
         "Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\n"
         "Accept-Encoding: gzip, deflate, br\r\nReferer: https://www.example.com/\r\n"
         "Cookie: session=8d5c0e\r\n\r\n")},
    {"request, browser", H1_REQUESTS,
     SPAN_INIT(
         "GET /account/orders/2026?page=2&sort=date HTTP/1.1\r\nHost: shop.example.com\r\n"
         "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like "
         "Gecko) Chrome/131.0.0.0 Safari/537.36\r\n"
         "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
         "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"
         "Connection: keep-alive\r\nCookie: session=8d5c0e51b0f94c2f; theme=dark\r\n"
         "Referer: https://shop.example.com/account\r\nUpgrade-Insecure-Requests: 1\r\n"
         "Sec-Fetch-Mode: navigate\r\n\r\n")},
    {"request, path rewritten", H1_REQUESTS,
     SPAN_INIT("GET /static/../app/%7euser/./main.js HTTP/1.1\r\nHost: www.example.com\r\n\r\n")},
    {"response, 240 bytes", H1_RESPONSES,
     SPAN_INIT("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
               "Content-Type: text/html\r\nContent-Length: 0\r\n"
               "Last-Modified: Fri, 20 Nov 2026 10:00:00 GMT\r\nConnection: keep-alive\r\n"
               "ETag: \"673dc1a0-264\"\r\nAccept-Ranges: bytes\r\n\r\n")},
};

static uint8_t scratch[URI_PATH_MAX];
static uint8_t out[HTTP_HEAD_MAX];
static struct head head;

static NOINLINE void parse(struct h1_reader *reader, struct span text)
{
    struct h1_result res;
    if (h1_reader_next(reader, text, &head, &res) != H1_HEAD || res.used != text.n)
        abort();
    if (h1_reader_next(reader, span_of(NULL, 0), &head, &res) != H1_END)
        abort();
    h1_reader_reset(reader);
}

static NOINLINE void rewrite(const struct row *row)
{
    struct writer w = writer_of(out, sizeof(out));
    if (row->role == H1_REQUESTS)
        h1_write_request_line(&w, &head);
    else
        h1_write_status_line(&w, &head);
    h1_write_fields(&w, &head, 0);
    h1_write_head_end(&w);
    if (!w_ok(&w))
        abort();
    __asm__ volatile("" ::"r"(out) : "memory");
}

static double measure(const struct row *row, uint64_t heads, bool write)
{
    struct h1_reader reader;
    head_init(&head, scratch, sizeof(scratch));
    h1_reader_init(&reader, row->role, &h1_limits_default);
    if (row->role == H1_RESPONSES)
        h1_reader_expect(&reader, METHOD_GET, false);
    parse(&reader, row->text);
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = clock_mono_ns();
        for (uint64_t i = 0; i < heads / ROUNDS; i++) {
            if (write)
                rewrite(row);
            else
                parse(&reader, row->text);
        }
        double ns = (double)(clock_mono_ns() - begin) / (double)(heads / ROUNDS);
        best = round == 0 || ns < best ? ns : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    uint64_t heads = (argc > 1 ? strtoull(argv[1], NULL, 10) : 4000) * 1000;
    if (heads == 0)
        return 2;
    size_t only = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    printf("%-26s %6s %6s %9s %9s\n", "", "bytes", "fields", "parse ns", "write ns");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (only != 0 && only != i + 1)
            continue;
        double parse_ns = measure(&rows[i], heads, false);
        double write_ns = measure(&rows[i], heads, true);
        printf("%-26s %6zu %6u %9.1f %9.1f\n", rows[i].name, rows[i].text.n, head.field_count,
               parse_ns, write_ns);
    }
    return 0;
}

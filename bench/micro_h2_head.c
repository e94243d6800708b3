/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds per head of HTTP/2: its fields, decoded, to a parsed struct head, and from HTTP/1 to
 * fields again. The best of 20 rounds, because the machine may be busy with other things.
 * Usage: micro_h2_head [thousand heads per row, default 2000]
 * Under callgrind, --toggle-collect=in or =out counts the instructions.
 */
#include "base/clock.h"
#include "codec/h2_fields.h"
#include "codec/h2_head.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 20, FIELDS = 16 };

struct row {
    const char *name;
    enum h2_head_kind kind;
    const char *fields[2 * FIELDS];
};

static const struct row rows[] = {
    {"request, h2load",
     H2_HEAD_REQUEST,
     {":path", "/index.html", ":scheme", "http", ":authority", "127.0.0.1:8080", ":method", "GET",
      "user-agent", "h2load nghttp2/1.52.0"}},
    {"request, browser",
     H2_HEAD_REQUEST,
     {":method",         "GET",
      ":authority",      "shop.example.com",
      ":scheme",         "https",
      ":path",           "/account/orders/2026?page=2&sort=date",
      "user-agent",      "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
      "accept",          "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
      "accept-language", "en-US,en;q=0.5",
      "accept-encoding", "gzip, deflate, br",
      "referer",         "https://shop.example.com/account",
      "cookie",          "session=8d5c0e51b0f94c2f",
      "cookie",          "theme=dark"}},
    {"response",
     H2_HEAD_RESPONSE,
     {":status", "200", "server", "nginx/1.22.1", "date", "Sat, 21 Nov 2026 10:00:00 GMT",
      "content-type", "text/html", "content-length", "0", "last-modified",
      "Fri, 20 Nov 2026 10:00:00 GMT", "etag", "\"673dc1a0-264\"", "accept-ranges", "bytes"}},
};

static uint8_t buffer[2048], text[2048], scratch[H2_FIELDS_SCRATCH], path_room[URI_PATH_MAX];
static struct head head;
static struct h2_fields fields;
static struct span names[FIELDS], values[FIELDS];
static size_t count, text_bytes;

static NOINLINE void in(const struct h2_head_rules *rules)
{
    struct h2_head b;
    struct h1_reader r;
    struct h1_result res;
    struct span made;
    h2_head_begin(&b, rules, buffer, sizeof(buffer));
    for (size_t i = 0; i < count; i++)
        if (h2_head_add(&b, names[i], values[i]) != 0)
            abort();
    if (h2_head_end(&b, true, NULL, &made) != 0)
        abort();
    text_bytes = made.n;
    h1_reader_init(&r, rules->kind == H2_HEAD_REQUEST ? H1_REQUESTS : H1_RESPONSES, rules->limits);
    if (h1_reader_next(&r, made, &head, &res) != H1_HEAD)
        abort();
}

static NOINLINE void out(const struct h2_head_rules *rules)
{
    if (rules->kind == H2_HEAD_REQUEST)
        h2_fields_request(text, text_bytes, span_str("http"), false, true, &fields);
    else
        h2_fields_response(&head, false, true, scratch, &fields);
    __asm__ volatile("" ::"r"(&fields) : "memory");
}

static double best_of(void (*fn)(const struct h2_head_rules *), const struct h2_head_rules *rules,
                      uint64_t heads)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = clock_mono_ns();
        for (uint64_t i = 0; i < heads / ROUNDS; i++)
            fn(rules);
        double ns = (double)(clock_mono_ns() - begin) / (double)(heads / ROUNDS);
        best = round == 0 || ns < best ? ns : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    uint64_t heads = (argc > 1 ? strtoull(argv[1], NULL, 10) : 2000) * 1000;
    if (heads == 0)
        return 2;
    head_init(&head, path_room, sizeof(path_room));
    printf("%-20s %8s %8s %8s\n", "head", "bytes", "in ns", "out ns");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct h2_head_rules rules = {rows[i].kind, &h1_limits_default, false, {NULL, 0}};
        for (count = 0; count < FIELDS && rows[i].fields[2 * count]; count++) {
            names[count] = span_cstr(rows[i].fields[2 * count]);
            values[count] = span_cstr(rows[i].fields[2 * count + 1]);
        }
        double in_ns = best_of(in, &rules, heads);
        memcpy(text, buffer, text_bytes);
        printf("%-20s %8zu %8.1f %8.1f\n", rows[i].name, text_bytes, in_ns,
               best_of(out, &rules, heads));
    }
    return 0;
}

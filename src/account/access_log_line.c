/* SPDX-License-Identifier: MIT */
#include "account/access_log_line.h"

#include "base/check.h"
#include "base/str.h"

#include <assert.h>
#include <string.h>

/* How long the escaped form of a text may be. A text of one byte a character always fits. */
#define NAME_ROOM   384
#define METHOD_ROOM 64
#define TARGET_ROOM 8448
#define HOST_ROOM   512
#define TEXT_ROOM   1536
#define ID_ROOM     192
#define FIXED_ROOM  1024 /* names of fields, numbers, address, reason */

static_assert(4 * NAME_ROOM + METHOD_ROOM + TARGET_ROOM + HOST_ROOM + 2 * TEXT_ROOM + ID_ROOM +
                      FIXED_ROOM <=
                  ACCESS_RECORD_MAX,
              "the longest line fits");
static_assert(TARGET_ROOM >= URI_MAX + 3, "an ordinary target is never cut");

/* The longest escape of one byte: \u001f in JSON (U+FFFD has three bytes), \xHH elsewhere. */
#define ESCAPE_MAX 6

typedef void escape_fn(struct writer *w, struct span s);

/* nginx: quotes, backslashes, control bytes and everything above ASCII as \xHH. */
static void escape_combined(struct writer *w, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (ascii_is_printable(c) && c != '"' && c != '\\') {
            w_u8(w, c);
        } else {
            w_str(w, "\\x");
            w_u8(w, (uint8_t) "0123456789ABCDEF"[c >> 4]);
            w_u8(w, (uint8_t) "0123456789ABCDEF"[c & 15]);
        }
    }
}

/* At most `room` bytes: the whole text, or as much of its front as fits whatever it holds. */
static void put_escaped(struct writer *w, struct span text, size_t room, escape_fn *escape)
{
    struct writer part = *w;
    if (w_left(&part) > room)
        part.end = part.at + room;
    struct writer whole = part;
    escape(&whole, text);
    if (!w_ok(&whole)) {
        size_t cut = (room - 3) / ESCAPE_MAX;
        while (cut > 0 && (text.p[cut] & 0xc0) == 0x80) /* not inside a character of UTF-8 */
            cut--;
        whole = part;
        escape(&whole, span_sub(text, 0, cut));
        w_str(&whole, "...");
    }
    w->at = whole.at;
    w->failed = whole.failed;
}

/* ---- JSON ---- */

static void put_text(struct writer *w, const char *name, struct span text, size_t room)
{
    w_str(w, ",\"");
    w_str(w, name);
    if (span_empty(text)) {
        w_str(w, "\":null");
        return;
    }
    w_str(w, "\":\"");
    put_escaped(w, text, room, w_json_escaped);
    w_u8(w, '"');
}

static void put_number(struct writer *w, const char *name, uint64_t n)
{
    w_str(w, ",\"");
    w_str(w, name);
    w_str(w, "\":");
    w_u64_dec(w, n);
}

static void put_seconds(struct writer *w, const char *name, uint64_t us)
{
    put_number(w, name, us / 1000000);
    w_u8(w, '.');
    w_u64_padded(w, us % 1000000, 6);
}

static void put_flag(struct writer *w, const char *name, bool value)
{
    w_str(w, ",\"");
    w_str(w, name);
    w_str(w, value ? "\":true" : "\":false");
}

static struct span client_text(const struct record *r, char text[ADDRESS_TEXT_MAX], bool with_port)
{
    if (r->client.kind != ADDRESS_V4 && r->client.kind != ADDRESS_V6)
        return r->client.kind == ADDRESS_UNIX ? span_str("unix:") : (struct span){0};
    size_t n = with_port ? address_format(&r->client, text) : address_format_ip(&r->client, text);
    return span_of(text, n);
}

/* Without a version where the request could not be read. */
static void put_protocol(struct writer *w, const struct record *r)
{
    w_str(w, r->http ? "HTTP" : "TCP");
    if (!r->http || span_empty(r->method))
        return;
    w_str(w, "/1.");
    w_u64_dec(w, r->version_minor);
}

static void put_status(struct writer *w, const struct record *r)
{
    if (r->status)
        put_number(w, "status", r->status);
    else
        w_str(w, ",\"status\":null");
}

static void line_json(struct writer *w, const struct record *r)
{
    char client[ADDRESS_TEXT_MAX];
    w_str(w, "{\"time\":\"");
    w_rfc3339_ms(w, (int64_t)r->start_wall_ms);
    w_u8(w, '"');
    put_text(w, "client", client_text(r, client, true), ADDRESS_TEXT_MAX);
    put_text(w, "listener", r->listener, NAME_ROOM);
    put_text(w, "route", r->route, NAME_ROOM);
    put_text(w, "pool", r->pool, NAME_ROOM);
    put_text(w, "backend", r->backend, NAME_ROOM);
    w_str(w, ",\"protocol\":\"");
    put_protocol(w, r);
    w_u8(w, '"');
    put_text(w, "method", r->method, METHOD_ROOM);
    put_text(w, "host", r->host, HOST_ROOM);
    put_text(w, "target", r->target, TARGET_ROOM);
    put_status(w, r);
    put_number(w, "bytes_in", r->bytes_in);
    put_number(w, "bytes_out", r->bytes_out);
    put_seconds(w, "queue", r->queue_us);
    put_seconds(w, "connect", r->connect_us);
    put_seconds(w, "response", r->response_us);
    put_seconds(w, "total", r->total_us);
    put_number(w, "retries", r->retries);
    put_text(w, "request_id", r->request_id, ID_ROOM);
    put_text(w, "user_agent", r->user_agent, TEXT_ROOM);
    put_text(w, "referer", r->referer, TEXT_ROOM);
    put_flag(w, "made_here", r->made_here);
    put_text(w, "reason", span_cstr(reason_name(r->reason)), NAME_ROOM);
    w_u8(w, '}');
}

/* ---- combined ---- */

/* "21/Nov/2026:09:00:00 +0000" */
static void put_clf_time(struct writer *w, uint64_t wall_ms)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct civil_time t = civil_time_of((int64_t)(wall_ms / 1000));
    w_u64_padded(w, t.day, 2);
    w_u8(w, '/');
    w_bytes(w, months + (size_t)(t.month - 1) * 3, 3);
    w_u8(w, '/');
    w_u64_padded(w, (uint64_t)t.year, 4);
    w_u8(w, ':');
    w_u64_padded(w, t.hour, 2);
    w_u8(w, ':');
    w_u64_padded(w, t.minute, 2);
    w_u8(w, ':');
    w_u64_padded(w, t.second, 2);
    w_str(w, " +0000");
}

static void put_quoted(struct writer *w, struct span text, size_t room)
{
    w_str(w, " \"");
    put_escaped(w, span_empty(text) ? span_str("-") : text, room, escape_combined);
    w_u8(w, '"');
}

static void put_request(struct writer *w, const struct record *r)
{
    w_str(w, " \"");
    if (r->http && !span_empty(r->method)) {
        put_escaped(w, r->method, METHOD_ROOM, escape_combined);
        w_u8(w, ' ');
        put_escaped(w, r->target, TARGET_ROOM, escape_combined);
        w_u8(w, ' ');
        put_protocol(w, r);
    } else {
        w_u8(w, '-');
    }
    w_str(w, "\" ");
}

static void line_combined(struct writer *w, const struct record *r)
{
    char client[ADDRESS_TEXT_MAX];
    struct span who = client_text(r, client, false);
    w_span(w, span_empty(who) ? span_str("-") : who);
    w_str(w, " - - [");
    put_clf_time(w, r->start_wall_ms);
    w_u8(w, ']');
    put_request(w, r);
    w_u64_padded(w, r->status, 3);
    w_u8(w, ' ');
    w_u64_dec(w, r->bytes_out);
    put_quoted(w, r->referer, TEXT_ROOM);
    put_quoted(w, r->user_agent, TEXT_ROOM);
}

typedef void line_fn(struct writer *w, const struct record *r);

static line_fn *const line_fns[] = {
    [ACCESS_LOG_JSON] = line_json,
    [ACCESS_LOG_COMBINED] = line_combined,
};

size_t access_log_line(char out[ACCESS_RECORD_MAX], enum access_log_format format,
                       const struct record *r)
{
    struct writer w = writer_of(out, ACCESS_RECORD_MAX);
    line_fns[format](&w, r);
    w_u8(&w, '\n');
    CHECK(w_ok(&w));
    return w_len(&w);
}

/* SPDX-License-Identifier: MIT */
/*
 * One thread makes the lines of all workers, and on a machine with few CPUs its time is theirs. So
 * texts are looked at 16 bytes at a time while they are copied, and only those with something to
 * escape are gone through byte by byte; numbers are written two digits at a time, and the date once
 * a second.
 */
#include "account/access_log_line.h"

#include "account/line_put.h"
#include "base/check.h"
#include "base/str.h"

#include <assert.h>
#include <string.h>

static_assert(4 * NAME_ROOM + METHOD_ROOM + TARGET_ROOM + 2 * HOST_ROOM + 2 * TEXT_ROOM + ID_ROOM +
                      2 * TLS_ROOM + SUBJECT_ROOM + FIXED_ROOM <=
                  ACCESS_RECORD_MAX,
              "the longest line fits");
static_assert(TARGET_ROOM >= URI_MAX + 3, "an ordinary target is never cut");

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

static void put_seconds(struct writer *w, uint64_t us)
{
    put_number(w, us / 1000000);
    w_str(w, ".");
    put_digits(w, us % 1000000, 6);
}

static void put_time_of_day(struct writer *w, const struct civil_time *t)
{
    put_digits(w, t->hour, 2);
    w_str(w, ":");
    put_digits(w, t->minute, 2);
    w_str(w, ":");
    put_digits(w, t->second, 2);
}

static void second_set(struct access_log_second *second, int64_t wall_s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct civil_time t = civil_time_of(wall_s);
    struct writer w = writer_of(second->clf, sizeof(second->clf));
    put_digits(&w, t.day, 2);
    w_str(&w, "/");
    w_bytes(&w, months + (size_t)(t.month - 1) * 3, 3);
    w_str(&w, "/");
    put_digits(&w, (uint64_t)t.year, 4);
    w_str(&w, ":");
    put_time_of_day(&w, &t);
    w_str(&w, " +0000");
    CHECK(w_ok(&w) && w_left(&w) == 0);

    w = writer_of(second->rfc3339, sizeof(second->rfc3339));
    put_digits(&w, (uint64_t)t.year, 4);
    w_str(&w, "-");
    put_digits(&w, t.month, 2);
    w_str(&w, "-");
    put_digits(&w, t.day, 2);
    w_str(&w, "T");
    put_time_of_day(&w, &t);
    w_str(&w, ".");
    CHECK(w_ok(&w) && w_left(&w) == 0);
    second->wall_s = wall_s;
    second->known = true;
}

static const struct access_log_second *second_of(struct access_log_second *second, uint64_t wall_ms)
{
    int64_t wall_s = (int64_t)(wall_ms / 1000);
    if (UNLIKELY(!second->known || second->wall_s != wall_s))
        second_set(second, wall_s);
    return second;
}

/* ---- JSON ---- */

/* The value of a field: a text, or null for none. */
static void put_text(struct writer *w, struct span text, size_t room)
{
    if (span_empty(text)) {
        w_str(w, "null");
        return;
    }
    w_str(w, "\"");
    put_escaped(w, text, room, w_json_escaped);
    w_str(w, "\"");
}

struct span client_text(const struct record *r, char text[ADDRESS_TEXT_MAX], bool with_port)
{
    if (r->client.kind != ADDRESS_V4 && r->client.kind != ADDRESS_V6)
        return r->client.kind == ADDRESS_UNIX ? span_str("unix:") : (struct span){0};
    size_t n = with_port ? address_format(&r->client, text) : address_format_ip(&r->client, text);
    return span_of(text, n);
}

void put_protocol(struct writer *w, const struct record *r)
{
    if (!r->http) {
        w_str(w, "TCP");
    } else if (span_empty(r->method)) {
        w_str(w, "HTTP");
    } else {
        w_str(w, "HTTP/");
        put_number(w, r->version_major ? r->version_major : 1);
        w_u8(w, '.');
        put_number(w, r->version_minor);
    }
}

/* Only of a call of gRPC. */
static void put_grpc_status(struct writer *w, const struct record *r)
{
    if (LIKELY(!r->grpc))
        return;
    w_str(w, ",\"grpc_status\":");
    if (r->grpc == RECORD_GRPC_NONE)
        w_str(w, "null");
    else
        put_number(w, (uint64_t)RECORD_GRPC_STATUS(r->grpc));
}

static void put_request_fields(struct writer *w, const struct record *r)
{
    w_str(w, ",\"listener\":");
    put_text(w, r->listener, NAME_ROOM);
    w_str(w, ",\"route\":");
    put_text(w, r->route, NAME_ROOM);
    w_str(w, ",\"pool\":");
    put_text(w, r->pool, NAME_ROOM);
    w_str(w, ",\"backend\":");
    put_text(w, r->backend, NAME_ROOM);
    w_str(w, ",\"protocol\":\"");
    put_protocol(w, r);
    w_str(w, "\",\"method\":");
    put_text(w, r->method, METHOD_ROOM);
    w_str(w, ",\"host\":");
    put_text(w, r->host, HOST_ROOM);
    w_str(w, ",\"target\":");
    put_text(w, r->target, TARGET_ROOM);
    w_str(w, ",\"status\":");
    if (r->status)
        put_number(w, r->status);
    else
        w_str(w, "null");
    put_grpc_status(w, r);
}

/* Only where there was TLS, ended here or passed through. */
static void put_tls_fields(struct writer *w, const struct record *r)
{
    if (span_empty(r->tls_version) && span_empty(r->sni))
        return;
    w_str(w, ",\"tls_version\":");
    put_text(w, r->tls_version, TLS_ROOM);
    w_str(w, ",\"tls_cipher\":");
    put_text(w, r->tls_cipher, TLS_ROOM);
    w_str(w, ",\"sni\":");
    put_text(w, r->sni, HOST_ROOM);
    w_str(w, ",\"client_subject\":");
    put_text(w, r->client_subject, SUBJECT_ROOM);
}

static void put_result_fields(struct writer *w, const struct record *r)
{
    w_str(w, ",\"bytes_in\":");
    put_number(w, r->bytes_in);
    w_str(w, ",\"bytes_out\":");
    put_number(w, r->bytes_out);
    w_str(w, ",\"queue\":");
    put_seconds(w, r->queue_us);
    w_str(w, ",\"connect\":");
    put_seconds(w, r->connect_us);
    w_str(w, ",\"response\":");
    put_seconds(w, r->response_us);
    w_str(w, ",\"total\":");
    put_seconds(w, r->total_us);
    w_str(w, ",\"retries\":");
    put_number(w, r->retries);
    w_str(w, ",\"request_id\":");
    put_text(w, r->request_id, ID_ROOM);
    w_str(w, ",\"user_agent\":");
    put_text(w, r->user_agent, TEXT_ROOM);
    w_str(w, ",\"referer\":");
    put_text(w, r->referer, TEXT_ROOM);
    put_tls_fields(w, r);
    w_str(w, r->made_here ? ",\"made_here\":true" : ",\"made_here\":false");
    w_str(w, ",\"reason\":");
    put_text(w, span_cstr(reason_name(r->reason)), NAME_ROOM);
    w_str(w, ",\"reason_text\":");
    put_text(w, span_cstr(reason_sentence(r->reason)), NAME_ROOM);
}

static void line_json(struct writer *w, const struct record *r,
                      const struct access_log_second *second)
{
    char client[ADDRESS_TEXT_MAX];
    w_str(w, "{\"time\":\"");
    w_bytes(w, second->rfc3339, sizeof(second->rfc3339));
    put_digits(w, r->start_wall_ms % 1000, 3);
    w_str(w, "Z\",\"client\":");
    put_text(w, client_text(r, client, true), ADDRESS_TEXT_MAX);
    put_request_fields(w, r);
    put_result_fields(w, r);
    w_str(w, "}\n");
}

/* ---- common and combined ---- */

static void put_quoted(struct writer *w, struct span text, size_t room)
{
    w_str(w, " \"");
    put_escaped(w, span_empty(text) ? span_str("-") : text, room, escape_combined);
    w_str(w, "\"");
}

static void put_request(struct writer *w, const struct record *r)
{
    if (!r->http || span_empty(r->method)) {
        w_str(w, "-");
        return;
    }
    put_escaped(w, r->method, METHOD_ROOM, escape_combined);
    w_str(w, " ");
    put_escaped(w, r->target, TARGET_ROOM, escape_combined);
    w_str(w, " ");
    put_protocol(w, r);
}

/* What both have: up to the bytes. */
static void put_common(struct writer *w, const struct record *r,
                       const struct access_log_second *second)
{
    char client[ADDRESS_TEXT_MAX];
    struct span who = client_text(r, client, false);
    w_span(w, span_empty(who) ? span_str("-") : who);
    w_str(w, " - - [");
    w_bytes(w, second->clf, sizeof(second->clf));
    w_str(w, "] \"");
    put_request(w, r);
    w_str(w, "\" ");
    put_digits(w, r->status, 3);
    w_str(w, " ");
    put_number(w, r->bytes_out);
}

static void line_combined(struct writer *w, const struct record *r,
                          const struct access_log_second *second)
{
    put_common(w, r, second);
    put_quoted(w, r->referer, TEXT_ROOM);
    put_quoted(w, r->user_agent, TEXT_ROOM);
    w_str(w, "\n");
}

static void line_clf(struct writer *w, const struct record *r,
                     const struct access_log_second *second)
{
    put_common(w, r, second);
    w_str(w, "\n");
}

typedef void line_fn(struct writer *w, const struct record *r,
                     const struct access_log_second *second);

static line_fn *const line_fns[] = {
    [ACCESS_LOG_JSON] = line_json,
    [ACCESS_LOG_COMBINED] = line_combined,
    [ACCESS_LOG_CLF] = line_clf,
    [ACCESS_LOG_HAPROXY] = line_haproxy,
};

size_t access_log_line(char out[ACCESS_RECORD_MAX], enum access_log_format format,
                       const struct record *r, struct access_log_second *second)
{
    struct writer w = writer_of(out, ACCESS_RECORD_MAX);
    line_fns[format](&w, r, second_of(second, r->start_wall_ms));
    CHECK(w_ok(&w));
    return w_len(&w);
}

/* SPDX-License-Identifier: MIT */
/*
 * The log lines of HAProxy, for those who have tools for them (halog, dashboards, eyes):
 *
 *   CLIENT:PORT [DATE] LISTENER POOL/BACKEND TR/Tw/Tc/Tr/Ta STATUS BYTES - - TSCC a/f/b/s/r sq/bq
 *   {REQUEST-ID} "METHOD TARGET HTTP/1.1"
 *
 * Without the header of syslog, as HAProxy writes to a file of its own. The date is UTC. A timer is
 * -1 where its phase was not reached; TR is 0, as an exchange begins with a whole head. The numbers
 * of connections (a/f/b/s) and of those waiting (sq/bq) are not taken for each exchange and are 0;
 * r is retries.
 */
#include "account/line_put.h"
#include "account/record_pack.h"
#include "base/compiler.h"

/* What an exchange was doing when it ended (the second letter of HAProxy's termination state), in
 * order. */
enum phase { PHASE_REQUEST, PHASE_QUEUE, PHASE_CONNECT, PHASE_HEAD, PHASE_DATA };

static const char phase_letters[] = "RQCHD";

/* The letters of a reason; 0 = the phase the exchange was in, as far as a record tells. */
static const struct letters {
    char who, phase;
} letters[REASON_COUNT] = {
    [REASON_ok] = {'-', '-'},
    [REASON_idle_timeout] = {'c', 0},
    [REASON_request_timeout] = {'c', 'R'},
    [REASON_client_closed] = {'C', 0},
    [REASON_client_reset] = {'C', 0},
    [REASON_client_too_slow] = {'c', 0},
    [REASON_no_backend] = {'S', 'C'},
    [REASON_queue_full] = {'P', 'Q'},
    [REASON_queue_timeout] = {'s', 'Q'},
    [REASON_connect_refused] = {'S', 'C'},
    [REASON_connect_timeout] = {'s', 'C'},
    [REASON_connect_unreachable] = {'S', 'C'},
    [REASON_connect_failed] = {'S', 'C'},
    [REASON_unresolved] = {'S', 'C'},
    [REASON_backend_reset] = {'S', 0},
    [REASON_backend_closed] = {'S', 0},
    [REASON_response_timeout] = {'s', 'H'},
    [REASON_backend_too_slow] = {'s', 'D'},
    [REASON_overload] = {'R', 0},
    [REASON_out_of_files] = {'R', 0},
    [REASON_shutting_down] = {'K', 0},
    [REASON_system_error] = {'I', 0},
};

/* The last phase that was reached, by what a record holds. */
static enum phase reached(const struct record *r)
{
    if (span_empty(r->backend))
        return r->queue_us ? PHASE_QUEUE : PHASE_REQUEST;
    if (!r->http)
        return r->response_us || r->connect_us || r->bytes_out ? PHASE_DATA : PHASE_CONNECT;
    return r->status && !r->made_here ? PHASE_DATA : PHASE_HEAD;
}

static enum phase phase_of(const struct record *r)
{
    char said = letters[r->reason].phase;
    for (enum phase p = PHASE_REQUEST; p <= PHASE_DATA; p++)
        if (said == phase_letters[p])
            return p;
    if (said == '-')
        return PHASE_DATA;
    /* Of the rest, requests are refused where they are read, and bad answers are bad heads. */
    return reached(r);
}

static void put_state(struct writer *w, const struct record *r, enum phase phase)
{
    struct letters l = letters[r->reason];
    if (l.who == 0) /* it was refused: the proxy's decision */
        l.who = 'P';
    w_u8(w, (uint8_t)l.who);
    w_u8(w, (uint8_t)(l.phase == '-' ? '-' : phase_letters[phase]));
}

/* HAProxy: control bytes, everything above ASCII, and `special` as #HH. */
static void escape(struct writer *w, struct span s, const char *special)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (ascii_is_printable(c) && !strchr(special, c)) {
            w_u8(w, c);
        } else {
            w_u8(w, '#');
            w_u8(w, (uint8_t) "0123456789ABCDEF"[c >> 4]);
            w_u8(w, (uint8_t) "0123456789ABCDEF"[c & 15]);
        }
    }
}

static void escape_haproxy(struct writer *w, struct span s)
{
    escape(w, s, "\"#");
}

/* A name is a word: what is none (an address has no spaces) ends no field early. */
static void put_word(struct writer *w, struct span text, const char *none)
{
    if (span_empty(text))
        w_str(w, none);
    else
        put_escaped(w, text, NAME_ROOM, escape_haproxy);
}

static void put_ms(struct writer *w, uint64_t us, bool reached_it, const char *end)
{
    if (reached_it)
        put_number(w, us / 1000);
    else
        w_str(w, "-1");
    w_str(w, end);
}

static void put_head(struct writer *w, const struct record *r,
                     const struct access_log_second *second)
{
    char client[ADDRESS_TEXT_MAX];
    struct span who = client_text(r, client, true);
    w_span(w, span_empty(who) ? span_str("-") : who);
    if (r->client.kind == ADDRESS_UNIX)
        w_str(w, "1");
    w_str(w, " [");
    w_bytes(w, second->clf, sizeof(second->clf) - 6); /* without its zone */
    w_str(w, ".");
    put_digits(w, r->start_wall_ms % 1000, 3);
    w_str(w, "] ");
    put_word(w, r->listener, "-");
    w_str(w, " ");
    put_word(w, span_empty(r->pool) ? r->listener : r->pool, "-");
    w_str(w, "/");
    put_word(w, r->backend, "<NOSRV>");
    w_str(w, " ");
}

static void put_counts(struct writer *w, const struct record *r)
{
    w_str(w, " 0/0/0/0/");
    put_number(w, r->retries);
    w_str(w, " 0/0");
}

static void put_request(struct writer *w, const struct record *r)
{
    w_str(w, " {");
    escape(w, span_sub(r->request_id, 0, RECORD_ID_MAX), "\"#{}|"); /* what ends a capture, too */
    w_str(w, "} \"");
    if (span_empty(r->method)) {
        w_str(w, "<BADREQ>");
    } else {
        put_escaped(w, r->method, METHOD_ROOM, escape_haproxy);
        w_str(w, " ");
        put_escaped(w, r->target, TARGET_ROOM, escape_haproxy);
        w_str(w, " ");
        put_protocol(w, r);
    }
    w_str(w, "\"");
}

static void put_http(struct writer *w, const struct record *r, enum phase phase)
{
    put_ms(w, 0, !span_empty(r->method), "/");
    put_ms(w, r->queue_us, phase >= PHASE_QUEUE, "/");
    put_ms(w, r->connect_us, phase >= PHASE_HEAD, "/");
    put_ms(w, r->response_us, phase >= PHASE_DATA && !r->made_here, "/");
    put_ms(w, r->total_us, true, " ");
    if (r->status)
        put_number(w, r->status);
    else
        w_str(w, "-1");
    w_str(w, " ");
    put_number(w, r->bytes_out);
    w_str(w, " - - ");
    put_state(w, r, phase);
    w_str(w, "--");
    put_counts(w, r);
    put_request(w, r);
}

static void put_tcp(struct writer *w, const struct record *r, enum phase phase)
{
    put_ms(w, r->queue_us, phase >= PHASE_QUEUE, "/");
    put_ms(w, r->connect_us, phase >= PHASE_HEAD, "/");
    put_ms(w, r->total_us, true, " ");
    put_number(w, r->bytes_out);
    w_str(w, " ");
    put_state(w, r, phase);
    put_counts(w, r);
}

void line_haproxy(struct writer *w, const struct record *r, const struct access_log_second *second)
{
    enum phase phase = phase_of(r);
    put_head(w, r, second);
    if (r->http)
        put_http(w, r, phase);
    else
        put_tcp(w, r, phase);
    w_str(w, "\n");
}

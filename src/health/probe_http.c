/* SPDX-License-Identifier: MIT */
/*
 * The HTTP probe: one GET; the status of the final response decides, its body is not awaited. The
 * answer is read by the strict reader that also guards real traffic, so a backend whose responses
 * would be refused is not called healthy.
 */
#include "base/check.h"
#include "codec/h1.h"
#include "codec/h1_write.h"
#include "health/probe.h"

#include <stdlib.h>

/* The longest request: a path of URI_PATH_MAX, a host of HTTP_HOST_MAX and our own fields. */
#define REQUEST_BYTES_MAX (URI_PATH_MAX + HTTP_HOST_MAX + ADDRESS_TEXT_MAX + 256)

struct http_state {
    struct h1_reader reader;
    struct head head;
    uint32_t interim_count;
    uint32_t request_bytes;
    uint32_t held; /* bytes of an incomplete head, in answer */
    uint8_t request[REQUEST_BYTES_MAX];
    uint8_t answer[HTTP_HEAD_MAX];
};

static int http_begin(struct probe *p, const struct address *to)
{
    struct http_state *h = malloc(sizeof(*h));
    if (!h)
        return -(int)REASON_overload;
    h->interim_count = 0;
    h->held = 0;
    h1_reader_init(&h->reader, H1_RESPONSES, &h1_limits_default);
    h1_reader_expect(&h->reader, METHOD_GET, false);
    struct writer w = writer_of(h->request, sizeof(h->request));
    w_str(&w, "GET ");
    w_str(&w, p->conf->path);
    w_str(&w, " HTTP/1.1\r\nHost: ");
    probe_write_host(&w, p, to);
    w_str(&w, "\r\nUser-Agent: poise-health/" POISE_VERSION "\r\nAccept: */*\r\n"
              "Connection: close\r\n\r\n");
    CHECK(w_ok(&w));
    h->request_bytes = (uint32_t)w_len(&w);
    p->state = h;
    return 0;
}

static void http_end(struct probe *p)
{
    free(p->state);
    p->state = NULL;
}

static void http_connected(struct probe *p)
{
    struct http_state *h = p->state;
    struct slice request = {.p = h->request, .n = h->request_bytes};
    (void)stream_send(p->stream, &request, 1);
    stream_read(p->stream, true);
}

/* Reads on in the bytes given until the status of a final response is known, or a reason why not;
 * H1_NEED_MORE leaves in *used what is done with. */
static int next_status(struct http_state *h, struct span in, size_t *used)
{
    *used = 0;
    for (;;) {
        struct h1_result result;
        int event = h1_reader_next(&h->reader, span_from(in, *used), &h->head, &result);
        *used += result.used;
        if (event < 0)
            return -(int)REASON_probe_bad_answer;
        if (event == H1_NEED_MORE)
            return H1_NEED_MORE;
        if (event == H1_HEAD && (h->head.status >= 200 || h->head.status == 101))
            return H1_HEAD;
        if (event == H1_END) {
            if (++h->interim_count > HTTP_INTERIM_MAX)
                return -(int)REASON_probe_bad_answer;
            h1_reader_reset(&h->reader);
            h1_reader_expect(&h->reader, METHOD_GET, false);
        }
    }
}

static void http_data(struct probe *p, struct slice in)
{
    struct http_state *h = p->state;
    uint32_t room = (uint32_t)sizeof(h->answer) - h->held;
    uint32_t taken = in.n < room ? in.n : room;
    memcpy(h->answer + h->held, in.p, taken);
    h->held += taken;
    size_t used = 0;
    int event = next_status(h, span_of(h->answer, h->held), &used);
    if (event < 0) {
        probe_end(p, (enum reason) - event);
    } else if (event == H1_HEAD) {
        probe_end(p, probe_expects(p->conf, h->head.status) ? REASON_ok : REASON_probe_status);
    } else {
        h->held -= (uint32_t)used;
        memmove(h->answer, h->answer + used, h->held);
        if (h->held == sizeof(h->answer) || taken < in.n)
            probe_end(p, REASON_probe_bad_answer); /* a head longer than any allowed */
    }
}

const struct probe_kind probe_http = {
    .begin = http_begin,
    .connected = http_connected,
    .data = http_data,
    .end = http_end,
};

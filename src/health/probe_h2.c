/* SPDX-License-Identifier: MIT */
#include "health/probe_h2.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

void probe_h2_decide(struct probe_h2 *h, enum reason result)
{
    if (h->decided)
        return;
    h->decided = true;
    h->result = result;
}

/* ---- what comes ---- */

static bool is_ours(const struct probe_h2 *h, int32_t id)
{
    return id == h->stream_id && !h->decided;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct probe_h2 *h = user;
    (void)session;
    if (is_ours(h, frame->hd.stream_id))
        h->block_is_final = h->status != 0; /* trailers, unless :status says otherwise */
    return 0;
}

/* nghttp2 has checked that it is three digits, and that 101 is not among them; to it 099 is final.
 */
static void take_status(struct probe_h2 *h, struct span value)
{
    uint64_t status = 0;
    if (value.n != 3 || !span_to_u64(value, &status) || status < 100) {
        probe_h2_decide(h, REASON_probe_bad_answer);
    } else if (status >= 200) {
        h->status = (uint16_t)status;
        h->block_is_final = true;
    } else if (++h->interim_count > HTTP_INTERIM_MAX) {
        probe_h2_decide(h, REASON_probe_bad_answer);
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct probe_h2 *h = user;
    (void)session;
    (void)flags;
    h->field_bytes += (uint32_t)(name_len + value_len + 32);
    if (h->field_bytes > HTTP_HEAD_MAX) /* a few bytes may stand for many */
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!is_ours(h, frame->hd.stream_id))
        return 0;
    struct span n = span_of(name, name_len), v = span_of(value, value_len);
    if (span_eq(n, span_str(":status")))
        take_status(h, v);
    else if (h->block_is_final)
        h->ops->field(h, n, v);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct probe_h2 *h = user;
    (void)session;
    if (frame->hd.type == NGHTTP2_SETTINGS)
        h->spoke = true;
    if (!is_ours(h, frame->hd.stream_id))
        return 0;
    bool head = frame->hd.type == NGHTTP2_HEADERS && h->block_is_final &&
                frame->headers.cat != NGHTTP2_HCAT_REQUEST;
    if (head && h->ops->head)
        h->ops->head(h);
    if (!h->decided && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        h->ops->end(h);
    return 0;
}

static int on_body(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t n, void *user)
{
    struct probe_h2 *h = user;
    (void)session;
    (void)flags;
    if (is_ours(h, id) && h->ops->body)
        h->ops->body(h, span_of(data, n));
    return 0;
}

static int on_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct probe_h2 *h = user;
    (void)session;
    if (!is_ours(h, id))
        return 0;
    if (code == NGHTTP2_REFUSED_STREAM)
        probe_h2_decide(h, REASON_stream_refused);
    else if (code != NGHTTP2_NO_ERROR && code != NGHTTP2_PROTOCOL_ERROR)
        probe_h2_decide(h, REASON_backend_stream_reset);
    else
        probe_h2_decide(h, REASON_probe_bad_answer);
    return 0;
}

/* ---- what goes ---- */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct probe_h2 *h = user;
    (void)session;
    (void)id;
    (void)source;
    size_t n = MIN(h->request_body.n, room);
    memcpy(buf, h->request_body.p, n);
    h->request_body = span_from(h->request_body, n);
    if (h->request_body.n == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* Gathers all that there is to say; false: more than there should be. */
static bool gather(struct probe_h2 *h, uint32_t *ret_n)
{
    const uint8_t *p;
    ssize_t n;
    *ret_n = 0;
    while ((n = nghttp2_session_mem_send(h->session, &p)) > 0) {
        if ((size_t)n > sizeof(h->out) - *ret_n)
            return false;
        memcpy(h->out + *ret_n, p, (size_t)n);
        *ret_n += (uint32_t)n;
    }
    return n == 0;
}

static void send_some(struct probe_h2 *h)
{
    uint32_t n;
    if (h->sending || h->decided)
        return;
    if (!gather(h, &n)) {
        probe_h2_decide(h, REASON_probe_bad_answer);
        return;
    }
    struct slice out = {.p = h->out, .n = n};
    h->sending = n > 0 && stream_send(h->probe->stream, &out, 1) == SEND_PENDING;
}

/* The session may be over by what it read: then nothing will be decided any more. */
static void go_on(struct probe_h2 *h)
{
    send_some(h);
    if (!h->decided && !nghttp2_session_want_read(h->session))
        probe_h2_decide(h, h->spoke ? REASON_probe_bad_answer : REASON_backend_no_http2);
    if (h->decided)
        probe_end(h->probe, h->result);
}

void probe_h2_data(struct probe *p, struct slice in)
{
    struct probe_h2 *h = p->state;
    h->in_bytes += in.n;
    if (nghttp2_session_mem_recv(h->session, in.p, in.n) < 0)
        probe_h2_decide(h, h->spoke ? REASON_probe_bad_answer : REASON_backend_no_http2);
    else if (h->in_bytes > PROBE_H2_IN_MAX)
        probe_h2_decide(h, REASON_probe_bad_answer);
    go_on(h);
}

void probe_h2_sent(struct probe *p)
{
    struct probe_h2 *h = p->state;
    h->sending = false;
    go_on(h);
}

void probe_h2_request(struct probe_h2 *h, const nghttp2_nv *fields, size_t count, struct span body)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEAD_MAX},
    };
    nghttp2_data_provider provider = {.read_callback = read_body};
    h->request_body = body;
    int rc = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    h->stream_id = rc < 0 ? rc
                          : nghttp2_submit_request(h->session, NULL, fields, count,
                                                   body.n > 0 ? &provider : NULL, NULL);
    if (h->stream_id < 0)
        probe_h2_decide(h, REASON_overload);
    stream_read(h->probe->stream, true);
    go_on(h);
}

/* ---- begin and end ---- */

static int make_session(struct probe_h2 *h)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return -(int)REASON_overload;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_body);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_closed);
    int rc = nghttp2_session_client_new(&h->session, callbacks, h);
    nghttp2_session_callbacks_del(callbacks);
    return rc == 0 ? 0 : -(int)REASON_overload;
}

int probe_h2_begin(struct probe *p, const struct address *to, size_t state_bytes,
                   const struct probe_h2_ops *ops)
{
    CHECK(state_bytes >= sizeof(struct probe_h2));
    struct probe_h2 *h = calloc(1, state_bytes);
    if (!h)
        return -(int)REASON_overload;
    h->probe = p;
    h->ops = ops;
    struct writer w = writer_of(h->host, sizeof(h->host));
    probe_write_host(&w, p, to);
    CHECK(w_ok(&w));
    h->host_len = w_len(&w);
    int rc = make_session(h);
    if (rc < 0)
        free(h);
    else
        p->state = h;
    return rc;
}

void probe_h2_end(struct probe *p)
{
    struct probe_h2 *h = p->state;
    nghttp2_session_del(h->session);
    free(h);
    p->state = NULL;
}

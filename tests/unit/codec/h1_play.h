/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Plays bytes to an HTTP/1 reader as a connection would, and writes down what comes out as text, so
 * that one row of a table says what to expect and two plays can be compared. Used by unit tests and
 * fuzz targets.
 *
 * The bytes arrive up to `first`, then `step` at a time. What is unread moves with every arrival,
 * to a buffer of exactly its size, so that reading past it or keeping pointers into it shows.
 *
 * A transcript: "GET /path?query none keep|body:hello|end|..."; pieces of a body are joined. With
 * `full` every property of the head, each field, and the used bytes are written too.
 */

#include <stdlib.h>

#include "base/check.h"
#include "codec/h1.h"

struct play {
    enum h1_role role;
    const struct h1_limits *limits; /* NULL: the defaults */
    enum method asked;              /* responses: of the request */
    bool asked_upgrade;
    bool no_scratch;
    size_t first, step; /* 0: everything at once */
    bool full;
};

struct play_run {
    const struct play *how;
    struct h1_reader reader;
    struct head head;
    struct span all;
    size_t arrived, used;
    bool in_body;
    struct writer out;
};

static const char *play_reason(int rc)
{
    static const char *const names[] = {
#define REASON(name, fault, status, retry, sentence) #name,
#include "account/reason.def"
#undef REASON
    };
    return names[-rc];
}

static void play_range(struct writer *w, const char *label, struct span s)
{
    w_printf(w, " %s=", label);
    w_escaped(w, s);
}

static void play_head_fully(struct writer *w, const struct head *h)
{
    w_printf(w, " [v%u s%u m%d abs%d scratch%d hops%u listed%llx known%llx length%llu",
             h->version_minor, h->status, (int)h->method, h->absolute_form, h->path_in_scratch,
             h->hop_count, (unsigned long long)h->listed, (unsigned long long)h->known,
             (unsigned long long)h->body_length);
    play_range(w, "target", head_span(h, h->target));
    play_range(w, "host", head_span(h, h->host));
    play_range(w, "authority", head_span(h, h->authority));
    play_range(w, "phrase", head_span(h, h->reason_phrase));
    for (unsigned i = 0; i < h->field_count; i++) {
        const struct field *f = &h->fields[i];
        w_printf(w, "\n  %u%s", f->id, head_is_hop(h, i) ? "-" : "+");
        play_range(w, "name", field_name(h, f));
        play_range(w, "value", field_value(h, f));
        play_range(w, "line", head_span(h, (struct range){f->line_off, f->line_len}));
    }
    w_str(w, "]");
}

static void play_head(struct play_run *run)
{
    static const char *const framings[] = {"none", "length", "chunked", "close", "tunnel"};
    const struct head *h = &run->head;
    struct writer *w = &run->out;
    if (run->how->role == H1_REQUESTS) {
        w_span(w, head_span(h, h->method_text));
        w_u8(w, ' ');
        w_escaped(w, head_path(h));
        if (h->has_query)
            w_u8(w, '?');
        w_escaped(w, head_span(h, h->query));
    } else {
        w_printf(w, "%u ", h->status);
        w_escaped(w, head_span(h, h->reason_phrase));
    }
    w_printf(w, " %s", framings[h->framing]);
    if (h->framing == BODY_LENGTH)
        w_printf(w, "=%llu", (unsigned long long)h->body_length);
    w_str(w, h->keep_alive ? " keep" : "");
    w_str(w, h->upgrade ? " upgrade" : "");
    w_str(w, h->expect_continue ? " expect" : "");
    w_str(w, h->has_trailer_te ? " te" : "");
    w_str(w, h->absolute_form ? " absolute" : "");
    if (run->how->full)
        play_head_fully(w, h);
    w_str(w, "|");
}

/* One event; false when there is nothing more to do with what has arrived. */
static bool play_event(struct play_run *run, int event, const struct h1_result *res)
{
    struct writer *w = &run->out;
    if (run->in_body && event != H1_BODY && event != H1_NEED_MORE) {
        w_str(w, "|");
        run->in_body = false;
    }
    switch (event) {
    case H1_HEAD: play_head(run); return true;
    case H1_BODY:
        if (!run->in_body)
            w_str(w, "body:");
        run->in_body = true;
        w_escaped(w, res->body);
        return true;
    case H1_END:
        w_str(w, "end");
        if (res->trailers.n > 0)
            play_range(w, "trailers", res->trailers);
        if (run->how->full)
            w_printf(w, " at %zu", run->used);
        w_str(w, "|");
        h1_reader_reset(&run->reader);
        return true;
    case H1_NEED_MORE: return false;
    default:
        w_printf(w, "!%s", play_reason(event));
        if (run->how->full)
            w_printf(w, " at %zu", run->used);
        return false;
    }
}

/* All that can be made of the arrived bytes. False after an error. */
static bool play_arrived(struct play_run *run)
{
    size_t n = run->arrived - run->used, at = 0;
    uint8_t *copy = malloc(n > 0 ? n : 1);
    CHECK(copy != NULL);
    if (n > 0)
        memcpy(copy, run->all.p + run->used, n);
    int event;
    bool more = true;
    do {
        struct h1_result res;
        event = h1_reader_next(&run->reader, span_of(copy + at, n - at), &run->head, &res);
        at += res.used;
        run->used += res.used;
        more = play_event(run, event, &res);
    } while (more);
    free(copy);
    return event >= 0;
}

/* The transcript, NUL-terminated, in buf. */
static const char *play(const struct play *how, struct span all, char *buf, size_t buf_size)
{
    static uint8_t scratch[URI_PATH_MAX];
    struct play_run *run = calloc(1, sizeof(*run));
    CHECK(run != NULL);
    run->how = how;
    run->all = all;
    run->out = writer_of(buf, buf_size);
    memset(&run->head, 0xa5, sizeof(run->head)); /* the parser relies on nothing but head_init */
    head_init(&run->head, how->no_scratch ? NULL : scratch, how->no_scratch ? 0 : sizeof(scratch));
    h1_reader_init(&run->reader, how->role, how->limits ? how->limits : &h1_limits_default);
    if (how->role == H1_RESPONSES)
        h1_reader_expect(&run->reader, how->asked, how->asked_upgrade);

    bool good = true;
    while (good && run->arrived < all.n) {
        size_t step = run->arrived == 0 && how->first > 0 ? how->first : how->step;
        run->arrived = step == 0 ? all.n : MIN(all.n, run->arrived + step);
        good = play_arrived(run);
    }
    if (good) {
        struct h1_result none = {0};
        bool fresh = run->used == all.n && run->reader.state == H1_STATE_HEAD;
        if (run->in_body)
            w_str(&run->out, "|");
        run->in_body = false;
        int event = h1_reader_eof(&run->reader);
        if (!fresh || event != H1_NEED_MORE) {
            w_str(&run->out, "eof:");
            if (event == H1_NEED_MORE)
                w_str(&run->out, "more");
            play_event(run, event, &none);
        }
    }
    const char *text = w_cstr(&run->out);
    free(run);
    return text;
}

/* SPDX-License-Identifier: MIT */
/*
 * The reader of usual heads against the exact one: two readers, of which one may take the quick way
 * and the other must not, are given the same bytes in the same pieces and must agree on every
 * event, every byte of the head and every reason. The parser is included, to have both of it at
 * hand.
 */
#include "codec/h1_priv.h"

static bool quick_allowed;

void quick_request_line(struct h1_reader *r, struct span in, struct head *h);
void quick_status_line(struct h1_reader *r, struct span in, struct head *h);
int quick_fields(struct h1_reader *r, struct span in, struct head *h);

#define h1_usual_request_line quick_request_line
#define h1_usual_status_line  quick_status_line
#define h1_usual_fields       quick_fields
#include "codec/h1_usual.c"
#undef h1_usual_request_line
#undef h1_usual_status_line
#undef h1_usual_fields
#undef VERSION_LEN
#undef STATUS_LEN

void h1_usual_request_line(struct h1_reader *r, struct span in, struct head *h)
{
    if (quick_allowed)
        quick_request_line(r, in, h);
}

void h1_usual_status_line(struct h1_reader *r, struct span in, struct head *h)
{
    if (quick_allowed)
        quick_status_line(r, in, h);
}

int h1_usual_fields(struct h1_reader *r, struct span in, struct head *h)
{
    return quick_allowed ? quick_fields(r, in, h) : LINE_MORE;
}

#include "codec/h1.c"
#include "codec/h1_chunk.c"
#undef BIT
#include "codec/h1_field.c"
#include "codec/h1_start.c"

#include <stdlib.h>

/* Shorter inputs are also split in two at each of their bytes. */
#define SPLIT_EACH_MAX 192

struct side {
    struct h1_reader reader;
    struct head head;
    struct h1_result result;
    uint8_t scratch[URI_PATH_MAX];
};

/* The first byte of an input says how to read, the next four where to split; the rest arrives. */
struct options {
    const struct h1_limits *limits;
    enum h1_role role;
    enum method asked;
    bool asked_upgrade, no_scratch;
    uint8_t steps[4];
};

static struct side usual, exact;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void begin(struct side *s, const struct options *o)
{
    memset(&s->head, 0xa5, sizeof(s->head)); /* the parser relies on nothing but head_init */
    head_init(&s->head, o->no_scratch ? NULL : s->scratch, o->no_scratch ? 0 : sizeof(s->scratch));
    h1_reader_init(&s->reader, o->role, o->limits);
    if (o->role == H1_RESPONSES)
        h1_reader_expect(&s->reader, o->asked, o->asked_upgrade);
}

static int next(struct side *s, struct span in)
{
    quick_allowed = s == &usual;
    return h1_reader_next(&s->reader, in, &s->head, &s->result);
}

/* Everything but the holder's part. */
static void same_head(const struct head *a, const struct head *b)
{
    const size_t from = offsetof(struct head, base), to = offsetof(struct head, fields);
    CHECK(memcmp((const uint8_t *)a + from, (const uint8_t *)b + from, to - from) == 0);
    CHECK(memcmp(a->fields, b->fields, a->field_count * sizeof(a->fields[0])) == 0);
    CHECK(span_eq(head_path(a), head_path(b)));
}

static void same_result(const struct h1_result *a, const struct h1_result *b)
{
    CHECK(a->used == b->used);
    CHECK(a->body.n == b->body.n && (a->body.n == 0 || a->body.p == b->body.p));
    CHECK(a->trailers.n == b->trailers.n && (a->trailers.n == 0 || a->trailers.p == b->trailers.p));
}

/* All events of `in`, which are the same; adds what they used to *ret_used. Negative: the reason.
 */
static int same_events(struct span in, size_t *ret_used)
{
    for (size_t at = 0;;) {
        struct span rest = span_from(in, at);
        int event = next(&usual, rest);
        CHECK(event == next(&exact, rest));
        same_result(&usual.result, &exact.result);
        at += usual.result.used;
        *ret_used += usual.result.used;
        if (event == H1_HEAD)
            same_head(&usual.head, &exact.head);
        if (event == H1_NEED_MORE || event < 0)
            return event;
        if (event == H1_END) {
            h1_reader_reset(&usual.reader);
            h1_reader_reset(&exact.reader);
        }
    }
}

/* What is unread moves with every arrival, to a buffer of exactly its size, so that reading past it
 * or keeping pointers into it shows. */
static int same_arrival(struct span unread, size_t *ret_used)
{
    uint8_t *copy = malloc(unread.n > 0 ? unread.n : 1);
    CHECK(copy != NULL);
    if (unread.n > 0)
        memcpy(copy, unread.p, unread.n);
    int rc = same_events(span_of(copy, unread.n), ret_used);
    free(copy);
    return rc;
}

/* The bytes up to `first`, then in steps as listed, over and over; 0 is all that is left. */
static void same_in_pieces(const struct options *o, struct span in, size_t first,
                           const uint8_t *steps, size_t step_count)
{
    size_t arrived = MIN(first, in.n), used = 0;
    begin(&usual, o);
    begin(&exact, o);
    for (size_t i = 0;; i++) {
        if (same_arrival(span_sub(in, used, arrived - used), &used) < 0)
            return;
        if (arrived == in.n)
            break;
        size_t step = steps[i % step_count];
        /* Long inputs take longer steps: what is unread is copied at each. */
        step *= 1 + in.n / 1024;
        arrived = step == 0 ? in.n : MIN(in.n, arrived + step);
    }
    CHECK(h1_reader_eof(&usual.reader) == h1_reader_eof(&exact.reader));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct h1_limits tight = {.line_bytes = 48, .head_bytes = 160, .fields = 4};
    static const uint8_t all = 0, each = 1;
    struct options o;
    if (n < 1 + sizeof(o.steps))
        return 0;
    o.limits = data[0] & 1 ? &tight : &h1_limits_default;
    o.role = data[0] & 2 ? H1_RESPONSES : H1_REQUESTS;
    o.no_scratch = (data[0] & 4) != 0;
    o.asked = data[0] & 8 ? METHOD_HEAD : data[0] & 16 ? METHOD_CONNECT : METHOD_GET;
    o.asked_upgrade = (data[0] & 32) != 0;
    memcpy(o.steps, data + 1, sizeof(o.steps));
    struct span in = span_of(data + 1 + sizeof(o.steps), n - 1 - sizeof(o.steps));
    same_in_pieces(&o, in, in.n, &all, 1);
    same_in_pieces(&o, in, o.steps[0], o.steps + 1, sizeof(o.steps) - 1);
    if (in.n < 1024)
        same_in_pieces(&o, in, 1, &each, 1);
    for (size_t split = 1; in.n <= SPLIT_EACH_MAX && split < in.n; split++)
        same_in_pieces(&o, in, split, &all, 1);
    return 0;
}

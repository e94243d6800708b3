/* SPDX-License-Identifier: MIT */
#include "forward/request_certificate.h"

#include "codec/arrival.h"
#include "codec/h1_write.h"

#include <assert.h>

static_assert(REQUEST_SUBJECT_MAX <= REQUEST_SAN_MAX, "one room for both");

static bool is_plain(uint8_t c)
{
    return ascii_is_printable(c) && c != '%';
}

static void write_escaped(struct writer *w, uint8_t c)
{
    static const char digits[] = "0123456789ABCDEF";
    w_u8(w, '%');
    w_u8(w, (uint8_t)digits[c >> 4]);
    w_u8(w, (uint8_t)digits[c & 15]);
}

/* A value must not begin or end with white space: whoever reads it would cut that off. */
static void write_subject(struct writer *w, struct span subject)
{
    for (size_t i = 0; i < subject.n; i++) {
        uint8_t c = subject.p[i];
        bool edge = i == 0 || i + 1 == subject.n;
        if (is_plain(c) && !(edge && c == ' '))
            w_u8(w, c);
        else
            write_escaped(w, c);
    }
}

static void write_name(struct writer *w, struct span name)
{
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        if (is_plain(c) && c != ',' && c != ' ')
            w_u8(w, c);
        else
            write_escaped(w, c);
    }
}

static size_t put_names(const struct client_certificate *c, uint8_t *room, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < c->name_count; i++) {
        struct writer w = writer_of(room + used, size - used);
        if (used > 0)
            w_str(&w, ", ");
        write_name(&w, c->names[i]);
        if (w_ok(&w) && c->names[i].n > 0)
            used += w_len(&w);
    }
    return used;
}

void request_write_certificate(struct writer *w, const struct arrival *a)
{
    if (!a || !a->certificate.verified) {
        w_span(w, span_str("X-Client-Verify: NONE\r\n"));
        return;
    }
    const struct client_certificate *c = &a->certificate;
    uint8_t room[REQUEST_SAN_MAX];
    w_span(w, span_str("X-Client-Verify: SUCCESS\r\n"));
    struct writer subject = writer_of(room, REQUEST_SUBJECT_MAX);
    write_subject(&subject, c->subject);
    if (w_ok(&subject) && w_len(&subject) > 0)
        h1_write_field(w, span_str("X-Client-Subject"), w_span_of_result(&subject));
    size_t names = put_names(c, room, REQUEST_SAN_MAX);
    if (names > 0)
        h1_write_field(w, span_str("X-Client-SAN"), span_of(room, names));
    h1_write_field(w, span_str("X-Client-Fingerprint"), c->fingerprint);
}

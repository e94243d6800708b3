/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Inside the HTTP/1 reader: h1.c drives, h1_usual.c reads what is usual; h1_start.c reads start
 * lines, h1_field.c field lines and what they mean, h1_chunk.c the chunked coding.
 *
 * Line readers give LINE_DONE, LINE_MORE, or a negative reason in the words of a request; h1.c
 * translates it for responses. All positions are indexes into the span they are given, which starts
 * where the head (or trailer section) starts.
 */

#include "codec/h1.h"

#define H1_BIT(id) (1ULL << FIELD_##id)

/* Never passed on, whatever Connection says. */
#define H1_HOP_FIELDS                                                                  \
    (H1_BIT(CONNECTION) | H1_BIT(KEEP_ALIVE) | H1_BIT(PROXY_CONNECTION) | H1_BIT(TE) | \
     H1_BIT(TRANSFER_ENCODING) | H1_BIT(UPGRADE) | H1_BIT(HTTP2_SETTINGS))

/* Those that h1_field_meaning acts on; FIELD_OTHER for what a name may be made to look like. */
#define H1_FIELDS_WITH_MEANING \
    (H1_HOP_FIELDS | H1_BIT(HOST) | H1_BIT(CONTENT_LENGTH) | H1_BIT(EXPECT) | H1_BIT(OTHER))

/* How far the current line is. Lines before it have been dealt with. */
enum h1_phase {
    H1_PHASE_FIRST, /* nothing of the message was looked at, but for an empty line */
    H1_PHASE_METHOD,
    H1_PHASE_TARGET,
    H1_PHASE_VERSION, /* of a request, up to its line end */
    H1_PHASE_STATUS,  /* version and status code of a response */
    H1_PHASE_PHRASE,
    H1_PHASE_NAME, /* a field name, or the empty line */
    H1_PHASE_VALUE,
};

enum h1_line {
    LINE_MORE,  /* the line is not complete */
    LINE_DONE,  /* one line is done with */
    LINE_BLANK, /* it was the empty line */
};

/*
 * For a span with a control byte (or the end of a line) at `i`: LINE_DONE at CR LF, LINE_MORE if
 * the LF is not there yet, else an error: `otherwise` if this is no line end at all.
 */
static inline int h1_line_end(struct span in, size_t i, enum reason otherwise)
{
    if (LIKELY(in.n - i >= 2 && in.p[i] == '\r' && in.p[i + 1] == '\n'))
        return LINE_DONE;
    if (in.p[i] == '\n')
        return -REASON_bad_line_end;
    if (in.p[i] != '\r')
        return -(int)otherwise;
    return i + 1 == in.n ? LINE_MORE : -REASON_bad_line_end;
}

/* The same mistake, made by a backend. */
enum reason h1_response_reason(enum reason request_reason);

/* The start line of a request or response, into *h. */
int h1_request_line(struct h1_reader *r, struct span in, struct head *h);
int h1_status_line(struct h1_reader *r, struct span in, struct head *h);

/* Whether a name is a known one but for '_' in place of '-'. */
bool h1_field_is_lookalike(struct span name);

/* One field line into *f (all but the id), or LINE_BLANK. `room`: whether one more is allowed. */
int h1_field_line(struct h1_reader *r, struct span in, bool room, struct field *f);

/* The field lines of a head up to LINE_BLANK, each with its meaning noted in *h. */
int h1_fields(struct h1_reader *r, struct span in, struct head *h);

/* What field number `index` means, noted in *h; fields before it are in h->known already. 0, or a
 * negative reason. */
int h1_field_meaning(struct h1_reader *r, struct head *h, unsigned index);

/* A start line that is there as a whole and of the usual shape, else nothing happens. For spans in
 * which nothing was looked at. */
void h1_usual_request_line(struct h1_reader *r, struct span in, struct head *h);
void h1_usual_status_line(struct h1_reader *r, struct span in, struct head *h);

/* The same of field lines, as many as there are: LINE_BLANK after the last, LINE_MORE before one
 * that is not like that, or a negative reason. Where a line begins and was not looked at. */
int h1_usual_fields(struct h1_reader *r, struct span in, struct head *h);

/* Decides framing, persistence and what is hop-by-hop, from a head whose lines are all read. */
int h1_head_settle(struct h1_reader *r, struct head *h);

/* The states CHUNK_SIZE, CHUNK_DATA_END and TRAILER: moves on as far as `in` goes, adding to
 * res->used. LINE_DONE when the state has changed, LINE_MORE, or a negative reason. */
int h1_chunk_size(struct h1_reader *r, struct span in, struct h1_result *res);
int h1_chunk_data_end(struct h1_reader *r, struct span in, struct h1_result *res);
int h1_trailer(struct h1_reader *r, struct span in, struct h1_result *res);

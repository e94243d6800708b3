/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Between bulk.c, which moves the bytes of bulks, and the engines, which know their streams.
 *
 * An engine keeps in each stream the place of its part: a pointer, NULL for most. It joins two
 * streams when it has found both fit for it, and in the turn of a source it pumps and then settles.
 * It tells of room in a destination, and drops the part of a stream that fails or is closed.
 *
 * Thread rule: the loop's thread.
 */

#include "io/loop_priv.h"

/* Share of one stream in a turn. */
#define RECEIVE_BYTES_PER_TURN (512 * 1024)

struct bulk_part;

/* A stream as its engine has it. */
struct bulk_end {
    struct stream *s;
    struct bulk_part **place;
    int fd;
};

/* A stream's part in bulks: as their source, as their destination, or both. */
struct bulk_part {
    struct bulk_end end;
    bool blocked;    /* as the source: `to` has no room */
    uint8_t lean;    /* times in a row that little came */
    uint32_t queued; /* bytes in the pipe */
    /* as the source */
    struct bulk_part *to; /* NULL: it is none */
    struct pipe *pipe;    /* held while bytes are in it */
    uint64_t left;        /* still to be taken */
    /* as the destination */
    struct bulk_part *from; /* NULL: it is none */
};

/* One per engine: how it names what bulk.c sees in engine_bits, and what it does for it. */
struct bulk_engine {
    uint32_t want_read;
    uint32_t readable;
    uint32_t peer_done;
    uint32_t error; /* a sign of a failure that is still to be looked at */
    uint32_t fail_due;
    uint32_t failed;
    uint32_t sending;
    uint32_t src;
    uint32_t dst;
    uint32_t never;                  /* with one of these nothing is taken from a source */
    void (*ready)(struct stream *s); /* to be served */
    void (*await_room)(struct stream *s);
    void (*fail)(struct stream *s, enum reason why);
};

enum bulk_step {
    BULK_MORE,  /* go on */
    BULK_WAIT,  /* for the source, the destination, or credit */
    BULK_AGAIN, /* its share of this turn is used up */
    BULK_ENDED, /* the source has ended, all of it is moved */
    BULK_OVER,  /* all is moved that was asked for, or it is better copied */
};

/* The two are a source and its destination from now on; the engine has the source served. False:
 * there is no pipe or no memory, nothing has changed. */
NODISCARD bool bulk_part_join(struct bulk_end src, struct bulk_end dst, uint64_t bytes);

/* Moves what can be moved now; nobody is told. Adds to *moved. */
enum bulk_step bulk_part_pump(struct bulk_part *src, uint64_t *moved);

/* After that: gives the pipe back, ends what is over, and tells. */
void bulk_part_settle(struct bulk_part *src, enum bulk_step step, uint64_t moved);

/* The destination may have room. */
void bulk_part_writable(const struct bulk_part *dst);

/* Whether bytes of a source are still on their way or may be taken: a failure of it waits. */
bool bulk_part_goes_on(const struct bulk_part *src);

/* Its stream fails or is closed: ends its bulks. */
void bulk_part_drop(struct bulk_part *part);

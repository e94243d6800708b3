/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * From pieces as a stream delivers them to whole HTTP/1 events, for the test tools.
 *
 * The reader wants an unfinished head again together with what follows it; a feed keeps those
 * bytes. It also keeps what is left while the receiver is busy, so that pipelined requests wait
 * their turn.
 *
 * Lifetime: feed_init .. feed_fini, of one stream. Thread rule: the loop's thread.
 */

#include "base/compiler.h"
#include "codec/h1.h"
#include "io/loop.h"

enum feed_verdict {
    FEED_GO_ON,
    FEED_PAUSE, /* keep the rest until feed_resume; the receiver stops reading */
    FEED_ENDED, /* the stream is closed, and the feed finished with it: touch nothing */
};

/* An event of h1_reader_next; answers with an enum feed_verdict. After H1_END the receiver resets
 * the reader before it goes on. */
typedef int feed_event_fn(void *user, enum h1_event event, const struct h1_result *result);

struct feed {
    struct loop *loop;
    struct h1_reader reader;
    struct head *head; /* may be shared by feeds: unfinished heads are read anew */
    struct slice kept;
    feed_event_fn *on_event;
    void *user;
};

void feed_init(struct feed *f, struct loop *loop, enum h1_role role, struct head *head,
               feed_event_fn *on_event, void *user);
void feed_fini(struct feed *f);

/* Bytes have arrived. 0, or a negative reason: then the connection is of no further use. */
NODISCARD int feed_data(struct feed *f, struct slice in);

/* Goes on with what was kept. As feed_data. */
NODISCARD int feed_resume(struct feed *f);

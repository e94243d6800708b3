/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The part of an exchange that goes around us: when a body, or a direction of a TCP connection, is
 * large and both ends carry it as it is, its bytes are moved from socket to socket inside the
 * kernel (stream_bulk). Here is decided when, and kept what must hold meanwhile.
 *
 *   exchange_flush ─▶ bulk_wanted, bulk_begin ─▶ stream_bulk
 *                                        │  source's stream: moved(n, over) ─▶ bulk_moved
 *                                        │                   eof            ─▶ bulk_over
 *                                        ▼
 *                     (over: what the source has left comes as data again)
 *
 * The destination counts as sending for as long. Bytes are accounted as they leave, limits and
 * timers are those of bytes that go through us. A side that leaves the exchange closes its stream,
 * which ends what was under way.
 *
 * Thread rule: the exchange's worker.
 */

#include "forward/side.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange;

/* Before what `from` gave is flushed, its message not being complete: whether the rest is to be
 * moved, because that pays and both sides can. */
bool bulk_wanted(struct exchange *x, struct side *from, struct side *to);

/* After it has all gone out: begins, or else nothing changes. */
void bulk_begin(struct exchange *x, struct side *from, struct side *to);

/* Whether a message with a body of so many bytes is one to expect a bulk of; the next on the same
 * connection is likely to be like it. */
bool bulk_is_large(const struct head *h);

/* n bytes have been moved from `from`; `over`: these were the last. False: the exchange was cut,
 * and `from` with it. */
bool bulk_moved(struct exchange *x, struct side *from, uint64_t n, bool over);

/* Nothing more is moved from `from`. */
void bulk_over(struct exchange *x, struct side *from);

/* The backend has gone, and its stream with it. */
void bulk_backend_gone(struct exchange *x);

/* Whether bytes that are moved from `from` wait for the other side to take them: then it is not
 * `from` that is slow. Costs a system call: for timeouts. */
bool bulk_held(struct exchange *x, const struct side *from);
